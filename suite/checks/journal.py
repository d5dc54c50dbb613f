"""What a checked process writes down as it goes, so that it can be read when the process does not return."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any


class Journal(dict[str, Any]):
    """The facts so far; :meth:`stage` writes them down before something that may not return."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._path = path

    def stage(self, doing: str) -> None:
        """Say what is done next."""
        self["doing"] = doing
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self) + "\n")


def describe_with_place(error: BaseException) -> str:
    """``Type: text (file:line)`` in one line, the place being the innermost one outside this package."""
    text = " ".join(str(error).split())
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    here = str(Path(__file__).resolve().parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((here, "<"))]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return line[:400] + place
