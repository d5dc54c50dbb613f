"""The data files that code reads beside itself, as far as its text names them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from leakybench.provenance.files import SUFFIXES, content_of, exists, stamp_of
from leakybench.provenance.syntax import Code

READERS = frozenset({"importlib.resources", "importlib_resources", "pkgutil"})
"""Libraries that find files beside a module."""

MAX_FILES = 2000
"""Number of files that are looked at below a folder that the code names."""
MAX_NAME = 200


def data_files(path: Path, code: Code, top: Path | None) -> Iterator[tuple[str, Path]]:
    """Name and path of each data file of one module.

    A file counts if the code looks beside itself (by ``__file__``, ``importlib.resources`` or ``pkgutil``) and holds a
    text that names it, from the folder of the module or of its package: the file itself, a pattern (``*.csv``) that it
    matches, or in a package a folder above it. A name that is put together when the code runs is not seen.

    Args:
        path: of the module.
        code: of the module.
        top: folder of the package that it belongs to; None for a module on its own.
    """
    if "__file__" not in code.words and not any(found.module in READERS or _resources(found) for found in code.imports):
        return
    for root in dict.fromkeys((path.parent, top or path.parent)):
        for word in sorted(code.words):
            yield from _named(root, word, folders=top is not None)


def _resources(found: object) -> bool:
    return getattr(found, "module", "") == "importlib" and getattr(found, "name", "") == "resources"


def _named(root: Path, word: str, *, folders: bool) -> Iterator[tuple[str, Path]]:
    """The data files that a text may name, from one folder."""
    if not 0 < len(word) <= MAX_NAME or "\0" in word or os.path.isabs(word):
        return
    inside = os.path.normpath(word)
    if inside.split(os.sep)[0] in (os.curdir, os.pardir):
        return
    place = root / inside
    if "*" in inside:
        found = list(root.glob(inside)) if "." in inside and "**" not in inside else []
    elif exists(place):
        found = [place]
    elif folders and place.is_dir():
        found = list(_below(place))
    else:
        return
    for file in sorted(found[:MAX_FILES]):
        if not file.name.endswith(SUFFIXES) and (file.is_file() or exists(file)):
            yield file.relative_to(root).as_posix(), file


def _below(folder: Path) -> Iterator[Path]:
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith((".", "__pycache__")))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def digest_of(path: Path) -> str:
    """Hash of the content of a data file."""
    return _digest(path, stamp_of(path))


@cache
def _digest(path: Path, stamp: tuple[int, int]) -> str:
    if not path.is_file():
        return hashlib.sha256(content_of(path)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
