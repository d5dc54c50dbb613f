"""Messages of workers, which run code of other people: whatever arrives is an outcome or a WireError."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakybench.engines import Outcome
from leakybench.engines.guarded import receive
from leakybench.engines.output import HEAD_BYTES, TAIL_BYTES
from leakybench.engines.wire import (
    LENGTHS,
    MAX_BODY,
    MAX_HEADER,
    Reader,
    WireError,
    decode_outcomes,
    encode_message,
    encode_outcomes,
)
from tests.helpers import dummies
from tests.helpers.records import jobs, record

dummies.register()
(JOB,) = jobs(1)
(OTHER,) = jobs([7])
RECORD = record(run=JOB.run, arrays={"draws": np.arange(3.0)})
HEADER, BODY = encode_outcomes([Outcome(record=RECORD, log="said")])


def changed(**fields: Any) -> dict[str, Any]:
    return {"outcomes": [{**HEADER["outcomes"][0], **fields}]}


def test_outcomes_come_back_as_they_were() -> None:
    (outcome,) = decode_outcomes(HEADER, BODY, JOB)
    assert outcome.record.comparable() == RECORD.comparable()
    np.testing.assert_array_equal(outcome.record.arrays["draws"], RECORD.arrays["draws"])
    assert outcome.log == "said"


@pytest.mark.parametrize(
    ("header", "body", "words"),
    [
        ({}, b"", "expected the outcomes of 1 runs"),
        ({"outcomes": {}}, b"", "expected the outcomes of 1 runs"),
        ({"outcomes": HEADER["outcomes"] * 2}, BODY * 2, "expected the outcomes of 1 runs"),
        ({"outcomes": [None]}, b"", "no record, log and size"),
        (changed(log=3), BODY, "no record, log and size"),
        (changed(bytes=-1), BODY, "impossible size"),
        (changed(bytes=True), BODY, "impossible size"),
        (changed(bytes=10**30), BODY, "impossible size"),
        (changed(bytes=0), BODY, "belong to no run"),
        (changed(bytes=3), b"abc", "no valid record: arrays"),
        (changed(record="{"), BODY, "no valid record"),
        (changed(record=None), BODY, "no valid record"),
        (changed(record="[" * 10**5), BODY, "no valid record"),
        (changed(record=record(run=OTHER.run).to_json()), BODY, "a record of another run"),
    ],
)
def test_what_is_no_outcome_of_the_job_is_refused_and_becomes_an_error_of_the_run(
    header: dict[str, Any], body: bytes, words: str
) -> None:
    with pytest.raises(WireError, match=words):
        decode_outcomes(header, body, JOB)
    (outcome,) = receive((header, body), JOB, threads=1)
    assert (outcome.record.run, outcome.record.status) == (JOB.run, "error")
    assert words in str(outcome.record.message)


@given(st.binary(max_size=200))
def test_any_bytes_give_messages_or_a_wire_error(data: bytes) -> None:
    try:
        for header, body in Reader().feed(data):
            assert isinstance(header, dict)
            assert isinstance(body, bytes)
    except WireError:
        pass


VALUES = st.none() | st.integers() | st.text(max_size=5) | st.floats()


@settings(max_examples=25)
@given(st.recursive(VALUES, lambda x: st.lists(x) | st.dictionaries(st.text(max_size=5), x), max_leaves=5))
def test_any_header_gives_outcomes_or_a_wire_error(value: Any) -> None:
    for header in ({"outcomes": value}, {"outcomes": [value]}, changed(record=json.dumps(value))):
        with pytest.raises(WireError):
            decode_outcomes(header, BODY, JOB)


@pytest.mark.parametrize("lengths", [(MAX_HEADER + 1, 0), (0, MAX_BODY + 1)])
def test_impossible_lengths_are_refused_before_anything_is_kept(lengths: tuple[int, int]) -> None:
    with pytest.raises(WireError, match="impossible length"):
        Reader().feed(LENGTHS.pack(*lengths))


@pytest.mark.parametrize("text", [b"[]", b"{", b"\xff", b"[" * 10**5])
def test_a_header_that_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(WireError, match="header is not"):
        Reader().feed(LENGTHS.pack(len(text), 0) + text)


def test_messages_are_assembled_from_single_bytes() -> None:
    reader = Reader()
    data = encode_message({"a": 1}, b"body") + encode_message({})
    found = [message for number in range(len(data)) for message in reader.feed(data[number : number + 1])]
    assert found == [({"a": 1}, b"body"), ({}, b"")]
    assert not reader.pending


def test_a_log_is_clipped_on_its_way() -> None:
    header, body = encode_outcomes([Outcome(record=RECORD, log="x" * 10**6)])
    (outcome,) = decode_outcomes(header, body, JOB)
    # the line in between is short
    assert HEAD_BYTES + TAIL_BYTES < len(outcome.log) < HEAD_BYTES + TAIL_BYTES + 100
