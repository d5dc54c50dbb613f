"""Expand a grid (globs, overrides, seeds) into single runs, each checked before anything is computed."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, cast

from leakybench import provenance
from leakybench.baseline import check_preset
from leakybench.engines.job import Job
from leakybench.errors import LeakybenchError, UsageError
from leakybench.record import RunSpec
from leakybench.registry import baselines, build, tasks
from leakybench.seeding import MAX_SEED, check_seed
from leakybench.settings import differing, has_setting
from leakybench.specs import BaselineSpec, Spec, TaskSpec, check_device, plain_json
from leakybench.task import SyntheticTask
from leakybench.tuning.space import parse_budget
from leakybench.tuning.tuned import has_search_space, is_tuned

MAX_RUNS = 200_000
_SETTING = re.compile(r"(?:(?P<scope>[^:=\s]+):)?(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.ASCII | re.DOTALL)
_SEEDS = re.compile(r"(?P<start>\d+)(?::(?P<stop>\d+)(?::(?P<step>\d+))?)?", re.ASCII)


@dataclass(frozen=True)
class Setting:
    """One override of a task's or baseline's setting.

    Attributes:
        name: of the setting.
        value: plain JSON.
        scope: glob of the ids that it applies to; ``*`` for all chosen ones.
    """

    name: str
    value: Any
    scope: str = "*"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", plain_json(self.value, f"the setting {self.name}"))


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Tasks x baselines x step rules x overrides x seeds at one preset.

    Attributes:
        tasks: globs of task ids.
        baselines: globs of baseline ids.
        steps: layer step-size rules to cross the baselines with, where they have them; empty for their defaults.
        task_settings: overrides of tasks; several values of one name are crossed.
        baseline_settings: overrides of baselines; several values of one name are crossed.
        seeds: used for tasks and baselines alike.
        preset: length of the training.
        device: ``cpu``, or ``cuda`` for the baselines that have a setting ``device``. A run does not hold the number
            of a card, which changes no result: the process chooses it (``leakybench.engines.environment.one_card``).
        tune: budget of a search of the settings of each baseline that has a search space: a number of trials, or
            seconds as in ``"60s"``; None for the settings as they are.
    """

    tasks: Sequence[str]
    baselines: Sequence[str]
    steps: Sequence[str] = ()
    task_settings: Sequence[Setting] = ()
    baseline_settings: Sequence[Setting] = ()
    seeds: Sequence[int] = field(default_factory=lambda: (0,))
    preset: str = "standard"
    device: str = "cpu"
    tune: int | str | None = None

    def __post_init__(self) -> None:
        check_preset(self.preset)
        for name in ("tasks", "baselines", "steps"):
            if isinstance(value := getattr(self, name), str):  # one glob, and not its letters
                object.__setattr__(self, name, (value,))
        object.__setattr__(self, "seeds", tuple(dict.fromkeys(map(check_seed, self.seeds))))
        for device in (self.device, *(each.value for each in self.baseline_settings if each.name == "device")):
            if ":" in check_device(device):
                raise UsageError(f"a run does not hold the number of a card: choose it with --device {device}")
        if self.tune is not None:
            object.__setattr__(self, "tune", parse_budget(self.tune).setting)
        for name in ("tasks", "baselines", "seeds"):
            if len(getattr(self, name)) == 0:
                raise UsageError(f"{name} must not be empty")

    def jobs(self) -> list[Job]:
        """Return every run of the grid, once.

        Raises:
            UsageError: an unknown id, a setting that is refused, or more than ``MAX_RUNS`` runs.
        """
        chosen_tasks, chosen_baselines = tasks.match(list(self.tasks)), baselines.match(list(self.baselines))
        _check_scopes(self.task_settings, chosen_tasks)
        _check_scopes(self.baseline_settings, chosen_baselines)
        _check_rules(self.steps, chosen_baselines)
        if self.tune is not None and len(self.without_search()) == len(chosen_baselines):
            raise UsageError(f"none of the chosen baselines can be tuned: {', '.join(self.without_search()[:8])}")
        task_variants = [
            (spec, overrides)
            for spec in chosen_tasks
            for overrides in _checked(spec, _crossed(self.task_settings, spec.id), seed=self.seeds[0])
        ]
        baseline_variants = [
            (spec, overrides) for spec in chosen_baselines for overrides in _checked(spec, self._overrides(spec))
        ]
        if (count := len(task_variants) * len(baseline_variants) * len(self.seeds)) > MAX_RUNS:
            raise UsageError(f"the plan has {count} runs; at most {MAX_RUNS} at a time")
        self._check_dimensions(task_variants, baseline_variants)
        jobs = {}
        for (task, task_overrides), (baseline, overrides) in itertools.product(task_variants, baseline_variants):
            source = provenance.source_of(task.with_overrides(task_overrides), baseline.with_overrides(overrides))
            for seed in self.seeds:
                run = RunSpec(
                    task=task.id,
                    baseline=baseline.id,
                    seed=seed,
                    preset=self.preset,
                    source=source,
                    task_overrides=task_overrides,
                    baseline_overrides=overrides,
                )
                jobs[run.run_id] = Job(run=run, task_spec=task, baseline_spec=baseline)
        return list(jobs.values())

    def _check_dimensions(self, task_variants: Sequence[Variant], baseline_variants: Sequence[Variant]) -> None:
        """Let each baseline with ``check_dimensions`` check the data of each task, before anything is computed."""
        checks = []
        for baseline, overrides in baseline_variants:
            built = build(baseline, overrides)
            if callable(check := getattr(built, "check_dimensions", None)):
                checks.append((baseline, check))
        for task, overrides in task_variants if checks else ():
            built = build(task, overrides, seed=self.seeds[0])
            if not isinstance(built, SyntheticTask):
                continue  # drawing the data of an unknown task may be slow: its runs will tell
            inputs, targets = built.train.inputs.shape[1], built.train.targets.shape[1]
            for baseline, check in checks:
                try:
                    check(inputs, targets)
                except UsageError as error:
                    raise UsageError(f"{baseline.id} on {task.id}: {error}") from None

    def without_device(self) -> list[str]:
        """Return the ids of the chosen baselines that have no setting ``device``."""
        return [spec.id for spec in baselines.match(list(self.baselines)) if not has_setting(spec, "device")]

    def without_search(self) -> list[str]:
        """Return the ids of the chosen baselines that declare no search space."""
        return [spec.id for spec in baselines.match(list(self.baselines)) if not has_search_space(spec)]

    def _overrides(self, spec: BaselineSpec) -> Iterator[dict[str, Any]]:
        given = list(_crossed(self.baseline_settings, spec.id))
        if self.device != "cpu" and has_setting(spec, "device"):
            given = [{"device": self.device, **overrides} for overrides in given]
        if self.tune is not None and has_search_space(spec):
            given = [{"tune": self.tune, **overrides} for overrides in given]
        if not spec.steps or any("steps" in overrides for overrides in given):
            yield from given
            return
        # the rule is always spelled out, so that a table says which one a row used
        rules: Sequence[str | None] = [rule for rule in dict.fromkeys(self.steps) if rule in spec.steps]
        for rule, overrides in itertools.product(rules or [None], given):
            if rule is None and is_tuned(spec, overrides):
                yield overrides  # a search chooses the rule as well, where the search space has it
            else:
                yield {**overrides, "steps": rule or spec.default_steps}


