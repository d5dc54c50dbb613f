"""Tuning: choose the settings of a baseline on training rows held out, then fit on all of them."""
