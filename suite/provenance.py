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

from leakybench.specs import Spec

RESULT_MODULES = (
    "leakybench.task",
    "leakybench.baseline",
    "leakybench.seeding",
    "leakybench.evaluate",
    "leakybench.measures",
)
"""Modules of the framework whose code decides what a record says."""


@cache
def source_version(*entry_modules: str) -> str:
    """Version of the code behind a result: the distribution's, and a hash of the syntax trees of the modules involved.

    These are the framework's result modules, and each entry module with all that it imports, directly or not, from its
    own top-level package. Comments, docstrings and layout do not count, so that stored runs survive a change of wording
    and no other.

    Args:
        entry_modules: the modules that hold the task and the baseline, as in ``leakybench.baselines.leaky_resnet``.
    """
    paths = {path for name in RESULT_MODULES for path in _package(name)}
    for name in entry_modules:
        paths |= _closure(name)
    hasher = hashlib.sha256()
    for path in sorted(paths, key=lambda path: (path.parent.name, path.name)):
        hasher.update(path.name.encode())
        hasher.update(_code(path))
    try:
        version = importlib.metadata.version("leakybench")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    return f"{version}+{hasher.hexdigest()[:12]}"


def source_of(task: Spec, baseline: Spec) -> str:
    """The source version of one pair: the framework's result modules and the modules behind both entry points."""
    return source_version(*sorted({spec.entry_point.split(":")[0] for spec in (task, baseline)}))


def _file(module: str) -> Path | None:
    """The .py file of a module; None where there is none (a notebook, a compiled module, a name inside a module)."""
    top, *below = module.split(".")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    if not below:
        return Path(found.origin) if found.origin is not None and found.origin.endswith(".py") else None
    # find_spec of a submodule imports what is above it, torch and all; its file can be found without
    for folder in found.submodule_search_locations or ():
        base = Path(folder, *below)
        for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if path.is_file():
                return path
    return None


def _package(module: str) -> list[Path]:
    """The file of a module, or all those of a package."""
    origin = _file(module)
    if origin is None:
        return []
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def _closure(module: str) -> set[Path]:
    """The files of a module and of all that it imports, at any depth, from its own top-level package."""
    top = module.split(".")[0]
    paths: set[Path] = set()
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        origin = None if name in seen else _file(name)
        seen.add(name)
        # a package's own __init__ says what exists, not how it computes
        if origin is None or (origin.name == "__init__.py" and name == top):
            continue
        paths.add(origin)
        waiting += [found for found in _imports(origin) if found.split(".")[0] == top]
    return paths


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Absolute names that a file imports anywhere; ``from a import b`` gives both ``a`` and ``a.b``."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


@cache
def _code(path: Path) -> bytes:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                del body[0]
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
