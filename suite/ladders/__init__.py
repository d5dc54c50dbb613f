"""Ladders: find the number of samples (or any other numeric setting) at which a method finds the structure."""
