"""Brings the reference figures, which lie outside the folder of the pages, into the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

FIGURES = Path(__file__).resolve().parent.parent / "results" / "reference" / "figures"
OUTSIDE, INSIDE = "../results/reference/figures/", "figures/"


def on_files(files: Any, config: Any) -> Any:
    """Add every figure as if it lay in ``docs/figures``."""
    for path in sorted(FIGURES.glob("*.svg")) if FIGURES.is_dir() else []:
        files.append(File.generated(config, f"{INSIDE}{path.name}", content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point the pages, which link to the repository's folder, to the figures of the site."""
    return markdown.replace(OUTSIDE, INSIDE)
