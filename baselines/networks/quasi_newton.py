"""L-BFGS with a Kronecker-factored starting metric, for R runs in step.

The inverse Hessian's model is the usual two-loop recursion (Nocedal 1980) over the last m pairs, on top of a
preconditioner that is refreshed every few iterations instead of a multiple of the identity. Steps are accepted by
Armijo's rule, with quadratic interpolation on the way back.

Every run has its own step length, history and end: a run that is done, or that waits while another searches, stays
where it is. So a run in a batch takes the steps that it takes alone, up to round-off in the products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from leakybench.baselines.networks.curvature import KroneckerPreconditioner
from leakybench.baselines.networks.objective import Objective

SUFFICIENT_DECREASE = 1e-4
MAX_BACKTRACKS = 8
MAX_FAILURES = 3
AVERAGE_COST = 1e-3


@dataclass(frozen=True, kw_only=True)
class PolishSettings:
    """How long and how carefully to polish.

    Attributes:
        iterations: at most; one gradient each, and a few more for rejected steps.
        memory: pairs kept.
        refresh: iterations between two preconditioners; 0 for none (plain L-BFGS).
        damping: of the preconditioner, in units of the penalty's curvature.
        average: iterates whose mean is the result, where that costs the objective less than ``AVERAGE_COST``. A
            piecewise linear network has its critical points on kinks, between whose sides the iterates jump; their
            mean lies on them.
        tolerance: a run ends when the criticality residual of that mean, looked at before each refresh, is at most
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
class PolishResult:
    """Where polishing ended: per run the objective (R,), the residual (R,), iterations (R,) and why it stopped."""

    objective: Tensor
    residual: Tensor
    iterations: Tensor
    reason: list[str]
    curve: list[tuple[int, list[float], list[float]]] = field(default_factory=list)


Progress = Callable[[int, Tensor, Tensor], None]


