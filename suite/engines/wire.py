"""Messages between a supervisor and its worker: a JSON header followed by raw bytes. Nothing is pickled.

A worker runs code of other people, so nothing that it sends is trusted: lengths, types and run ids are checked.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Sequence
from typing import Any

from leakybench.engines.job import Job, Outcome
from leakybench.engines.output import clip
from leakybench.record import Record, RunSpec
from leakybench.store import MAX_ARRAY_BYTES, MAX_RECORD_BYTES, decode_arrays, encode_arrays

LENGTHS = struct.Struct("!IQ")
MAX_HEADER = 8 * MAX_RECORD_BYTES
"""Maximum length of a header: a batch has several records, and JSON text is encoded in JSON once more."""
MAX_BODY = 4 * MAX_ARRAY_BYTES


class WireError(Exception):
    """The received bytes are not what the other side should send; the message is the reason."""


def encode_message(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Encode one message."""
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


class Reader:
    """Assembles messages from the chunks that a socket delivers."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """Whether a part of a message has arrived."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], bytes]]:
        """Add ``data`` and return the messages that are complete.

        Raises:
            WireError: the lengths or the header do not come from ``encode_message``.
        """
        self._buffer += data
        messages = []
        while len(self._buffer) >= LENGTHS.size:
            header_size, body_size = LENGTHS.unpack_from(self._buffer)
            if header_size > MAX_HEADER or body_size > MAX_BODY:
                raise WireError("impossible length")
            end = LENGTHS.size + header_size + body_size
            if len(self._buffer) < end:
                break
            split = LENGTHS.size + header_size
            try:
                header = json.loads(self._buffer[LENGTHS.size : split])
            except (ValueError, RecursionError) as error:
                raise WireError(f"header is not JSON: {error}") from None
            if not isinstance(header, dict):
                raise WireError("header is not a JSON object")
            messages.append((header, bytes(self._buffer[split:end])))
            del self._buffer[:end]
        return messages


def encode_outcomes(outcomes: Sequence[Outcome]) -> tuple[dict[str, Any], bytes]:
    """Encode outcomes as header (JSON and log of each record) and body (their arrays as .npz, concatenated)."""
    parts = [_encode(outcome) for outcome in outcomes]
    headers = [{**header, "bytes": len(body)} for header, body in parts]
    return {"outcomes": headers}, b"".join(body for _, body in parts)


def decode_outcomes(header: dict[str, Any], body: bytes, job: Job) -> list[Outcome]:
    """Decode the outcomes of a job, the inverse of ``encode_outcomes``.

    Raises:
        WireError: they are not one valid record for each run of the job, in its order.
    """
    parts = header.get("outcomes")
    if not isinstance(parts, list) or len(parts) != len(job.runs):
        raise WireError(f"expected the outcomes of {len(job.runs)} runs")
    outcomes, start = [], 0
    for part, run in zip(parts, job.runs, strict=True):
        if not isinstance(part, dict) or not isinstance(part.get("log"), str):
            raise WireError("an outcome has no record, log and size")
        size = part.get("bytes")
        if type(size) is not int or not 0 <= size <= len(body) - start:
            raise WireError(f"impossible size of arrays, {str(size)[:40]}")
        outcomes.append(_decode(part, body[start : start + size], run))
        start += size
    if start != len(body):
        raise WireError("bytes that belong to no run")
    return outcomes


def _encode(outcome: Outcome) -> tuple[dict[str, Any], bytes]:
    record = outcome.record
    body = encode_arrays(record.arrays) if record.arrays else b""
    return {"record": record.to_json(), "log": clip(outcome.log)}, body


def _decode(part: dict[str, Any], body: bytes, run: RunSpec) -> Outcome:
    try:
        record = Record.from_json(part["record"])
        arrays = decode_arrays(body) if body else {}
    except Exception as error:  # whatever a reader does with bytes that anybody may have written
        raise WireError(f"no valid record: {' '.join(str(error).split())[:300]}") from None
    if record.run != run:
        raise WireError(f"a record of another run, {record.run.run_id}")
    return Outcome(record=dataclasses.replace(record, arrays=arrays), log=clip(part["log"]))
