"""Packs: results in one file that another person can validate.

A pack is a zip file of ``manifest.json`` and, for each run, ``records/<run_id>.json``, with ``records/<run_id>.npz`` if
the run has arrays. The manifest lists every file with its size and SHA-256, and contains the hash of its own content. A
folder with the same files is accepted too. Nothing is ever extracted, executed or unpickled: files are read into
memory, and only names of one fixed form are read.
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
"""Maximum ratio of unpacked to packed bytes; a larger one indicates a zip bomb."""


class PackError(LeakybenchError):
    """A pack cannot be read at all; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """The files of a pack in memory.

    Attributes:
        manifest: the manifest as stored.
        files: bytes by name, without the manifest.
        rejected: names of files that do not belong to a pack or occur twice, each with its reason.
    """

    manifest: dict[str, Any]
    files: dict[str, bytes]
    rejected: list[tuple[str, str]] = field(default_factory=list)


def write_pack(store: Store, records: Iterable[Record], path: Path, *, submitter: str = "") -> dict[str, Any]:
    """Write a pack of stored runs. The same runs give the same bytes except for the date.

    Args:
        store: the folder that holds the records and their arrays.
        records: the runs to pack.
        path: the .zip file, which is written atomically.
        submitter: free text for the manifest.

    Returns:
        The manifest.

    Raises:
        UsageError: there are no runs.
        OSError: the file cannot be written.
    """
    files: dict[str, bytes] = {}
    for record in sorted(records, key=lambda record: record.run_id):
        for kind in ("json", "npz"):
            source = store.path(record.run_id, kind)
            if source.exists():
                files[f"records/{record.run_id}.{kind}"] = source.read_bytes()
    if not files:
        raise UsageError(f"{store.folder} holds no runs to submit")
    manifest = make_manifest(files, submitter)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, content in [(MANIFEST, _manifest_bytes(manifest)), *sorted(files.items())]:
            # a fixed date keeps the bytes reproducible; the manifest holds the actual date
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    write_atomic(path, buffer.getvalue())
    return manifest


def make_manifest(files: dict[str, bytes], submitter: str = "") -> dict[str, Any]:
    """Make the manifest of files: size and SHA-256 of each, and ``digest``, the hash of everything else in it."""
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


def _manifest_bytes(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()


def read_pack(path: Path) -> Pack:
    """Read a pack from a .zip file or a folder into memory.

    Raises:
        UsageError: the file does not exist.
        PackError: the file is not a zip, is damaged or too large, or has no readable manifest.
    """
    if not path.exists():
        raise UsageError(f"there is no pack {str(path)!r}")
    rejected: list[tuple[str, str]] = []
    files = _read_folder(path, rejected) if path.is_dir() else _read_zip(path, rejected)
    text = files.pop(MANIFEST, None)
    if text is None:
        raise PackError(f"no {MANIFEST}: this is not a pack, or it is damaged")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackError(f"{MANIFEST} is not valid JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise PackError(f"{MANIFEST} does not state the format {FORMAT!r}")
    if manifest.get("version") != VERSION:
        raise PackError(f"pack version {manifest.get('version')!r} is not supported, only {VERSION}")
    return Pack(manifest=manifest, files=files, rejected=rejected)


def _read_zip(path: Path, rejected: list[tuple[str, str]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_sizes([(m.filename, m.file_size) for m in members])
            for member in members:
                name = member.filename
                if member.is_dir():
                    continue
                if reason := _rejection(name, member, files):
                    rejected.append((name, reason))
                    continue
                # the declared size is only a claim: read at most that and rely on the checksum
                with archive.open(member) as source:
                    content = source.read(member.file_size + 1)
                if len(content) != member.file_size:
                    raise PackError(f"{_quoted(name)}: larger than the zip declares")
                files[name] = content
    except OSError as error:
        raise PackError(f"cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise PackError(f"not a readable zip file: {error}") from None
    return files


def _rejection(name: str, member: zipfile.ZipInfo, seen: dict[str, bytes]) -> str | None:
    """Return why a member of the zip is not read, or None."""
    if name in seen:
        return "occurs twice in the zip"
    if name != MANIFEST and not MEMBER.fullmatch(name):
        return "does not belong to a pack (records/<run_id>.json or .npz)"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.file_size > MAX_RATIO * max(member.compress_size, 1) and member.file_size > 2**20:
        return f"unpacks to more than {MAX_RATIO} times its size"
    return None


def _read_folder(path: Path, rejected: list[tuple[str, str]]) -> dict[str, bytes]:
    paths: list[tuple[str, Path]] = []
    for folder, _, names in os.walk(path, followlinks=False):
        paths += [(str((Path(folder) / name).relative_to(path).as_posix()), Path(folder) / name) for name in names]
    _check_sizes([(name, file.lstat().st_size) for name, file in paths])
    files: dict[str, bytes] = {}
    for name, file in sorted(paths):
        if file.is_symlink() or not file.is_file():
            rejected.append((name, "is a link or not a regular file"))
        elif name != MANIFEST and not MEMBER.fullmatch(name):
            rejected.append((name, "does not belong to a pack (records/<run_id>.json or .npz)"))
        else:
            files[name] = file.read_bytes()
    return files


def _check_sizes(sizes: list[tuple[str, int]]) -> None:
    if len(sizes) > MAX_FILES:
        raise PackError(f"contains {len(sizes)} files; the maximum is {MAX_FILES}")
    if (total := sum(size for _, size in sizes)) > MAX_TOTAL_BYTES:
        raise PackError(f"unpacks to {total >> 20} MiB; the maximum is {MAX_TOTAL_BYTES >> 20} MiB")
    for name, size in sizes:
        if size > MAX_RECORD_BYTES:
            raise PackError(f"{_quoted(name)} is larger than {MAX_RECORD_BYTES >> 20} MiB")


def _quoted(name: str) -> str:
    return repr(name[:80])
