"""Settings in one form by the types and defaults that a class declares, and building from them.

The identity of a run holds its settings, so equal configurations must be spelled alike: each value as the declared
type, by which ``3`` and ``3.0`` are one number, and not at all where it is the default.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from collections.abc import Sequence as AnySequence
from dataclasses import dataclass
from typing import Any

from leakybench.errors import LeakybenchError, UsageError
from leakybench.specs import TUNE, BaselineSpec, Spec, canonical_json, identity_overrides, plain_json
from leakybench.surroundings import guarded_import

NOTHING: Any = object()
"""Stands for a default that does not exist, and for a value that no type fits."""

LISTS = (list, tuple, AnySequence)
MAX_SHOWN = 60


@dataclass(frozen=True)
class Declared:
    """What a class declares of one setting.

    Attributes:
        kind: its type; ``Any`` where none is declared, or one that cannot be resolved here.
        default: plain JSON; ``NOTHING`` without one.
    """

    kind: Any
    default: Any = NOTHING


def declared(factory: Callable[..., Any]) -> Mapping[str, Declared]:
    """Return what a class, or a function that builds the object, declares of its settings, by name."""
    try:
        return _declared(factory)
    except TypeError:  # an object that cannot be hashed, or one without a signature
        return {}


@functools.lru_cache(maxsize=1024)
def _declared(factory: Callable[..., Any]) -> Mapping[str, Declared]:
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError:
        return {}
    fields = {}
    if isinstance(factory, type) and dataclasses.is_dataclass(factory):
        fields = {field.name: field for field in dataclasses.fields(factory)}
    found = {}
    for name, parameter in parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            continue
        default = parameter.default
        maker = fields[name].default_factory if name in fields else dataclasses.MISSING
        if maker is not dataclasses.MISSING:
            default = maker()
        with_default = NOTHING if default is parameter.empty else _plain(default)
        kind = _kind(factory, name, parameter.annotation)
        if kind is parameter.empty:
            # sklearn's way: a default of 1.0 says that a number is wanted
            kind = float if isinstance(default, float) else Any
        fitted = _fit(with_default, kind) if with_default is not NOTHING else NOTHING
        found[name] = Declared(kind, with_default if fitted is NOTHING else fitted)
    return types.MappingProxyType(found)


def _plain(value: Any) -> Any:
    try:
        return plain_json(value, "a default")
    except UsageError:
        return NOTHING


def _kind(factory: Any, name: str, annotation: Any) -> Any:
    """The type of one parameter. Annotations are texts under ``from __future__ import annotations``, and one that
    names what only type checkers import must not hide the others."""
    if annotation is inspect.Parameter.empty or not isinstance(annotation, str):
        return annotation
    space: Mapping[str, Any] = {}
    if isinstance(factory, type) and dataclasses.is_dataclass(factory):
        owner = next((base for base in factory.__mro__ if name in inspect.get_annotations(base)), factory)
        space = {**vars(sys.modules.get(owner.__module__, typing)), owner.__name__: owner}
    else:
        function: Any = factory
        while isinstance(function, functools.partial):
            function = function.func
        if isinstance(function, type):
            function = vars(function).get("__init__", getattr(function, "__init__", None))
        elif not hasattr(function, "__globals__") and not inspect.ismethod(function):
            function = type(function).__call__
        space = getattr(inspect.unwrap(function), "__globals__", {})
    holder = types.SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(holder, globalns=dict(space))[name]
    except Exception:  # whatever the evaluation of foreign text raises
        return Any


def _fit(value: Any, kind: Any) -> Any:
    """Return a plain value as the type ``kind``, or ``NOTHING`` if it is none; a type of its own fits first."""
    exact = _convert(value, kind, exact=True)
    return _convert(value, kind, exact=False) if exact is NOTHING else exact


def _convert(value: Any, kind: Any, *, exact: bool) -> Any:
    if isinstance(kind, dataclasses.InitVar):
        kind = kind.type
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _convert(value, arguments[0], exact=exact)
    if origin in (typing.Union, types.UnionType):
        fitting = (_convert(value, each, exact=exact) for each in arguments)
        return next((each for each in fitting if each is not NOTHING), NOTHING)
    if origin is typing.Literal:
        alike = (each for each in arguments if each == value and (not exact or type(each) is type(value)))
        return next((each for each in alike if isinstance(each, bool) is isinstance(value, bool)), NOTHING)
    if kind in (int, float):
        return _number(value, kind, exact=exact)
    if kind in (None, types.NoneType, bool, str):
        wanted = types.NoneType if kind is None else kind
        return value if isinstance(value, wanted) else NOTHING
    if kind in LISTS or origin in LISTS:
        return _items(value, origin or kind, arguments, exact=exact)
    if kind in (dict, Mapping) or origin in (dict, Mapping):
        if not isinstance(value, dict):
            return NOTHING
        items = {key: _convert(item, arguments[1] if arguments else Any, exact=exact) for key, item in value.items()}
        return NOTHING if any(item is NOTHING for item in items.values()) else items
    return value


def _number(value: Any, kind: type, *, exact: bool) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    if isinstance(value, kind):
        return value + 0.0 if kind is float else value  # -0.0 is 0.0
    if exact:
        return NOTHING
    if kind is int:
        return int(value) if value.is_integer() else NOTHING  # type: ignore[union-attr]
    try:
        return float(value)
    except OverflowError:
        return NOTHING


def _items(value: Any, kind: Any, arguments: tuple[Any, ...], *, exact: bool) -> Any:
    """A list by the types of its items: those of ``tuple[int, float]``, or one for all."""
    if not isinstance(value, list):
        return value if kind is AnySequence and isinstance(value, str) else NOTHING
    each: AnySequence[Any] = arguments
    if kind is not tuple or arguments[1:] == (...,) or not arguments:
        each = [arguments[0] if arguments else Any] * len(value)
    if len(each) != len(value):
        return NOTHING
    items = [_convert(item, one, exact=exact) for item, one in zip(value, each, strict=True)]
    return NOTHING if any(item is NOTHING for item in items) else items


def normalised(factory: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain settings with each value as the type that ``factory`` declares; one that does not fit stays."""
    known = declared(factory)
    return {name: _spelled(value, known.get(name)) for name, value in settings.items()}


