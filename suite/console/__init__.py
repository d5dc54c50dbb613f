"""Code shared by several commands: arguments, the selection of stored runs, the display of plans and of progress."""
