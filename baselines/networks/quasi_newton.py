"""L-BFGS with a Kronecker-factored starting metric, for R runs in step.

The inverse Hessian is modelled by the last m pairs in compact form (see ``history``), on top of a preconditioner that
is refreshed every few iterations instead of a multiple of the identity. Steps are accepted by
the Armijo condition, with quadratic interpolation when backtracking. [NW06] is Nocedal and Wright 2006, *Numerical
Optimization*, 2nd edition.

Every run has its own step length, history and end: a run that has ended, or that waits while another one searches,
stays where it is. So a run in a batch takes the steps that it takes alone, up to round-off in the products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from leakybench.baselines.networks.curvature import KroneckerPreconditioner
from leakybench.baselines.networks.history import History, Metric, Point, dot, per_run
from leakybench.baselines.networks.objective import Evaluation, Objective

SUFFICIENT_DECREASE = 1e-4
"""c_1 of the Armijo condition."""

MAX_BACKTRACKS = 8
MAX_FAILURES = 3
AVERAGE_COST = 1e-3
STALL_WINDOW = 50
JUDGED_EVERY = 50
"""Iterations between two looks at the criticality residual, where no refresh sets the rhythm."""

Progress = Callable[[int, np.ndarray, np.ndarray], None]
"""Called with (iteration, objective (R,), criticality residual (R,))."""


@dataclass(frozen=True, kw_only=True)
class QuasiNewtonSettings:
    """How long and how carefully to minimise.

    Attributes:
        iterations: maximum number; each takes one gradient, and a few more for rejected steps.
        memory: m, the number of pairs.
        refresh: iterations between two preconditioners; 0 for none (plain L-BFGS).
        damping: of the preconditioner, in units of the penalty's curvature.
        average: number of last iterates whose mean is the result, where that raises the objective by less than the
            share ``AVERAGE_COST``. A piecewise linear network has its critical points on kinks, between whose sides
            the iterates jump; their mean lies on them.
        tolerance: a run ends when the criticality residual of that mean, computed before each refresh, is at most
            this.
        stall: a run ends when its objective has fallen by less than this share over 50 iterations.
    """

    iterations: int
    memory: int = 20
    refresh: int = 50
    damping: float = 30.0
    average: int = 10
    tolerance: float = 0.0
    stall: float = 0.0


@dataclass(kw_only=True)
class QuasiNewtonResult:
    """Where each run ended.

    Attributes:
        objective: float64 (R,).
        residual: criticality residual, float64 (R,).
        iterations: (R,).
        reason: why each run ended; R texts.
        curve: (evaluations, objective (R,), criticality residual (R,)) every 10 iterations.
    """

    objective: np.ndarray
    residual: np.ndarray
    iterations: np.ndarray
    reason: list[str]
    curve: list[tuple[int, list[float], list[float]]] = field(default_factory=list)


@dataclass(kw_only=True)
class _State:
    """Where the runs stand. Vectors lie on the objective's device; what is one number a run is a numpy array.

    Attributes:
        point: x_k, g_k and M g_k.
        trial: memory of the next one.
        direction: p_k, (R, P).
        value: F(x_k), (R,).
        evaluation: at x_k; None where the runs stand at points of different evaluations.
        active: runs that have not ended, (R,).
        failures: searches in a row without a step, (R,).
        iterations: (R,).
        reason: why each run ended.
        values: F after each iteration; NaN before a change of a run's step-sizes.
    """

    point: Point
    trial: Point
    direction: Tensor
    value: np.ndarray
    evaluation: Evaluation | None
    active: np.ndarray
    failures: np.ndarray
    iterations: np.ndarray
    reason: list[str]
    values: list[np.ndarray] = field(default_factory=list)

    def end(self, condition: np.ndarray, reason: str) -> None:
        """End the active runs for which ``condition`` (R,) holds."""
        for run in np.flatnonzero(self.active & condition):
            self.reason[run] = reason
        self.active = self.active & ~condition


def minimise(
    objective: Objective,
    parameters: Tensor,
    settings: QuasiNewtonSettings,
    *,
    probes: Sequence[torch.Generator],
    progress: Progress | None = None,
    adapt: Callable[[np.ndarray], np.ndarray] | None = None,
) -> QuasiNewtonResult:
    """Minimise the objective from ``parameters`` (R, P), which is updated in place.

    Args:
        objective: at fixed step-sizes, unless ``adapt`` changes them.
        parameters: where to start; where it ended afterwards.
        settings: length, memory, tolerance.
        probes: a generator of the preconditioner's probes for each run.
        progress: called every 10 iterations.
        adapt: called before each refresh but the first with the runs that have not ended, (R,); returns those whose
            step-sizes it changed, (R,).
    """
    state = _start(objective, parameters)
    history, means = History(settings.memory, parameters), _Means(objective, parameters, settings.average)
    metric: Metric = _identity
    curve: list[tuple[int, list[float], list[float]]] = []
    for iteration in range(settings.iterations):
        due = iteration % (settings.refresh or JUDGED_EVERY) == 0
        if due and settings.tolerance and iteration > 0:
            state.end(means.judge(parameters, state.value)[1] <= settings.tolerance, "critical")
            if not state.active.any():
                break
        if iteration == 0 and not settings.refresh:
            _identity(state.point.gradient, state.point.preconditioned)
        if due and settings.refresh:
            if adapt is not None and iteration > 0 and (changed := adapt(state.active)).any():
                _restart(objective, state, history, changed)
            metric = _refresh(objective, state, history, probes, settings.damping)
        slope = _find_direction(objective, state, history, preconditioned=settings.refresh > 0)
        _step(state, history, metric, _line_search(objective, state, slope))
        state.iterations[state.active] = iteration + 1
        means.add(parameters, state.active)
        if iteration % 10 == 9 or iteration + 1 == settings.iterations:
            residual = _residual(objective, state.point)
            curve.append((objective.evaluations, state.value.tolist(), residual.tolist()))
            if progress is not None:
                progress(iteration + 1, state.value, residual)
        if _should_stop(state, settings):
            break
    value, residual = means.settle(parameters, state.value, _residual(objective, state.point))
    return QuasiNewtonResult(
        objective=value, residual=residual, iterations=state.iterations, reason=state.reason, curve=curve
    )


def _identity(vector: Tensor, out: Tensor) -> Tensor:
    """The metric of plain L-BFGS."""
    return out.copy_(vector)


def _residual(objective: Objective, point: Point) -> np.ndarray:
    return _numbers(objective.criticality_residual(point.parameters, point.gradient))


def _numbers(tensor: Tensor) -> np.ndarray:
    """One number a run, (R,), as a numpy array."""
    return tensor.cpu().numpy()


def _start(objective: Objective, parameters: Tensor) -> _State:
    point = Point(parameters, torch.empty_like(parameters), torch.empty_like(parameters))
    evaluation = objective.gradient(parameters, point.gradient)
    value = _numbers(evaluation.value)
    return _State(
        point=point,
        trial=Point(*(torch.empty_like(array) for array in point)),
        direction=torch.empty_like(parameters),
        value=value,
        evaluation=evaluation,
        active=np.isfinite(value),
        failures=np.zeros(len(value), dtype=int),
        iterations=np.zeros(len(value), dtype=int),
        reason=["ran its length" if finite else "not finite" for finite in np.isfinite(value)],
    )


def _restart(objective: Objective, state: _State, history: History, changed: np.ndarray) -> None:
    """Let the runs whose step-sizes have changed (R,) go on with another objective.

    A run that has ended keeps its value, and a run without a change all that it has.
    """
    history.forget(changed)
    state.evaluation = objective.gradient(state.point.parameters, state.point.gradient)
    state.value = np.where(state.active & changed, _numbers(state.evaluation.value), state.value)
    for earlier in state.values:
        earlier[changed] = np.nan  # no decrease is counted across the change


def _refresh(
    objective: Objective, state: _State, history: History, probes: Sequence[torch.Generator], damping: float
) -> Metric:
    """The preconditioner at the present point, which ``state`` and ``history`` take up."""
    if state.evaluation is None or not state.evaluation.is_newest:
        state.evaluation = objective.predict(state.point.parameters)
    metric = KroneckerPreconditioner(state.evaluation, probes=probes, damping=damping)
    metric(state.point.gradient, state.point.preconditioned)
    history.change_metric(metric, state.point.gradient)
    return metric


def _find_direction(objective: Objective, state: _State, history: History, *, preconditioned: bool) -> np.ndarray:
    """Set the search direction p (R, P), and return the slope <grad F, p>, (R,).

    A run whose direction would be uphill restarts from -M g.
    """
    parameters, gradient, descent = state.point
    if preconditioned:
        # a first step of 1/L of the preconditioned gradient: all layers move at once, and their effects add up
        first = np.full(len(state.value), 1.0 / objective.depth)
    else:
        # a hundredth of the weights' own length
        first = 0.01 * np.sqrt(dot(parameters, parameters) / np.maximum(dot(gradient, gradient), 1e-300))
    direction = history.direction(descent, history.scale(first), state.direction)
    slope = dot(gradient, direction)
    if (uphill := state.active & ~(slope < 0)).any():
        history.forget(uphill)
        direction[uphill] = descent[uphill] * per_run(-first[uphill], descent)
        slope = dot(gradient, direction)
    return slope


@dataclass(frozen=True, kw_only=True)
class _Search:
    """What a line search ended at.

    Attributes:
        evaluation: the last one.
        value: F, (R,).
        accepted: the runs that accept their step, (R,).
        curvature: <s, y> of the step s and the gradient's change y, (R,).
    """

    evaluation: Evaluation
    value: np.ndarray
    accepted: np.ndarray
    curvature: np.ndarray


def _line_search(objective: Objective, state: _State, slope: np.ndarray) -> _Search:
    """Backtracking from the unit step to the Armijo condition [NW06, algorithm 3.1].

        F(x + alpha p) <= F(x) + c_1 alpha <grad F, p>     [NW06, eq. 3.4]
        alpha <- -alpha^2 <grad F, p> / (2 (F(x + alpha p) - F(x) - alpha <grad F, p>))     [NW06, eq. 3.58]

    Runs that have a step stay at it while the others search.
    """
    value, parameters, direction, trial = state.value, state.point.parameters, state.direction, state.trial
    # near a minimum the true decrease drowns in the round-off of the objective: a step may appear to gain nothing
    slack = torch.finfo(parameters.dtype).eps
    alpha = np.ones_like(value)
    waiting = state.active & (slope < 0)
    accepted = np.zeros_like(state.active)
    new_value = value.copy()
    for _ in range(MAX_BACKTRACKS):
        step = per_run(np.where(state.active, alpha, 0.0), direction)
        torch.addcmul(parameters, step, direction, out=trial.parameters)
        evaluation = objective.gradient(trial.parameters, trial.gradient)
        reached = _numbers(evaluation.value)
        good = waiting & (reached <= value + SUFFICIENT_DECREASE * alpha * slope + slack * value)
        accepted |= good
        new_value[good] = reached[good]
        waiting &= ~good
        if not waiting.any():
            break
        with np.errstate(all="ignore"):  # a step may leave the finite numbers
            shrunk = -slope * alpha**2 / (2.0 * (reached - value - slope * alpha))
        shrunk = np.where(np.isfinite(shrunk), shrunk, 0.1 * alpha)
        alpha = np.where(waiting, np.clip(shrunk, 0.1 * alpha, 0.5 * alpha), alpha)
    curvature = alpha * (dot(trial.gradient, direction) - slope)
    return _Search(evaluation=evaluation, value=new_value, accepted=accepted, curvature=curvature)


def _step(state: _State, history: History, metric: Metric, search: _Search) -> None:
    """Move the runs that accept their step, and record the pairs."""
    point, trial, accepted = state.point, state.trial, search.accepted
    if not accepted.all():
        for array, present in zip(trial[:2], point[:2], strict=True):
            array[~accepted] = present[~accepted]
    metric(trial.gradient, trial.preconditioned)
    history.add(point, trial, search.curvature, accepted & (search.curvature > 0))
    # the caller reads its array of parameters, so that the new ones are copied; the rest changes places
    point.parameters.copy_(trial.parameters)
    state.point = Point(point.parameters, trial.gradient, trial.preconditioned)
    state.trial = Point(trial.parameters, point.gradient, point.preconditioned)
    state.value = search.value
    state.evaluation = search.evaluation if accepted.all() else None
    state.values.append(state.value.copy())
    state.failures = np.where(accepted, 0, state.failures + 1)
    history.forget(state.active & ~accepted)


def _should_stop(state: _State, settings: QuasiNewtonSettings) -> bool:
    """End the runs that have stalled or find no step; returns whether all runs have ended."""
    if settings.stall and len(state.values) > STALL_WINDOW:
        gain = state.values[-1 - STALL_WINDOW] - state.value
        state.end(gain < settings.stall * state.value, "stalled")
    state.end(state.failures > MAX_FAILURES, "no step improves it")
    return not state.active.any()


class _Means:
    """The mean of the last iterates of each run. A run that has ended keeps the mean that it ended with."""

    def __init__(self, objective: Objective, parameters: Tensor, count: int) -> None:
        self._objective = objective
        self._recent = parameters.new_empty(count, *parameters.shape)
        self._added = np.zeros(len(parameters), dtype=int)

    def add(self, parameters: Tensor, active: np.ndarray) -> None:
        """Add an iterate (R, P) of the active runs (R,)."""
        if not len(self._recent) or not active.any():
            return
        place = self._recent[self._added.max() % len(self._recent)]
        if active.all():
            place.copy_(parameters)
        else:
            place[active] = parameters[active]
        self._added[active] += 1

    def judge(self, parameters: Tensor, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Objective and criticality residual of the means, (R,) each; infinity where a mean raises it too much."""
        evaluation = self._objective.gradient(self._mean(parameters), torch.empty_like(parameters))
        acceptable = _numbers(evaluation.value) <= value * (1.0 + AVERAGE_COST)
        return _numbers(evaluation.value), np.where(acceptable, _numbers(evaluation.criticality_residual), np.inf)

    def _mean(self, parameters: Tensor) -> Tensor:
        """The means (R, P); the present iterate of a run that has none."""
        means = [
            self._recent[:count, run].mean(0) if count else parameters[run]
            for run, count in enumerate(np.minimum(self._added, len(self._recent)).tolist())
        ]
        return torch.stack(means)

    def settle(self, parameters: Tensor, value: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Put each run's mean into ``parameters`` where it is more critical than the ``last`` iterate.

        Returns:
            Objective and criticality residual, (R,) each.
        """
        if not self._added.any():
            return value, last
        mean_value, residual = self.judge(parameters, value)
        better = residual < last
        parameters[better] = self._mean(parameters)[better]
        return np.where(better, mean_value, value), np.where(better, residual, last)
