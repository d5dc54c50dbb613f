"""Settings and content of objects that no id names: closures, partials, lambdas and plain instances."""

from __future__ import annotations

import functools
import hashlib
import math
import types
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from leakybench.errors import UsageError
from leakybench.provenance.content import Content, is_importable
from leakybench.specs import canonical_json

MAX_PLAIN = 60
"""Characters of the longest setting that is shown as it is; a longer one counts by its content."""

CONTENT = "content"
"""Setting that holds the hash of all that is not plain."""

Token = tuple[str, Any]
"""A value as it counts: ``("plain", value)``, ``("content", digest)``, or ``("own", address)`` of what a fit made."""


@dataclass
class Settings:
    """What identifies an object beside the source of its class or function.

    Attributes:
        plain: short values by name, which a label shows.
        content: digests of the other values.
        modules: local modules whose source counts.
    """

    plain: dict[str, Any] = field(default_factory=dict)
    content: list[str] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)

    def add(self, name: str, token: Token) -> None:
        """Add one value, by its name where it is plain and no other has that name."""
        kind, value = token
        if kind == "plain" and name.isidentifier() and name not in (*self.plain, CONTENT):
            self.plain[name] = value
        else:
            self.content.append(f"{name} {kind} {canonical_json(value)}")

    def kwargs(self) -> dict[str, Any]:
        """Return the settings as they enter a spec; ``content`` is a short hash."""
        if not self.content:
            return dict(self.plain)
        digest = hashlib.sha256("\n".join(sorted(self.content)).encode()).hexdigest()
        return {**self.plain, CONTENT: f"sha256:{digest[:12]}"}


def innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function within partials."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def settings_of_function(function: Callable[..., Any], place: str) -> Settings:
    """Return what identifies a function, a class, a partial or another callable object.

    A function of a module is identified by the source of that module, which the entry point of a spec names. The
    settings of any other are the values that it was made with: keyword arguments of a partial, variables of a closure,
    attributes of an object. Its code counts by its content.

    Raises:
        UsageError: a value whose content cannot be told.
    """
    settings, content = Settings(), Content()
    while isinstance(function, functools.partial):
        for name, value in function.keywords.items():
            settings.add(name, _token(value, f"{name} of {place}", content))
        if function.args:
            settings.add("args", ("content", content.digest(function.args, f"an argument of {place}")))
        function = function.func
    if isinstance(function, types.FunctionType) and function.__closure__ is not None:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__, strict=True):
            try:
                settings.add(name, _token(cell.cell_contents, f"{name} of {place}", content))
            except ValueError:
                continue  # a variable that has no value yet
    elif not isinstance(function, types.FunctionType | types.BuiltinFunctionType | types.MethodType | type):
        for name, value in attributes(function).items():
            settings.add(name, _token(value, f"{name} of {place}", content))
        function = type(function)
    if not is_importable(function) or getattr(function, "__closure__", None) is not None:
        settings.add("code", ("content", content.digest(function, place)))
    else:
        content.digest(function, place)  # for its module
    settings.modules = content.modules
    return settings


def attributes(value: object) -> dict[str, Any]:
    """Return the attributes that an object holds itself, in ``__dict__`` or in slots, other than ``spec``."""
    slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
    found = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    found |= dict(getattr(value, "__dict__", {}))
    found.pop("spec", None)
    return found


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__") and not name.startswith("__"))


def _token(value: Any, place: str, content: Content) -> Token:
    if _is_plain(value) and len(canonical_json(value)) <= MAX_PLAIN:
        return "plain", value
    return "content", content.digest(value, place)


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is JSON of short lists and mappings. A tuple is not: it would become a list."""
    if isinstance(value, float):
        return type(value) is float and math.isfinite(value)
    if type(value) in (type(None), bool, int, str):
        return True
    if depth > 3 or type(value) not in (list, dict) or len(value) > MAX_PLAIN:
        return False
    if isinstance(value, dict) and not all(type(key) is str for key in value):
        return False
    return all(_is_plain(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value))


@dataclass
class _Sighting:
    """The attributes of an object as its owner set them for the last fit, as that left them, and for the next one."""

    before: Mapping[str, Token]
    after: Mapping[str, Token] | None = None
    asked: Mapping[str, Token] = field(default_factory=dict)


_SIGHTINGS: dict[int, tuple[weakref.ref[object], _Sighting]] = {}


def settings_of_object(value: object, place: str) -> Settings:
    """Return what identifies an instance: its attributes, and its class where that lies in no file.

    What a fit leaves in the object does not count, so that all seeds of one object are one configuration; what its
    owner changes between two runs does.

    Raises:
        UsageError: an attribute whose content cannot be told.
    """
    content = Content()
    known = _sighting(value)
    tokens: dict[str, Token] = {}
    for name, item in attributes(value).items():
        if known is not None and known.after is not None and _unchanged(item, known.after.get(name)):
            if name in known.before:
                tokens[name] = known.before[name]
        else:
            tokens[name] = _token(item, f"{name} of {place}", content)
    if known is None:
        _remember(value, known := _Sighting(tokens))
    known.asked = tokens
    settings = Settings()
    for name, token in sorted(tokens.items()):
        settings.add(name, token)
    kind = type(value)
    if not is_importable(kind) or kind.__qualname__ != kind.__name__:
        settings.add("class", ("content", content.digest(kind, f"the class of {place}")))
    if isinstance(value, dict | list | tuple | set | frozenset | str | bytes | int | float):
        settings.add("items", ("content", content.digest(value, place)))
    settings.modules = content.modules
    return settings


def settle(value: object) -> None:
    """Note the attributes of an object after a fit, so that they are told from what its owner changes."""
    known = _sighting(value)
    if known is None:
        return
    known.before, after = known.asked, {}
    for name, item in attributes(value).items():
        if name not in known.before or (known.before[name][0] == "plain" and not _is_plain(item)):
            after[name] = ("own", id(item))
        else:
            after[name] = _lenient(item)
    known.after = after


def _unchanged(item: Any, after: Token | None) -> bool:
    if after is None:
        return False
    return id(item) == after[1] if after[0] == "own" else _lenient(item) == after


def _lenient(item: Any) -> Token:
    try:
        return _token(item, "", Content())
    except UsageError:
        return "own", id(item)


def _sighting(value: object) -> _Sighting | None:
    reference, found = _SIGHTINGS.get(id(value), (None, None))
    return found if reference is not None and reference() is value else None


def _remember(value: object, sighting: _Sighting) -> None:
    key = id(value)
    try:
        reference = weakref.ref(value, lambda _: _SIGHTINGS.pop(key, None))
    except TypeError:
        return  # without a weak reference its end would go unnoticed
    _SIGHTINGS[key] = reference, sighting
