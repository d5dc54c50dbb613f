"""Verify the integrity of a folder of records: names, schema, hashes, arrays and foreign files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from leakybench.atomic import TEMP_SUFFIX
from leakybench.errors import UsageError
from leakybench.record import Record
from leakybench.store import (
    MAX_ARRAY_BYTES,
    QUARANTINE,
    RUN_FILE,
    DamagedError,
    DamagedFile,
    NewerSchemaError,
    Store,
    intact,
    load_arrays,
    read_file,
)


@dataclass
class Verification:
    """Result of the verification of a folder.

    Attributes:
        statuses: number of intact records, by status.
        damaged: records that cannot be trusted; the verification fails if there are any.
        remarks: oddities that affect no number: claims, leftovers, foreign files, earlier quarantine, missing hashes.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    damaged: list[DamagedFile] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether every record is intact."""
        return not self.damaged


def verify(store: Store) -> Verification:
    """Check every file of a store; damaged records are moved to quarantine if ``store.set_aside`` is true.

    Raises:
        UsageError: there is no such folder.
    """
    if not store.folder.is_dir():
        raise UsageError(f"there is no results folder {str(store.folder)!r}")
    verification = Verification()
    names = set(os.listdir(store.folder))
    for run_id in store.ids():
        try:
            record = store.read(run_id)
            verification.remarks += _check_hashes(store, record)
            verification.statuses[record.status] += 1
        except NewerSchemaError as error:
            verification.damaged.append(DamagedFile(f"{run_id}.json", str(error)))
        except DamagedError as error:
            store.quarantine(run_id, str(error))
            verification.damaged.append(store.problems[-1])
    verification.remarks.extend(_odd_files(store, names))
    return verification


def _check_hashes(store: Store, record: Record) -> list[str]:
    """Compare a record and its arrays with the hashes stored when the run ended; return remarks.

    Raises:
        DamagedError: a hash differs, or the arrays are missing or unreadable.
    """
    remarks = []
    sealed: Any = record.provenance.get("integrity")
    data = None
    with contextlib.suppress(FileNotFoundError):
        data = read_file(store.path(record.run_id, "npz"), MAX_ARRAY_BYTES)
    if not isinstance(sealed, dict):
        remarks.append(f"{record.run_id}.json: has no hashes, so its content cannot be checked")
    elif intact(record) is False:
        raise DamagedError("its content was changed after writing: the hash differs")
    elif sealed.get("arrays") is not None and data is None:
        raise DamagedError("its arrays are missing")
    elif data is not None and sealed.get("arrays") is None:
        remarks.append(f"{record.run_id}.npz: left by an earlier attempt; the record has no arrays")
    elif data is not None and sealed["arrays"] != hashlib.sha256(data).hexdigest():
        raise DamagedError("its arrays were changed after writing: the hash differs")
    if data is not None:
        load_arrays(io.BytesIO(data), keep=False)
    return remarks


def _odd_files(store: Store, names: set[str]) -> Iterator[str]:
    for name in sorted(names):
        match = RUN_FILE.fullmatch(name)
        if match and match["kind"] == "claim":
            yield f"{name}: a sweep is computing this run, or was killed during it"
        elif match and match["kind"] in ("npz", "log") and f"{match['run_id']}.json" not in names:
            yield f"{name}: has no record; the run was interrupted before its record was written"
        elif name == QUARANTINE:
            aside = sum(1 for entry in os.listdir(store.folder / QUARANTINE) if entry.endswith(".json"))
            yield f"{QUARANTINE}/: holds {aside} records that were set aside earlier"
        elif name.startswith(".") and name.endswith(TEMP_SUFFIX):
            yield f"{name}: a temporary file; the next sweep removes it if its writer has ended"
        elif not match:
            yield f"{name}: not a file of the store, ignored"
