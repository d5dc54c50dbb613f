"""Find the file of a module without importing it, and read it as the process runs it."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from leakybench.provenance.host import version_of
from leakybench.provenance.syntax import Code, read_code

PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
"""Names of the folders of installed packages, of whatever environment."""

STATED = frozenset({"numpy", "torch"})
"""Libraries whose versions every record states in its provenance, and no id holds: all runs stand on them."""

SUFFIXES = (".py", *importlib.machinery.EXTENSION_SUFFIXES, ".pyc")
"""Endings of the files of modules, in the order in which Python looks for them in a package of source code."""


def folders_of(top: str) -> list[Path]:
    """Where the modules of a top-level package lie; none for a plain module."""
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return []
    return [Path(folder) for folder in (found.submodule_search_locations or ())] if found is not None else []


@cache
def file_of(module: str) -> Path | None:
    """The file of a module, of source code or compiled; None where there is none (a notebook, a part of Python)."""
    top, *below = module.split(".")
    if module == "__main__":
        script = getattr(sys.modules["__main__"], "__file__", None)
        return Path(script).resolve() if script is not None and script.endswith(".py") else None
    if not below:
        try:
            found = importlib.util.find_spec(top)
        except (ImportError, ValueError, AttributeError):
            return None
        origin = None if found is None else found.origin
        return Path(origin).resolve() if origin is not None and origin.endswith(SUFFIXES) else None
    # find_spec of a submodule imports what is above it, torch and all; its file can be found without
    for folder in folders_of(top):
        base = Path(folder, *below)
        for path in (base / "__init__.py", *(base.with_name(f"{base.name}{suffix}") for suffix in SUFFIXES)):
            if exists(path):
                return path.resolve()
    return None


def exists(path: Path) -> bool:
    """Whether there is a file, on the disk or in a zip archive that is imported from."""
    return path.is_file() or _zipped(path) is not None


def content_of(path: Path) -> bytes:
    """The bytes of a file, on the disk or in a zip archive; none of one that cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return _zipped(path) or b""


def _zipped(path: Path) -> bytes | None:
    """The bytes of a file within a zip archive."""
    if (archive := _archive(path)) is None:
        return None
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.read(path.relative_to(archive).as_posix())
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile):
        return None


def _archive(path: Path) -> Path | None:
    """The archive that holds a path; None below a folder of the disk."""
    nearest = next((above for above in path.parents if above.exists()), None)
    return nearest if nearest is not None and nearest.is_file() else None


def stamp_of(path: Path) -> tuple[int, int]:
    """Time of change and size of a file, or of the archive that holds it."""
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0) if (archive := _archive(path)) is None else stamp_of(archive)
    return found.st_mtime_ns, found.st_size


_READ: dict[tuple[Path, str], tuple[tuple[int, int], tuple[Any, Any], Code]] = {}


def code_of(path: Path, module: str) -> Code:
    """The code of a file as this process runs it.

    A file that was edited after its module was loaded counts as it was read before: the process still runs that code.
    Once the module is loaded again, as by ``importlib.reload``, the new text counts.
    """
    stamp, loaded = stamp_of(path), sys.modules.get(module)
    owner = loaded, getattr(loaded, "__spec__", None)
    if (known := _READ.get((path, module))) is not None:
        same_code = loaded is not None and owner[0] is known[1][0] and owner[1] is known[1][1]
        if known[0] == stamp or same_code:
            return known[2]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    code = read_code(content_of(path), package)
    _READ[path, module] = stamp, owner, code
    return code


@cache
def is_local(top: str) -> bool:
    """Whether a top-level module is code that is neither Python's own nor installed."""
    if top in sys.stdlib_module_names:
        return False
    origin = file_of(top) or next(iter(folders_of(top)), None)
    if origin is None:
        return False
    return not _is_installed(top, origin.resolve())


def _is_installed(top: str, origin: Path) -> bool:
    """Whether a file lies where packages are installed.

    That is a folder of this environment; one of the environment below it, the user or the system, which are known by
    their name; or any folder that holds the metadata of the module's distribution, as ``pip install --target`` leaves
    it. An editable install keeps its metadata apart from the code, so the code is local.
    """
    here = [Path(path).resolve() for path in {sysconfig.get_path(key) for key in ("purelib", "platlib")}]
    if any(origin.is_relative_to(folder) for folder in here) or not PACKAGE_FOLDERS.isdisjoint(origin.parts):
        return True
    folder = origin.parent.parent if origin.name == "__init__.py" else origin.parent
    for record in folder.glob("*.dist-info/RECORD"):
        text = f"\n{record.read_text(encoding='utf-8', errors='replace')}"
        if f"\n{top}/" in text or f"\n{top}.py," in text:
            return True
    return False


def release_of(module: str) -> str | None:
    """``name==version`` of the installed distribution that provides a module; None where it is local code."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names:
        return f"python=={sys.version_info.major}.{sys.version_info.minor}"
    if is_local(top):
        return None
    names = sorted(filter(None, _distributions().get(top, ())))  # damaged metadata have no name
    return f"{names[0]}=={version_of(names[0])}" if names else None


MODULE_ENDINGS = frozenset({".py", ".so", ".pyd"})
"""Endings of the files that a module may be."""


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Names of the installed distributions by the top-level module that they provide."""
    found: dict[str, list[str]] = {}
    for distribution in importlib.metadata.distributions():
        # one with damaged metadata must not hide the others, so the standard library's own listing does not serve
        try:
            name = distribution.metadata["Name"]
            # the long list of files is only read where the short one is missing
            tops = (distribution.read_text("top_level.txt") or "").split() or {
                file.parts[0].split(".")[0] for file in distribution.files or () if file.suffix in MODULE_ENDINGS
            }
        except Exception:
            continue
        for top in tops:
            found.setdefault(top, []).append(name)
    return found


def forget() -> None:
    """Forget which files were found and read."""
    _READ.clear()
    for function in (file_of, is_local, _distributions):
        function.cache_clear()
