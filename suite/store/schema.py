"""The schema of a record's JSON: types, ranges, finiteness, depth and size, the same for writing and reading.

``RecordFile`` declares it for msgspec, which checks while it parses. What fails is named by ``fault``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MAX_RECORD_BYTES = 8 * 2**20
MAX_VALUES = 400_000
"""Number of values of a record, all lists and mappings together."""
MAX_DEPTH = 5
"""Levels of lists and mappings inside a field. Not more, since the size of the type doubles with each."""
MAX_TEXT = 100_000
MAX_NUMBER = 1e100
"""Largest size of a stored number. Its square is still finite, as the statistics of tables need it."""
MAX_SECONDS = 1e9
MAX_THREADS = 2**16
NOT_NEGATIVE = ("criticality", "criticality_residual", "evaluations")
"""Names in ``training`` and ``measures`` of sizes and counts, so that a negative number is no result."""
TEXTS = ("processor", "created", "commit", "device")
"""Names in ``provenance`` of texts that tables show."""

Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Float = Annotated[float, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
_Plain = None | bool | _Integer | _Float | Text


def _nested(depth: int) -> Any:
    """Type of a plain value, or of lists and mappings of them, ``depth`` deep: msgspec has no recursive types."""
    value: Any = _Plain
    for _ in range(depth):
        value = _Plain | list[value] | dict[Text, value]
    return value


def _between(low: float, high: float) -> Any:
    """Type of a number in a range. Integers stay integers, since 1 and 1.0 have different hashes."""
    return (
        Annotated[int, Meta(ge=math.ceil(low), le=math.floor(min(high, 2**63 - 1)))]
        | Annotated[float, Meta(ge=low, le=high)]
    )


_Deep: Any = _nested(MAX_DEPTH)
_Seconds: Any = _between(0.0, MAX_SECONDS)
Values: Any = dict[Text, _Deep]
Error: Any = _between(0.0, MAX_NUMBER) | None
Number: Any = _Integer | _Float | None
Rank: Any = Annotated[int, Meta(ge=0, lt=2**31)] | None
Clock: Any = dict[Text, _Seconds | Text | None]


class RunFile(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The part ``run`` of a record; ``leakybench.record.RunSpec`` checks the rest."""

    task: Text
    baseline: Text
    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    preset: Text
    source: Text
    task_overrides: Values = msgspec.field(default_factory=dict)
    baseline_overrides: Values = msgspec.field(default_factory=dict)


