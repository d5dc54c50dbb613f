"""Whether the stored reference is declared to lag behind the code."""

from __future__ import annotations

import re
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
LAG = re.compile(r"^Lags behind:.*\b[0-9a-f]{7,40}\b.*$", re.MULTILINE)
"""The line of results/reference/README.md that says so, with the commit that made the records."""


def lag(text: str | None = None) -> str | None:
    """The line that declares that the reference lags behind, or None."""
    if text is None:
        readme = REFERENCE / "README.md"
        text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    match = LAG.search(text)
    return match[0] if match else None