class _History:
    """The last m pairs (s, y) of every run, and 1 / <s, y>, which is 0 where a run has no such pair.

    Runs do not notice each other: a pair that is none for a run neither displaces an older one of that run nor counts
    as its newest.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, step: Tensor, change: Tensor, valid: Tensor) -> None:
        curvature = dot(step, change)
        good = valid & (curvature > 1e-12 * dot(change, change).clamp_min(1e-300) ** 0.5 * dot(step, step) ** 0.5)
        if good.any():
            inverse = torch.where(good, 1.0 / torch.where(good, curvature, torch.ones_like(curvature)), 0.0)
            self.pairs.append((step, change, inverse))
            self._expire()

    def _expire(self) -> None:
        """Leave each run its newest m pairs, and drop the oldest where no run has a use for them."""
        newer = torch.zeros_like(self.pairs[-1][2])
        kept = []
        for step, change, inverse in reversed(self.pairs):
            inverse = torch.where(newer >= self.memory, 0.0, inverse)
            newer = newer + (inverse > 0)
            kept.append((step, change, inverse))
        while len(kept) > self.memory and not (kept[-1][2] > 0).any():
            kept.pop()
        self.pairs = kept[::-1]

    def forget(self, runs: Tensor) -> None:
        self.pairs = [(s, y, torch.where(runs, 0.0, inverse)) for s, y, inverse in self.pairs]

    def direction(self, gradient: Tensor, metric: Callable[[Tensor], Tensor]) -> Tensor:
        """-H g by the two-loop recursion."""
        q = gradient.clone()
        coefficients = []
        for step, change, inverse in reversed(self.pairs):
            alpha = inverse * dot(step, q)
            coefficients.append(alpha)
            q.addcmul_(_column(alpha, q), change, value=-1.0)
        q = metric(q)
        for (step, change, inverse), alpha in zip(self.pairs, reversed(coefficients), strict=True):
            beta = inverse * dot(change, q)
            q.addcmul_(_column(alpha - beta, q), step)
        return q.neg_()

    def scale(self, metric: Callable[[Tensor], Tensor], otherwise: float) -> Tensor:
        """<s, y> / <y, M y> of the newest pair of each run, the usual size of the starting metric; (R,)."""
        found = torch.full_like(self.pairs[-1][2], otherwise)
        missing = torch.ones_like(found, dtype=torch.bool)
        for step, change, inverse in reversed(self.pairs):
            newest = missing & (inverse > 0)
            if newest.any():
                ratio = dot(step, change) / dot(change, metric(change)).clamp_min(1e-300)
                found = torch.where(newest, ratio, found)
                missing &= ~newest
            if not missing.any():
                break
        return found


def polish(
    objective: Objective,
    parameters: Tensor,
    settings: PolishSettings,
    *,
    probes: Sequence[torch.Generator],
    progress: Progress | None = None,
    adapt: Callable[[], bool] | None = None,
) -> PolishResult:
    """Minimise the objective from ``parameters`` (R, P), which is updated in place.

    Args:
        objective: at fixed step-sizes.
        parameters: where to start; where it ended afterwards.
        settings: length, memory, tolerance.
        probes: a generator of the preconditioner's probes for each run.
        adapt: called before each refresh but the first; returns whether it changed the objective's step-sizes.
        progress: called every 10 iterations with (iteration, objective (R,), residual (R,)).
    """
    runs = parameters.shape[0]
    gradient, candidate_gradient = torch.empty_like(parameters), torch.empty_like(parameters)
    objective.gradient(parameters, gradient)
    value = objective.cost() + objective.penalty(parameters)
    residual = objective.criticality_residual(parameters, gradient)
    active = torch.isfinite(value)
    ended = torch.zeros(runs, dtype=torch.long)
    failures = torch.zeros(runs, dtype=torch.long)
    reason = ["ran its length" if fine else "not finite" for fine in active.tolist()]
    curve: list[tuple[int, list[float], list[float]]] = []
    history = _History(settings.memory)
    metric: Callable[[Tensor], Tensor] | None = None
    marks: list[Tensor] = []
    # a first step of 1/L of the preconditioned gradient: all layers move at once, and their effects add up
    first = 1.0 / objective.coefficients.depth
    stale = False
    # near a minimum the true decrease drowns in the round-off of the objective: a step may appear to gain nothing
    slack = torch.finfo(parameters.dtype).eps

    means = _Means(objective, settings.average)
    for iteration in range(settings.iterations):
        if settings.tolerance and iteration > 0 and iteration % (settings.refresh or 50) == 0:
            _, residual = means.judge(parameters, value)
            stale = True
            active = _end(active, residual <= settings.tolerance, "critical", reason)
            if not active.any():
                break
        if settings.refresh and iteration % settings.refresh == 0:
            if adapt is not None and iteration > 0 and adapt():
                history.pairs.clear()  # of another objective
                objective.gradient(parameters, gradient)
                value = torch.where(active, objective.cost() + objective.penalty(parameters), value)
                stale = False
                marks.clear()
            if stale:
                objective.predict(parameters)  # the workspace must hold the states of the accepted point
            metric = KroneckerPreconditioner(objective, parameters, probes=probes, damping=settings.damping)
        direction = _direction(history, gradient, metric, first, parameters)
        slope = dot(gradient, direction)
        if (uphill := active & ~(slope < 0)).any():
            history.forget(uphill)
            steepest = -(metric(gradient) * first if metric is not None else gradient)
            direction = torch.where(_column(uphill, direction), steepest, direction)
            slope = dot(gradient, direction)

        length = torch.ones_like(value)
        waiting = active & (slope < 0)
        accepted = torch.zeros_like(active)
        new_value = value.clone()
        for _ in range(MAX_BACKTRACKS):
            candidate = torch.addcmul(parameters, _column(torch.where(active, length, 0.0), direction), direction)
            objective.gradient(candidate, candidate_gradient)
            trial = objective.cost() + objective.penalty(candidate)
            good = waiting & (trial <= value + SUFFICIENT_DECREASE * length * slope + slack * value)
            accepted |= good
            new_value = torch.where(good, trial, new_value)
            waiting &= ~good
            if not waiting.any():
                break
            shrunk = -slope * length**2 / (2.0 * (trial - value - slope * length))
            shrunk = torch.where(torch.isfinite(shrunk), shrunk, 0.1 * length)
            length = torch.where(waiting, shrunk.clamp(0.1 * length, 0.5 * length), length)

        stale = not bool(accepted.all())
        moved = _column(accepted, parameters)
        new_parameters = torch.where(moved, candidate, parameters)
        new_gradient = torch.where(moved, candidate_gradient, gradient)
        history.add(new_parameters - parameters, new_gradient - gradient, accepted)
        parameters.copy_(new_parameters)
        gradient.copy_(new_gradient)
        value = new_value
        failures = torch.where(accepted, 0, failures + 1)
        if (stuck := active & ~accepted).any():
            history.forget(stuck)
        ended = torch.where(active, iteration + 1, ended)

        means.add(parameters, active)
        if iteration % 10 == 9 or iteration + 1 == settings.iterations:
            residual = objective.criticality_residual(parameters, gradient)
            curve.append((objective.evaluations, value.tolist(), residual.tolist()))
            if progress is not None:
                progress(iteration + 1, value, residual)
        marks.append(value)
        if settings.stall and len(marks) > 50:
            active = _end(active, marks[-51] - value < settings.stall * value, "stalled", reason)
        active = _end(active, failures > MAX_FAILURES, "no step improves it", reason)
        if not active.any():
            break
    value, residual = means.settle(parameters, gradient, value)
    return PolishResult(objective=value, residual=residual, iterations=ended, reason=reason, curve=curve)


class _Means:
    """The mean of the last iterates of each run. A run that has ended keeps the mean that it ended with."""

    def __init__(self, objective: Objective, count: int) -> None:
        self._objective = objective
        self._count = count
        self._recent: list[Tensor] = []

    def add(self, parameters: Tensor, active: Tensor) -> None:
        if self._count:
            kept = self._recent[-1] if self._recent else parameters
            self._recent.append(torch.where(_column(active, parameters), parameters, kept))
            del self._recent[: -self._count]

    def judge(self, parameters: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Objective and criticality residual of the means; where a mean costs too much, infinity."""
        mean = torch.stack(self._recent).mean(0) if self._recent else parameters
        gradient = torch.empty_like(parameters)
        self._objective.gradient(mean, gradient)
        found = self._objective.cost() + self._objective.penalty(mean)
        residual = self._objective.criticality_residual(mean, gradient)
        return found, torch.where(found <= value * (1.0 + AVERAGE_COST), residual, torch.inf)

    def settle(self, parameters: Tensor, gradient: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put each run's mean into ``parameters`` where it is the more critical point; returns objective and
        residual.
        """
        last = self._objective.criticality_residual(parameters, gradient)
        if not self._recent:
            return value, last
        found, residual = self.judge(parameters, value)
        better = residual < last
        parameters.copy_(torch.where(_column(better, parameters), torch.stack(self._recent).mean(0), parameters))
        return torch.where(better, found, value), torch.where(better, residual, last)


def _direction(
    history: _History, gradient: Tensor, metric: Callable[[Tensor], Tensor] | None, first: float, parameters: Tensor
) -> Tensor:
    def identity(vector: Tensor) -> Tensor:
        return vector

    base = metric or identity
    if history.pairs:
        # without a preconditioner, the first step is a hundredth of the weights' own length
        scale = history.scale(base, first)
    elif metric is not None:
        scale = torch.full_like(dot(gradient, gradient), first)
    else:
        scale = 0.01 * (dot(parameters, parameters) / dot(gradient, gradient).clamp_min(1e-300)).sqrt()
    return history.direction(gradient, lambda vector: base(vector) * _column(scale, vector))


def _end(active: Tensor, condition: Tensor, why: str, reason: list[str]) -> Tensor:
    for run in torch.nonzero(active & condition).flatten().tolist():
        reason[run] = why
    return active & ~condition


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype if values.is_floating_point() else values.dtype).unsqueeze(1)


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Inner product of each run's vectors; (R,) float64 for (R, P)."""
    return torch.linalg.vecdot(left, right, dim=1).double()
