"""A project whose own modules have everyday names, in a folder from which an installed leakybench is used."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

NAMES = {
    "tasks": "tasks.py",
    "suite": "suite.py",
    "baselines": "baselines/__init__.py",
    "results": "results.py",
    "tests": "tests/__init__.py",
}
"""Importable name of each decoy, and its file."""

DECOY = """\
import pathlib

with pathlib.Path({journal!r}).open("a", encoding="utf-8") as journal:
    journal.write(__name__ + "\\n")
"""

LEFT_OUT = ("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")
"""Variables that decide what a child process imports, and would hide what an ordinary user sees."""


class Project:
    """A folder with the decoys. Each one writes its name into a journal when it is imported, and does nothing else.

    Attributes:
        folder: the working directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self._journal = folder / "imported.txt"
        for file in NAMES.values():
            path = self.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(DECOY.format(journal=str(self._journal)), encoding="utf-8")

    def imported(self) -> list[str]:
        """Names of the decoys that were imported so far, in order."""
        return self._journal.read_text(encoding="utf-8").split() if self._journal.exists() else []

    def run(self, *command: object, timeout: float = 180.0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, in an environment that finds the installed package alone."""
        return subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=environment(variables),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what redirects imports, one thread a process, and ``variables``."""
    rest = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    return {**rest, "OMP_NUM_THREADS": "1", **(variables or {})}
