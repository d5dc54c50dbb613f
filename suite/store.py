"""Store records in a folder: one JSON file per run, with its arrays beside it. Nothing is ever unpickled.

A folder holds ``<run_id>.json``, ``<run_id>.npz`` if the run has arrays, ``<run_id>.log`` if it failed,
``<run_id>.claim`` while a sweep computes it (see ``leakybench.sweeps.claims``), and ``quarantine/``, where files that
cannot be read are set aside with the reason. A record exists when its JSON file does: arrays are written before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leakybench.atomic import write_atomic
from leakybench.errors import LeakybenchError, UsageError
from leakybench.record import SCHEMA, Record
from leakybench.specs import digest

RUN_ID = re.compile(r"[0-9a-f]{24}")
RUN_FILE = re.compile(r"(?P<run_id>[0-9a-f]{24})\.(?P<kind>json|npz|log|claim)")
ARRAY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")
MAX_RECORD_BYTES = 64 * 2**20
MAX_ARRAY_BYTES = 4 * 2**30
QUARANTINE = "quarantine"

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""``MIGRATIONS[n]`` converts the plain values of a record of schema n, including ``run_id``, to schema n + 1."""


class DamagedError(LeakybenchError):
    """A file is not what its name promises; the message is the reason."""


class NewerSchemaError(UsageError):
    """A record was written by a later version; it is left in place."""


class ConflictError(LeakybenchError):
    """A run has a record with another result, and nothing asked for its replacement; the earlier record stays."""


@dataclass(frozen=True)
class DamagedFile:
    """A file that could not be used.

    Attributes:
        name: its name in the folder.
        reason: why it could not be used.
        moved_to: its present place, relative to the folder; None if it was left in place.
    """

    name: str
    reason: str
    moved_to: str | None = None

    def __str__(self) -> str:
        place = f"set aside as {self.moved_to}" if self.moved_to else "left in place"
        return f"{self.name}: {self.reason}; {place}"


