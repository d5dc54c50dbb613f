"""Messages between a supervisor and its worker: a JSON header followed by raw bytes. Nothing is pickled."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Sequence
from typing import Any

from leakybench.engines.job import Outcome
from leakybench.errors import UsageError
from leakybench.record import Record
from leakybench.store import decode_arrays, encode_arrays

LENGTHS = struct.Struct("!IQ")
MAX_HEADER = 2**30
MAX_BODY = 2**36


class WireError(Exception):
    """The received bytes are not a message, so the other side is broken."""


def encode_message(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Encode one message."""
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


class Reader:
    """Assembles messages from the chunks that a socket delivers."""

    def __init__(self) -> None:
        self._buffer = bytearray()

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
            except ValueError as error:
                raise WireError(f"header is not JSON: {error}") from None
            messages.append((header, bytes(self._buffer[split:end])))
            del self._buffer[:end]
        return messages


def encode_outcomes(outcomes: Sequence[Outcome]) -> tuple[dict[str, Any], bytes]:
    """Encode outcomes as header (JSON and log of each record) and body (their arrays as .npz, concatenated)."""
    parts = [_encode(outcome) for outcome in outcomes]
    headers = [{**header, "bytes": len(body)} for header, body in parts]
    return {"outcomes": headers}, b"".join(body for _, body in parts)


def decode_outcomes(header: dict[str, Any], body: bytes) -> list[Outcome]:
    """Decode outcomes, the inverse of ``encode_outcomes``."""
    outcomes, start = [], 0
    for part in header["outcomes"]:
        end = start + part["bytes"]
        outcomes.append(_decode(part, body[start:end]))
        start = end
    return outcomes


def _encode(outcome: Outcome) -> tuple[dict[str, Any], bytes]:
    record, body = outcome.record, b""
    if record.arrays:
        try:
            body = encode_arrays(record.arrays)
        except UsageError as error:
            record = dataclasses.replace(record, status="error", message=f"arrays of the run: {error}", arrays={})
    return {"record": record.to_json(), "log": outcome.log}, body


def _decode(header: dict[str, Any], body: bytes) -> Outcome:
    record = Record.from_json(header["record"])
    if body:
        record = dataclasses.replace(record, arrays=decode_arrays(body))
    return Outcome(record=record, log=header["log"])
