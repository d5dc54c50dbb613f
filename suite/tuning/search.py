"""The search of one tuned fit: trials by Optuna, each judged on held-out training rows alone.

A trial fits the baseline on ``1 - HELD_OUT`` of the rows and takes the error on the others, up to ``FOLDS`` times with
other rows. After each time a trial that is worse than the median of the earlier ones at this point ends: the early
stopping of bad trials, which needs nothing of the baseline but ``fit``.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from leakybench import seeding
from leakybench.baseline import Baseline
from leakybench.errors import BaselineError, CollapsedError, DivergedError, UsageError, describe
from leakybench.specs import canonical_json
from leakybench.task import Split
from leakybench.tuning.space import Budget, Choices, Space

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial as Suggester

FOLDS = 3
HELD_OUT = 0.25
"""Share of the training rows that a trial is judged on."""
WORST = 2.0
"""Largest error of a held-out part, and what divergence counts as: twice that of the mean. A cap at the mean would make
all settings equal where every one is worse, as at a few samples."""
COLLAPSED = 1.0
"""What a collapse without a model counts as: the mean's error."""
STARTUP = 6
"""Trials before the search learns from them and before bad ones end early."""


@dataclass
class Trial:
    """One choice of settings.

    Attributes:
        settings: that differ from those of the baseline; empty for the baseline as it is.
        errors: held-out errors so far.
        seconds: wall-clock.
        state: ``complete``, ``pruned`` (ended early), or ``failed``.
        message: reason of a failure.
    """

    settings: dict[str, Any]
    errors: list[float] = field(default_factory=list)
    seconds: float = 0.0
    state: str = "complete"
    message: str = ""

    @property
    def error(self) -> float | None:
        """Mean held-out error; None of a failed trial."""
        return float(np.mean(self.errors)) if self.errors and self.state != "failed" else None

    def to_dict(self) -> dict[str, Any]:
        """The trial as plain values."""
        values = {
            "settings": _flat(self.settings),
            "error": self.error,
            "folds": len(self.errors),
            "seconds": self.seconds,
        }
        return {**values, "state": self.state} | ({"message": self.message} if self.message else {})


@dataclass(frozen=True, kw_only=True)
class Search:
    """The result of a search.

    Attributes:
        trials: in order; the first is the baseline as it is.
        best: the complete trial with the smallest error; of equals, the first.
        seconds: wall-clock of all trials.
    """

    trials: list[Trial]
    best: Trial
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The search as plain values, for a record."""
        states = Counter(trial.state for trial in self.trials)
        return {
            "settings": _flat(self.best.settings),
            "held_out": self.best.error,
            "held_out_default": self.trials[0].error,
            "seconds": self.seconds,
            "counts": {state: states[state] for state in ("complete", "pruned", "failed")},
            "trials": [trial.to_dict() for trial in self.trials],
        }


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for a record, lists and mappings as the text that ``--set`` takes: a record has few levels."""
    return {
        name: canonical_json(value) if isinstance(value, list | dict) else value for name, value in settings.items()
    }


