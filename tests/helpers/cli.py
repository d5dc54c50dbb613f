"""The command line under test, in this process and in its own, always with the dummies registered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SEARCH_PATH = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
"""Where processes under test find the package of this checkout, and the helpers."""
GRID = ("run", "--task", "dummy/Tiny-v0", "--baseline")


def command(*arguments: object) -> list[str]:
    """The command line of a process that runs ``leakybench`` with the dummies."""
    return [sys.executable, "-m", "tests.helpers.dummies", *map(str, arguments)]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": SEARCH_PATH, **extra}


def start(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """Start a sweep in a session of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        command(*arguments), cwd=ROOT, env=environment(), start_new_session=True, **{**pipes, **settings}
    )


def call(*arguments: object, timeout: float = 120.0, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **settings,
    )


def call_installed(site: Path, *arguments: str, cwd: Path, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run ``leakybench`` without the dummies, where the distributions in the folder ``site`` are installed."""
    return subprocess.run(
        [sys.executable, "-m", "leakybench", *arguments],
        cwd=cwd,
        env=environment(PYTHONPATH=f"{site}:{SEARCH_PATH}"),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def one_line_error(stderr: str, prefix: str = "leakybench: ") -> str:
    """The one line that an error is allowed; fails where there is more, less, or a traceback."""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith(prefix), stderr
    assert "Traceback" not in stderr
    assert len(lines[0]) < 800
    return lines[0].removeprefix(prefix)


def files(folder: Path) -> set[str]:
    """Every file below ``folder``, by relative name."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
