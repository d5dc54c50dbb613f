"""The machine that computed a result, and the commit of its code."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any


@cache
def commit() -> str | None:
    """Return the git commit of the checkout, with ``-dirty`` appended if tracked files differ; None outside one."""
    here = Path(__file__).resolve().parent.parent.parent
    if not (here / ".git").exists():
        return None
    try:
        head = _git(here, "rev-parse", "HEAD")
        dirty = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}-dirty" if dirty else head


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(where), *arguments], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


@cache
def machine() -> dict[str, Any]:
    """Return processor, cores and the versions of the numerical libraries; no host name and no path."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cores": cores,
        "system": platform.system(),
        "python": ".".join(map(str, sys.version_info[:3])),
        **{name: version_of(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
    }


def version_of(name: str) -> str | None:
    """Return the version of an installed distribution; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def provenance() -> dict[str, Any]:
    """Return commit, machine, versions and the time (UTC) for one record."""
    return {"commit": commit(), "created": datetime.now(UTC).isoformat(timespec="seconds"), **machine()}
