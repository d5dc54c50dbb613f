"""The runs of a reference on disk: written as a whole, and read only as a whole.

A reference lists its files with their hashes, so that a file that is missing, damaged, changed or not its own is named
and never left out in silence.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leakybench.record import Record
from leakybench.store import Store, intact


def write_runs(folder: Path, records: Sequence[Record]) -> dict[str, str]:
    """Write the new runs beside the old ones and swap them, so that an interruption leaves a complete reference.

    A reference is committed without arrays, which no verdict uses.

    Args:
        folder: of the runs; its parent exists.
        records: the runs.

    Returns:
        The hash of each record by run id, for ``read_runs``.
    """
    fresh = _beside(folder)
    store = Store(fresh)
    store.prepare()
    for record in records:
        store.write(dataclasses.replace(record, arrays={}))
    hashes = {record.run_id: _hash(record) for record in store}
    swap(fresh, folder)
    return hashes


def swap(fresh: Path, folder: Path) -> None:
    """Put the folder ``fresh`` in the place of ``folder``, and remove what was there."""
    if folder.exists():
        retired = _beside(folder)
        os.replace(folder, retired)
        os.replace(fresh, folder)
        shutil.rmtree(retired)
    else:
        os.replace(fresh, folder)


def read_runs(
    folder: Path, hashes: Mapping[str, Any] | None, count: int | None = None
) -> tuple[list[Record], list[str]]:
    """Read the runs of a reference.

    Args:
        folder: of the runs.
        hashes: hash of each record by run id, from ``write_runs``; None for a reference that is older than these.
        count: number of runs of such a reference.

    Returns:
        The runs that can be used, and one line for each file that cannot.
    """
    store = Store(folder, set_aside=False)
    ids = store.ids()
    problems = [] if hashes is None else [f"{name}.json is missing" for name in sorted(set(hashes) - set(ids))]
    records = []
    for run_id in ids:
        if (record := store.try_read(run_id)) is None:
            continue
        if problem := _problem(record, hashes):
            problems.append(f"{run_id}.json {problem}")
        else:
            records.append(record)
    problems += [f"{file.name} is damaged: {file.reason}" for file in store.problems]
    if hashes is None and count is not None and len(ids) != count:
        problems.append(f"{len(ids)} files are there, {count} were written")
    return records, [f"reference {folder.name}: {problem}" for problem in problems]


def _problem(record: Record, hashes: Mapping[str, Any] | None) -> str:
    """Say why a record that can be read is no part of the reference; empty if it is."""
    if intact(record) is not True:
        return "was changed after it was written: its hash does not fit"
    if hashes is None:
        return ""
    if record.run_id not in hashes:
        return "does not belong to this reference"
    return (
        "" if hashes[record.run_id] == _hash(record) else "belongs to another reference: its hash is not the listed one"
    )


def _hash(record: Record) -> str:
    return str(record.provenance["integrity"]["record"])


def _beside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
