"""Hashes of what a run stored, by which a later change shows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from leakybench.record import Record, harmless
from leakybench.specs import digest

# as in leakybench.specs.canonical_json; made once, since making it takes a third of the time
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False)
_FIELDS = tuple(f.name for f in dataclasses.fields(Record) if f.name not in ("run", "arrays", "provenance"))


_BLANK = "0" * 64
AS_WRITTEN = "as_written"
"""Attribute of a record that was read from bytes which are as they were written."""
LATER_FIELDS = ("code_alignment", "code_leak")
"""Fields that the first records of this schema lack: their hashes were made without them."""


def seal(record: Record, arrays: bytes | None) -> Record:
    """Return the record as it is stored: without its arrays, in plain values, its text harmless, and with hashes.

    The hashes of content and arrays are ``provenance.integrity``.
    """
    data = record.to_dict()
    fields = {name: _harmless(data[name]) for name in _FIELDS}
    bare = {name: value for name, value in _harmless(data["provenance"]).items() if name != "integrity"}
    plain = Record(run=record.run, provenance=bare, **fields)
    integrity = {
        "record": content_hash(plain),
        "arrays": hashlib.sha256(arrays).hexdigest() if arrays is not None else None,
        "text": _BLANK,
    }
    text = dataclasses.replace(plain, provenance={**bare, "integrity": integrity}).to_json()
    integrity["text"] = hashlib.sha256(text.encode()).hexdigest()
    return dataclasses.replace(plain, provenance={**bare, "integrity": integrity})


def as_written(text: bytes, provenance: Mapping[str, Any]) -> bool:
    """Whether the bytes of a record file are those that were written: quicker than the hash of the content.

    The hash ``text`` is that of the file with 64 zeros in its own place. Other layouts of the same content differ.
    """
    integrity = provenance.get("integrity")
    stated = integrity.get("text") if isinstance(integrity, Mapping) else None
    if not isinstance(stated, str) or len(stated) != len(_BLANK) or not stated.isascii():
        return False
    blank = text.replace(b'"text": "%s"' % stated.encode(), b'"text": "%s"' % _BLANK.encode(), 1)
    return hashlib.sha256(blank).hexdigest() == stated


def intact(record: Record) -> bool | None:
    """Whether the hash in a record fits its content; None if it has no hash. The arrays are not looked at."""
    integrity = record.provenance.get("integrity")
    if not isinstance(integrity, Mapping) or integrity.get("record") is None:
        return None
    if vars(record).get(AS_WRITTEN) or integrity["record"] == content_hash(record):
        return True
    older = all(getattr(record, name) is None for name in LATER_FIELDS)
    return older and bool(integrity["record"] == content_hash(record, LATER_FIELDS))


def content_hash(record: Record, without: Sequence[str] = ()) -> str:
    """SHA-256 of the canonical JSON of a record, without its own hashes and the fields ``without``."""
    origin = {name: value for name, value in record.provenance.items() if name != "integrity"}
    content = {"run": record.run.to_dict(), "run_id": record.run_id, "provenance": origin}
    content |= {name: getattr(record, name) for name in _FIELDS if name not in without}
    try:
        # what was read from JSON is plain already; to_dict would take longer than reading it
        text = _ENCODER.encode(content)
    except (TypeError, ValueError, RecursionError):
        data = {name: value for name, value in record.to_dict().items() if name not in without}
        data["provenance"].pop("integrity", None)
        return digest(data, length=64)
    return hashlib.sha256(text.encode()).hexdigest()


def _harmless(value: Any) -> Any:
    """Return plain values with every text and name as ``leakybench.record.harmless`` makes it."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, dict):
        return {harmless(name): _harmless(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_harmless(item) for item in value]
    return value