def _spelled(value: Any, kind: Declared | None) -> Any:
    if kind is None or (fitted := _fit(value, kind.kind)) is NOTHING:
        return value
    return fitted


def misfit(factory: Callable[..., Any], settings: Mapping[str, Any]) -> str | None:
    """Say which of some plain settings is not of the type that ``factory`` declares, in one line; None if all are."""
    known = declared(factory)
    for name, value in settings.items():
        if name not in known or _fit(value, known[name].kind) is not NOTHING:
            continue
        default = known[name].default
        if default is not NOTHING and canonical_json(default) == canonical_json(value):
            continue  # ``penalty: float = None`` takes None
        shown = repr(value)
        shown = shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."
        return f"{name} must be {_words(known[name].kind)}, got {shown}"
    return None


def _words(kind: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _words(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(each) for each in arguments)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    names = {int: "an integer", float: "a finite number", bool: "True or False", str: "text", types.NoneType: "None"}
    if kind in names:
        return names[kind]
    if kind in LISTS or origin in LISTS:
        return f"a list ({str(kind).replace('typing.', '').replace('collections.abc.', '')})"
    return "a mapping of names to values"


def differing(base: Spec, settings: Mapping[str, Any], factory: Callable[..., Any] | None = None) -> dict[str, Any]:
    """Return the settings in which a run differs from its id, as they enter its identity.

    Each value is of its declared type, and one that is registered, or the default of the class, is left out. The
    step-size rule of a baseline with layers is always spelled out, so that a table says which one a row used. Of a
    baseline that is to be tuned a setting at its default counts as well, since it is not searched.

    Args:
        base: the registered spec.
        settings: plain JSON, those of ``base`` with the overrides merged in.
        factory: the class; None to load it.

    Raises:
        PluginError: the class cannot be loaded.
        UsageError: a device that is neither ``cpu`` nor ``cuda`` nor ``cuda:N``.
    """
    by_id = factory is None
    factory = base.load() if factory is None else factory
    settings, registered = normalised(factory, settings), normalised(factory, base.kwargs)
    defaults = {name: each.default for name, each in declared(factory).items() if each.default is not NOTHING}
    if isinstance(base, BaselineSpec) and base.steps:
        defaults.pop("steps", None)
        settings = {"steps": base.default_steps, **settings}
    if by_id and TUNE in settings and TUNE not in declared(factory):
        defaults = {}  # what is spelled out is fixed and not searched, also at its default
    return identity_overrides(settings, {**defaults, **registered})


def complete(base: Spec, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting: the overrides, the registered values of ``base``, and the defaults of its class.

    Raises:
        PluginError: the class cannot be loaded.
    """
    factory = base.load()
    defaults = {name: each.default for name, each in declared(factory).items() if each.default is not NOTHING}
    return {**defaults, **normalised(factory, {**base.kwargs, **overrides})}


def build(base: Spec, overrides: Mapping[str, Any], **given: Any) -> Any:
    """Build what a spec names, with ``overrides`` merged into its settings, each as the type that the class declares.

    Args:
        base: spec of a task or baseline.
        overrides: settings that replace those of the spec.
        given: further values (``seed``). They and the merged ``spec`` are passed as arguments where the class takes
            them, and set as attributes otherwise.

    Raises:
        UsageError: a setting that the class does not have, or a value that it refuses.
        PluginError: the class cannot be loaded.
    """
    merged = base.with_overrides(overrides)
    factory = merged.load()
    merged = dataclasses.replace(merged, kwargs=normalised(factory, merged.kwargs))
    given = {"spec": merged, **given}
    parameters = inspect.signature(factory).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = set() if open_ended else set(merged.kwargs) - parameters.keys()
    unknown |= merged.kwargs.keys() & given.keys()
    if unknown:
        allowed = ", ".join(name for name in parameters if name not in given) or "none"
        raise UsageError(f"{base.id} has no setting {min(unknown)!r}; its settings: {allowed}")
    refused = misfit(factory, merged.kwargs)
    taken = {name: value for name, value in given.items() if name in parameters}
    # a class may import what a setting names, or load a library when it is first made
    module = merged.entry_point.split(":")[0]
    try:
        with guarded_import(module) if merged.foreign else contextlib.nullcontext():
            built = factory(**merged.kwargs, **taken)
    except LeakybenchError:
        raise  # the class says best what it takes
    except Exception as error:
        if refused is None:
            raise
        raise UsageError(f"{base.id}: {refused}") from error
    if refused is not None:
        raise UsageError(f"{base.id}: {refused}")
    for name, value in given.items():
        if name not in parameters:
            object.__setattr__(built, name, value)
    return built


def has_setting(base: Spec, name: str) -> bool:
    """Whether the class behind a spec declares a setting of this name; one that takes any name declares none.

    Raises:
        PluginError: the class cannot be loaded.
    """
    parameter = inspect.signature(base.load()).parameters.get(name)
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
