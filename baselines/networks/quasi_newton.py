"""L-BFGS with a Kronecker-factored starting metric, for R runs in step.

The inverse Hessian is modelled by the two-loop recursion over the last m pairs (Nocedal 1980), on top of a
preconditioner that is refreshed every few iterations instead of a multiple of the identity. Steps are accepted by
the Armijo condition, with quadratic interpolation when backtracking. [NW06] is Nocedal and Wright 2006, *Numerical
Optimization*, 2nd edition.

Every run has its own step length, history and end: a run that has ended, or that waits while another one searches,
stays where it is. So a run in a batch takes the steps that it takes alone, up to round-off in the products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from leakybench.baselines.networks.curvature import KroneckerPreconditioner
from leakybench.baselines.networks.history import History, Metric, column, dot
from leakybench.baselines.networks.objective import Evaluation, Objective

SUFFICIENT_DECREASE = 1e-4
"""c_1 of the Armijo condition."""

MAX_BACKTRACKS = 8
MAX_FAILURES = 3
AVERAGE_COST = 1e-3
STALL_WINDOW = 50

Progress = Callable[[int, Tensor, Tensor], None]
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
        objective: (R,).
        residual: criticality residual, (R,).
        iterations: (R,).
        reason: why each run ended; R texts.
        curve: (evaluations, objective (R,), criticality residual (R,)) every 10 iterations.
    """

    objective: Tensor
    residual: Tensor
    iterations: Tensor
    reason: list[str]
    curve: list[tuple[int, list[float], list[float]]] = field(default_factory=list)


@dataclass(kw_only=True)
class _State:
    """Where the runs stand.

    Attributes:
        parameters: x_k, (R, P).
        gradient: at x_k, (R, P).
        trial_gradient: memory of the line search, (R, P).
        value: F(x_k), float64 (R,).
        evaluation: at x_k; None where the runs stand at points of different evaluations.
        active: runs that have not ended, (R,).
        failures: searches in a row without a step, (R,).
        iterations: (R,).
        reason: why each run ended.
        values: F after each iteration, since the step-sizes last changed.
    """

    parameters: Tensor
    gradient: Tensor
    trial_gradient: Tensor
    value: Tensor
    evaluation: Evaluation | None
    active: Tensor
    failures: Tensor
    iterations: Tensor
    reason: list[str]
    values: list[Tensor] = field(default_factory=list)

    def end(self, condition: Tensor, reason: str) -> None:
        """End the active runs for which ``condition`` (R,) holds."""
        for run in torch.nonzero(self.active & condition).flatten().tolist():
            self.reason[run] = reason
        self.active = self.active & ~condition


def minimise(
    objective: Objective,
    parameters: Tensor,
    settings: QuasiNewtonSettings,
    *,
    probes: Sequence[torch.Generator],
    progress: Progress | None = None,
    adapt: Callable[[], bool] | None = None,
) -> QuasiNewtonResult:
    """Minimise the objective from ``parameters`` (R, P), which is updated in place.

    Args:
        objective: at fixed step-sizes, unless ``adapt`` changes them.
        parameters: where to start; where it ended afterwards.
        settings: length, memory, tolerance.
        probes: a generator of the preconditioner's probes for each run.
        progress: called every 10 iterations.
        adapt: called before each refresh but the first; returns whether it changed the objective's step-sizes.
    """
    state = _start(objective, parameters)
    history, means = History(settings.memory), _Means(objective, settings.average)
    metric: KroneckerPreconditioner | None = None
    curve: list[tuple[int, list[float], list[float]]] = []
    for iteration in range(settings.iterations):
        if settings.tolerance and iteration > 0 and iteration % (settings.refresh or 50) == 0:
            state.end(means.judge(parameters, state.value)[1] <= settings.tolerance, "critical")
            if not state.active.any():
                break
        if settings.refresh and iteration % settings.refresh == 0:
            if adapt is not None and iteration > 0 and adapt():
                _restart(objective, state, history)
            metric = _refresh(objective, state, probes, settings.damping)
        direction, slope = _direction(objective, state, history, metric)
        _step(state, history, _line_search(objective, state, direction, slope))
        state.iterations = torch.where(state.active, iteration + 1, state.iterations)
        means.add(parameters, state.active)
        if iteration % 10 == 9 or iteration + 1 == settings.iterations:
            residual = objective.criticality_residual(parameters, state.gradient)
            curve.append((objective.evaluations, state.value.tolist(), residual.tolist()))
            if progress is not None:
                progress(iteration + 1, state.value, residual)
        if _should_stop(state, settings):
            break
    value, residual = means.settle(parameters, state.gradient, state.value)
    return QuasiNewtonResult(
        objective=value, residual=residual, iterations=state.iterations, reason=state.reason, curve=curve
    )


