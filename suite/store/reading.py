"""From the bytes of a record file to a record, and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from leakybench.errors import LeakybenchError, UsageError
from leakybench.record import SCHEMA, Record, RunSpec
from leakybench.store.arrays import encode_arrays
from leakybench.store.errors import DamagedError, NewerSchemaError
from leakybench.store.hashes import AS_WRITTEN, as_written
from leakybench.store.schema import RecordFile, RunFile, check_size, fault, parse

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""``MIGRATIONS[n]`` converts the plain values of a record of schema n, including ``run_id``, to schema n + 1."""

_RUN_FIELDS = tuple(RunFile.__struct_fields__)
_FIELDS = tuple(name for name in RecordFile.__struct_fields__ if name not in ("run", "run_id"))


def decode(data: bytes) -> Record:
    """Decode the bytes of a record file, migrating an older schema to the present one.

    Raises:
        DamagedError: the bytes are not a valid record; the reason names the value.
        NewerSchemaError: a later version wrote it.
    """
    try:
        parsed = parse(data)
    except (ValueError, UnicodeDecodeError) as error:  # also msgspec's
        return _migrated(data, str(error))
    try:
        record = _record(parsed)
        if as_written(data, record.provenance):
            object.__setattr__(record, AS_WRITTEN, True)
        return record
    except (LeakybenchError, TypeError, ValueError, OverflowError, AttributeError, KeyError) as error:
        raise DamagedError(_line(error)) from None


def encode(record: Record) -> bytes:
    """Encode a record without its arrays; ``decode`` reads back what this returns.

    Raises:
        UsageError: a value breaks the schema, with its name.
    """
    try:
        text = record.to_json().encode()
        parse(text)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"the record of run {record.run_id} cannot be stored: {_reason(record, error)}") from None
    return text


def storable(record: Record) -> Record:
    """Return the record if it can be stored, otherwise a record of the run with status ``error`` and the reason."""
    try:
        encode(record)
        encode_arrays(record.arrays)
    except UsageError as error:
        bare = Record(run=record.run, status="error", message=f"the result cannot be stored: {_line(error)}")
        for origin, clock in ((record.provenance, record.wall_clock), (record.provenance, {}), ({}, {})):
            kept = dataclasses.replace(bare, provenance=origin, wall_clock=clock)
            try:
                encode(kept)
            except UsageError:
                continue
            return kept
    return record


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """Convert the plain values of a record of an earlier schema to the present one.

    Raises:
        NewerSchemaError: a later version wrote it.
    """
    version = data.get("schema")
    if isinstance(version, int) and not isinstance(version, bool):
        if version > SCHEMA:
            raise NewerSchemaError(
                f"written by a newer version (schema {str(version)[:20]}, this one reads up to {SCHEMA})"
            )
        while version in MIGRATIONS and version < SCHEMA:
            data = MIGRATIONS[version](data)
            version += 1
            data["schema"] = version
    return data


def _record(parsed: RecordFile) -> Record:
    run = RunSpec(**{name: getattr(parsed.run, name) for name in _RUN_FIELDS})
    if parsed.run_id != run.run_id:
        raise DamagedError(f"run_id {parsed.run_id!r} is not the hash of the run's spec, {run.run_id}")
    record = Record(run=run, **{name: getattr(parsed, name) for name in _FIELDS})
    if record.message != parsed.message:
        # written before messages were made harmless: its hash is that of the text as it was
        object.__setattr__(record, "message", parsed.message)
    return record


def _migrated(data: bytes, failure: str) -> Record:
    """Read a record of an earlier schema, or say why the bytes are no record."""
    try:
        check_size(data)
        plain = json.loads(data)
        older = isinstance(plain, dict) and plain.get("schema") != SCHEMA
        if older:
            plain = migrate(plain)
        Record.from_dict(plain)
        reason = fault(plain)
        if older and reason is None:
            return _record(parse(json.dumps(plain).encode()))
    except (NewerSchemaError, DamagedError):
        raise
    except UnicodeDecodeError:
        raise DamagedError("not text") from None
    except json.JSONDecodeError as error:
        raise DamagedError(f"not valid JSON: {error}") from None
    except RecursionError:
        raise DamagedError("nested too deeply") from None
    except (LeakybenchError, TypeError, ValueError, OverflowError, AttributeError, KeyError) as error:
        raise DamagedError(_line(error)) from None
    raise DamagedError(_line(reason or f"not valid JSON: {failure}"))


def _reason(record: Record, error: Exception) -> str:
    """Name the value for which a record cannot be stored."""
    try:
        return fault(record.to_dict()) or _line(error)
    except (RecursionError, TypeError, ValueError):
        return _line(error)


def _line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."
