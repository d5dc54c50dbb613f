"""A baseline whose settings are searched before each fit: what the setting ``tune`` makes of any baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from leakybench.baseline import Baseline, FitReport, Model, TraceableModel
from leakybench.errors import DivergedError, UsageError
from leakybench.settings import build, complete, has_setting
from leakybench.specs import SEARCHED, TUNE, BaselineSpec, canonical_json
from leakybench.task import Split
from leakybench.tuning.search import require_optuna, search
from leakybench.tuning.space import Budget, parse_budget, search_space


class Tuned:
    """A baseline that is tuned on the training rows, then fitted on all of them with the best settings.

    What its id or the user sets is fixed, and the rest of its search space is searched. Its record holds every trial in
    ``training["tuning"]``; fit time includes the search.

    Args:
        spec: of the baseline, with ``tune`` among its settings.
        registered: names of the settings that the id itself sets.

    Attributes:
        spec: the same, ``tune`` in its one form, without settings outside the search space at their defaults.
        budget: of the search.
        space: what is searched.
        batchable: False, since each seed is tuned on its own.

    Raises:
        UsageError: a budget, a setting or a search space that is refused, or no search space.
    """

    batchable = False

    def __init__(self, spec: BaselineSpec, registered: Collection[str] = ()) -> None:
        kwargs = dict(spec.kwargs)
        self.budget: Budget = parse_budget(kwargs.pop(TUNE))
        if kwargs.get("steps") == SEARCHED:
            del kwargs["steps"]
        self._base = dataclasses.replace(spec, kwargs=kwargs)
        self._default: Baseline = build(self._base, {})
        declared = search_space(self._base, self._default)
        self.space = {name: domain for name, domain in declared.items() if name not in kwargs}
        if not self.space:
            raise UsageError(f"{spec.id} has nothing to tune: {', '.join(declared)} are set")
        defaults = complete(dataclasses.replace(self._base, kwargs={}), {})
        settings = {
            name: value
            for name, value in getattr(self._default, "spec", self._base).kwargs.items()
            if name in declared or name in registered or not _equal(value, defaults, name)
        }
        if "steps" in self.space:
            settings["steps"] = SEARCHED
        self.spec = dataclasses.replace(spec, kwargs={**settings, TUNE: self.budget.setting})

    @property
    def check_dimensions(self) -> Callable[[int, int], None]:
        """That of the baseline as it is."""
        return getattr(self._default, "check_dimensions", lambda d_in, d_out: None)

    @property
    def device(self) -> str:
        """Where the baseline computes."""
        return str(getattr(self._default, "device", "cpu"))

    def prepare(self) -> None:
        """Import what the baseline and the search need."""
        require_optuna()
        getattr(self._default, "prepare", lambda: None)()

    def fit(self, train: Split, *, seed: int, preset: str) -> Model:
        """Search on held-out rows of ``train``, and fit the best settings on all rows.

        Raises:
            UsageError: Optuna is missing, or there are too few rows.
            BaselineError: every trial failed.
        """
        found = search(self._build, self.space, train, budget=self.budget, name=self.spec.id, seed=seed, preset=preset)
        tuning = {"tuning": {"budget": self.budget.setting, **found.to_dict()}}
        try:
            model = self._build(found.best.settings).fit(train, seed=seed, preset=preset)
        except DivergedError as error:  # its record still holds the trials
            return _Diverged(FitReport(status="diverged", message=str(error), values=tuning))
        report = getattr(model, "report", None)
        if report is None:
            report = FitReport()
        if not isinstance(report, FitReport):
            return model  # the harness says what is wrong with it
        return _with_report(model, dataclasses.replace(report, values={**report.values, **tuning}))

    def _build(self, settings: Mapping[str, Any]) -> Baseline:
        built: Baseline = build(self._base, settings)
        return built


def _equal(value: object, defaults: Mapping[str, Any], name: str) -> bool:
    return name in defaults and canonical_json(value) == canonical_json(defaults[name])


@dataclasses.dataclass(frozen=True)
class _Diverged:
    """What is left of a fit that diverged: its report."""

    report: FitReport

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        raise DivergedError(self.report.message)


class _Reported:
    """A model whose own report cannot be replaced, as a property of it cannot, with another report."""

    def __init__(self, model: Any, report: FitReport) -> None:
        self._model, self.report = model, report

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(self._model.predict(inputs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class _ReportedPath(_Reported):
    """The same of a model that shows its representations, which ``TraceableModel`` looks for in the class."""

    def representations(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> Any:
        return self._model.representations(inputs, targets)


def _with_report(model: Model, report: FitReport) -> Model:
    try:
        object.__setattr__(model, "report", report)
    except (AttributeError, TypeError):
        return (_ReportedPath if isinstance(model, TraceableModel) else _Reported)(model, report)
    return model


def is_tuned(spec: BaselineSpec, overrides: Mapping[str, Any]) -> bool:
    """Whether the settings ask for tuning; a class with a setting ``tune`` of its own means something else by it.

    Raises:
        PluginError: the class cannot be loaded.
    """
    return (TUNE in spec.kwargs or TUNE in overrides) and not has_setting(spec, TUNE)


def tuned(spec: BaselineSpec, overrides: Mapping[str, Any]) -> Tuned:
    """Build a tuned baseline: ``spec`` with ``overrides`` merged in, of which one is ``tune``.

    Raises:
        UsageError: see ``Tuned``.
    """
    merged = spec.with_overrides(overrides)
    if merged.kwargs.get(TUNE) is None:
        raise UsageError(f"tune of {spec.id} must be a number of trials, or seconds as in 60s, got None")
    return Tuned(merged, registered=spec.kwargs.keys())


def has_search_space(spec: BaselineSpec) -> bool:
    """Whether the class behind a spec, or what a function behind it builds, declares a search space.

    Raises:
        PluginError: the class cannot be loaded.
        UsageError: a function that builds nothing from the registered settings.
    """
    factory = spec.load()
    declaring = factory if isinstance(factory, type) else build(spec, {})
    return callable(getattr(declaring, "search_space", None)) and not has_setting(spec, TUNE)
