"""The contract of a task, and the base class of the synthetic ones.

A task has ``train`` and ``test`` (each a ``Split``), ``true_rank``, ``spec`` and ``seed``. Any object with these
attributes will do; ``SyntheticTask`` supplies them to a class that defines the inputs and the target function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from leakybench import seeding
from leakybench.errors import UsageError
from leakybench.specs import TaskSpec


@dataclass(frozen=True)
class Split:
    """Training or test data of a task.

    Attributes:
        inputs: float32 (n, d_in), one sample per row.
        targets: float32 (n, d_out).
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        for name in ("inputs", "targets"):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 2 or array.size == 0:
                shown = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
                raise UsageError(f"{name} of a split must be a non-empty float32 (n, d) array, got {shown}")
            if not np.isfinite(array).all():
                raise UsageError(f"{name} of a split hold a value that is not finite")
        if len(self.inputs) != len(self.targets):
            raise UsageError(f"a split needs one target a sample, got {len(self.inputs)} and {len(self.targets)}")

    def __len__(self) -> int:
        return len(self.inputs)


@runtime_checkable
class Task(Protocol):
    """The contract of a task.

    Attributes:
        spec: the spec that it was built from, overrides included.
        seed: of its draws.

    Optional members:
        ``target_jacobians(inputs) -> (n, d_out, d_in)``: Jacobians of the target function at inputs (n, d_in) as
            ``train`` and ``test`` hold them, in any unit of the targets. Without it, those of a ``SyntheticTask`` are
            taken by differences; runs on any other task have no code alignment.
    """

    spec: TaskSpec
    seed: int

    @property
    def train(self) -> Split:
        """Training data, which a baseline sees."""
        ...

    @property
    def test(self) -> Split:
        """Test data, on which a baseline is evaluated."""
        ...

    @property
    def true_rank(self) -> int | None:
        """Bottleneck rank of the target function; None if unknown."""
        ...


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """Centring per column and one common scale, fitted on training rows only.

    One scale for all columns keeps the shape of the data's spectrum.

    Attributes:
        mean: of each column, (d,).
        scale: root mean square of the centred rows.
    """

    mean: np.ndarray
    scale: float

    @classmethod
    def fit(cls, rows: np.ndarray) -> Normaliser:
        """Fit mean and scale on rows (n, d)."""
        mean = rows.mean(axis=0)
        scale = float(np.sqrt(np.mean((rows - mean) ** 2)))
        if not np.isfinite(scale) or scale <= 0.0:
            raise UsageError(f"the training data cannot be scaled: their root mean square is {scale}")
        return cls(mean=mean, scale=scale)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Normalise rows (n, d)."""
        return (rows - self.mean) / self.scale

    def inverse(self, rows: np.ndarray) -> np.ndarray:
        """Return rows (n, d) before normalisation, in float64."""
        return np.asarray(rows, dtype=np.float64) * self.scale + self.mean


MAX_NOISE = 1e6
"""Largest noise: beyond it, targets are pure noise in float32."""

TargetFunction = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class SyntheticTask:
    """Base of the tasks whose target is a known random function of the inputs.

    A subclass is a frozen keyword-only dataclass. It adds its settings as fields and supplies ``target_function`` and
    ``true_rank``; it may override ``sample_inputs``. This class does everything else: independent generators for
    teacher, training data, test data and noise; centring and scaling by training statistics; conversion to float32.

    Attributes:
        d: dimension of the inputs.
        n_train: number of training samples.
        n_test: number of test samples.
        noise: standard deviation of Gaussian noise on the targets, in units of the clean targets' root mean
            square; added to training and test targets alike, so that ``noise_floor`` is the test error of the clean
            function.
    """

    d: int = 30
    n_train: int = 1000
    n_test: int = 1000
    noise: float = 0.0
    seed: int = 0
    spec: TaskSpec

    def __post_init__(self) -> None:
        seeding.check_seed(self.seed)
        self.require_int("d", 1)
        self.require_int("n_train", 2)
        self.require_int("n_test", 2)
        if (
            isinstance(self.noise, bool)
            or not isinstance(self.noise, int | float)
            or not 0.0 <= self.noise <= MAX_NOISE
        ):
            raise UsageError(f"noise must be a number from 0 to {MAX_NOISE:g}, got {self.noise!r}")

    def require_int(self, name: str, low: int, high: int | None = None, why: str = "") -> None:
        """Raise ``UsageError`` unless the setting ``name`` is an integer in [low, high]."""
        value = getattr(self, name)
        in_range = isinstance(value, int) and not isinstance(value, bool) and low <= value
        if not in_range or (high is not None and value > high):
            allowed = f"at least {low}" if high is None else f"from {low} to {high}"
            raise UsageError(f"{name} must be an integer {allowed}{f' ({why})' if why else ''}, got {value!r}")

    # -- what a subclass supplies ------------------------------------------------------------------------------------

    @property
    def true_rank(self) -> int | None:
        """Bottleneck rank of the target function, certified by the tests."""
        raise UsageError(f"{type(self).__name__} does not declare a true_rank")

    def target_function(self, rng: np.random.Generator) -> TargetFunction:
        """Draw the random target: a function of float64 (n, d_raw) rows that returns (n, d_out) rows."""
        raise UsageError(f"{type(self).__name__} does not define target_function(rng)")

    def sample_inputs(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``n`` raw inputs, float64 (n, d). Standard normal unless a task says otherwise."""
        return rng.standard_normal((n, self.d))

    # -- what the harness uses ---------------------------------------------------------------------------------------

    def rng(self, role: str) -> np.random.Generator:
        """Return the generator of one role at this seed; overrides do not change it, so variants stay paired."""
        return seeding.generator(self.spec.id, self.seed, role)

    @cached_property
    def teacher(self) -> TargetFunction:
        """The target function of this seed, on raw (unscaled) inputs."""
        return self.target_function(self.rng("teacher"))

    @cached_property
    def input_scale(self) -> Normaliser:
        """Centring and scaling of the inputs, fitted on the training inputs."""
        return Normaliser.fit(self.sample_inputs(self.n_train, self.rng("train inputs")))

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        train_x = self.sample_inputs(self.n_train, self.rng("train inputs"))
        test_x = self.sample_inputs(self.n_test, self.rng("test inputs"))
        train_clean, test_clean = self.teacher(train_x), self.teacher(test_x)
        rms = float(np.sqrt(np.mean((train_clean - train_clean.mean(axis=0)) ** 2)))
        train_y = train_clean + self.noise * rms * self.rng("train noise").standard_normal(train_clean.shape)
        test_y = test_clean + self.noise * rms * self.rng("test noise").standard_normal(test_clean.shape)
        scale_x, scale_y = self.input_scale, Normaliser.fit(train_y)
        return (
            Split(scale_x(train_x).astype(np.float32), scale_y(train_y).astype(np.float32)),
            Split(scale_x(test_x).astype(np.float32), scale_y(test_y).astype(np.float32)),
        )

    @property
    def train(self) -> Split:
        """Training data: inputs (n_train, d_in), targets (n_train, d_out)."""
        return self._splits[0]

    @property
    def test(self) -> Split:
        """Test data, scaled by the training statistics."""
        return self._splits[1]

    @property
    def noise_floor(self) -> float:
        """The test error of the clean target function: noise^2 / (1 + noise^2)."""
        return self.noise**2 / (1.0 + self.noise**2)
