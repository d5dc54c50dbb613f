"""What defines a network and its objective, whatever the preset."""

from __future__ import annotations

from dataclasses import dataclass, replace

from leakybench.baselines.networks.recursion import Coefficients


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """A network and its objective.

    Attributes:
        width: w.
        effective_depth: Lt; None for a fully-connected network.
        step_sizes: rho where training starts, (L,).
        adaptive: whether the step-sizes follow the network, see ``steps.AdaptiveSteps``.
        penalty: lambda.
        learn_ends: whether embedding and read-out are trained too.
        early: whether they do so only until the penalty has its full strength.
        settled: whether they are found by a short training before, see ``training.settle``.
        initial: initial weights, ``looks-linear`` or ``gaussian``; None for those of the preset.
        gain: factor of their random part.
        start_depth: effective depth at which training starts, see ``warm_start``; None for Lt.
        precision: of the products while training, ``float32`` or ``bfloat16``.
        device: where to train, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    width: int
    effective_depth: float | None
    step_sizes: tuple[float, ...]
    penalty: float
    learn_ends: bool
    adaptive: bool = False
    early: bool = False
    settled: bool = False
    initial: str | None = None
    gain: float = 1.0
    start_depth: float | None = None
    precision: str = "float32"
    device: str = "cpu"

    @property
    def depth(self) -> int:
        """L."""
        return len(self.step_sizes)

    @property
    def coefficients(self) -> Coefficients:
        """c, b and rho where training starts."""
        return Coefficients.of(self.step_sizes, self.effective_depth)

    def at(self, effective_depth: float) -> NetworkSettings:
        """The same network at another effective depth, its penalty in the same ratio to the rule's."""
        own = float(self.depth) if self.effective_depth is None else self.effective_depth
        # a ratio of 1 leaves the penalty as it is, to the bit
        penalty = self.penalty * (penalty_rule(effective_depth) / penalty_rule(own))
        return replace(self, effective_depth=effective_depth, penalty=penalty)


PENALTY_STRENGTH = 0.05
PENALTY_KNEE = 5.0


def penalty_rule(effective_depth: float) -> float:
    """lambda = 0.05 s / (s^2 + 25) with s = max(Lt, 1): the one rule for every effective depth.

    A path through a bottleneck of rank k costs lambda Lt (COI/2 + kinetic/(2 Lt^2)), with the COI near k inside. The
    rule keeps lambda Lt (1 + (5/Lt)^2), the sum of both up to constants, at 0.05. At a large effective depth lambda
    then falls like 1/Lt, so that the cost lambda Lt k / 2 of a rank does not outgrow what the rank explains; at a
    small one it falls like Lt, since there the cost lies in moving within a short depth.
    """
    scale = max(effective_depth, 1.0)
    return PENALTY_STRENGTH * scale / (scale**2 + PENALTY_KNEE**2)
