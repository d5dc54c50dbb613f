"""What several commands share: arguments, the choice of stored runs, plans on the screen, progress."""
