"""Results that others check: packs, their validation, and the verification of a folder."""
