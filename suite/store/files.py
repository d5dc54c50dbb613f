"""Read files whose content nobody vouches for: regular files only, up to a limit, without ever waiting."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from leakybench.store.errors import DamagedError

_CHUNK = 2**20


def read_file(path: Path, limit: int) -> bytes:
    """Read the bytes of a regular file.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: the file is larger than ``limit`` bytes, or not a regular file (a pipe, a device, a folder).
    """
    descriptor, size = _open(path)
    try:
        if size > limit:
            raise DamagedError(f"larger than {limit >> 20} MiB")
        parts = [os.read(descriptor, size + 1)]
        while parts[-1] and sum(map(len, parts)) <= limit:  # the file may grow while it is read
            parts.append(os.read(descriptor, _CHUNK))
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    data = b"".join(parts)
    if len(data) > limit:
        raise DamagedError(f"larger than {limit >> 20} MiB")
    return data


def read_tail(path: Path, limit: int) -> bytes:
    """Read the last ``limit`` bytes of a regular file; raise the same errors as ``read_file`` but for the size."""
    with open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - limit, 0))
        return file.read(limit)


@contextlib.contextmanager
def open_file(path: Path, limit: int | None = None) -> Iterator[BinaryIO]:
    """Open a regular file for reading piece by piece; raise the same errors as ``read_file``."""
    descriptor, size = _open(path)
    with os.fdopen(descriptor, "rb") as file:
        if limit is not None and size > limit:
            raise DamagedError(f"larger than {limit >> 20} MiB")
        try:
            yield file
        except OSError as error:
            raise DamagedError(f"cannot be read: {error.strerror or error}") from None


def _open(path: Path) -> tuple[int, int]:
    """Open a regular file; return its descriptor and its size."""
    try:
        # looked at first, since opening a device may do something; O_NONBLOCK, should it become a pipe meanwhile
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DamagedError("not a regular file")
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        if os.path.islink(path):
            raise DamagedError("a link that leads nowhere") from None
        raise
    except (OSError, ValueError) as error:
        raise DamagedError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise DamagedError("not a regular file")
    return descriptor, status.st_size