@dataclass
class Store:
    """The records of one folder, which any number of processes may read and write at once.

    Attributes:
        folder: the folder, which ``prepare`` creates.
        set_aside: whether a damaged file is moved to ``quarantine/``; it is listed in ``problems`` either way.
        problems: the damaged files encountered so far.
    """

    folder: Path
    set_aside: bool = True
    problems: list[DamagedFile] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)

    # -- names -------------------------------------------------------------------------------------------------------

    def path(self, run_id: str, kind: str = "json") -> Path:
        """Return the file of a run. ``run_id`` is checked, so that no path leaves the folder."""
        if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
            raise UsageError(f"a run id is 24 hexadecimal digits, got {str(run_id)[:60]!r}")
        return self.folder / f"{run_id}.{kind}"

    def ids(self) -> list[str]:
        """List the run ids that have a record, sorted, from the file names only."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot read the results folder {str(self.folder)!r}: {reason}") from None
        matches = (RUN_FILE.fullmatch(name) for name in names)
        return sorted(match["run_id"] for match in matches if match and match["kind"] == "json")

    def version(self, run_id: str) -> tuple[int, int] | None:
        """Return a value that changes when a record is rewritten (inode, time in ns); None if there is no record."""
        try:
            status = self.path(run_id).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def find(self, prefix: str) -> str:
        """Find the unique run id that starts with ``prefix``.

        Raises:
            UsageError: no run id starts with it, or several do.
        """
        if not re.fullmatch(r"[0-9a-f]{1,24}", prefix):
            raise UsageError(f"a run id is up to 24 hexadecimal digits, got {prefix[:60]!r}")
        matches = [run_id for run_id in self.ids() if run_id.startswith(prefix)]
        if len(matches) == 1:
            return matches[0]
        if not matches:
            raise UsageError(f"no run in {self.folder} begins with {prefix!r}")
        shown = ", ".join(matches[:4]) + (", ..." if len(matches) > 4 else "")
        raise UsageError(f"{len(matches)} runs in {self.folder} begin with {prefix!r}: {shown}")

    def prepare(self) -> None:
        """Create the folder and check that it can be written.

        Raises:
            UsageError: the folder cannot be created or written.
        """
        probe = self.folder / f".probe-{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            if not self.folder.is_dir():
                raise UsageError(f"the results folder {str(self.folder)!r} is a file") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot write to the results folder {str(self.folder)!r}: {reason}") from None
        finally:
            with contextlib.suppress(OSError, ValueError):
                probe.unlink(missing_ok=True)

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, record: Record, log: str = "", *, replace: bool = False) -> None:
        """Write a record. Arrays are written first; the record exists once its JSON file does.

        An older record of the same run with the same result (``Record.comparable``) is replaced, and so is one that
        cannot be read.

        Args:
            record: the record, with its arrays.
            log: output of a failed run.
            replace: whether an older record with another result may be replaced, as for a run that is retried.

        Raises:
            ConflictError: there is an older record of the run with another result, or one that a newer version wrote,
                and ``replace`` is false.
            OSError: the disk is full or the folder is gone; an older record of the run stays intact.
            UsageError: an array could be stored only with pickle.
        """
        if not replace:
            self._check_conflict(record)
        arrays = encode_arrays(record.arrays) if record.arrays else None
        sealed = seal(record, arrays)
        if arrays is not None:
            write_atomic(self.path(record.run_id, "npz"), arrays)
        if log:
            write_atomic(self.path(record.run_id, "log"), log.encode("utf-8", "replace"))
        write_atomic(self.path(record.run_id), sealed.to_json().encode())
        # an earlier attempt of the same run may have left arrays or a log that this one does not have
        for kind, present in (("npz", arrays is not None), ("log", bool(log))):
            if not present:
                self.path(record.run_id, kind).unlink(missing_ok=True)

    def _check_conflict(self, record: Record) -> None:
        """Raise ``ConflictError`` if the run has a readable record with another result."""
        path = self.path(record.run_id)
        try:
            earlier = self.read(record.run_id).comparable()
        except NewerSchemaError as error:
            raise ConflictError(f"{path} holds a record of this run, {error}; it stays") from None
        except (UsageError, DamagedError):
            return  # there is none, or none that could be read
        later = record.comparable()
        if names := ", ".join(name for name in later if later[name] != earlier[name]):
            raise ConflictError(
                f"{path} holds another result of this run (differs in {names}), which stays; "
                "to replace it, use --retry all, or name another --results"
            )

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, run_id: str) -> Record:
        """Read one record, without its arrays.

        Raises:
            UsageError: there is no such record, or a newer version wrote it.
            DamagedError: the file cannot be read as a record.
        """
        try:
            text = read_file(self.path(run_id), MAX_RECORD_BYTES)
        except FileNotFoundError:
            raise UsageError(f"no run {run_id} in {self.folder}") from None
        record = decode(text)
        if record.run_id != run_id:
            raise DamagedError(f"contains the run {record.run_id}, which does not match its name")
        return record

    def arrays(self, run_id: str) -> dict[str, np.ndarray]:
        """Read the arrays of a record; the result is empty if it has none.

        Raises:
            DamagedError: the file is not an .npz file of plain arrays.
        """
        try:
            return decode_arrays(read_file(self.path(run_id, "npz"), MAX_ARRAY_BYTES))
        except FileNotFoundError:
            return {}

    def log(self, run_id: str) -> str:
        """Read the output of a failed run, with its traceback at the end; empty if there is none."""
        try:
            return self.path(run_id, "log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def try_read(self, run_id: str) -> Record | None:
        """Read one record, or return None if it is missing or damaged; damage is listed in ``problems``."""
        try:
            return self.read(run_id)
        except DamagedError as error:
            self.quarantine(run_id, str(error))
        except NewerSchemaError as error:
            self.problems.append(DamagedFile(f"{run_id}.json", str(error)))
        except UsageError:
            pass  # another process removed it between listing and reading
        return None

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the readable records, ordered by run id."""
        for run_id in self.ids():
            if (record := self.try_read(run_id)) is not None:
                yield record

    # -- damage ------------------------------------------------------------------------------------------------------

    def quarantine(self, run_id: str, reason: str) -> None:
        """Move the files of a run to ``quarantine/`` with the reason, if ``set_aside``, and add to ``problems``."""
        name, moved = f"{run_id}.json", None
        if self.set_aside:
            try:
                moved = self._move_aside(run_id, reason)
            except OSError as error:
                reason = f"{reason} (and it cannot be moved: {error.strerror})"
        self.problems.append(DamagedFile(name, reason, moved))

    def _move_aside(self, run_id: str, reason: str) -> str:
        target = self.folder / QUARANTINE
        if target.is_symlink():
            raise OSError(0, f"{QUARANTINE} is a link")
        target.mkdir(exist_ok=True)
        number = 1 + sum(1 for path in target.glob(f"{run_id}.*.json"))
        for kind in ("npz", "log", "json"):
            source = self.path(run_id, kind)
            if source.exists() or source.is_symlink():
                os.replace(source, target / f"{run_id}.{number}.{kind}")
        write_atomic(target / f"{run_id}.{number}.reason.txt", (reason + "\n").encode("utf-8", "replace"))
        return f"{QUARANTINE}/{run_id}.{number}.json"


