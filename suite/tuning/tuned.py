"""A baseline whose settings are searched before each fit: what the setting ``tune`` makes of any baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from leakybench.baseline import Baseline, FitReport, Model
from leakybench.errors import UsageError
from leakybench.settings import build
from leakybench.specs import SEARCHED, TUNE, BaselineSpec
from leakybench.task import Split
from leakybench.tuning.search import require_optuna, search
from leakybench.tuning.space import Budget, parse_budget, search_space


class Tuned:
    """A baseline that is tuned on the training rows, then fitted on all of them with the best settings.

    What its id or the user sets is fixed, and the rest of its search space is searched. Its record holds every trial in
    ``training["tuning"]``; fit time includes the search.

    Args:
        spec: of the baseline, with ``tune`` among its settings.

    Attributes:
        spec: the same, ``tune`` in its one form.
        budget: of the search.
        space: what is searched.
        batchable: False, since each seed is tuned on its own.

    Raises:
        UsageError: a budget, a setting or a search space that is refused, or no search space.
    """

    batchable = False

    def __init__(self, spec: BaselineSpec) -> None:
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
        settings = dict(getattr(self._default, "spec", self._base).kwargs)
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
        import optuna  # noqa: F401

        getattr(self._default, "prepare", lambda: None)()

    def fit(self, train: Split, *, seed: int, preset: str) -> Model:
        """Search on held-out rows of ``train``, and fit the best settings on all rows.

        Raises:
            UsageError: Optuna is missing, or there are too few rows.
            BaselineError: every trial failed.
        """
        found = search(self._build, self.space, train, budget=self.budget, name=self.spec.id, seed=seed, preset=preset)
        model = self._build(found.best.settings).fit(train, seed=seed, preset=preset)
        report = getattr(model, "report", None)
        if report is None:
            report = FitReport()
        if isinstance(report, FitReport):
            values = {**report.values, "tuning": {"budget": self.budget.setting, **found.to_dict()}}
            object.__setattr__(model, "report", dataclasses.replace(report, values=values))
        return model

    def _build(self, settings: Mapping[str, Any]) -> Baseline:
        built: Baseline = build(self._base, settings)
        return built


def is_tuned(spec: BaselineSpec, overrides: Mapping[str, Any]) -> bool:
    """Whether the settings ask for tuning."""
    return TUNE in spec.kwargs or TUNE in overrides


def tuned(spec: BaselineSpec, overrides: Mapping[str, Any]) -> Tuned:
    """Build a tuned baseline: ``spec`` with ``overrides`` merged in, of which one is ``tune``.

    Raises:
        UsageError: see ``Tuned``.
    """
    merged = spec.with_overrides(overrides)
    if merged.kwargs.get(TUNE) is None:
        raise UsageError(f"tune of {spec.id} must be a number of trials, or seconds as in 60s, got None")
    return Tuned(merged)


def has_search_space(spec: BaselineSpec) -> bool:
    """Whether the class behind a spec declares a search space.

    Raises:
        PluginError: the class cannot be loaded.
    """
    return callable(getattr(spec.load(), "search_space", None))
