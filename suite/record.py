"""A run's spec (what to compute) and its record (the result), both plain JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Self

import numpy as np

from leakybench.baseline import check_preset
from leakybench.errors import UsageError
from leakybench.seeding import check_seed
from leakybench.specs import canonical_json, device_kind, digest, is_number, parse_id

SCHEMA = 1
STATUSES = ("ok", "collapsed", "diverged", "timeout", "oom", "error", "interrupted")
MAX_MESSAGE = 10_000
"""Characters of a message; a longer one loses its middle."""
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
FAILED = ("timeout", "oom", "error", "interrupted")
"""Statuses of runs that did not end by themselves; ``--retry failed`` computes them again."""

PLAIN_WORD = re.compile(r"[A-Za-z_][\w.:/+*-]*", re.ASCII)
"""A text that a label shows without quotes."""
JSON_WORDS = ("true", "false", "null")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that defines a run: equal specs give equal records, apart from times.

    Attributes:
        task: registered id.
        baseline: registered id.
        seed: of the task's draws and of the baseline's, by separate roles.
        preset: length of the training, one of ``leakybench.PRESETS``.
        source: version of the code behind the result, see ``leakybench.provenance.source_version``.
        task_overrides: settings of the task that differ from its id's, plain JSON.
        baseline_overrides: settings of the baseline that differ from its id's, plain JSON. The setting ``device``
            counts by its kind, see ``leakybench.specs.identity_overrides``: the number of a card is left out.
    """

    task: str
    baseline: str
    seed: int
    preset: str
    source: str
    task_overrides: Mapping[str, Any] = field(default_factory=dict)
    baseline_overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parse_id(self.task)
        parse_id(self.baseline)
        object.__setattr__(self, "seed", check_seed(self.seed))
        check_preset(self.preset)
        if not isinstance(self.source, str) or not self.source:
            raise UsageError(f"source of a run must be a non-empty text, got {self.source!r}")
        for name in ("task_overrides", "baseline_overrides"):
            if not isinstance(getattr(self, name), Mapping):
                raise UsageError(f"{name} of a run must map names to values, got {getattr(self, name)!r}")
        if "device" in self.baseline_overrides:
            kind = device_kind(self.baseline_overrides["device"])
            object.__setattr__(self, "baseline_overrides", {**self.baseline_overrides, "device": kind})

    @cached_property
    def run_id(self) -> str:
        """Hash of the spec, 24 hexadecimal digits: the key of cache, store and leaderboard."""
        return digest(self.to_dict(), length=24)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by name; ``from_dict`` reads them back."""
        # dataclasses.asdict copies every value in Python: a third of the time to load a large store
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}

    @property
    def task_label(self) -> str:
        """The task's id with its overrides: ``LowRank-k3-v0[d=50]``."""
        return label(self.task, self.task_overrides)

    @property
    def baseline_label(self) -> str:
        """The baseline's id with its overrides: ``LeakyResNet-v0[steps=adaptive]``."""
        return label(self.baseline, self.baseline_overrides)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a spec from plain values; errors name the unknown, missing or wrong field."""
        _check_names(cls, data)
        return cls(**data)


def label(id: str, overrides: Mapping[str, Any]) -> str:
    """Return an id with its overrides in brackets, sorted by name; the id alone without overrides.

    Different overrides have different labels: text that could be taken for another value is in quotes.
    """
    if not overrides:
        return id
    return f"{id}[{','.join(f'{_word(name)}={_word(value)}' for name, value in sorted(overrides.items()))}]"


def _word(value: Any) -> str:
    """A name or value within a label: a plain word as it is, all else as JSON, so that no two values look alike."""
    bare = isinstance(value, str) and PLAIN_WORD.fullmatch(value) and value not in JSON_WORDS
    return str(value) if bare else canonical_json(value)


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one run.

    Attributes:
        run: the spec; ``run_id`` is its hash.
        status: one of ``STATUSES``.
        message: the reason, if the status is not ``ok``.
        test_error: mean squared error on the test set over the variance of its targets (the mean predictor scores 1).
        train_error: the same on the training set.
        true_rank: bottleneck rank of the task; None for real data.
        bottleneck_rank: measured rank; None if the run collapsed, diverged or has no estimate.
        rank_recovered: whether the structure was found, see ``structure_found``; None if either rank is missing.
        code_alignment: agreement of the model's directions with those of the true code at held-out inputs, at most 1, 0
            for chance; None where the true code is unknown. See ``leakybench.measures.code_alignment``.
        code_leak: share of the model's motion outside the directions of the true code, in [0, 1]; None like the
            alignment.
        rank_evidence: name, layer and spectral gap of the default estimator, and the value of every estimator.
        wall_clock: seconds of ``setup``, ``fit``, ``evaluation`` and ``measures``, the ``threads`` and the ``device``
            used (see the property ``device``).
        training: the baseline's report (objective, criticality residual, evaluations, curve, step-sizes).
        measures: the numbers of ``leakybench.measures`` on this run.
        provenance: versions, commit, machine and time; never part of a comparison of results.
        schema: version of this format.
        arrays: larger arrays, kept beside the JSON as .npz and not in the JSON.
    """

    run: RunSpec
    status: str
    message: str = ""
    test_error: float | None = None
    train_error: float | None = None
    true_rank: int | None = None
    bottleneck_rank: int | None = None
    rank_recovered: bool | None = None
    code_alignment: float | None = None
    code_leak: float | None = None
    rank_evidence: Mapping[str, Any] = field(default_factory=dict)
    wall_clock: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise UsageError(f"status must be one of {', '.join(STATUSES)}, got {self.status!r}")
        for name in ("test_error", "train_error", "code_alignment", "code_leak"):
            value = getattr(self, name)
            if value is not None and not is_number(value):
                raise UsageError(f"{name} must be a finite number or null, got {value!r}")
        for name in ("true_rank", "bottleneck_rank"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise UsageError(f"{name} must be an integer, at least 0, or null, got {value!r}")
        if self.rank_recovered is not None and not isinstance(self.rank_recovered, bool):
            raise UsageError(f"rank_recovered must be true, false or null, got {self.rank_recovered!r}")
        for name in ("rank_evidence", "wall_clock", "training", "measures", "provenance"):
            if not isinstance(getattr(self, name), Mapping):
                raise UsageError(f"{name} must be an object, got {getattr(self, name)!r}")
        if not isinstance(self.message, str):
            raise UsageError(f"message must be text, got {self.message!r}")
        object.__setattr__(self, "message", harmless(self.message, MAX_MESSAGE))

    @property
    def run_id(self) -> str:
        """Hash of the spec."""
        return self.run.run_id

    @property
    def device(self) -> str:
        """Where the fit was computed: ``cpu``, also in a record older than devices, or ``cuda: <name of the card>``;
        ``cuda`` alone where the run failed before it could name the card."""
        return str(self.wall_clock.get("device") or "cpu")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, with the ``run_id``; numbers that are not finite become null."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "arrays"}
        data["run"] = self.run.to_dict()
        return {"run_id": self.run_id, **_finite(data)}

    def to_json(self) -> str:
        """Return JSON with one line per field, which reads and diffs well."""
        fields = sorted(self.to_dict().items())
        lines = [f" {json.dumps(name)}: {json.dumps(item, sort_keys=True, allow_nan=False)}" for name, item in fields]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Check and read a record.

        Raises:
            UsageError: another schema, a missing or unknown field, a wrong type, or a run_id that is not the spec's
                hash.
        """
        if not isinstance(data, Mapping):
            raise UsageError(f"a record must be an object, got {type(data).__name__}")
        if data.get("schema") != SCHEMA:
            raise UsageError(f"record schema {data.get('schema')!r} is not the supported {SCHEMA}")
        fields = {key: value for key, value in data.items() if key != "run_id"}
        if "arrays" in fields:
            raise UsageError("a record's arrays live in its .npz file, not in the JSON")
        _check_names(cls, fields)
        run = RunSpec.from_dict(fields.pop("run"))
        if data.get("run_id") != run.run_id:
            raise UsageError(f"run_id {data.get('run_id')!r} is not the hash of the run's spec, {run.run_id}")
        return cls(run=run, **fields)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a record from the text of ``to_json``; raise the same errors as ``from_dict``."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"a record must be JSON: {error}") from None
        return cls.from_dict(data)

    def comparable(self) -> dict[str, Any]:
        """Return the part that must not depend on engine, order or load: everything but times and provenance."""
        data = self.to_dict()
        for name in ("wall_clock", "provenance"):
            del data[name]
        return data


MIN_ALIGNMENT = 0.5
"""Least code alignment of a run that has found the structure."""


def structure_found(
    rank: int | None, true_rank: int | None, *, alignment: float | None, test_error: float | None
) -> bool | None:
    """Whether a run counts as having recovered the rank.

    The measured rank must be the true one, the code alignment at least ``MIN_ALIGNMENT`` where it is defined, and the
    test error below 1, that of the mean: a model that is worse than the mean has found nothing, whatever it counts.

    Returns:
        None if either rank is missing.
    """
    if rank is None or true_rank is None:
        return None
    # a value above 1 is no alignment, so that it shows nothing
    aligned = alignment is None or MIN_ALIGNMENT <= alignment <= 1.0 + 1e-9
    return bool(rank == true_rank and aligned and test_error is not None and test_error < 1.0)


def harmless(text: str, most: int | None = None) -> str:
    """Return a text that every encoding and terminal can take.

    Lone surrogates and control characters other than newline and tab become escapes (``\\x1b``). A text of more than
    ``most`` characters loses its middle, since a message ends with its cause.
    """
    if _UNSAFE.search(text):
        text = _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
    if most is None or len(text) <= most:
        return text
    mark = "\n... (cut) ...\n"
    head = (most - len(mark)) // 2
    return text[:head] + mark + text[len(text) - (most - len(mark) - head) :]


def _check_names(cls: type, data: object) -> None:
    if not isinstance(data, Mapping):
        raise UsageError(f"a {cls.__name__} must be an object, got {type(data).__name__}")
    known, required = _field_names(cls)
    if unknown := sorted(str(key) for key in data if key not in known):
        raise UsageError(f"a {cls.__name__} has no field {unknown[0][:60]!r}")
    if missing := sorted(required - data.keys()):
        raise UsageError(f"a {cls.__name__} lacks the field {missing[0]!r}")


@cache
def _field_names(cls: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Return all fields of a dataclass, and those without a default."""
    fields = dataclasses.fields(cls)
    missing = dataclasses.MISSING
    required = (f.name for f in fields if f.default is missing and f.default_factory is missing)
    return frozenset(f.name for f in fields), frozenset(required)


def _finite(value: Any) -> Any:
    """Turn numpy scalars and arrays into plain numbers and lists; nan and infinity, which JSON lacks, into None."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