def read_file(path: Path, limit: int) -> bytes:
    """Read the bytes of a regular file.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: the file is larger than ``limit`` bytes, or not a regular file (a pipe, say).
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DamagedError("not a regular file")
        if status.st_size > limit:
            raise DamagedError(f"larger than {limit >> 20} MiB")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror}") from None


def decode(text: bytes) -> Record:
    """Decode the bytes of a record file, migrating an older schema to the present one.

    Raises:
        DamagedError: the bytes are not a valid record.
        NewerSchemaError: a later version wrote it.
    """
    try:
        data = json.loads(text)
        if isinstance(data, dict):
            data = migrate(data)
        record = Record.from_dict(data)
        _check_values(record)
        return record
    except NewerSchemaError:
        raise
    except UnicodeDecodeError:
        raise DamagedError("not text") from None
    except json.JSONDecodeError as error:
        raise DamagedError(f"not valid JSON: {error}") from None
    except RecursionError:
        raise DamagedError("nested too deeply") from None
    except (LeakybenchError, TypeError, ValueError, OverflowError, AttributeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DamagedError(reason if len(reason) <= 300 else reason[:297] + "...") from None


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """Convert the plain values of a record of an earlier schema to the present one.

    Raises:
        NewerSchemaError: a later version wrote it.
    """
    version = data.get("schema")
    if isinstance(version, int) and not isinstance(version, bool):
        if version > SCHEMA:
            raise NewerSchemaError(f"written by a newer version (schema {version}, this one reads up to {SCHEMA})")
        while version in MIGRATIONS and version < SCHEMA:
            data = MIGRATIONS[version](data)
            version += 1
            data["schema"] = version
    return data


def _check_values(record: Record) -> None:
    """Check the values that tables compute with, since somebody may have edited the file."""
    for name, value in record.wall_clock.items():
        if name == "device":
            continue  # a name, checked below
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
            raise DamagedError(f"wall_clock.{name} must be a number, at least 0, got {str(value)[:60]!r}")
    counts = {
        "true_rank": record.true_rank,
        "bottleneck_rank": record.bottleneck_rank,
        "wall_clock.threads": record.wall_clock.get("threads"),
        "provenance.cores": record.provenance.get("cores"),
    }
    for name, value in counts.items():
        if value is not None and not (isinstance(value, int) and -1 < value < 2**31):
            raise DamagedError(f"{name} must be a count below 2^31 or null, got {str(value)[:60]!r}")
    texts = {f"provenance.{name}": record.provenance.get(name) for name in ("processor", "created", "commit", "device")}
    for name, value in {"wall_clock.device": record.wall_clock.get("device"), **texts}.items():
        if value is not None and not isinstance(value, str):
            raise DamagedError(f"{name} must be text or null, got {str(value)[:60]!r}")


def encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Encode named arrays as the bytes of an .npz file.

    Raises:
        UsageError: a name is not a plain identifier, or an array holds Python objects.
    """
    for name, array in arrays.items():
        if not ARRAY_NAME.fullmatch(name):
            raise UsageError(f"the name of an array must be an identifier, like 'spectra', got {name[:60]!r}")
        if np.asarray(array).dtype.hasobject:
            raise UsageError(f"the array {name!r} holds Python objects, which cannot be stored without pickle")
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def decode_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Decode the bytes of an .npz file, the inverse of ``encode_arrays``. Nothing is unpickled.

    Raises:
        DamagedError: the bytes are not an .npz file of plain arrays.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, MemoryError) as error:
        raise DamagedError(f"arrays cannot be read: {' '.join(str(error).split())[:200]}") from None


def seal(record: Record, arrays: bytes | None) -> Record:
    """Return the record without its arrays, with the hashes of content and arrays in ``provenance.integrity``."""
    bare = {name: value for name, value in record.provenance.items() if name != "integrity"}
    record = dataclasses.replace(record, provenance=bare, arrays={})
    integrity = {
        "record": content_hash(record),
        "arrays": hashlib.sha256(arrays).hexdigest() if arrays is not None else None,
    }
    return dataclasses.replace(record, provenance={**bare, "integrity": integrity})


def intact(record: Record) -> bool | None:
    """Whether the hash in a record fits its content; None if it has no hash. The arrays are not looked at."""
    integrity = record.provenance.get("integrity")
    if not isinstance(integrity, Mapping) or integrity.get("record") is None:
        return None
    older = all(getattr(record, name) is None for name in LATER_FIELDS)
    return integrity["record"] in (content_hash(record), *([content_hash(record, LATER_FIELDS)] if older else []))


LATER_FIELDS = ("code_alignment", "code_leak")
"""Fields that the first records of this schema lack: their hashes were made without them."""


def content_hash(record: Record, without: Sequence[str] = ()) -> str:
    """SHA-256 of the content of a record, without its own hashes and the fields ``without``."""
    data = {name: value for name, value in record.to_dict().items() if name not in without}
    data["provenance"].pop("integrity", None)
    return digest(data, length=64)
