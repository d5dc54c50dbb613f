"""Packs of results, their validation, and the verification of a results folder."""
