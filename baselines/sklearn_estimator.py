"""A Leaky ResNet as a scikit-learn regressor.

from leakybench.baselines.sklearn_estimator import LeakyResNetRegressor

model = make_pipeline(PCA(10), LeakyResNetRegressor(effective_depth=7.0)).fit(X, y)
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from leakybench import seeding
from leakybench.baseline import FitReport
from leakybench.baselines.leaky_resnet import LeakyResNet
from leakybench.baselines.networks.matmul import matmul_scope
from leakybench.baselines.networks.objective import Objective
from leakybench.baselines.networks.recipes import recipe_for
from leakybench.baselines.networks.steps import EARLY, SETTLED
from leakybench.baselines.networks.trained import TrainedNetwork
from leakybench.baselines.networks.training import adaptive_steps, build_problem, train_in_stages
from leakybench.baselines.networks.weighted import WeightedObjective
from leakybench.errors import DivergedError, UsageError
from leakybench.settings import normalised
from leakybench.specs import plain_json
from leakybench.task import Split

NAME = "LeakyResNetRegressor"


class LeakyResNetRegressor(RegressorMixin, BaseEstimator):
    """Leaky residual network [JK24] for one target or several.

    Inputs and targets are standardised by column inside, with the sample weights. Samples are put in a fixed order, and
    equal samples are merged into one of their summed weight. So the fit does not depend on the order of the samples,
    and a sample of weight 2 counts as the sample twice. Training is in float32, prediction in float64.

    Parameters:
        effective_depth: Lt, below ``depth``; 0 is a ResNet.
        depth: L, the number of layers.
        width: w, of every layer.
        steps: the layer step-sizes: ``uniform``, ``irregular`` or ``adaptive``.
        ends: embedding and read-out: ``fixed`` (orthonormal), ``learned``, or ``auto``: fixed where the width allows.
        penalty: lambda; None for the rule of the suite.
        max_iter: quasi-Newton iterations at the full penalty, after 100 at a smaller one.
        early_stopping: whether to hold out samples, and to stop once their error no longer falls; the best weights are
            kept.
        validation_fraction: share of the samples that are held out for early stopping.
        n_iter_no_change: checks in a row without progress after which training stops, one every 10 iterations.
        tol: smallest decrease of the error on the held-out samples that counts as progress, relative to the error.
        random_state: None, a seed, or a ``RandomState``.

    Attributes:
        network_: the trained network, in standardised units.
        n_iter_: iterations at the full penalty.
        objective_: penalised loss.
        validation_errors_: error on the held-out samples at each check; empty without early stopping.
        n_features_in_: d_in.
        n_outputs_: d_out.
    """

    def __init__(
        self,
        *,
        effective_depth: float = 7.0,
        depth: int = 12,
        width: int = 64,
        steps: str = "uniform",
        ends: str = "auto",
        penalty: float | None = None,
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 4,
        tol: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.effective_depth = effective_depth
        self.depth = depth
        self.width = width
        self.steps = steps
        self.ends = ends
        self.penalty = penalty
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on X (n, d_in) and y (n,) or (n, d_out), with weights (n,) at least 0.

        Raises:
            ValueError: data that scikit-learn refuses, or a parameter out of range.
            DivergedError: training left the finite numbers.
        """
        self._check_parameters()
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        self._flat = y.ndim == 1
        inputs, targets, weight = _canonical(X, np.asarray(y, dtype=np.float64).reshape(len(y), -1), weight)
        self.n_outputs_ = targets.shape[1]
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        chosen = self._held_out(len(inputs), seed)
        rest = ~chosen
        self.scale_x_ = _Scale.fit("X", inputs[rest], weight[rest])
        self.scale_y_ = _Scale.fit("y", targets[rest], weight[rest])
        scaled = self.scale_x_(inputs).astype(np.float32), self.scale_y_(targets).astype(np.float32)
        validation = None if not chosen.any() else (scaled[0][chosen], scaled[1][chosen], weight[chosen])
        self._train(Split(scaled[0][rest], scaled[1][rest]), weight[rest], validation, seed)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predictions (n,) or (n, d_out), as the targets of ``fit``, for X (n, d_in)."""
        check_is_fitted(self, "network_")
        X = validate_data(self, X, reset=False, dtype=np.float64)
        predicted = self.scale_y_.back(self.network_.predict(self.scale_x_(X)))
        return predicted[:, 0] if self._flat else predicted

    def bottleneck_rank(self, X: Any) -> int | None:
        """The Jacobian rank of the fitted function at the first 64 rows of X (n, d_in), in standardised units.

        Returns:
            The rank; None where the function is constant, as after constant targets.
        """
        from leakybench.measures.jacobian import function_spectra, jacobian_rank

        check_is_fitted(self, "network_")
        X = self.scale_x_(validate_data(self, X, reset=False, dtype=np.float64))
        if self.scale_y_.constant.all():
            return None
        rank = jacobian_rank(function_spectra(lambda rows: self.network_.predict(rows.astype(np.float64)), X))["rank"]
        return None if rank is None else int(rank)

    def _check_parameters(self) -> None:
        if self.ends not in ("auto", "fixed", "learned"):
            raise UsageError(f"ends must be auto, fixed or learned, got {self.ends!r}")
        for name in ("max_iter", "n_iter_no_change"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise UsageError(f"{name} must be an integer, at least 1, got {value!r}")
        if self.steps in (EARLY, SETTLED):
            raise UsageError(f"steps must be uniform, irregular or adaptive for the estimator, got {self.steps!r}")
        if not 0.0 < self.validation_fraction < 1.0:
            raise UsageError(f"validation_fraction must be between 0 and 1, got {self.validation_fraction!r}")
        if not self.tol >= 0.0:
            raise UsageError(f"tol must be at least 0, got {self.tol!r}")
        self._baseline("fixed")

    def _baseline(self, ends: str) -> LeakyResNet:
        """The baseline with these settings, which checks them."""
        names = ("depth", "width", "steps", "penalty", "effective_depth")
        settings = plain_json({name: getattr(self, name) for name in names}, "parameters")  # numpy's numbers of a grid
        return LeakyResNet(ends=ends, **normalised(LeakyResNet, settings))

    def _held_out(self, n: int, seed: int) -> np.ndarray:
        """The samples that validate, as truth values (n,); none without early stopping, and never all."""
        chosen = np.zeros(n, dtype=bool)
        if self.early_stopping:
            count = min(max(round(self.validation_fraction * n), 1), n - 1)
            chosen[seeding.generator(NAME, seed, "validation").permutation(n)[:count]] = True
        return chosen

    def _train(self, train: Split, weight: np.ndarray, validation: Any, seed: int) -> None:
        d_in, d_out = train.inputs.shape[1], train.targets.shape[1]
        ends = self.ends
        if ends == "auto":
            ends = "fixed" if self.width >= max(d_in, d_out) else "learned"
        baseline = self._baseline(ends)
        baseline.check_dimensions(d_in, d_out)
        settings = baseline.network
        recipe = recipe_for("standard", settings.coefficients.scale)
        assert recipe.main_phase is not None
        main = dataclasses.replace(recipe.main_phase, iterations=int(self.max_iter), stall=0.0)
        recipe = dataclasses.replace(recipe, main_phase=main)
        problem, start = build_problem(settings, recipe, [train], [seed], NAME)
        weight = weight / weight.mean()
        objective: Objective
        if np.all(weight == 1.0):
            objective = Objective(problem, settings.coefficients)
        else:
            objective = WeightedObjective(problem, settings.coefficients, torch.from_numpy(weight))
        parameters = objective.initial(start)
        adaptive = adaptive_steps(settings, recipe, 1)
        monitor = _Monitor(self, settings.penalty, objective, parameters, validation)
        probes = [seeding.torch_generator(NAME, seed, "curvature probe")]
        with matmul_scope():
            try:
                train_in_stages(recipe, objective, parameters, probes, adaptive=adaptive, progress=monitor)
            except _StopTraining:
                monitor.restore()
            objective_value = float(objective.predict(parameters).value)
        if not np.isfinite(objective_value):
            raise DivergedError("training left the finite numbers")
        self.n_iter_ = max(monitor.iteration, 1)
        self.objective_ = objective_value
        self.validation_errors_ = monitor.errors
        self.network_ = monitor.network()


class _StopTraining(Exception):  # noqa: N818  not an error, as StopIteration
    """Ends a training whose validation error no longer falls."""


class _Monitor:
    """Called every 10 iterations: counts them, and evaluates the network on the held-out samples."""

    def __init__(
        self,
        owner: LeakyResNetRegressor,
        penalty: float,
        objective: Objective,
        parameters: torch.Tensor,
        validation: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    ) -> None:
        self.iteration = 0
        self.errors: list[float] = []
        self._owner, self._penalty = owner, penalty
        self._objective, self._parameters = objective, parameters
        self._validation = validation
        self._best: tuple[float, int, torch.Tensor, Any] | None = None

    def __call__(self, iteration: int, value: np.ndarray, residual: np.ndarray) -> None:
        self.iteration = iteration
        if self._validation is None:
            return
        inputs, targets, weight = self._validation
        errors = np.square(self.network().predict(inputs) - targets).mean(axis=1)
        error = float(np.average(errors, weights=weight))
        self.errors.append(error)
        if self._best is None or error < self._best[0] * (1.0 - self._owner.tol):
            self._best = error, len(self.errors), self._parameters.clone(), self._objective.run_coefficients
        elif len(self.errors) - self._best[1] >= self._owner.n_iter_no_change:
            raise _StopTraining

    def restore(self) -> None:
        """Put the best weights back, with the step-sizes that they had."""
        assert self._best is not None
        self._parameters.copy_(self._best[2])
        self._objective.set_coefficients(self._best[3])

    def network(self) -> TrainedNetwork:
        """The network of the present parameters, in float64."""
        parts = (self._objective.views(self._parameters)[0], *self._objective.ends(self._parameters))
        weights, embedding, readout = (part[0].double().clone() for part in parts)
        return TrainedNetwork(
            weights=weights,
            embedding=embedding,
            readout=readout,
            coefficients=self._objective.run_coefficients[0],
            penalty=self._penalty,
            report=FitReport(),
        )


@dataclasses.dataclass(frozen=True)
class _Scale:
    """Weighted standardisation by column; a constant column is only centred.

    Attributes:
        mean: of each column, (d,).
        size: standard deviation of each column, (d,); 1 of a constant one.
        constant: whether a column is constant, (d,).
    """

    mean: np.ndarray
    size: np.ndarray
    constant: np.ndarray

    @classmethod
    def fit(cls, name: str, rows: np.ndarray, weight: np.ndarray) -> _Scale:
        with np.errstate(over="ignore", invalid="ignore"):  # seen below
            mean = np.average(rows, axis=0, weights=weight)
            centred = rows - mean
            # a power of 2, so that squares of very large or small values stay numbers and others keep every digit
            unit = np.exp2(np.floor(np.log2(np.maximum(np.abs(centred).max(axis=0), 1e-300))))
            size = np.sqrt(np.average((centred / unit) ** 2, axis=0, weights=weight)) * unit
        if not (np.isfinite(mean).all() and np.isfinite(size).all()):
            raise UsageError(f"the values of {name} are too large to be standardised: divide them by a constant first")
        # the spread of a constant column is round-off
        constant = size <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
        return cls(mean, np.where(constant, 1.0, size), constant)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return (rows - self.mean) / self.size

    def back(self, rows: np.ndarray) -> np.ndarray:
        return rows * self.size + self.mean


def _canonical(X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct samples of positive weight in lexical order, with their summed weights, of mean 1."""
    positive = weight > 0.0
    if not positive.any():
        raise UsageError("all sample weights are 0: there is nothing to fit")
    rows, where = np.unique(np.hstack([X, y])[positive], axis=0, return_inverse=True)
    total = np.bincount(where.ravel(), weights=weight[positive], minlength=len(rows))
    # equal weights give the unweighted fit, to the last digit
    total = np.ones_like(total) if total.min() == total.max() else total / total.mean()
    return rows[:, : X.shape[1]], rows[:, X.shape[1] :], total
