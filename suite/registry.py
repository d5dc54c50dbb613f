"""The two registries, of tasks and of baselines, and building what an id names."""

from __future__ import annotations

import contextlib
import copy
import difflib
import fnmatch
import importlib.metadata
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Generic, TypeVar, cast

from leakybench.baseline import Baseline
from leakybench.errors import RegistrationError, UnknownIdError, describe
from leakybench.scripts import portable
from leakybench.seeding import check_seed
from leakybench.settings import build as build_class
from leakybench.specs import MAX_ID_LENGTH, RULE_PATTERN, BaselineSpec, Spec, TaskSpec, natural_key, parse_id
from leakybench.surroundings import guarded_import
from leakybench.task import Task
from leakybench.tuning.tuned import is_tuned, tuned

SpecT = TypeVar("SpecT", bound=Spec)


@dataclass(frozen=True)
class _Place:
    """The line of code that registers an id.

    Attributes:
        file: of the code.
        line: within the file.
        module: name under which the code runs.
        top_level: whether it stands outside all functions, so that it runs only when the module does.
    """

    file: str
    line: int
    module: str
    top_level: bool

    @classmethod
    def of_caller(cls) -> _Place:
        """The place outside this module that is running."""
        frame = cast("FrameType", inspect.currentframe())
        while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
            frame = frame.f_back
        code, module = frame.f_code, str(frame.f_globals.get("__name__"))
        return cls(code.co_filename, frame.f_lineno, module, code.co_name == "<module>")

    def repeats(self, earlier: _Place | None) -> bool:
        """Whether the same registration is made again, and not another one of the same id."""
        if earlier is None:
            return False
        if earlier.module.startswith("leakybench.engines."):
            return True  # a worker knew the id from the plan before it loaded the module
        if (self.file, self.line) != (earlier.file, earlier.line):
            return False
        return self.top_level or self.module != earlier.module


