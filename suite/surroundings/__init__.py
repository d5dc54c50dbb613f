"""The global state that a run shares with its process: read it, name what changed, and put it back."""

from __future__ import annotations

from leakybench.surroundings.imports import ImportClock, loaded_module
from leakybench.surroundings.state import Change, changes_of_import, guarded_import, kept
from leakybench.surroundings.threads import Processor, threads_of

__all__ = [
    "Change",
    "ImportClock",
    "Processor",
    "changes_of_import",
    "guarded_import",
    "kept",
    "loaded_module",
    "threads_of",
]
