"""Whether a folder of records is whole: names, schema, hashes, arrays, and nothing that does not belong."""

from __future__ import annotations

import contextlib
import hashlib
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
    NewerSchemaError,
    Problem,
    Store,
    content_hash,
    decode_arrays,
    read_file,
)


@dataclass
class Verification:
    """What a check of a folder found.

    Attributes:
        statuses: sound records, by status.
        damaged: records that cannot be trusted; a check fails if there are any.
        remarks: what is odd and harms no number: claims, leftovers, foreign files, earlier quarantine, missing hashes.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    damaged: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether every record can be trusted."""
        return not self.damaged


def verify(store: Store) -> Verification:
    """Check every file of a store; a damaged record is set aside where ``store.set_aside`` says so.

    Raises:
        UsageError: there is no such folder.
    """
    if not store.folder.is_dir():
        raise UsageError(f"there is no results folder {str(store.folder)!r}")
    found = Verification()
    names = set(os.listdir(store.folder))
    for run_id in store.ids():
        try:
            record = store.read(run_id)
            _check_hashes(store, record, found)
            found.statuses[record.status] += 1
        except NewerSchemaError as error:
            found.damaged.append(Problem(f"{run_id}.json", str(error)))
        except DamagedError as error:
            store.quarantine(run_id, str(error))
            found.damaged.append(store.problems[-1])
    found.remarks.extend(_odd_files(store, names))
    return found


def _check_hashes(store: Store, record: Record, found: Verification) -> None:
    sealed: Any = record.provenance.get("integrity")
    data = None
    with contextlib.suppress(FileNotFoundError):
        data = read_file(store.path(record.run_id, "npz"), MAX_ARRAY_BYTES)
    if not isinstance(sealed, dict):
        found.remarks.append(f"{record.run_id}.json: has no hashes, so its content cannot be checked")
    elif sealed.get("record") != content_hash(record):
        raise DamagedError("its content is not what was written: the hash differs")
    elif sealed.get("arrays") is not None and data is None:
        raise DamagedError("its arrays are missing")
    elif data is not None and sealed.get("arrays") is None:
        found.remarks.append(f"{record.run_id}.npz: left by an earlier attempt; the record has no arrays")
    elif data is not None and sealed["arrays"] != hashlib.sha256(data).hexdigest():
        raise DamagedError("its arrays are not those that were written: the hash differs")
    if data is not None:
        decode_arrays(data)


def _odd_files(store: Store, names: set[str]) -> Iterator[str]:
    for name in sorted(names):
        match = RUN_FILE.fullmatch(name)
        if match and match["kind"] == "claim":
            yield f"{name}: a sweep is working on this run, or was killed over it"
        elif match and match["kind"] in ("npz", "log") and f"{match['run_id']}.json" not in names:
            yield f"{name}: belongs to no record; a run was cut short before its record was written"
        elif name == QUARANTINE:
            aside = sum(1 for entry in os.listdir(store.folder / QUARANTINE) if entry.endswith(".json"))
            yield f"{QUARANTINE}/: holds {aside} records that were set aside earlier"
        elif name.startswith(".") and name.endswith(TEMP_SUFFIX):
            yield f"{name}: a temporary file; the next sweep removes it if its writer is gone"
        elif not match:
            yield f"{name}: not a file of the store, ignored"