class Registry(Generic[SpecT]):
    """The specs of one kind, registered by hand and by the entry points of installed packages.

    Entry points of ``group`` are loaded once, at the first look-up. Each names a function without arguments that
    registers ids. One that fails is kept in ``failures`` and named in look-up errors; the others still load.

    Args:
        spec_type: ``TaskSpec`` or ``BaselineSpec``.
        group: name of the entry points.

    Attributes:
        kind: ``task`` or ``baseline``.
        failures: reason by plugin of the entry points that failed to load.
    """

    def __init__(self, spec_type: type[SpecT], group: str) -> None:
        self.spec_type = spec_type
        self.kind = spec_type.kind
        self.group = group
        self.failures: dict[str, str] = {}
        self._specs: dict[str, SpecT] = {}
        self._sets: dict[str, tuple[str, ...]] = {}
        self._places: dict[str, _Place] = {}
        self._loaded = False
        self._loading: str | None = None
        self._owners: frozenset[str] | None = None
        self._done: set[tuple[str, str]] = set()

    def register(self, id: str, entry_point: str, kwargs: Mapping[str, Any] | None = None, **fields: Any) -> SpecT:
        """Add an id and return its spec.

        A registration that the same line of code repeats is harmless: that of a script which is imported by its name as
        well, of a module or a cell that is run again, or of a module in a worker that knows the id from the plan.

        Raises:
            RegistrationError: malformed id or entry point, or the id is taken.
        """
        if not isinstance(entry_point, str):
            raise RegistrationError(
                f"entry point of {id} must be text like 'package.module:Class', so that workers can load it; "
                f"got {entry_point!r}"
            )
        place, known = _Place.of_caller(), self._specs.get(id) if isinstance(id, str) else None
        here = entry_point.replace("__main__:", f"{place.module}:", 1)
        # a script that a worker imports by its name still registers its class as that of __main__
        entry_point = here if known is not None and known.entry_point == here else portable(entry_point)
        fields.setdefault("plugin", self._loading)
        try:
            spec = self.spec_type(id=id, entry_point=entry_point, kwargs=kwargs or {}, **fields)
        except TypeError as error:
            raise RegistrationError(f"cannot register {self.kind} {id!r}: {error}") from None
        if self._loading is None:
            self._load_entry_points()
        if id in self._specs:
            if self._specs[id].digest == spec.digest and place.repeats(self._places.get(id)):
                return self._specs[id]
            raise RegistrationError(
                f"{self.kind} id {id} is already registered: a change of meaning needs a new version"
            )
        self._specs[id] = spec
        self._places[id] = place
        return spec

    def register_set(self, name: str, ids: Sequence[str]) -> None:
        """Name a set of ids, for ``@name`` wherever globs choose.

        Raises:
            RegistrationError: malformed name, a name that is taken, no ids, or an id that is not registered.
        """
        if not isinstance(name, str) or not RULE_PATTERN.fullmatch(name):
            raise RegistrationError(f"name of a set must be a word such as 'core', got {name!r}")
        if self._loading is None:
            self._load_entry_points()
        if name in self._sets:
            raise RegistrationError(f"{self.kind} set @{name} is already registered")
        unknown = [id for id in ids if id not in self._specs]
        if unknown or not ids:
            raise RegistrationError(f"{self.kind} set @{name} needs registered ids, got {', '.join(unknown) or 'none'}")
        self._sets[name] = tuple(ids)

    @property
    def sets(self) -> dict[str, tuple[str, ...]]:
        """Ids of each named set, in the order of registration."""
        self._load_entry_points()
        return dict(self._sets)

    def spec(self, id: str) -> SpecT:
        """Return the spec of ``id``.

        Raises:
            UnknownIdError: with the versions that exist, the nearest ids, or the plugins that failed to load.
        """
        self._load_entry_points()
        if self._owners is not None and isinstance(id, str) and id not in self._specs:
            self._owners, self._loaded = None, False  # a run that looks up an id names its plugin
            self._load_entry_points()
        if isinstance(id, str) and id in self._specs:
            return self._specs[id]
        raise UnknownIdError(self._explain(id))

    def __contains__(self, id: object) -> bool:
        self._load_entry_points()
        return id in self._specs

    def __iter__(self) -> Iterator[SpecT]:
        self._load_entry_points()
        return iter([self._specs[id] for id in sorted(self._specs, key=natural_key)])

    def __len__(self) -> int:
        self._load_entry_points()
        return len(self._specs)

    def match(self, patterns: list[str]) -> list[SpecT]:
        """Return the specs whose id matches any of the globs, each once, in the order of the registry.

        ``@name`` stands for the ids of a set.

        Raises:
            UnknownIdError: a pattern that matches nothing.
        """
        chosen: dict[str, SpecT] = {}
        for pattern in patterns:
            if pattern.startswith("@"):
                chosen.update((id, self.spec(id)) for id in self._set(pattern))
                continue
            if not any(char in pattern for char in "*?["):
                chosen[pattern] = self.spec(pattern)
                continue
            hits = [spec for spec in self if fnmatch.fnmatchcase(spec.id, pattern)]
            if not hits:
                known = ", ".join(spec.id for spec in self)
                raise UnknownIdError(f"no {self.kind} id matches {pattern!r}{self._broken()}; the ids are: {known}")
            chosen.update((spec.id, spec) for spec in hits)
        return [spec for spec in self if spec.id in chosen]

    def _set(self, pattern: str) -> tuple[str, ...]:
        sets = self.sets
        if pattern[1:] not in sets:
            known = ", ".join(f"@{name}" for name in sets) or "none"
            raise UnknownIdError(f"no {self.kind} set is called {pattern!r}; the sets are: {known}{self._broken()}")
        return sets[pattern[1:]]

    def snapshot(self) -> Registry[SpecT]:
        """Return a copy that further registrations do not change (for tests)."""
        self._load_entry_points()
        return copy.deepcopy(self)

    def unregister(self, id: str) -> None:
        """Remove an id that was registered by hand in this process (for tests and notebooks)."""
        spec = self.spec(id)
        if spec.plugin is not None:
            raise RegistrationError(f"{id} belongs to plugin {spec.plugin}: uninstall that package instead")
        del self._specs[id]
        remaining = {name: tuple(member for member in ids if member != id) for name, ids in self._sets.items()}
        self._sets = {name: ids for name, ids in remaining.items() if ids}

    def restrict(self, owners: Iterable[str]) -> None:
        """Load the entry points of these distributions alone, and others only when ``spec`` does not find an id.

        A worker calls it before each run, so that a plugin that the run does not name is never imported. Distributions
        that were loaded before remain.
        """
        owners = (self._owners or frozenset()) | set(owners)
        if owners != self._owners:
            self._owners, self._loaded = owners, False

    def _load_entry_points(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for point in sorted(importlib.metadata.entry_points(group=self.group), key=lambda p: (p.name, p.value)):
            owner = point.dist.name if point.dist is not None else point.name
            if (self._owners is not None and owner not in self._owners) or (point.name, point.value) in self._done:
                continue
            self._done.add((point.name, point.value))
            before = dict(self._specs), dict(self._sets)
            self._loading = owner
            try:
                # standard output belongs to tables and JSON, also while a plugin is imported
                with guarded_import(owner), contextlib.redirect_stdout(sys.stderr):
                    point.load()()
            except (Exception, SystemExit) as error:  # a broken plugin must not break the rest
                self._specs, self._sets = before
                self.failures[owner] = describe(error)
            finally:
                self._loading = None

    def _explain(self, id: object) -> str:
        try:
            namespace, name, version = parse_id(id)
        except RegistrationError as error:
            near = difflib.get_close_matches(str(id)[:MAX_ID_LENGTH], list(self._specs), n=3, cutoff=0.5)
            return f"{error}{_suggest(near)}"
        prefix = f"{namespace}/" if namespace else ""
        versions = sorted(parse_id(s)[2] for s in self._specs if parse_id(s)[:2] == (namespace, name))
        if versions:
            have = ", ".join(f"{prefix}{name}-v{v}" for v in versions)
            return f"{self.kind} {id} has no version {version}; registered: {have}"
        message = f"unknown {self.kind} {id!r}"
        if namespace and not any(parse_id(s)[0] == namespace for s in self._specs):
            message += f": no installed plugin provides the namespace {namespace!r} (install the package that does)"
        near = difflib.get_close_matches(str(id), list(self._specs), n=3, cutoff=0.5)
        message += _suggest(near) or f"; 'leakybench {self.kind}s' lists the ids"
        return message + self._broken()

    def _broken(self) -> str:
        """Return the plugins that failed to load, as the end of a message."""
        if not self.failures:
            return ""
        return "; plugins that failed to load: " + "; ".join(f"{k} ({v})" for k, v in self.failures.items())


def _suggest(near: list[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""


tasks: Registry[TaskSpec] = Registry(TaskSpec, "leakybench.tasks")
baselines: Registry[BaselineSpec] = Registry(BaselineSpec, "leakybench.baselines")


def restrict_to(*plugins: str | None) -> None:
    """Load the entry points of this package and of ``plugins`` alone, see ``Registry.restrict``."""
    owners = {__name__.split(".")[0], *(name for name in plugins if name is not None)}
    for registry in (tasks, baselines):
        registry.restrict(owners)


def register(id: str, entry_point: str, kwargs: Mapping[str, Any] | None = None, **fields: Any) -> TaskSpec:
    """Register a task: ``register("mine/Ring-v0", entry_point="my_tasks.ring:Ring", kwargs={"d": 10})``.

    Args:
        id: ``[namespace/]Name[-variant]-vN``.
        entry_point: ``package.module:Class``, imported when the task is built.
        kwargs: keyword arguments of the class, plain JSON.
        fields: ``summary`` (one line), ``true_rank`` (the bottleneck rank that the id declares, for listings) and
            ``opaque`` (True if no shortcut shows that rank, False if one does; None, the default, is not judged).

    Raises:
        RegistrationError: malformed id or entry point, or the id is taken.
    """
    return tasks.register(id, entry_point, kwargs, **fields)


def register_baseline(
    id: str, entry_point: str, kwargs: Mapping[str, Any] | None = None, **fields: Any
) -> BaselineSpec:
    """Register a baseline: ``register_baseline("mine/Net-v0", entry_point="my_nets.net:Net", steps=("uniform",))``.

    Args:
        id: ``[namespace/]Name[-variant]-vN``.
        entry_point: ``package.module:Class``, imported when the baseline is built.
        kwargs: keyword arguments of the class, plain JSON.
        fields: ``summary`` (one line) and ``steps`` (the names of its layer step-size rules, the default first).

    Raises:
        RegistrationError: malformed id, entry point or field, or the id is taken.
    """
    return baselines.register(id, entry_point, kwargs, **fields)


def register_set(name: str, ids: Sequence[str]) -> None:
    """Name a set of registered tasks, or of baselines: ``register_set("core", ["LowRank-k3-v0"])``.

    Commands and plans take it as ``@core`` where they take globs.

    Raises:
        RegistrationError: malformed name, a name that is taken, no ids, or ids that are not all tasks or all baselines.
    """
    registry: Registry[Any] = baselines if ids and all(id in baselines for id in ids) else tasks
    registry.register_set(name, ids)


def spec(id: str) -> TaskSpec | BaselineSpec:
    """Return the spec of a task or of a baseline.

    Raises:
        UnknownIdError: neither registry holds the id.
    """
    return baselines.spec(id) if id in baselines else tasks.spec(id)


def build(base: Spec, overrides: Mapping[str, Any], **given: Any) -> Any:
    """Build what a spec names, see ``leakybench.settings.build``; a baseline that is to be tuned by its setting
    ``tune``.

    Raises:
        UsageError: a setting that the class does not have, or a value that it refuses.
        PluginError: the class cannot be loaded.
    """
    if isinstance(base, BaselineSpec) and is_tuned(base, overrides):
        return tuned(base, overrides)
    return build_class(base, overrides, **given)


def make(id: str, *, seed: int = 0, **overrides: Any) -> Task:
    """Build a task: ``make("LowRank-k3-v0", seed=0, d=50, noise=0.1)``.

    Raises:
        UnknownIdError: no such task.
        UsageError: a setting that the task does not have, or a value that it refuses.
        PluginError: the task's class cannot be loaded.
    """
    return build(tasks.spec(id), overrides, seed=check_seed(seed))


def make_baseline(id: str, **overrides: Any) -> Baseline:
    """Build a baseline: ``make_baseline("LeakyResNet-v0", steps="adaptive", depth=20)``.

    Raises:
        UnknownIdError: no such baseline.
        UsageError: a setting that the baseline does not have, or a value that it refuses.
        PluginError: the baseline's class cannot be loaded.
    """
    return build(baselines.spec(id), overrides)


def pprint_registry() -> None:
    """Print every registered id with its summary, tasks first."""
    for registry in (tasks, baselines):
        print(f"{registry.kind}s")
        width = max((len(entry.id) for entry in registry), default=0)
        for entry in registry:
            print(f"  {entry.id:<{width}}  {entry.summary}".rstrip())
