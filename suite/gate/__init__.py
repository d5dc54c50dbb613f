"""The regression gate: a stored reference, the judgement of new runs against it, and its pytest fixture."""
