"""Where a result comes from: the version of the code that decides it, and the machine that computed it."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from suite.registration import Spec

RESULT_MODULES = ("suite.task", "suite.baseline", "suite.seeding", "suite.evaluate", "suite.measures")
"""Modules of the framework whose code decides what a record says."""


@cache
def source_version(*specs_modules: str) -> str:
    """Version of the code behind a result: the distribution's, and a hash of the syntax trees of the modules involved.

    Comments, docstrings and layout do not count, so that stored runs survive a change of wording and no other.

    Args:
        specs_modules: top-level packages (or modules) that hold the task and the baseline.
    """
    hasher = hashlib.sha256()
    for name in (*RESULT_MODULES, *sorted(set(specs_modules))):
        for path in _sources(name):
            hasher.update(path.name.encode())
            hasher.update(_code(path))
    try:
        version = importlib.metadata.version("leakybench")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    return f"{version}+{hasher.hexdigest()[:12]}"


def source_of(task: Spec, baseline: Spec) -> str:
    """The source version of one pair: the framework's result modules and the packages of both entry points."""
    return source_version(*sorted({spec.entry_point.split(":")[0].split(".")[0] for spec in (task, baseline)}))


def _sources(module: str) -> list[Path]:
    """The .py files of a module, or of a package and all below it; none where it is not a file (a notebook)."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return []
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return []
    origin = Path(found.origin)
    return sorted(origin.parent.rglob("*.py")) if found.submodule_search_locations else [origin]


@cache
def _code(path: Path) -> bytes:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                value.value = ""
    return ast.dump(tree).encode()


@cache
def commit() -> str | None:
    """The git commit of the checkout, ``-dirty`` behind it where tracked files differ; None outside one."""
    here = Path(__file__).resolve().parent.parent
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
    """The processor, its cores and the versions of what computes; no host name and no path."""
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
        **{name: _version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def provenance() -> dict[str, Any]:
    """Commit, machine, versions and the time (UTC) for one record."""
    return {"commit": commit(), "created": datetime.now(UTC).isoformat(timespec="seconds"), **machine()}
