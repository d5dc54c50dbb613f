"""Recursive feature machine [Radhakrishnan, Beaglehole, Pandit, Belkin 2024, Science 383; arXiv 2212.13881].

Kernel ridge regression whose metric M learns which directions of the input matter:

    k_M(x, z) = exp(-|x - z|_M / b),   |u|_M = sqrt(u^T M u)
    alpha = (k_M(X, X) + ridge I)^{-1} Y,   f(x) = k_M(x, X) alpha
    M <- (1/n) sum_i J_f(x_i)^T J_f(x_i),   scaled to trace M = d,   repeated

M is the average gradient outer product, whose rank counts the directions in which f varies. That estimates the rank of
a multi-index model; where the code is curved, it bounds nothing. Pure numpy and scipy in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.optional import check_count, check_positive
from leakybench.specs import BaselineSpec
from leakybench.task import Split

NAME = "RecursiveFeatureMachine"

BANDWIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""b, in units of the median distance of the training inputs."""

RIDGES = (1e-5, 1e-3, 1e-2, 1e-1, 1.0)
ROUNDS = {"smoke": 2, "standard": 5, "converged": 8, "paper": 8}
"""Updates of M."""


@dataclass(frozen=True, kw_only=True)
class FeatureMachine:
    """A fitted feature machine.

    Attributes:
        support: training inputs X, (n, d_in).
        dual: alpha, (n, d_out).
        root: of M, (d_in, d_in).
        bandwidth: b.
        mean: of the targets, (d_out,).
        report: bandwidth, ridge, updates, spectrum and rank of M.
    """

    support: np.ndarray
    dual: np.ndarray
    root: np.ndarray
    bandwidth: float
    mean: np.ndarray
    report: FitReport

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in), float64."""
        rows = inputs.astype(np.float64) @ self.root
        blocks = [
            np.exp(-distances(rows[i : i + 4096], self.support @ self.root) / self.bandwidth) @ self.dual
            for i in range(0, len(rows), 4096)
        ]
        return np.vstack(blocks) + self.mean


@dataclass(frozen=True, kw_only=True)
class RecursiveFeatureMachine:
    """Recursive feature machine, tuned on held-out training rows.

    Bandwidth, ridge and number of updates are those with the smallest error on a fifth of the training rows.

    Settings:
        bandwidth: b, in units of the median distance of the training inputs; None for the choice among ``BANDWIDTHS``.
        ridge: added to the diagonal of the kernel; None for the choice among ``RIDGES``.
        updates: of M; None for the choice up to the preset's number.
    """

    bandwidth: float | None = None
    ridge: float | None = None
    updates: int | None = None
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        check_positive("bandwidth", self.bandwidth)
        check_positive("ridge", self.ridge)
        check_count("updates", self.updates, 0)

    def search_space(self) -> dict[str, object]:
        """Values for ``tune``."""
        return {
            "bandwidth": {"low": 0.5, "high": 32.0, "log": True},
            "ridge": {"low": 1e-6, "high": 1.0, "log": True},
            "updates": {"low": 1, "high": 8},
        }

    def fit(self, train: Split, *, seed: int, preset: str) -> FeatureMachine:
        """Fit on (n, d_in) inputs and (n, d_out) targets; the report holds spectrum and rank of M."""
        check_preset(preset)
        inputs, targets = train.inputs.astype(np.float64), train.targets.astype(np.float64)
        if self.bandwidth is not None and self.ridge is not None and self.updates is not None:
            return _fit_machine(inputs, targets, self.bandwidth, self.ridge, self.updates, None)
        n = len(inputs)
        order = seeding.generator(NAME, seed, "validation").permutation(n)
        held_out, rest = order[: max(n // 5, 1)], order[max(n // 5, 1) :]
        scores: dict[tuple[float, float, int], float] = {}
        most = ROUNDS[preset] if self.updates is None else self.updates
        ridges = RIDGES if self.ridge is None else (self.ridge,)
        parts = inputs[rest], targets[rest], inputs[held_out], targets[held_out]
        for share in BANDWIDTHS if self.bandwidth is None else (self.bandwidth,):
            scores |= _scores(*parts, share, most, ridges)
        allowed = [key for key in scores if self.updates in (None, key[2])]
        share, ridge, rounds = min(allowed, key=lambda key: scores[key])
        return _fit_machine(inputs, targets, share, ridge, rounds, scores[share, ridge, rounds])


def _scores(
    inputs: np.ndarray,
    targets: np.ndarray,
    held_inputs: np.ndarray,
    held_targets: np.ndarray,
    share: float,
    rounds: int,
    ridges: tuple[float, ...] = RIDGES,
) -> dict[tuple[float, float, int], float]:
    """Held-out errors by (bandwidth, ridge, updates); M is updated at the ridge that is best after each update."""
    mean = targets.mean(axis=0)
    root = np.eye(inputs.shape[1])
    errors: dict[tuple[float, float, int], float] = {}
    for number in range(rounds + 1):
        rows = inputs @ root
        apart = distances(rows, rows)
        bandwidth = share * _median(apart)
        kernel = np.exp(-apart / bandwidth)
        across = np.exp(-distances(held_inputs @ root, rows) / bandwidth)
        values, vectors = np.linalg.eigh(kernel)
        rotated = vectors.T @ (targets - mean)
        duals = {}
        for ridge in ridges:
            duals[ridge] = vectors @ (rotated / (np.maximum(values, 0.0) + ridge)[:, None])
            errors[share, ridge, number] = float(np.mean((across @ duals[ridge] + mean - held_targets) ** 2))
        best = min(ridges, key=lambda ridge: errors[share, ridge, number])
        if number < rounds:
            root = root_of(gradient_outer_product(inputs, duals[best], root, kernel, apart, bandwidth))
    return errors


def _fit_machine(
    inputs: np.ndarray, targets: np.ndarray, share: float, ridge: float, rounds: int, score: float | None
) -> FeatureMachine:
    from scipy.linalg import cho_factor, cho_solve

    mean = targets.mean(axis=0)
    root = np.eye(inputs.shape[1])
    for number in range(rounds + 1):
        rows = inputs @ root
        apart = distances(rows, rows)
        bandwidth = share * _median(apart)
        kernel = np.exp(-apart / bandwidth)
        dual = cho_solve(cho_factor(kernel + ridge * np.eye(len(kernel))), targets - mean)
        product = gradient_outer_product(inputs, dual, root, kernel, apart, bandwidth)
        if number < rounds:
            root = root_of(product)
    spectrum = np.linalg.eigvalsh(product)[::-1]
    values: dict[str, Any] = {
        "bandwidth": float(bandwidth),
        "ridge": ridge,
        "updates": rounds,
        "held_out": score,
        "gradient_rank": gradient_rank(spectrum),
        "gradient_spectrum": [float(value) for value in spectrum[:12] / max(float(spectrum[0]), 1e-300)],
    }
    return FeatureMachine(
        support=inputs,
        dual=dual,
        root=root,
        bandwidth=float(bandwidth),
        mean=mean,
        report=FitReport(values=values),
    )


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Euclidean distances (m, n) of rows (m, d) and (n, d)."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(left, right))


def _median(apart: np.ndarray) -> float:
    positive = apart[apart > 0.0]
    return float(np.median(positive)) if positive.size else 1.0


def gradient_outer_product(
    inputs: np.ndarray, dual: np.ndarray, root: np.ndarray, kernel: np.ndarray, apart: np.ndarray, bandwidth: float
) -> np.ndarray:
    """(1/n) sum_i J_i^T J_i, (d, d), of f(x) = k_M(x, X) alpha at the support, M = root root^T.

        J_i^T = -(1/b) M sum_j w_ij (x_i - x_j) alpha_j^T,   w_ij = k_ij / |x_i - x_j|_M,   w_ii = 0

    The kernel has a kink at its centre, where its gradient counts as 0.
    """
    n, d = inputs.shape
    weight = kernel / np.where(apart > 1e-10, apart, np.inf)
    here = weight @ dual
    crossed = np.einsum("nd,nc->ndc", inputs, dual).reshape(n, -1)
    total = np.zeros((d, d))
    for i in range(0, n, 256):
        rows = slice(i, i + 256)
        slopes = np.einsum("nd,nc->ndc", inputs[rows], here[rows])
        slopes -= (weight[rows] @ crossed).reshape(slopes.shape)
        flat = np.moveaxis(slopes, 1, 0).reshape(d, -1)
        total += flat @ flat.T
    metric = root @ root.T
    return metric @ total @ metric / (n * bandwidth**2)


def root_of(product: np.ndarray) -> np.ndarray:
    """The symmetric root of M = d product / trace; (d, d)."""
    values, vectors = np.linalg.eigh(product)
    values = np.maximum(values, 0.0)
    values *= len(values) / max(float(values.sum()), 1e-300)
    return (vectors * np.sqrt(values)) @ vectors.T


def gradient_rank(spectrum: np.ndarray) -> int | None:
    """The rank at the largest gap of the root of the falling spectrum (d,): J's singular values, not their squares.

    None where the function is constant.
    """
    from leakybench.measures.gap import largest_gap

    return largest_gap(np.sqrt(np.maximum(spectrum, 0.0))).rank
