"""Ids and specs: what a task or baseline is called, and how to build it, as plain JSON.

An id is ``[namespace/]Name[-variant]-vN``. Its meaning never changes: a change of meaning is a new version. A spec
travels to a worker in another process, which builds the same from it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from leakybench.errors import PluginError, RegistrationError, UsageError, describe
from leakybench.scripts import running
from leakybench.surroundings import guarded_import

ID_PATTERN = re.compile(
    r"^(?:(?P<namespace>[A-Za-z][A-Za-z0-9_]{0,63})/)?"
    r"(?P<name>[A-Za-z][A-Za-z0-9_]*(?:-[A-Za-z0-9_.]+)*?)-v(?P<version>0|[1-9][0-9]{0,5})$"
)
ID_FORM = "[namespace/]Name[-variant]-vN"
MAX_ID_LENGTH = 128
RULE_PATTERN = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
ENTRY_POINT_PATTERN = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
TUNE = "tune"
"""Setting that every baseline with a search space takes besides its own: the budget of a search of its settings."""
SEARCHED = "tuned"
"""Step-size rule of a run whose rule is searched."""
_ABSENT = object()


def parse_id(text: object) -> tuple[str | None, str, int]:
    """Split an id into (namespace, name, version); raise ``RegistrationError`` if it is malformed."""
    match = ID_PATTERN.fullmatch(text) if isinstance(text, str) and len(text) <= MAX_ID_LENGTH else None
    if match is None:
        shown = text if not isinstance(text, str) or len(text) <= MAX_ID_LENGTH else text[:40] + "..."
        raise RegistrationError(f"malformed id {shown!r}: expected {ID_FORM}, as in LowRank-k3-v0")
    return match["namespace"], match["name"], int(match["version"])


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key in which digits compare as numbers: ``LowRank-k10`` comes after ``LowRank-k5``."""
    # a number by its length and its digits, since Python refuses to convert texts of thousands of digits
    numbers = ((part.isdecimal(), part.lstrip("0")) for part in re.split(r"(\d+)", text) if part)
    return tuple((1, len(digits), digits) if is_digits else (0, 0, digits) for is_digits, digits in numbers)


def canonical_json(value: object) -> str:
    """Return the canonical JSON text of a value: sorted keys, no spaces, no nan, so that equal values hash equally."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: object, length: int = 16) -> str:
    """Return the first ``length`` hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def is_number(value: object) -> bool:
    """Whether a value is a finite integer or float, and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_device(device: object) -> str:
    """Return the name of a device, ``cpu``, ``cuda`` or ``cuda:N``, or raise ``UsageError``."""
    if not isinstance(device, str) or not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", device):
        raise UsageError(f"device must be cpu, cuda or cuda:N, got {str(device)[:60]!r}")
    return str(device)


def device_kind(device: object) -> str:
    """Return what of a device can change a result, ``cpu`` or ``cuda``: the cards of a machine compute alike."""
    return check_device(device).partition(":")[0]


def identity_overrides(settings: Mapping[str, Any], registered: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from the registered ones, as they enter the identity of a run.

    The setting ``device`` counts by its kind, and its default is ``cpu``: a run on the CPU has the same id whether or
    not that is spelled out, and a run on ``cuda:1`` has the id of one on ``cuda``.

    Raises:
        UsageError: a device that is neither ``cpu`` nor ``cuda`` nor ``cuda:N``.
    """
    differing = {name: value for name, value in settings.items() if not _same(registered.get(name, _ABSENT), value)}
    if "device" in differing:
        kind = device_kind(differing.pop("device"))
        if kind != device_kind(registered.get("device", "cpu")):
            differing["device"] = kind
    return differing


def _same(registered: object, value: object) -> bool:
    """Whether two settings are one: 1, 1.0 and True are three, although Python takes them for equal."""
    return registered is not _ABSENT and canonical_json(registered) == canonical_json(value)


def device_name(device: str) -> str:
    """Return ``cpu``, or ``cuda`` with the name of the card, as a baseline reports it."""
    if device == "cpu":
        return device
    import torch

    return f"cuda: {torch.cuda.get_device_name(device)}"


def plain_json(value: object, where: str) -> Any:
    """Return ``value`` after a round trip through JSON (tuples become lists), or raise ``UsageError``.

    Scalars and arrays of numpy and torch become numbers and lists.
    """

    def convert(item: Any) -> Any:
        if getattr(item, "ndim", None) is not None and callable(getattr(item, "tolist", None)):
            return item.tolist()
        raise TypeError(f"{type(item).__name__} is no JSON value")

    try:
        text = json.dumps(value, sort_keys=True, allow_nan=False, default=convert)
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{where} must be plain JSON values (numbers, text, lists, booleans): {error}") from None


def modules_in(value: Any) -> Iterator[str]:
    """Modules that a setting names at any depth, by texts of the form ``package.module:Name``."""
    for text in texts_in(value):
        if ENTRY_POINT_PATTERN.fullmatch(text.strip()):
            yield text.strip().split(":")[0]


def texts_in(value: Any) -> Iterator[str]:
    """Texts in a plain value, at any depth, keys included."""
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, str):
        yield value


