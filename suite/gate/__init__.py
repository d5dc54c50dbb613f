"""The regression gate: a stored reference, the comparison of new runs with it, and a pytest fixture."""
