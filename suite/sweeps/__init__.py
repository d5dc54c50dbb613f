"""Sweeps: which runs of a grid to compute, in which order and pieces, and carrying that out."""
