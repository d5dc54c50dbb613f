"""Arrays of a run as the bytes of an .npz file: plain numbers only, and nothing is unpickled."""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from leakybench.errors import UsageError
from leakybench.store.errors import DamagedError

ARRAY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")
MAX_ARRAY_BYTES = 64 * 2**20
"""Memory of all arrays of a run, which is also what its file may take."""
MAX_ARRAYS = 1000
KINDS = "biuf"
"""Kinds of dtype that are stored: booleans, integers and floats."""
_CHUNK = 2**20
_MEMBER_OVERHEAD = 512


def encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Encode named arrays as the bytes of an .npz file.

    Raises:
        UsageError: a name is not a plain identifier, an array holds something else than numbers, or they are too large.
    """
    plain = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in plain.items():
        if not isinstance(name, str) or not ARRAY_NAME.fullmatch(name):
            raise UsageError(f"the name of an array must be an identifier, like 'spectra', got {str(name)[:60]!r}")
        if array.dtype.hasobject:
            raise UsageError(f"the array {name!r} holds Python objects, which cannot be stored without pickle")
        if array.dtype.kind not in KINDS:
            raise UsageError(f"the array {name!r} must hold booleans, integers or floats, got dtype {array.dtype}")
    size = sum(array.nbytes + _MEMBER_OVERHEAD for array in plain.values())
    if size > MAX_ARRAY_BYTES or len(plain) > MAX_ARRAYS:
        raise UsageError(
            f"the arrays of a run may be {MAX_ARRAYS} of {MAX_ARRAY_BYTES >> 20} MiB together, got {len(plain)} of "
            f"{size >> 20} MiB"
        )
    buffer = io.BytesIO()
    np.savez(buffer, **plain)  # type: ignore[arg-type]
    return buffer.getvalue()


def decode_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Decode the bytes of an .npz file, the inverse of ``encode_arrays``. Nothing is unpickled.

    Raises:
        DamagedError: the bytes are not an .npz file of plain arrays, or these would take more than ``MAX_ARRAY_BYTES``.
    """
    return load_arrays(io.BytesIO(data))


def load_arrays(file: BinaryIO, *, keep: bool = True) -> dict[str, np.ndarray]:
    """Read an .npz file. Sizes are checked before anything is unpacked, by the zip directory and each array's header.

    Args:
        file: open for reading, seekable.
        keep: whether the arrays are kept; otherwise each is checked and dropped, and the result is empty.

    Raises:
        DamagedError: whatever is wrong with it.
    """
    found: dict[str, np.ndarray] = {}
    try:
        check_directory(file, MAX_ARRAYS)
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members)
            for member in members:
                with archive.open(member) as source:
                    array = _read_array(source, member.file_size)
                if keep:
                    found[member.filename.removesuffix(".npy")] = array
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds, and a file that breaks them is damaged
        text = " ".join(str(error).split()) or type(error).__name__
        raise DamagedError(f"arrays cannot be read: {ascii(text)[1:-1][:200]}") from None
    return found


def check_directory(file: BinaryIO, most: int) -> None:
    """Check the end of a zip file before its directory is read, whose entries take much more memory than space.

    Raises:
        ValueError: no zip file, more than ``most`` members, or the 64-bit form, which such small files do not need.
    """
    size = file.seek(0, io.SEEK_END)
    start = max(size - 2**16 - 22 - 20, 0)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise ValueError("not a zip file")
    count, length = struct.unpack_from("<HI", tail, end + 10)
    if tail[max(end - 20, 0) :].startswith(b"PK\x06\x07") or count == 0xFFFF:
        raise ValueError("a zip file of the 64-bit form, which no file of this suite needs")
    if count > most or length > most * 2**8:
        raise ValueError(f"a zip file with more than {most} members")


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if sum(member.file_size for member in members) > MAX_ARRAY_BYTES:
        raise ValueError(f"they take more than {MAX_ARRAY_BYTES >> 20} MiB")
    for member in members:
        name = member.filename
        if not name.endswith(".npy") or not ARRAY_NAME.fullmatch(name.removesuffix(".npy")) or names.count(name) > 1:
            raise ValueError(f"arrays with a member {name[:60]!a}, which no array has, or which occurs twice")
        if member.flag_bits & 0x1:
            raise ValueError(f"the array {name[:60]!a} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"the array {name[:60]!a} is packed by an unknown method")


def _read_array(source: Any, size: int) -> np.ndarray:
    """Read one .npy file of ``size`` bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of headers that Python 2 wrote
        version = np.lib.format.read_magic(source)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(source)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(source)
        else:
            raise ValueError(f"an array of the format {version[0]}.{version[1]}, which no plain array needs")
    if dtype.kind not in KINDS or dtype.hasobject or dtype.shape:
        raise ValueError(f"an array of dtype {str(dtype)[:40]}; allowed are booleans, integers and floats")
    if any(type(length) is not int or length < 0 for length in shape) or len(shape) > 32:
        raise ValueError(f"an array of shape {str(shape)[:60]}")
    expected = math.prod(shape) * dtype.itemsize
    if expected > size or any(length > MAX_ARRAY_BYTES for length in shape):
        raise ValueError(f"an array of shape {str(shape)[:60]}, but with {size} bytes only")
    array = np.empty(shape, dtype, order="F" if fortran else "C")
    flat = array.reshape(-1, order="A").view(np.uint8) if expected else np.empty(0, np.uint8)
    done = 0
    while done < expected:
        part = source.read(min(_CHUNK, expected - done))
        if not part:
            raise ValueError("an array with less data than its shape needs")
        flat[done : done + len(part)] = np.frombuffer(part, np.uint8)
        done += len(part)
    if source.read(1):  # at the end the checksum is compared
        raise ValueError("an array with more data than its shape needs")
    return array
