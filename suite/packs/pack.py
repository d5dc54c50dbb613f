"""Packs: results in one file that another person can validate.

A pack is a zip file of ``manifest.json`` and, for each run, ``records/<run_id>.json``, with ``records/<run_id>.npz`` if
the run has arrays. The manifest lists every file with its size and SHA-256, and contains the hash of its own content. A
folder with the same files is accepted too. Nothing is ever extracted, executed or unpickled: files are read one at a
time, up to a limit, and only names of one fixed form are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import stat
import weakref
import zipfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leakybench.atomic import write_atomic
from leakybench.errors import LeakybenchError, UsageError
from leakybench.record import Record
from leakybench.specs import digest
from leakybench.store import (
    MAX_ARRAY_BYTES,
    MAX_RECORD_BYTES,
    DamagedError,
    Store,
    check_directory,
    open_file,
    read_file,
)

FORMAT = "leakybench-pack"
VERSION = 1
MANIFEST = "manifest.json"
MEMBER = re.compile(r"records/(?P<run_id>[0-9a-f]{24})\.(?P<kind>json|npz)")
MAX_FILES = 40_000
MAX_MANIFEST_BYTES = 16 * 2**20
MAX_RECORDS_BYTES = 128 * 2**20
"""Bytes of all records together, which are held in memory; arrays are read and dropped one by one."""
MAX_TOTAL_BYTES = 2 * 2**30
MAX_RATIO = 60
"""Maximum ratio of unpacked to packed bytes of a whole pack; a larger one indicates a zip bomb. JSON has about 5."""
SMALL_BYTES = 16 * 2**20
"""Unpacked size below which the ratio does not matter."""


class PackError(LeakybenchError):
    """A pack cannot be read at all; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """The files of a pack.

    Attributes:
        manifest: the manifest as stored.
        files: bytes by name, without the manifest; read anew at each access, if they come from a file.
        rejected: names of files that do not belong to a pack or occur twice, each with its reason.
    """

    manifest: dict[str, Any]
    files: Mapping[str, bytes]
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
        DamagedError: a file of a run cannot be read.
        OSError: the file cannot be written.
    """
    files = pack_files(store, (record.run_id for record in records))
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


def pack_files(store: Store, run_ids: Iterable[str]) -> dict[str, bytes]:
    """Read the files of runs for a pack, by their names there.

    Raises:
        DamagedError: a file cannot be read, with its name.
    """
    files: dict[str, bytes] = {}
    for path, kind in ((store.path(run_id, kind), kind) for run_id in sorted(run_ids) for kind in ("json", "npz")):
        try:
            files[f"records/{path.name}"] = read_file(path, _LIMITS[kind])
        except FileNotFoundError:
            continue
        except DamagedError as error:
            raise DamagedError(f"{path.name}: {error}") from None
    return files


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
    """Read the manifest of a pack, a .zip file or a folder; its files are read when they are asked for.

    Raises:
        UsageError: the file does not exist.
        PackError: the file is not a zip, is damaged or too large, or has no readable manifest.
    """
    if not os.path.lexists(path):
        raise UsageError(f"there is no pack {str(path)!r}")
    rejected: list[tuple[str, str]] = []
    files = _FolderFiles(path, rejected) if path.is_dir() else _ZipFiles(path, rejected)
    if MANIFEST not in files.sizes:
        raise PackError(f"no {MANIFEST}: this is not a pack, or it is damaged")
    try:
        text = files.read(MANIFEST)
        if text.count(b",") + text.count(b"[") + text.count(b"{") > 8 * MAX_FILES:
            raise PackError(f"{MANIFEST} holds more values than a pack of {MAX_FILES} files has")
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackError(f"{MANIFEST} is not valid JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise PackError(f"{MANIFEST} does not state the format {FORMAT!r}")
    if manifest.get("version") != VERSION:
        raise PackError(f"pack version {ascii(manifest.get('version'))[:60]} is not supported, only {VERSION}")
    del files.sizes[MANIFEST]
    return Pack(manifest=manifest, files=files, rejected=rejected)


class _Files(Mapping[str, bytes]):
    """Files by name, each read when it is asked for. Their sizes are checked before."""

    sizes: dict[str, int]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read one of ``sizes``; raise ``PackError`` if that fails."""

    def __getitem__(self, name: str) -> bytes:
        if name not in self.sizes:
            raise KeyError(name)
        return self.read(name)

    def __contains__(self, name: object) -> bool:
        return name in self.sizes

    def __iter__(self) -> Iterator[str]:
        return iter(self.sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def check_sizes(self) -> None:
        """Refuse what would take much memory or time."""
        for name, size in self.sizes.items():
            limit = MAX_MANIFEST_BYTES if name == MANIFEST else _LIMITS[name.rpartition(".")[2]]
            if size > limit:
                raise PackError(f"{_quoted(name)} is larger than {limit >> 20} MiB")
        if (total := sum(self.sizes.values())) > MAX_TOTAL_BYTES:
            raise PackError(f"unpacks to {total >> 20} MiB; the maximum is {MAX_TOTAL_BYTES >> 20} MiB")
        records = sum(size for name, size in self.sizes.items() if name.endswith(".json"))
        if records > MAX_RECORDS_BYTES:
            raise PackError(f"holds records of {records >> 20} MiB; the maximum is {MAX_RECORDS_BYTES >> 20} MiB")


_LIMITS = {"json": MAX_RECORD_BYTES, "npz": MAX_ARRAY_BYTES}


class _ZipFiles(_Files):
    """The members of a zip file that belong to a pack."""

    def __init__(self, path: Path, rejected: list[tuple[str, str]]) -> None:
        self._members: dict[str, zipfile.ZipInfo] = {}
        stack = contextlib.ExitStack()
        # one archive for all files, since its directory is read when it is opened
        weakref.finalize(self, stack.close)
        with _guarded():
            file = stack.enter_context(open_file(path, MAX_TOTAL_BYTES))
            check_directory(file, MAX_FILES)
            self._archive = stack.enter_context(zipfile.ZipFile(file))
        for member in self._archive.infolist():
            name = member.filename
            if name.endswith("/"):  # a folder; ZipInfo.is_dir fails on an empty name
                continue
            if reason := _rejection(name, member, self._members):
                rejected.append((name[:200], reason))
            else:
                self._members[name] = member
        self.sizes = {name: member.file_size for name, member in self._members.items()}
        self.check_sizes()
        total, packed = sum(self.sizes.values()), sum(member.compress_size for member in self._members.values())
        if total > SMALL_BYTES and total > MAX_RATIO * packed:
            raise PackError(f"unpacks to more than {MAX_RATIO} times its size")

    def read(self, name: str) -> bytes:
        """Read one member; raise ``PackError`` if it is damaged."""
        member = self._members[name]
        # the declared size is only a claim: read at most that and rely on the checksum
        with _guarded(), self._archive.open(member) as source:
            content = source.read(member.file_size + 1)
        if len(content) != member.file_size:
            raise PackError(f"{_quoted(name)}: larger than the zip declares")
        return content


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Turn every failure to read a zip file into ``PackError``."""
    try:
        yield
    except (FileNotFoundError, DamagedError) as error:
        raise PackError(f"the pack cannot be read: {error}") from None
    except Exception as error:  # zipfile and zlib raise a dozen kinds, and a file that breaks them is damaged
        text = " ".join(str(error).split()) or type(error).__name__
        raise PackError(f"not a readable zip file: {ascii(text)[1:-1][:200]}") from None


def _rejection(name: str, member: zipfile.ZipInfo, seen: Mapping[str, object]) -> str | None:
    """Return why a member of the zip is not read, or None."""
    if name in seen:
        return "occurs twice in the zip"
    if name != MANIFEST and not MEMBER.fullmatch(name):
        return "does not belong to a pack (records/<run_id>.json or .npz)"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by an unknown method"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    return None


class _FolderFiles(_Files):
    """The files of a folder that belong to a pack."""

    def __init__(self, path: Path, rejected: list[tuple[str, str]]) -> None:
        self._path = path
        self.sizes = {}
        for name, file in sorted(_walk(path)):
            if file.is_symlink() or not file.is_file():
                rejected.append((name[:200], "is a link or not a regular file"))
            elif name != MANIFEST and not MEMBER.fullmatch(name):
                rejected.append((name[:200], "does not belong to a pack (records/<run_id>.json or .npz)"))
            else:
                self.sizes[name] = file.lstat().st_size
        self.check_sizes()

    def read(self, name: str) -> bytes:
        """Read one file; raise ``PackError`` if that fails."""
        try:
            return read_file(self._path / name, MAX_MANIFEST_BYTES if name == MANIFEST else MAX_ARRAY_BYTES)
        except (OSError, DamagedError) as error:
            raise PackError(f"{_quoted(name)} cannot be read: {error}") from None


def _walk(path: Path) -> list[tuple[str, Path]]:
    paths: list[tuple[str, Path]] = []
    for folder, _, names in os.walk(path, followlinks=False):
        paths += [((Path(folder) / name).relative_to(path).as_posix(), Path(folder) / name) for name in names]
        if len(paths) > MAX_FILES:
            raise PackError(f"contains {len(paths)} files or more; the maximum is {MAX_FILES}")
    return paths


def _quoted(name: str) -> str:
    return repr(name[:80])