class RecordFile(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record's JSON. The fields are those of ``leakybench.record.Record``, without the arrays."""

    run_id: Annotated[str, Meta(max_length=24)]
    run: RunFile
    schema: Literal[1]
    status: Text
    message: Text = ""
    test_error: Error = None
    train_error: Error = None
    true_rank: Rank = None
    bottleneck_rank: Rank = None
    rank_recovered: bool | None = None
    code_alignment: Number = None
    code_leak: Number = None
    rank_evidence: Values = msgspec.field(default_factory=dict)
    wall_clock: Clock = msgspec.field(default_factory=dict)
    training: Values = msgspec.field(default_factory=dict)
    measures: Values = msgspec.field(default_factory=dict)
    provenance: Values = msgspec.field(default_factory=dict)


_DECODER = msgspec.json.Decoder(RecordFile)


def parse(data: bytes) -> RecordFile:
    """Parse and check the JSON of a record of the present schema.

    Raises:
        ValueError: it breaks the schema; ``fault`` says where.
    """
    check_size(data)
    try:
        parsed = _DECODER.decode(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    for reason in _odd_values(parsed.wall_clock, parsed.provenance, parsed.training, parsed.measures):
        raise ValueError(reason)
    return parsed


def check_size(data: bytes) -> None:
    """Refuse JSON that takes much memory when it is parsed.

    Raises:
        ValueError: more than ``MAX_RECORD_BYTES`` bytes or ``MAX_VALUES`` values.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise ValueError(f"larger than {MAX_RECORD_BYTES >> 20} MiB")
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise ValueError(f"holds more than {MAX_VALUES} values")


def fault(data: Any) -> str | None:
    """Name the first value that breaks the schema in a record's plain values, with what is wrong; None without one."""
    for name, value in data.items():
        if (reason := _fault(value, name, 0)) is not None:
            return reason
    clock, *others = (data.get(name, {}) for name in ("wall_clock", "provenance", "training", "measures"))
    for name, value in clock.items():
        if name not in ("device", "threads") and not (
            value is None or (_is_number(value) and 0 <= value <= MAX_SECONDS)
        ):
            return f"wall_clock.{name} must be a number of seconds from 0 to {MAX_SECONDS:.0e}, got {_shown(value)}"
    for reason in _odd_values(clock, *others):
        return reason
    for name in ("test_error", "train_error"):
        if _is_number(value := data.get(name)) and not 0 <= value <= MAX_NUMBER:
            return f"{name} must be from 0 to {MAX_NUMBER:.0e}, got {_shown(value)}"
    for name in ("true_rank", "bottleneck_rank"):
        rank = data.get(name)
        if isinstance(rank, int) and rank >= 2**31:
            return f"{name} must be a count below 2^31 or null, got {_shown(rank)}"
    return None


def _odd_values(
    clock: Mapping[str, Any], origin: Mapping[str, Any], training: Mapping[str, Any], measures: Mapping[str, Any]
) -> Iterator[str]:
    """Check single values that the types leave open, since a mapping has one type for all its values."""
    for name, value in clock.items():
        if type(value) is str and name != "device":
            yield f"wall_clock.{name} must be a number of seconds, got {_shown(value)}"
    for name, value in (("wall_clock.threads", clock.get("threads")), ("provenance.cores", origin.get("cores"))):
        if value is not None and not (type(value) is int and 1 <= value <= MAX_THREADS):
            yield f"{name} must be a count from 1 to {MAX_THREADS} or null, got {_shown(value)}"
    texts = [("wall_clock.device", clock.get("device")), *[(f"provenance.{name}", origin.get(name)) for name in TEXTS]]
    for name, value in texts:
        if value is not None and type(value) is not str:
            yield f"{name} must be text or null, got {_shown(value)}"
    for name, values in (("training", training), ("measures", measures)):
        for key in NOT_NEGATIVE:
            number = values.get(key)
            if isinstance(number, int | float) and number < 0:
                yield f"{name}.{key} must be at least 0, got {_shown(number)}"


def _fault(value: Any, name: str, depth: int) -> str | None:
    """Name the first value below ``value`` that no field may hold."""
    if depth > MAX_DEPTH + 1:
        return f"{name[:60]} is nested too deeply"
    if isinstance(value, str):
        return _text_fault(value, name)
    if _is_number(value):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{name} must be a finite number or null, got {value}"
        low = -(2**63) <= value < 2**63 if isinstance(value, int) else abs(value) <= MAX_NUMBER
        return None if low else f"{name} is beyond the numbers of a record, got {_shown(value)}"
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, Mapping):
        items = iter(value.items())
    elif isinstance(value, list):
        items = ((f"[{number}]", item) for number, item in enumerate(value))
    for key, item in items:
        if isinstance(value, Mapping) and (reason := _text_fault(key, f"a name in {name}")) is not None:
            return reason
        if (reason := _fault(item, name + (key if isinstance(value, list) else f".{key}"), depth + 1)) is not None:
            return reason
    return None


def _text_fault(text: str, name: str) -> str | None:
    if len(text) > MAX_TEXT:
        return f"{name[:100]} has {len(text)} characters, at most {MAX_TEXT} are allowed"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return f"{name[:100]} is no text: it holds half a character (a lone surrogate)"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return ascii(value)[:60]
