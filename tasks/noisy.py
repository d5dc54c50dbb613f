"""The low-rank task with noise on its targets: overfitting costs, and the noise floor is known."""

from __future__ import annotations

from dataclasses import dataclass

from leakybench.tasks.low_rank import LowRank


@dataclass(frozen=True, kw_only=True)
class Noisy(LowRank):
    """:class:`~leakybench.tasks.low_rank.LowRank` with Gaussian noise on training and test targets [JK24 App. B].

        y = f(x) + noise rms(f) e,   e ~ N(0, I_d)

    Inputs (n, d) standard normal, targets (n, d); true rank k, that of the clean f: the noise has full rank. No
    predictor has an expected test error below ``noise_floor`` = noise^2 / (1 + noise^2), 0.083 at the default.

    Test errors at 1000 samples, seeds 0 and 1: ridge regression 0.45, a Leaky ResNet (effective depth 7, 20 layers)
    0.19.

    Settings: those of ``LowRank``; ``noise`` is 0.3 unless given.
    """

    noise: float = 0.3