@dataclass(frozen=True, kw_only=True)
class Spec:
    """How to build what an id names.

    Attributes:
        id: ``[namespace/]Name[-variant]-vN``.
        entry_point: ``package.module:Class``, imported only when the object is built.
        kwargs: keyword arguments of the class, plain JSON; overrides are merged into them.
        summary: one line for listings.
        plugin: distribution that registered the id; None if it was registered by hand in this process.
    """

    kind: ClassVar[str] = "object"

    id: str
    entry_point: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    plugin: str | None = None

    def __post_init__(self) -> None:
        parse_id(self.id)
        if not isinstance(self.entry_point, str) or not ENTRY_POINT_PATTERN.fullmatch(self.entry_point):
            raise RegistrationError(
                f"entry point of {self.id} must read 'package.module:Class', got {self.entry_point!r}"
            )
        if not isinstance(self.kwargs, Mapping) or not all(isinstance(key, str) for key in self.kwargs):
            raise RegistrationError(f"kwargs of {self.id} must map names to values, got {self.kwargs!r}")
        object.__setattr__(self, "kwargs", plain_json(dict(self.kwargs), f"kwargs of {self.id}"))
        for name, allowed in (("summary", str), ("plugin", str | None)):
            if not isinstance(getattr(self, name), allowed):
                raise RegistrationError(f"{name} of {self.id} must be text, got {getattr(self, name)!r}")

    def with_overrides(self, overrides: Mapping[str, Any]) -> Self:
        """Return the same spec with ``overrides`` merged into its kwargs."""
        return dataclasses.replace(
            self, kwargs={**self.kwargs, **plain_json(dict(overrides), f"overrides of {self.id}")}
        )

    def to_json(self) -> str:
        """Return one line of canonical JSON, which ``from_json`` reads back."""
        return canonical_json(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a spec from JSON; unknown and missing fields are refused by name."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"a {cls.kind} spec must be JSON: {error}") from None
        names = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(data, dict) or not {"id", "entry_point"} <= data.keys() <= names:
            raise UsageError(f"a {cls.kind} spec has the fields {sorted(names)}, got {text[:120]!r}")
        return cls(**data)

    @property
    def digest(self) -> str:
        """Hash of what is built: the id, the entry point and the kwargs (not the summary)."""
        return digest([self.kind, self.id, self.entry_point, self.kwargs])

    @property
    def foreign(self) -> frozenset[str]:
        """Top-level modules outside the package that building it runs: that of the class, and those a setting names."""
        modules = (self.entry_point.split(":")[0], *modules_in(self.kwargs))
        return frozenset(module.split(".")[0] for module in modules) - {__name__.split(".")[0]}

    def load(self) -> Callable[..., Any]:
        """Import and return the class that ``entry_point`` names."""
        module_name, attribute = self.entry_point.split(":")
        owner = f"plugin {self.plugin}" if self.plugin else "its registration"
        try:
            # what an import does to the process must not depend on when it happens
            with contextlib.nullcontext() if module_name in sys.modules else guarded_import(module_name):
                found = getattr(running(module_name, attribute) or importlib.import_module(module_name), attribute)
        except Exception as error:
            line = describe(error)
            raise PluginError(f"{self.id} cannot be loaded from {self.entry_point} ({owner}): {line}") from error
        if not callable(found):
            raise PluginError(f"{self.entry_point} of {self.id} ({owner}) is not callable")
        return found


@dataclass(frozen=True, kw_only=True)
class TaskSpec(Spec):
    """Spec of a task.

    Attributes:
        true_rank: bottleneck rank that the id declares, for listings; the built task certifies it. None if unknown.
        opaque: whether no shortcut finds the rank (``leakybench.measures.shortcuts``). True: opaque; False: open; None:
            not judged, as for real data. A label for listings, not part of ``digest``.
    """

    kind: ClassVar[str] = "task"
    true_rank: int | None = None
    opaque: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        rank = self.true_rank
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
            raise RegistrationError(f"true_rank of {self.id} must be a positive integer or None, got {rank!r}")
        if self.opaque is not None and not isinstance(self.opaque, bool):
            raise RegistrationError(f"opaque of {self.id} must be True, False or None, got {self.opaque!r}")
        if self.opaque is not None and rank is None:
            raise RegistrationError(f"opaque of {self.id} must be None, because it declares no true_rank")


@dataclass(frozen=True, kw_only=True)
class BaselineSpec(Spec):
    """Spec of a baseline. A setting ``device`` among its kwargs is ``cpu``, ``cuda`` or ``cuda:N``.

    Attributes:
        steps: names of the layer step-size rules that its setting ``steps`` takes, the default first; empty for a
            baseline without layers. Sweeps cross a baseline with these (``--steps``).
    """

    kind: ClassVar[str] = "baseline"
    steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        rules = self.steps
        if not isinstance(rules, list | tuple) or not all(
            isinstance(rule, str) and RULE_PATTERN.fullmatch(rule) for rule in rules
        ):
            raise RegistrationError(
                f"steps of {self.id} must list the names of its step-size rules, as in ('uniform', 'adaptive'), "
                f"got {rules!r}"
            )
        object.__setattr__(self, "steps", tuple(dict.fromkeys(rules)))
        if "device" in self.kwargs:
            check_device(self.kwargs["device"])

    @property
    def default_steps(self) -> str | None:
        """The step-size rule that is used where none is asked for; None without layers."""
        return str(self.kwargs.get("steps", self.steps[0])) if self.steps else None
