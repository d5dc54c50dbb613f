"""What the three families of networks share: settings, their validation, and ``fit``.

Importing this module does not import torch, which only training needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from leakybench.baselines.networks.steps import ADAPTIVE, EARLY, RULES, SETTLED, StepRule, check_rule
from leakybench.baselines.networks.steps import initial as starting_steps
from leakybench.errors import UsageError
from leakybench.specs import BaselineSpec, check_device, is_number
from leakybench.task import Split

if TYPE_CHECKING:
    from leakybench.baselines.networks.settings import NetworkSettings
    from leakybench.baselines.networks.trained import TrainedNetwork

ENDS = ("fixed", "learned")
PRECISIONS = ("float32", "bfloat16")
INITIAL_WEIGHTS = ("looks-linear", "gaussian")


@dataclass(frozen=True, kw_only=True)
class NetworkBaseline:
    """Base of the three families.

    A subclass adds a step-size rule of its own by extending ``step_rules``:

        class Mine(LeakyResNet):
            step_rules = {**LeakyResNet.step_rules, "halved": halved}   # halved(depth) -> rho, (depth,)

    Settings:
        depth: L, the number of layers.
        width: w, of every layer.
        steps: name of the rule of the layer step-sizes: ``uniform``, ``irregular``, ``adaptive``, ``early`` (adaptive
            until the penalty has its full strength), ``settled``, or one that a subclass adds. ``settled`` trains
            twice, first shortly with adaptive steps: that counts as fit time.
        ends: embedding and read-out, ``fixed`` (orthonormal) or ``learned``.
        penalty: lambda; None for the rule lambda = 0.05 s/(s^2 + 25), s = max(Lt, 1).
        initial: initial weights, ``looks-linear`` (the network starts as a linear isometry, with noise) or ``gaussian``
            (random, of a size that keeps the norm); None for those of the preset: gaussian for ``paper``.
        gain: factor of the initial weights' random part, which is the noise of looks-linear weights (0.2 of He's
            without a gain; all that a ResNet starts with) and the whole of gaussian ones. A leaky network's isometry
            stays: at another scale its signal would fade, or grow, by exp((gain - 1) Lt).
        precision: of the matrix products while training, ``float32`` or ``bfloat16``; weights and results are float32
            with either. ``bfloat16`` is faster where the processor has such products, and ends a little above the
            float32 objective.
        device: where to train, ``cpu``, ``cuda`` or ``cuda:N``; initial weights and probes are drawn on the CPU.
    """

    step_rules: ClassVar[Mapping[str, StepRule]] = RULES
    """From the name of a rule to its function: the depth L to the step-sizes at the start of training, (L,)."""

    depth: int = 20
    width: int = 100
    steps: str = "uniform"
    ends: str = "fixed"
    penalty: float | None = None
    initial: str | None = None
    gain: float = 1.0
    precision: str = "float32"
    device: str = "cpu"
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        for name in ("depth", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} must be an integer, at least 1, got {value!r}")
        check_rule(self.steps, self.step_rules)
        for name, known in (("ends", ENDS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.initial is not None and self.initial not in INITIAL_WEIGHTS:
            raise UsageError(f"initial must be none, or one of {', '.join(INITIAL_WEIGHTS)}, got {self.initial!r}")
        check_device(self.device)
        if not (is_number(self.gain) and self.gain > 0):
            raise UsageError(f"gain must be a finite number above 0, got {self.gain!r}")
        if self.penalty is not None and not (is_number(self.penalty) and self.penalty > 0):
            raise UsageError(f"penalty must be a finite number above 0, got {self.penalty!r}")

    def _effective_depth(self) -> float | None:
        """Lt, or None where there is no skip connection."""
        raise UsageError(f"{type(self).__name__} does not say its effective depth")

    def _start_depth(self) -> float | None:
        """The effective depth at which training starts, or None for the network's own."""
        return None

    def search_space(self) -> dict[str, object]:
        """Values for ``tune``: a penalty of ten times more or less than the rule, and a size of the paper's order.

        The least width is that of the default, since fixed ends need as many neurons as inputs and outputs.
        """
        return {
            "penalty": {"low": 3e-4, "high": 3e-2, "log": True},
            "depth": [20, 30],
            "width": [100, 150],
            "steps": ["uniform", "irregular", "adaptive", "early"],
        }

    @property
    def initial_steps(self) -> np.ndarray:
        """The step-sizes rho at the start of training; float64 (L,)."""
        return starting_steps(self.steps, self.depth, self.step_rules)

    def check_dimensions(self, d_in: int, d_out: int) -> None:
        """Raise ``UsageError`` if data of this shape do not fit: fixed ends need a width of at least both."""
        if self.ends == "fixed" and self.width < max(d_in, d_out):
            raise UsageError(
                f"width must be at least {max(d_in, d_out)} for {d_in} inputs and {d_out} outputs with fixed ends, "
                f"got {self.width} (ends=learned has no such limit)"
            )

    def prepare(self) -> None:
        """Import what training needs, so that the import does not count as training time."""
        import leakybench.baselines.networks.training  # noqa: F401

    @property
    def network(self) -> NetworkSettings:
        """The settings as the training code takes them."""
        from leakybench.baselines.networks.settings import NetworkSettings, penalty_rule

        effective = self._effective_depth()
        penalty = penalty_rule(float(self.depth) if effective is None else effective)
        return NetworkSettings(
            width=self.width,
            effective_depth=effective,
            step_sizes=tuple(self.initial_steps.tolist()),
            adaptive=self.steps in (ADAPTIVE, EARLY),
            early=self.steps == EARLY,
            settled=self.steps == SETTLED,
            penalty=penalty if self.penalty is None else float(self.penalty),
            initial=self.initial,
            gain=float(self.gain),
            start_depth=self._start_depth(),
            learn_ends=self.ends == "learned",
            precision=self.precision,
            device=self.device,
        )

    def fit(self, train: Split, *, seed: int, preset: str) -> TrainedNetwork:
        """Train one network on ``train``: inputs (n, d_in), targets (n, d_out)."""
        return self.fit_many([train], seeds=[seed], preset=preset)[0]

    def fit_many(self, trains: Sequence[Split], *, seeds: Sequence[int], preset: str) -> list[TrainedNetwork]:
        """Train one network a seed, together; each equals that of ``fit`` up to the round-off of batched products."""
        from leakybench.baselines.networks.training import train_networks

        for train in trains:
            self.check_dimensions(train.inputs.shape[1], train.targets.shape[1])
        return train_networks(self.network, trains, seeds=seeds, preset=preset, name=type(self).__name__)


