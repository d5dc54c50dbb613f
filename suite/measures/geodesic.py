"""Representation geodesics without a network: the penalised Lagrangian, minimised over the path itself.

The problem is that of [JK24 section 1.3],

    min over A_1 .. A_L of  C(A_L D^T, Y) + lambda sum_l rho_l |M_l|^2_(K_{l-1} + gamma I) / (2 scale),
    M_l = dA_l + Lt A_{l-1},    dA_l = (A_l - A_{l-1}) / rho_l,    K = S S^T,    A_0 fixed,    scale = max(Lt, 1)

with C the mean squared error over samples and outputs. The stabilised norm is the value of a ridge regression,

    |M|^2_(K + gamma I) = min over W of |W|^2 + |M - S W^T|^2 / gamma,

so every term is a sum of squares and, by the envelope theorem, its gradient needs only the minimiser: with the momentum
``B = (M - S W^T) / (gamma scale) = (K + gamma I)^{-1} M / scale``, the price of a layer has the derivative B with
respect to dA and ``Lt B - (B W') * [A > 0]`` with respect to A. As gamma falls to 0 the minimum rises to that of a
network of the same width, whose path leaves no remainder. So a network's objective bounds the minimum from above at
every gamma.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from leakybench.baseline import Representations
from leakybench.errors import UsageError
from leakybench.measures.arrays import Number, as_float64, non_negative, same_rows
from leakybench.measures.energies import penalty_scale
from leakybench.measures.norms import features

CONTINUATION = (100.0, 10.0, 1.0)
"""Multiples of gamma that are solved one after another: the problem is stiff at a small gamma, and the solution at a
larger one is a good start."""

_KINK = 1e-3
"""Entries below this share of the root mean square lie at a kink of the rectifier, near which line searches stop."""


@dataclass(frozen=True, kw_only=True)
class GeodesicProblem:
    """Boundary values, step-sizes and penalty of a geodesic problem.

    Attributes:
        start: A_0, (N, w).
        targets: Y, (N, d_out).
        readout: D, (d_out, w).
        step_sizes: rho_1 .. rho_L, (L,), with sum 1.
        effective_depth: Lt.
        penalty: lambda.
        gamma: absolute stabiliser, in units of K.
    """

    start: Float64[np.ndarray, "N w"]
    targets: Float64[np.ndarray, "N d_out"]
    readout: Float64[np.ndarray, "d_out w"]
    step_sizes: Float64[np.ndarray, " L"]
    effective_depth: float
    penalty: float
    gamma: float


@dataclass(frozen=True, kw_only=True)
class Geodesic:
    """A local minimiser of the discretised problem.

    Attributes:
        activations: A_0 .. A_L, (L + 1, N, w).
        momenta: B_1 .. B_L, (L, N, w).
        weights: the ridge weights of each layer, (L, w, w + 1).
        step_sizes: rho_1 .. rho_L, (L,).
        effective_depth: Lt of the problem.
        gamma: absolute stabiliser of the problem.
        cost: C at the end of the path.
        energy: ``sum_l rho_l |M_l|^2 / (2 scale)``, without lambda.
        objective: ``C + lambda energy``.
        hamiltonian: ``(scale/2) (|B^T S|^2 + gamma |B|^2) - Lt Tr(B^T A)`` of each layer, (L,): constant for the
            continuous geodesic.
        residual: size of the objective's gradient over that of its energy part, at the entries away from a kink of the
            rectifier. A minimiser may lie on a kink, where the slopes on both sides differ.
        evaluations: number of evaluations of objective and gradient.
    """

    activations: Float64[np.ndarray, "points N w"]
    momenta: Float64[np.ndarray, "L N w"]
    weights: Float64[np.ndarray, "L w w+1"]
    step_sizes: Float64[np.ndarray, " L"]
    effective_depth: float
    gamma: float
    cost: float
    energy: float
    objective: float
    hamiltonian: Float64[np.ndarray, " L"]
    residual: float
    evaluations: int

    @property
    def positions(self) -> Float64[np.ndarray, " points"]:
        """Positions p_0 .. p_L, (L + 1,)."""
        return np.concatenate([[0.0], np.cumsum(self.step_sizes)])

    def representations(self) -> Representations:
        """The path in the form that the measures take; its weights reproduce it up to remainders of order gamma."""
        return Representations(
            activations=self.activations,
            positions=self.positions,
            step_sizes=self.step_sizes,
            effective_depth=self.effective_depth,
            weights=self.weights,
        )


@dataclass(frozen=True)
class LayerPrice:
    """The price of one layer, with the parts of its gradient and its Hamiltonian.

    Attributes:
        price: ``|M|^2_(K + gamma I)``.
        weights: the ridge weights W, (w, w + 1).
        momentum: B, (N, w).
        hamiltonian: ``(scale/2) (|B^T S|^2 + gamma |B|^2) - Lt Tr(B^T A)``.
    """

    price: float
    weights: Float64[np.ndarray, "w w+1"]
    momentum: Float64[np.ndarray, "N w"]
    hamiltonian: float


def solve_geodesic(
    start: Any,
    targets: Any,
    readout: Any,
    *,
    effective_depth: Number,
    penalty: Number,
    gamma: Number,
    step_sizes: Any,
    path: Any | None = None,
    iterations: int = 2000,
    continuation: Sequence[float] = CONTINUATION,
) -> Geodesic:
    """Minimise the penalised Lagrangian over the path by L-BFGS in float64 [JK24 section 1.3].

    The problem is not convex: the result is a local minimum, which depends on the initial path.

    Args:
        start: A_0, (N, w).
        targets: Y, (N, d_out).
        readout: D, (d_out, w), with independent rows.
        effective_depth: Lt, at least 0.
        penalty: lambda, above 0.
        gamma: absolute stabiliser, above 0, in units of K; ``g0 |S_0|_op^2`` is the layer-wise choice at the start.
        step_sizes: rho, (L,), positive.
        path: initial A_1 .. A_L, (L, N, w); default: the straight line from A_0 to the nearest exact fit.
        iterations: maximum number of L-BFGS iterations at each stage.
        continuation: decreasing multiples of gamma that are solved one after another, ending with 1.

    Raises:
        UsageError: the shapes do not fit, or a value is not finite or not positive where it must be.
    """
    problem = geodesic_problem(start, targets, readout, effective_depth, penalty, gamma, step_sizes)
    layers, shape = len(problem.step_sizes), problem.start.shape
    if not continuation or continuation[-1] != 1.0:
        raise UsageError(f"continuation must end with 1, got {tuple(continuation)}")
    if path is None:
        state = _straight_line(problem)
    else:
        state = as_float64("path", path, ndim=3)
        if state.shape != (layers, *shape):
            raise UsageError(f"path must be {(layers, *shape)}, got {state.shape}")
    evaluations = 0
    for factor in continuation:
        stage = _with_gamma(problem, factor * problem.gamma)
        solution = minimize(
            lambda flat, stage=stage: path_objective(stage, flat.reshape(layers, *shape)),
            state.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 30, "ftol": 1e-13, "gtol": 1e-10},
        )
        state = solution.x.reshape(layers, *shape)
        evaluations += int(solution.nfev)
    return _finished(problem, state, evaluations)


def layer_price(
    activations: Float64[np.ndarray, "N w"],
    after: Float64[np.ndarray, "N w"],
    step_size: float,
    effective_depth: float,
    gamma: float,
) -> LayerPrice:
    """Compute ``|M|^2_(K + gamma I)`` of one layer by ridge regression, from A_{l-1} and A_l, each (N, w)."""
    S, scale = features(activations), penalty_scale(effective_depth)
    M = (after - activations) / step_size + effective_depth * activations
    gram = S.T @ S
    gram[np.diag_indices_from(gram)] += gamma
    W = cho_solve(cho_factor(gram, lower=True), S.T @ M).T
    rest = M - S @ W.T
    B = rest / (gamma * scale)
    price = float(np.sum(W**2)) + float(np.sum(rest**2)) / gamma
    produced = float(np.sum((B.T @ S) ** 2)) + gamma * float(np.sum(B**2))
    return LayerPrice(price, W, B, 0.5 * scale * produced - effective_depth * float(np.vdot(B, activations)))


def path_objective(
    problem: GeodesicProblem, path: Float64[np.ndarray, "L N w"]
) -> tuple[float, Float64[np.ndarray, " L*N*w"]]:
    """Objective of the path A_1 .. A_L, (L, N, w), and its gradient, flat."""
    scale, depth, penalty = penalty_scale(problem.effective_depth), problem.effective_depth, problem.penalty
    error = path[-1] @ problem.readout.T - problem.targets
    value = float(np.mean(error**2))
    gradient = np.zeros_like(path)
    gradient[-1] = (2.0 / error.size) * error @ problem.readout
    before = problem.start
    for index, (after, rho) in enumerate(zip(path, problem.step_sizes, strict=True)):
        layer = layer_price(before, after, float(rho), depth, problem.gamma)
        value += penalty * rho * layer.price / (2.0 * scale)
        gradient[index] += penalty * layer.momentum
        if index:
            through = (layer.momentum @ layer.weights[:, :-1]) * (before > 0.0)
            gradient[index - 1] += penalty * ((rho * depth - 1.0) * layer.momentum - rho * through)
        before = after
    return value, gradient.ravel()


def _finished(problem: GeodesicProblem, path: Float64[np.ndarray, "L N w"], evaluations: int) -> Geodesic:
    activations = np.concatenate([problem.start[None], path])
    scale, depth = penalty_scale(problem.effective_depth), problem.effective_depth
    layers = [
        layer_price(before, after, float(rho), depth, problem.gamma)
        for before, after, rho in zip(activations[:-1], activations[1:], problem.step_sizes, strict=True)
    ]
    momenta = np.stack([layer.momentum for layer in layers])
    energy = float(sum(rho * layer.price for rho, layer in zip(problem.step_sizes, layers, strict=True))) / (2 * scale)
    objective, gradient = path_objective(problem, path)
    size = problem.penalty * float(np.linalg.norm(momenta))
    smooth = np.abs(path).ravel() > _KINK * np.sqrt(np.mean(path**2))
    return Geodesic(
        activations=activations,
        momenta=momenta,
        weights=np.stack([layer.weights for layer in layers]),
        step_sizes=problem.step_sizes,
        effective_depth=depth,
        gamma=problem.gamma,
        cost=objective - problem.penalty * energy,
        energy=energy,
        objective=objective,
        hamiltonian=np.array([layer.hamiltonian for layer in layers]),
        residual=float(np.linalg.norm(gradient[smooth])) / size if size > 0.0 else 0.0,
        evaluations=evaluations,
    )


def _straight_line(problem: GeodesicProblem) -> Float64[np.ndarray, "L N w"]:
    """The straight line from A_0 to the nearest A_L with ``A_L D^T = Y``, at constant speed; (L, N, w)."""
    D = problem.readout
    missing = problem.targets - problem.start @ D.T
    end = problem.start + missing @ np.linalg.solve(D @ D.T, D)
    p = np.cumsum(problem.step_sizes)[:, None, None]
    return (1.0 - p) * problem.start + p * end


def _with_gamma(problem: GeodesicProblem, gamma: float) -> GeodesicProblem:
    return GeodesicProblem(**{**vars(problem), "gamma": gamma})


def geodesic_problem(
    start: Any, targets: Any, readout: Any, effective_depth: Number, penalty: Number, gamma: Number, step_sizes: Any
) -> GeodesicProblem:
    """Check the arguments of ``solve_geodesic`` and convert them to float64.

    Raises:
        UsageError: the shapes do not fit, or a value is not finite or not positive where it must be.
    """
    A0, Y, D = as_float64("start", start), as_float64("targets", targets), as_float64("readout", readout)
    same_rows("targets", Y, A0)
    if D.shape != (Y.shape[1], A0.shape[1]):
        raise UsageError(f"readout must be ({Y.shape[1]}, {A0.shape[1]}), got {D.shape}")
    if np.linalg.matrix_rank(D) < len(D):
        raise UsageError("readout must have independent rows")
    rho = as_float64("step_sizes", step_sizes, ndim=1)
    if (rho <= 0.0).any():
        raise UsageError(f"step_sizes must be positive, got {rho.min()}")
    return GeodesicProblem(
        start=A0,
        targets=Y,
        readout=D,
        step_sizes=rho,
        effective_depth=non_negative("effective_depth", effective_depth),
        penalty=non_negative("penalty", penalty, allow_zero=False),
        gamma=non_negative("gamma", gamma, allow_zero=False),
    )
