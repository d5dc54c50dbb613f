"""The journal of a checked process, which can be read even if the process does not return."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any


class Journal(dict[str, Any]):
    """The facts observed so far. ``stage`` writes them to the file before a step that may not return.

    Args:
        path: the file; None keeps the facts in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._path = path

    def stage(self, doing: str) -> None:
        """Record the next step and write all facts to the file."""
        self["doing"] = doing
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self) + "\n")


def describe_with_place(error: BaseException) -> str:
    """Format an exception as ``Type: text (file:line)``, where the place is the innermost one outside this package."""
    text = " ".join(str(error).split())
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    here = str(Path(__file__).resolve().parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((here, "<"))]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return line[:400] + place