Variant = tuple[Any, dict[str, Any]]
"""A spec and one choice of overrides."""


def _crossed(settings: Sequence[Setting], id: str) -> Iterator[dict[str, Any]]:
    """Yield every choice of the settings that apply to ``id``."""
    values: dict[str, list[Any]] = {}
    for setting in settings:
        if fnmatchcase(id, setting.scope):
            values.setdefault(setting.name, []).append(setting.value)
    for choice in itertools.product(*values.values()):
        yield dict(zip(values, choice, strict=True))


def _check_scopes(settings: Sequence[Setting], specs: Sequence[Spec]) -> None:
    """Raise UsageError for a setting that applies to none of the chosen ids."""
    for setting in settings:
        if not any(fnmatchcase(spec.id, setting.scope) for spec in specs):
            raise UsageError(
                f"the setting {setting.scope}:{setting.name} applies to none of the chosen ids: "
                f"{', '.join(spec.id for spec in specs[:8])}"
            )


def _check_rules(rules: Sequence[str], specs: Sequence[BaselineSpec]) -> None:
    """Raise UsageError for a rule that no chosen baseline has, and for a baseline with layers that has none of them."""
    layered = [spec for spec in specs if spec.steps]
    known = dict.fromkeys(rule for spec in layered for rule in spec.steps)
    for rule in rules:
        if layered and rule not in known:
            raise UsageError(f"steps must be among {', '.join(known)} for the chosen baselines, got {rule!r}")
    for spec in layered:
        if rules and not set(rules) & set(spec.steps):
            raise UsageError(f"{spec.id} has the step-size rules {', '.join(spec.steps)}, not {', '.join(rules)}")