def _start(objective: Objective, parameters: Tensor) -> _State:
    gradient = torch.empty_like(parameters)
    evaluation = objective.gradient(parameters, gradient)
    active = torch.isfinite(evaluation.value)
    none = torch.zeros(parameters.shape[0], dtype=torch.long)
    return _State(
        parameters=parameters,
        gradient=gradient,
        trial_gradient=torch.empty_like(parameters),
        value=evaluation.value,
        evaluation=evaluation,
        active=active,
        failures=none,
        iterations=none,
        reason=["ran its length" if finite else "not finite" for finite in active.tolist()],
    )


def _restart(objective: Objective, state: _State, history: History) -> None:
    """Go on with another objective, whose step-sizes have changed; the runs that have ended keep their value."""
    history.clear()
    state.evaluation = objective.gradient(state.parameters, state.gradient)
    state.value = torch.where(state.active, state.evaluation.value, state.value)
    state.values.clear()


def _refresh(
    objective: Objective, state: _State, probes: Sequence[torch.Generator], damping: float
) -> KroneckerPreconditioner:
    """The preconditioner at the present point."""
    if state.evaluation is None or not state.evaluation.is_newest:
        state.evaluation = objective.predict(state.parameters)
    return KroneckerPreconditioner(state.evaluation, probes=probes, damping=damping)


def _direction(objective: Objective, state: _State, history: History, metric: Metric | None) -> tuple[Tensor, Tensor]:
    """The search direction p (R, P) and the slope <grad F, p> (R,); a run with an uphill one restarts from -M g."""
    gradient = state.gradient
    # a first step of 1/L of the preconditioned gradient: all layers move at once, and their effects add up
    first = 1.0 / objective.coefficients.depth

    def base(vector: Tensor) -> Tensor:
        return vector if metric is None else metric(vector)

    if history.pairs:
        gamma = history.scale(base, first)
    elif metric is not None:
        gamma = torch.full_like(dot(gradient, gradient), first)
    else:
        # without a preconditioner, the first step is a hundredth of the weights' own length
        norms = dot(state.parameters, state.parameters), dot(gradient, gradient)
        gamma = 0.01 * (norms[0] / norms[1].clamp_min(1e-300)).sqrt()
    direction = history.direction(gradient, lambda vector: base(vector) * column(gamma, vector))
    slope = dot(gradient, direction)
    if (uphill := state.active & ~(slope < 0)).any():
        history.forget(uphill)
        steepest = -(metric(gradient) * first if metric is not None else gradient)
        direction = torch.where(column(uphill, direction), steepest, direction)
        slope = dot(gradient, direction)
    return direction, slope


@dataclass(frozen=True, kw_only=True)
class _Search:
    """What a line search ended at: the last evaluation, the values F (R,), and the runs that accept their step (R,)."""

    evaluation: Evaluation
    value: Tensor
    accepted: Tensor