def require_optuna() -> None:
    """Raise ``UsageError`` with an installation hint if Optuna is missing."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError("tuning needs optuna: pip install '.[tune]' in the checkout of leakybench") from None


def search(
    build: Callable[[Mapping[str, Any]], Baseline],
    space: Space,
    train: Split,
    *,
    budget: Budget,
    name: str,
    seed: int,
    preset: str,
) -> Search:
    """Search the settings of a baseline on held-out training rows.

    The candidates come from Optuna's tree-structured Parzen estimator [Bergstra et al. 2011], seeded; the first is the
    baseline as it is, so that tuning starts from the default.

    Args:
        build: makes a baseline with some settings replaced.
        space: values to try.
        train: the training rows, the only data that a search ever sees.
        budget: number of trials, or seconds.
        name: of the baseline, for the draws.
        seed: of the run.
        preset: length of every training.

    Raises:
        UsageError: Optuna is missing, or there are fewer than 4 rows.
        BaselineError: every trial failed.
    """
    require_optuna()
    if len(train) < 4:
        raise UsageError(f"tuning needs at least 4 training rows to hold some out, got {len(train)}")
    parts = _parts(train, name, seed)
    trials: list[Trial] = []
    start = time.perf_counter()
    with _silent():
        study = _study(name, seed)
        while not _spent(budget, len(trials), time.perf_counter() - start):
            suggester = study.ask()
            settings = {} if not trials else _suggest(suggester, space)
            trials.append(_try(build, settings, parts, suggester, study, seed=seed, preset=preset))
    complete = [trial for trial in trials if trial.state == "complete"]
    if not complete:
        reason, count = Counter(trial.message for trial in trials).most_common(1)[0]
        raise BaselineError(f"all {len(trials)} trials of the search failed, {count} with: {reason}")
    best = min(complete, key=lambda trial: (trial.error is None, trial.error))
    return Search(trials=trials, best=best, seconds=time.perf_counter() - start)


def _spent(budget: Budget, trials: int, seconds: float) -> bool:
    if trials == 0:
        return False  # the default is always tried
    return trials >= budget.trials if budget.trials is not None else seconds >= (budget.seconds or 0.0)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Let Optuna log errors alone; its level is that of the process, so it is put back."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _study(name: str, seed: int) -> Study:
    import optuna

    drawn = int(seeding.generator(name, seed, "tuning").integers(2**31 - 1))
    return optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=drawn, n_startup_trials=STARTUP),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=0),
    )


def _parts(train: Split, name: str, seed: int) -> list[tuple[Split, Split]]:
    """The rows to fit on and those held out, ``FOLDS`` times: disjoint parts of one permutation, drawn by the seed."""
    order = seeding.generator(name, seed, "tuning rows").permutation(len(train))
    count = max(round(HELD_OUT * len(train)), 1)
    held_out = [order[start : start + count] for start in range(0, FOLDS * count, count)]
    return [(_rows(train, np.setdiff1d(order, part)), _rows(train, part)) for part in held_out]


def _rows(split: Split, chosen: np.ndarray) -> Split:
    chosen = np.sort(chosen)
    return Split(split.inputs[chosen], split.targets[chosen])


def _suggest(suggester: Suggester, space: Space) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, domain in space.items():
        if isinstance(domain, Choices):
            index = suggester.suggest_categorical(name, list(range(len(domain.values))))
            settings[name] = domain.values[index]
        elif domain.whole:
            settings[name] = suggester.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
        else:
            value = suggester.suggest_float(name, domain.low, domain.high, log=domain.log)
            short = float(f"{value:.4g}")  # short enough to be typed, in a record and in a command
            settings[name] = min(max(short, domain.low), domain.high)
    return settings


def _try(
    build: Callable[[Mapping[str, Any]], Baseline],
    settings: dict[str, Any],
    parts: list[tuple[Split, Split]],
    suggester: Suggester,
    study: Study,
    *,
    seed: int,
    preset: str,
) -> Trial:
    """Judge one choice of settings, fold by fold, and tell the study."""
    import optuna

    trial = Trial(settings)
    start = time.perf_counter()
    try:
        baseline = build(settings)
        for index, (rows, held_out) in enumerate(parts):
            trial.errors.append(_held_out(baseline, rows, held_out, seed=seed, preset=preset))
            suggester.report(float(np.mean(trial.errors)), index)
            if index < len(parts) - 1 and settings and suggester.should_prune():
                trial.state = "pruned"
                break
    except Exception as error:
        trial.state, trial.message = "failed", describe(error)
    trial.seconds = time.perf_counter() - start
    if settings:
        states = {"pruned": optuna.trial.TrialState.PRUNED, "failed": optuna.trial.TrialState.FAIL}
        state = states.get(trial.state, optuna.trial.TrialState.COMPLETE)
        study.tell(suggester, trial.error if state is optuna.trial.TrialState.COMPLETE else None, state=state)
    else:
        # the default has no place in the space: it sets no parameter, but its errors count for the pruner
        complete = trial.state == "complete"
        study.tell(suggester, trial.error, state=None if complete else optuna.trial.TrialState.FAIL)
    return trial


def _held_out(baseline: Baseline, rows: Split, held_out: Split, *, seed: int, preset: str) -> float:
    """Mean squared error on held-out rows over the variance of their targets, at most ``WORST``."""
    try:
        model = baseline.fit(rows, seed=seed, preset=preset)
    except DivergedError:
        return WORST
    except CollapsedError:
        return COLLAPSED
    report = getattr(model, "report", None)
    if getattr(report, "status", "ok") == "diverged":
        return WORST
    predictions = np.asarray(model.predict(held_out.inputs), dtype=np.float64)
    targets = held_out.targets.astype(np.float64)
    if predictions.shape != targets.shape:  # numpy would stretch one of them
        raise UsageError(f"predictions have shape {predictions.shape}, the targets {targets.shape}")
    spread = float(np.mean((targets - targets.mean(axis=0)) ** 2))
    error = float(np.mean((predictions - targets) ** 2))
    if not np.isfinite(error):
        return WORST
    return min(error / spread, WORST) if spread > 0 else float(error > 0)
