"""The limited-memory model of the inverse Hessian, for R runs in step, in compact form.

With s = x_{k+1} - x_k, y the change of the gradient, and the last m pairs as the columns of S and Y, oldest first, the
L-BFGS matrix that starts from gamma M is [BNS94, eq. 3.1; NW06, section 7.2]

    H = gamma M + [S, gamma M Y] [ U^{-T} (D + gamma Y^T M Y) U^{-1},  -U^{-T} ] [S, gamma M Y]^T,
                                 [ -U^{-1},                             0      ]

where U is the upper triangle of S^T Y and D its diagonal. S, Y and Z = M Y are kept as blocks of rows, so that a
direction reads S and Z twice each, in products, and nothing else of size m P. Since M is linear, Z costs no
application of its own: M y is the difference of two preconditioned gradients.

References: [BNS94] Byrd, Nocedal and Schnabel 1994, Math. Programming 63, 129; [NW06] Nocedal and Wright 2006,
*Numerical Optimization*, 2nd edition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Metric = Callable[[Tensor, Tensor], Tensor]
"""M: writes M times each run's vector (R, P) into a second array of the same shape, and returns that."""


class Point(NamedTuple):
    """Where the runs stand.

    Attributes:
        parameters: x, (R, P).
        gradient: g, (R, P).
        preconditioned: M g, (R, P).
    """

    parameters: Tensor
    gradient: Tensor
    preconditioned: Tensor


class History:
    """The last m pairs of every run, and the products that a direction needs.

    Runs are independent of each other: a pair that is invalid for a run neither displaces an older pair of that run nor
    counts as its newest. The blocks lie where the gradients lie; what is of size m^2 is computed by numpy.

    Args:
        memory: m, at least 1.
        like: an array (R, P) of the gradients' precision and device.
    """

    def __init__(self, memory: int, like: Tensor) -> None:
        runs, size = like.shape
        self.memory = memory
        self._blocks = [like.new_zeros(runs, memory, size) for _ in range(3)]
        # in slot order: S^T Y (for s no newer than y), Y^T Z, and S^T g, Z^T g of the present g
        self._sy, self._yz = np.zeros((runs, memory, memory)), np.zeros((runs, memory, memory))
        self._sg, self._zg = np.zeros((runs, memory)), np.zeros((runs, memory))
        self._age = np.zeros((runs, memory), dtype=np.int64)  # when each slot was filled; 0 for an empty one
        self._clock = 0
        self._filled = np.zeros(runs, dtype=np.int64)  # a run's slots from here on are empty

    @property
    def counts(self) -> np.ndarray:
        """Pairs of each run, (R,)."""
        return np.count_nonzero(self._age, axis=1)

    def clear(self) -> None:
        """Drop all pairs of all runs."""
        self._age[:] = 0
        self._filled[:] = 0

    def forget(self, runs: np.ndarray) -> None:
        """Drop all pairs of the runs where ``runs`` (R,) is true."""
        self._age[runs] = 0

    def add(self, old: Point, new: Point, sy: np.ndarray, valid: np.ndarray) -> None:
        """Go on to a new point, and add the pair between the two for the runs where ``valid`` (R,) holds.

        Args:
            old: the point that this history stands at.
            new: the next one.
            sy: <s, y>, (R,); above 0 where ``valid`` [NW06, eq. 6.7].
            valid: (R,).
        """
        (runs,) = np.nonzero(valid)
        slots = self._age[runs].argmin(1)  # an empty one, or else the oldest
        if len(runs) > 0:
            self._clock += 1
            self._age[runs, slots] = self._clock
            self._filled[runs] = np.minimum(self._filled[runs] + 1, self.memory)
        rows: Any = (runs, slots)
        if len(runs) == len(self._age) and slots.min() == slots.max():
            slot = int(slots[0])
            rows = (slice(None), slot)
            for block, after, before in zip(self._blocks, new, old, strict=True):
                torch.sub(after, before, out=block[:, slot])
        elif len(runs) > 0:
            for block, after, before in zip(self._blocks, new, old, strict=True):
                block[runs, slots] = after[runs] - before[runs]
        sg, zg = self._sg, self._zg
        self.at(new.gradient)
        # S^T y and Z^T y are differences of what is known at both points, but for the new slot's own
        self._sy[runs, :, slots] = (self._sg - sg)[runs]
        self._yz[runs, :, slots] = self._yz[runs, slots, :] = (self._zg - zg)[runs]
        self._sy[runs, slots, slots] = sy[runs]
        self._yz[runs, slots, slots] = dot(self._blocks[1][rows], self._blocks[2][rows])

    def at(self, gradient: Tensor) -> None:
        """Set the gradient (R, P) whose direction is asked for next."""
        s, _, z = self._blocks
        self._sg, self._zg = (_inner(block, gradient, self._filled) for block in (s, z))

    def change_metric(self, metric: Metric, gradient: Tensor) -> None:
        """Replace M; the pairs stay.

        Args:
            metric: the new M.
            gradient: the present one, (R, P).
        """
        _, y, z = self._blocks
        for slot in range(self._filled.max()):
            z[:, slot] = metric(y[:, slot].contiguous(), torch.empty_like(gradient))
        if self._filled.any():
            self._yz = torch.matmul(y, z.mT).double().cpu().numpy()
        self.at(gradient)

    def scale(self, otherwise: np.ndarray) -> np.ndarray:
        """gamma = <s, y> / <y, M y> of each run's newest pair; (R,).

        For M = I it is that of [NW06, eq. 7.20]. A run without pairs gets its value of ``otherwise`` (R,).
        """
        runs, newest = np.arange(len(self._age)), self._age.argmax(1)
        ratio = self._sy[runs, newest, newest] / np.maximum(self._yz[runs, newest, newest], 1e-300)
        return np.where(self.counts > 0, ratio, otherwise)

    def direction(self, preconditioned: Tensor, gamma: np.ndarray, out: Tensor) -> Tensor:
        """Write -H g into ``out`` (R, P), and return it.

        Args:
            preconditioned: M g of the gradient g set last, (R, P).
            gamma: (R,).
            out: (R, P).
        """
        torch.mul(preconditioned, per_run(-gamma, out), out=out)
        if self._filled.any():
            order = np.argsort(self._age, axis=1)
            present = np.take_along_axis(self._age, order, 1) > 0
            both, newer = present[:, :, None] & present[:, None, :], np.tri(self.memory, dtype=bool).T
            sy, yz = (_permuted(small, order) for small in (self._sy, self._yz))
            sg, zg = (np.where(present, np.take_along_axis(small, order, 1), 0.0) for small in (self._sg, self._zg))
            upper = np.where(both & newer, sy, np.eye(self.memory) * ~both)
            diagonal, size = np.diagonal(upper, axis1=1, axis2=2), gamma[:, None]
            inner = _solve(upper, sg)
            middle = diagonal * inner + size * ((np.where(both, yz, 0.0) @ inner[:, :, None])[:, :, 0] - zg)
            of_s = _solve(upper.transpose(0, 2, 1), middle)
            for block, weights in ((self._blocks[0], -of_s), (self._blocks[2], size * inner)):
                in_slots = np.zeros_like(weights)
                np.put_along_axis(in_slots, order, np.where(present, weights, 0.0), 1)
                _add_combination(out, block, in_slots, self._filled)
        return out