def _line_search(objective: Objective, state: _State, direction: Tensor, slope: Tensor) -> _Search:
    """Backtracking from the unit step to the Armijo condition [NW06, algorithm 3.1].

        F(x + alpha p) <= F(x) + c_1 alpha <grad F, p>     [NW06, eq. 3.4]
        alpha <- -alpha^2 <grad F, p> / (2 (F(x + alpha p) - F(x) - alpha <grad F, p>))     [NW06, eq. 3.58]

    Runs that have a step stay at it while the others search.
    """
    value, parameters = state.value, state.parameters
    # near a minimum the true decrease drowns in the round-off of the objective: a step may appear to gain nothing
    slack = torch.finfo(parameters.dtype).eps
    alpha = torch.ones_like(value)
    waiting = state.active & (slope < 0)
    accepted = torch.zeros_like(state.active)
    new_value = value.clone()
    for _ in range(MAX_BACKTRACKS):
        step = column(torch.where(state.active, alpha, 0.0), direction)
        evaluation = objective.gradient(torch.addcmul(parameters, step, direction), state.trial_gradient)
        trial = evaluation.value
        good = waiting & (trial <= value + SUFFICIENT_DECREASE * alpha * slope + slack * value)
        accepted |= good
        new_value = torch.where(good, trial, new_value)
        waiting &= ~good
        if not waiting.any():
            break
        shrunk = -slope * alpha**2 / (2.0 * (trial - value - slope * alpha))
        shrunk = torch.where(torch.isfinite(shrunk), shrunk, 0.1 * alpha)
        alpha = torch.where(waiting, shrunk.clamp(0.1 * alpha, 0.5 * alpha), alpha)
    return _Search(evaluation=evaluation, value=new_value, accepted=accepted)


def _step(state: _State, history: History, search: _Search) -> None:
    """Move the runs that accept their step, and record the pairs (s, y)."""
    evaluation, accepted = search.evaluation, search.accepted
    assert evaluation.gradient is not None
    moved = column(accepted, state.parameters)
    parameters = torch.where(moved, evaluation.parameters, state.parameters)
    gradient = torch.where(moved, evaluation.gradient, state.gradient)
    history.add(parameters - state.parameters, gradient - state.gradient, accepted)
    state.parameters.copy_(parameters)
    state.gradient.copy_(gradient)
    state.value = search.value
    state.evaluation = evaluation if bool(accepted.all()) else None
    state.values.append(state.value)
    state.failures = torch.where(accepted, 0, state.failures + 1)
    if (stuck := state.active & ~accepted).any():
        history.forget(stuck)


def _should_stop(state: _State, settings: QuasiNewtonSettings) -> bool:
    """End the runs that have stalled or find no step; returns whether all runs have ended."""
    if settings.stall and len(state.values) > STALL_WINDOW:
        gain = state.values[-1 - STALL_WINDOW] - state.value
        state.end(gain < settings.stall * state.value, "stalled")
    state.end(state.failures > MAX_FAILURES, "no step improves it")
    return not bool(state.active.any())


class _Means:
    """The mean of the last iterates of each run. A run that has ended keeps the mean that it ended with."""

    def __init__(self, objective: Objective, count: int) -> None:
        self._objective = objective
        self._count = count
        self._recent: list[Tensor] = []

    def add(self, parameters: Tensor, active: Tensor) -> None:
        """Add an iterate (R, P) of the active runs (R,)."""
        if self._count:
            previous = self._recent[-1] if self._recent else parameters
            self._recent.append(torch.where(column(active, parameters), parameters, previous))
            del self._recent[: -self._count]

    def judge(self, parameters: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Objective and criticality residual of the means, (R,) each; infinity where a mean raises it too much."""
        mean = torch.stack(self._recent).mean(0) if self._recent else parameters
        evaluation = self._objective.gradient(mean, torch.empty_like(parameters))
        acceptable = evaluation.value <= value * (1.0 + AVERAGE_COST)
        return evaluation.value, torch.where(acceptable, evaluation.criticality_residual, torch.inf)

    def settle(self, parameters: Tensor, gradient: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put each run's mean into ``parameters`` where it is more critical; returns objective and residual, (R,)."""
        last = self._objective.criticality_residual(parameters, gradient)
        if not self._recent:
            return value, last
        mean_value, residual = self.judge(parameters, value)
        better = residual < last
        parameters.copy_(torch.where(column(better, parameters), torch.stack(self._recent).mean(0), parameters))
        return torch.where(better, mean_value, value), torch.where(better, residual, last)
