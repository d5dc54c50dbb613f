"""The training engine of the three families of networks."""