def _checked(
    spec: TaskSpec | BaselineSpec, variants: Iterable[dict[str, Any]], **given: Any
) -> Iterator[dict[str, Any]]:
    """Build each variant once to check it; yield its overrides, reduced to those that differ from ``spec``."""
    for overrides in variants:
        if spec.entry_point.split(":")[0] == "__main__":
            raise UsageError(
                f"{spec.id} is defined in the script itself ({spec.entry_point}), where workers cannot load it: "
                "move it to a module of its own"
            )
        try:
            built = build(spec, overrides, **given)
        except LeakybenchError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())
            raise UsageError(f"{spec.id} refuses its settings: {type(error).__name__}: {text}") from error
        kwargs = built.spec.kwargs if isinstance(getattr(built, "spec", None), Spec) else {**spec.kwargs, **overrides}
        yield differing(spec, kwargs)


def parse_setting(text: str) -> Setting:
    """Read ``depth=20``, ``steps=adaptive``, or with a scope ``LeakyResNet-*:depth=20``; values are JSON, else text.

    Raises:
        UsageError: any other form.
    """
    match = _SETTING.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise UsageError(f"a setting reads NAME=VALUE or GLOB:NAME=VALUE, got {str(text)[:60]!r}")
    return Setting(match["name"], parse_value(match["name"], match["value"]), match["scope"] or "*")


def parse_value(name: str, text: str) -> Any:
    """Return the JSON value of ``text``, or the text itself if it is not JSON."""

    def refuse(constant: str) -> Any:
        raise UsageError(f"{name} must be finite, got {constant}")

    try:
        value = json.loads(text, parse_constant=refuse)
    except UsageError:
        raise
    except (ValueError, RecursionError):
        if not text or len(text) > 200 or text[0] in '[{"':
            raise UsageError(f"{name} needs a number, a word, true, false, null or JSON, got {text[:60]!r}") from None
        return text
    return check_value(name, value)


def check_value(name: str, value: Any) -> Any:
    """Return ``value`` if it is plain, finite JSON.

    Raises:
        UsageError: otherwise.
    """
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise UsageError(f"{name} must be plain and finite, got {str(value)[:60]!r}") from None
    return value


def parse_seeds(text: object) -> tuple[int, ...]:
    """Read seeds from ``0:5`` (0 to 4), ``0:10:2``, ``0,2,5``, a mix of these, an integer, or a list of integers.

    Raises:
        UsageError: any other form, an empty range, or a seed out of range.
    """
    if isinstance(text, list | tuple | range) or getattr(text, "ndim", 0) == 1:
        return tuple(dict.fromkeys(map(check_seed, cast("Iterable[object]", text))))
    if (isinstance(text, int) and not isinstance(text, bool)) or hasattr(text, "ndim"):
        return (check_seed(text),)
    if not isinstance(text, str):
        raise UsageError(f"seeds read 0:5 or 0,2,5, got {text!r}")
    seeds: dict[int, None] = {}
    drawn = 0
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip()) if len(part) <= 40 else None
        if match is None:
            raise UsageError(f"seeds read 0:5 (0 to 4), 0:10:2 or 0,2,5; got {text[:60]!r}")
        start = int(match["start"])
        chosen: Sequence[int] = (start,)
        if match["stop"] is not None:
            step = int(match["step"] or 1)
            if step == 0:
                raise UsageError(f"seeds need a step of at least 1, got {part.strip()!r}")
            chosen = range(start, int(match["stop"]), step)
        if not chosen:
            raise UsageError(f"the seeds {part.strip()!r} are an empty range; 0:5 means 0 to 4")
        drawn += len(chosen)
        if drawn > MAX_RUNS or chosen[-1] > MAX_SEED:
            raise UsageError(f"seeds must be at most {MAX_RUNS} integers from 0 to {MAX_SEED}, got {text[:60]!r}")
        seeds.update(dict.fromkeys(chosen))
    return tuple(seeds)


def settings_from_table(values: Mapping[str, Any]) -> list[Setting]:
    """Read the table of a plan file: ``depth = 20``, ``depth = [10, 20]`` (crossed), ``"Res*:depth" = 20``."""
    settings: list[Setting] = []
    for key, value in values.items():
        scope, _, name = key.rpartition(":")
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise UsageError(f"a setting needs a plain name, got {key[:60]!r}")
        choices = value if isinstance(value, list) else [value]
        if not choices:
            raise UsageError(f"the setting {key} has an empty list of values")
        settings.extend(Setting(name, check_value(key, choice), scope or "*") for choice in choices)
    return settings