def check_start(start_depth: object, effective_depth: float, steps: str, step_sizes: np.ndarray) -> None:
    """Raise ``UsageError`` unless ``start_depth`` is None, or above Lt and small enough for the ``step_sizes`` (L,)."""
    if start_depth is None:
        return
    if not is_number(start_depth) or not float(start_depth) > effective_depth:  # type: ignore[arg-type]
        raise UsageError(
            f"start_depth must be none, or a finite number above the effective depth {effective_depth}, "
            f"got {start_depth!r}"
        )
    if float(step_sizes.max()) * float(start_depth) >= 1.0:  # type: ignore[arg-type]
        raise UsageError(
            f"depth must be greater than start_depth with {steps} steps (every rho_l start_depth below 1), "
            f"got depth {len(step_sizes)} and start_depth {start_depth}"
        )


def check_leak(effective_depth: object, steps: str, step_sizes: np.ndarray) -> None:
    """Raise ``UsageError`` unless 0 <= Lt and the initial ``step_sizes`` (L,) keep every skip 1 - rho_l Lt above 0."""
    if not is_number(effective_depth) or not float(effective_depth) >= 0.0:  # type: ignore[arg-type]
        raise UsageError(f"effective_depth must be a finite number, at least 0, got {effective_depth!r}")
    if float(step_sizes.max()) * float(effective_depth) >= 1.0:  # type: ignore[arg-type]
        raise UsageError(
            f"depth must be greater than the effective depth with {steps} steps (every rho_l Lt below 1), "
            f"got depth {len(step_sizes)} and effective_depth {effective_depth}"
        )
