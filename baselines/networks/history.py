"""The limited-memory model of the inverse Hessian, for R runs in step: pairs (s, y) and the two-loop recursion.

References: Nocedal 1980, Math. Comp. 35, 773; [NW06] Nocedal and Wright 2006, *Numerical Optimization*, 2nd edition,
whose symbols are used here: s = x_{k+1} - x_k, y the change of the gradient, rho = 1 / <s, y> (not a step-size).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Metric = Callable[[Tensor], Tensor]
"""An approximation of the inverse Hessian, applied to each run's vector: (R, P) to (R, P)."""


class Pair(NamedTuple):
    """One step of all runs.

    Attributes:
        s: x_{k+1} - x_k, (R, P).
        y: change of the gradient, (R, P).
        rho: 1 / <s, y>, (R,); 0 where a run has no such pair.
    """

    s: Tensor
    y: Tensor
    rho: Tensor


class History:
    """The last m pairs of every run.

    Runs are independent of each other: a pair that is invalid for a run neither displaces an older pair of that run nor
    counts as its newest.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.pairs: list[Pair] = []

    def add(self, s: Tensor, y: Tensor, valid: Tensor) -> None:
        """Add a pair for the runs where ``valid`` (R,) holds and the curvature <s, y> is positive [NW06, eq. 6.7]."""
        sy = dot(s, y)
        good = valid & (sy > 1e-12 * dot(y, y).clamp_min(1e-300) ** 0.5 * dot(s, s) ** 0.5)
        if good.any():
            rho = torch.where(good, 1.0 / torch.where(good, sy, torch.ones_like(sy)), 0.0)
            self.pairs.append(Pair(s, y, rho))
            self._expire()

    def _expire(self) -> None:
        """Leave each run its newest m pairs, and drop the oldest pairs that no run uses."""
        newer = torch.zeros_like(self.pairs[-1].rho)
        pairs = []
        for s, y, rho in reversed(self.pairs):
            rho = torch.where(newer >= self.memory, 0.0, rho)
            newer = newer + (rho > 0)
            pairs.append(Pair(s, y, rho))
        while len(pairs) > self.memory and not (pairs[-1].rho > 0).any():
            pairs.pop()
        self.pairs = pairs[::-1]

    def forget(self, runs: Tensor) -> None:
        """Drop all pairs of the runs where ``runs`` (R,) is true."""
        self.pairs = [Pair(s, y, torch.where(runs, 0.0, rho)) for s, y, rho in self.pairs]

    def clear(self) -> None:
        """Drop all pairs of all runs."""
        self.pairs.clear()

    def direction(self, gradient: Tensor, metric: Metric) -> Tensor:
        """-H g, (R, P), by the two-loop recursion from H_0 = ``metric`` [Nocedal 1980; NW06, algorithm 7.4]."""
        q = gradient.clone()
        alphas = []
        for s, y, rho in reversed(self.pairs):
            alpha = rho * dot(s, q)
            alphas.append(alpha)
            q.addcmul_(column(alpha, q), y, value=-1.0)
        r = metric(q)
        for (s, y, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            beta = rho * dot(y, r)
            r.addcmul_(column(alpha - beta, r), s)
        return r.neg_()

    def scale(self, metric: Metric, otherwise: float) -> Tensor:
        """gamma = <s, y> / <y, M y> of each run's newest pair, the size of the starting metric gamma M; (R,).

        For M = I it is that of [NW06, eq. 7.20]. A run without pairs gets ``otherwise``.
        """
        gamma = torch.full_like(self.pairs[-1].rho, otherwise)
        missing = torch.ones_like(gamma, dtype=torch.bool)
        for s, y, rho in reversed(self.pairs):
            newest = missing & (rho > 0)
            if newest.any():
                ratio = dot(s, y) / dot(y, metric(y)).clamp_min(1e-300)
                gamma = torch.where(newest, ratio, gamma)
                missing &= ~newest
            if not missing.any():
                break
        return gamma


def column(values: Tensor, like: Tensor) -> Tensor:
    """One number or truth value for each run, (R,), as (R, 1) that broadcasts over vectors (R, P) like ``like``."""
    return values.to(like.dtype if values.is_floating_point() else values.dtype).unsqueeze(1)


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Inner product of each run's vectors; (R,) float64 for (R, P)."""
    return torch.linalg.vecdot(left, right, dim=1).double()