def _permuted(small: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Rows and columns of (R, m, m) in the order (R, m)."""
    rows = np.take_along_axis(small, order[:, :, None], 1)
    return np.take_along_axis(rows, order[:, None, :], 2)


def _solve(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The solution of each system of (R, m, m) with its right-hand side of (R, m); (R, m)."""
    return np.linalg.solve(matrices, vectors[:, :, None])[:, :, 0]


def _inner(block: Tensor, vector: Tensor, filled: np.ndarray) -> np.ndarray:
    """Inner products of the ``filled`` first rows of each run's block (R, m, P) with its vector (R, P).

    Returns:
        (R, m), with zeros behind.
    """
    if vector.device.type != "cpu":
        return torch.bmm(block, vector.unsqueeze(2)).squeeze(2).double().cpu().numpy()
    # run by run, a product adds up in the same order whatever the batch, so that a run in a batch is the run alone
    inner = np.zeros(block.shape[:2])
    for run, count in enumerate(filled.tolist()):
        if count:
            inner[run, :count] = torch.mv(block[run, :count], vector[run]).numpy()
    return inner


def _add_combination(out: Tensor, block: Tensor, weights: np.ndarray, filled: np.ndarray) -> None:
    """Add to ``out`` a combination of the ``filled`` first rows of each run's block (R, m, P), by weights (R, m)."""
    factors = torch.from_numpy(weights).to(out)
    if out.device.type != "cpu":
        out.unsqueeze(1).baddbmm_(factors.unsqueeze(1), block)
        return
    for run, count in enumerate(filled.tolist()):
        if count:
            out[run].addmv_(block[run, :count].mT, factors[run, :count])


def per_run(values: np.ndarray, like: Tensor) -> Tensor:
    """One number a run, (R,), as an array (R, 1) that broadcasts over vectors (R, P) like ``like``."""
    return torch.from_numpy(values).to(like).unsqueeze(1)


def dot(left: Tensor, right: Tensor) -> np.ndarray:
    """Inner product of each run's vectors; float64 (R,) for (R, P)."""
    return torch.linalg.vecdot(left, right, dim=1).double().cpu().numpy()
