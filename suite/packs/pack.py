"""Packs: somebody's results in one file that another person can check.

A pack is a zip of ``manifest.json`` and, for each run, ``records/<run_id>.json`` with ``records/<run_id>.npz`` where
it has arrays. The manifest lists every file with its size and SHA-256, and ends with the hash of itself. A folder
with the same content is read too. Nothing is ever extracted, executed or unpickled: files are read into memory, by
names of one fixed form.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leakybench.atomic import write_atomic
from leakybench.errors import LeakybenchError, UsageError
from leakybench.record import Record
from leakybench.specs import digest
from leakybench.store import MAX_RECORD_BYTES, Store

FORMAT = "leakybench-pack"
VERSION = 1
MANIFEST = "manifest.json"
MEMBER = re.compile(r"records/(?P<run_id>[0-9a-f]{24})\.(?P<kind>json|npz)")
MAX_FILES = 100_000
MAX_TOTAL_BYTES = 2 * 2**30
MAX_RATIO = 200
"""Largest share of unpacked to packed bytes: what is beyond it is made to fill a disk, not to be read."""


class PackError(LeakybenchError):
    """A pack that cannot be read at all; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """The files of a pack in memory.

    Attributes:
        manifest: as stored.
        files: bytes by name, the manifest left out.
        problems: names that are no part of a pack, and names that occur twice, each with its reason.
    """

    manifest: dict[str, Any]
    files: dict[str, bytes]
    problems: list[tuple[str, str]] = field(default_factory=list)


def write_pack(store: Store, records: Iterable[Record], path: Path, *, submitter: str = "") -> dict[str, Any]:
    """Write a pack of stored runs; the same runs give the same bytes but for the date.

    Args:
        store: holds the records and their arrays.
        records: which of its runs.
        path: of the .zip; replaced at once when it is complete.
        submitter: free text for the manifest.

    Returns:
        The manifest.

    Raises:
        UsageError: no runs. OSError: the file cannot be written.
    """
    files: dict[str, bytes] = {}
    for record in sorted(records, key=lambda record: record.run_id):
        for kind in ("json", "npz"):
            source = store.path(record.run_id, kind)
            if source.exists():
                files[f"records/{record.run_id}.{kind}"] = source.read_bytes()
    if not files:
        raise UsageError(f"{store.folder} holds no run to submit")
    manifest = make_manifest(files, submitter)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, content in [(MANIFEST, _text(manifest)), *sorted(files.items())]:
            # a fixed date keeps the bytes the same; the manifest holds the real one
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    write_atomic(path, buffer.getvalue())
    return manifest


def make_manifest(files: dict[str, bytes], submitter: str = "") -> dict[str, Any]:
    """The manifest of files: size and SHA-256 of each, and ``digest``, the hash of all the rest."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "submitter": submitter,
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in sorted(files.items())
        },
    }
    return content | {"digest": digest(content, length=64)}


def _text(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()


def read_pack(path: Path) -> Pack:
    """Read a pack, from a .zip or a folder, into memory.

    Raises:
        UsageError: there is no such file. PackError: not a zip, damaged, too large, or without a readable manifest.
    """
    if not path.exists():
        raise UsageError(f"there is no pack {str(path)!r}")
    problems: list[tuple[str, str]] = []
    files = _read_folder(path, problems) if path.is_dir() else _read_zip(path, problems)
    text = files.pop(MANIFEST, None)
    if text is None:
        raise PackError(f"no {MANIFEST}: not a pack, or a damaged one")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackError(f"{MANIFEST} is not JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise PackError(f"{MANIFEST} does not say that its format is {FORMAT!r}")
    if manifest.get("version") != VERSION:
        raise PackError(f"pack version {manifest.get('version')!r} is not the supported {VERSION}")
    return Pack(manifest=manifest, files=files, problems=problems)


def _read_zip(path: Path, problems: list[tuple[str, str]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_sizes([(m.filename, m.file_size) for m in members])
            for member in members:
                name = member.filename
                if member.is_dir():
                    continue
                if reason := _refused(name, member, files):
                    problems.append((name, reason))
                    continue
                # the declared size is a claim: read no more than that and let the checksum judge
                with archive.open(member) as source:
                    content = source.read(member.file_size + 1)
                if len(content) != member.file_size:
                    raise PackError(f"{_shown(name)}: larger than the zip says")
                files[name] = content
    except OSError as error:
        raise PackError(f"cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise PackError(f"not a readable zip: {error}") from None
    return files


def _refused(name: str, member: zipfile.ZipInfo, seen: dict[str, bytes]) -> str | None:
    """Why a member of the zip is not read, or None."""
    if name in seen:
        return "occurs twice in the zip"
    if name != MANIFEST and not MEMBER.fullmatch(name):
        return "is no file of a pack (records/<run_id>.json or .npz)"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.file_size > MAX_RATIO * max(member.compress_size, 1) and member.file_size > 2**20:
        return f"unpacks to more than {MAX_RATIO} times its size"
    return None


def _read_folder(path: Path, problems: list[tuple[str, str]]) -> dict[str, bytes]:
    found: list[tuple[str, Path]] = []
    for folder, _, names in os.walk(path, followlinks=False):
        found += [(str((Path(folder) / name).relative_to(path).as_posix()), Path(folder) / name) for name in names]
    sizes = [(name, file.lstat().st_size) for name, file in found]
    _check_sizes(sizes)
    files: dict[str, bytes] = {}
    for name, file in sorted(found):
        if file.is_symlink() or not file.is_file():
            problems.append((name, "is a link or no plain file"))
        elif name != MANIFEST and not MEMBER.fullmatch(name):
            problems.append((name, "is no file of a pack (records/<run_id>.json or .npz)"))
        else:
            files[name] = file.read_bytes()
    return files


def _check_sizes(sizes: list[tuple[str, int]]) -> None:
    if len(sizes) > MAX_FILES:
        raise PackError(f"holds {len(sizes)} files; at most {MAX_FILES} are read")
    if (total := sum(size for _, size in sizes)) > MAX_TOTAL_BYTES:
        raise PackError(f"unpacks to {total >> 20} MiB; at most {MAX_TOTAL_BYTES >> 20} are read")
    for name, size in sizes:
        if size > MAX_RECORD_BYTES:
            raise PackError(f"{_shown(name)} is larger than {MAX_RECORD_BYTES >> 20} MiB")


def _shown(name: str) -> str:
    return repr(name[:80])
