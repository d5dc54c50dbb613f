"""Store records in a folder: one JSON file per run, with its arrays beside it. Nothing is ever unpickled.

A folder holds ``<run_id>.json``, ``<run_id>.npz`` if the run has arrays, ``<run_id>.log`` if it failed,
``<run_id>.claim`` while a sweep computes it (see ``leakybench.sweeps.claims``), and ``quarantine/``, where files that
cannot be read are set aside with the reason. A record exists when its JSON file does: arrays are written before it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from leakybench.atomic import write_atomic
from leakybench.errors import UsageError
from leakybench.record import Record
from leakybench.store.arrays import MAX_ARRAY_BYTES, encode_arrays, load_arrays
from leakybench.store.errors import ConflictError, DamagedError, DamagedFile, NewerSchemaError
from leakybench.store.files import open_file, read_file, read_tail
from leakybench.store.hashes import seal
from leakybench.store.reading import decode, encode
from leakybench.store.schema import MAX_RECORD_BYTES

RUN_ID = re.compile(r"[0-9a-f]{24}")
RUN_FILE = re.compile(r"(?P<run_id>[0-9a-f]{24})\.(?P<kind>json|npz|log|claim)")
QUARANTINE = "quarantine"
MAX_LOG_BYTES = 2**20
"""What is kept and read of a run's output: its end, where the traceback is."""


@dataclass
class Store:
    """The records of one folder, which any number of processes may read and write at once.

    Attributes:
        folder: the folder, which ``prepare`` creates.
        set_aside: whether a damaged file is moved to ``quarantine/``; it is listed in ``problems`` either way.
        keep_arrays: whether the arrays of records that are written are kept.
        problems: the damaged files encountered so far.
    """

    folder: Path
    set_aside: bool = True
    keep_arrays: bool = True
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

        An older record of the same run with the same result (``Record.comparable``) is replaced. One that cannot be
        read is set aside first, and so is whatever else stands in the place of a file.

        Args:
            record: the record, with its arrays.
            log: output of a failed run.
            replace: whether an older record with another result may be replaced, as for a run that is retried.

        Raises:
            ConflictError: there is an older record of the run with another result, or one that a newer version wrote,
                and ``replace`` is false.
            OSError: the disk is full or the folder is gone; an older record of the run stays intact.
            UsageError: a value that no record may hold, or arrays that are no plain numbers or are too large.
        """
        arrays = encode_arrays(record.arrays) if record.arrays else None  # refuses bad ones, kept or not
        if not self.keep_arrays:
            arrays = None
        try:
            sealed = seal(record, arrays)
        except (TypeError, ValueError, RecursionError):
            encode(record)  # raises the error that names the value
            raise
        text = encode(sealed)
        self._clear_way(sealed, replace=replace)
        if arrays is not None:
            write_atomic(self.path(record.run_id, "npz"), arrays)
        if log:
            write_atomic(self.path(record.run_id, "log"), log.encode("utf-8", "replace")[-MAX_LOG_BYTES:])
        write_atomic(self.path(record.run_id), text)
        # an earlier attempt of the same run may have left arrays or a log that this one does not have
        for kind, present in (("npz", arrays is not None), ("log", bool(log))):
            if not present:
                self.path(record.run_id, kind).unlink(missing_ok=True)

    def _clear_way(self, record: Record, *, replace: bool) -> None:
        """Set aside what is no file or no record of the run; refuse to replace another result of it."""
        path = self.path(record.run_id)
        try:
            earlier = self.read(record.run_id).comparable()
        except NewerSchemaError as error:
            if replace:
                return
            raise ConflictError(f"{path} holds a record of this run, {error}; it stays") from None
        except DamagedError as error:
            self.quarantine(record.run_id, str(error))
            return
        except UsageError:  # there is none
            if any(self.path(record.run_id, kind).is_dir() for kind in ("npz", "log")):
                self.quarantine(record.run_id, "not a regular file")
            return
        later = record.comparable()
        if replace:
            return
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
            DamagedError: the file is not an .npz file of plain arrays, or too large.
        """
        try:
            with open_file(self.path(run_id, "npz"), MAX_ARRAY_BYTES) as file:
                return load_arrays(file)
        except FileNotFoundError:
            return {}

    def log(self, run_id: str) -> str:
        """Read the end of the output of a failed run, with its traceback; empty if there is none.

        A log is shown and nothing else, so that one which cannot be read is a line that says so.
        """
        try:
            return read_tail(self.path(run_id, "log"), MAX_LOG_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        except DamagedError as error:
            return f"(the log cannot be read: {error})"

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
