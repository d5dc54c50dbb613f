"""Residual networks: effective depth 0 [JK24 section 1.1]."""

from __future__ import annotations

from dataclasses import dataclass

from leakybench.baselines.networks.network_baseline import NetworkBaseline, check_start


@dataclass(frozen=True, kw_only=True)
class ResNet(NetworkBaseline):
    """A_l = A_{l-1} + rho_l S_{l-1} W_l^T, with S = [relu(A), 1] and rows as samples.

    Settings, beside those of ``NetworkBaseline``:
        start_depth: a larger effective depth at which training starts, going down to 0 in stages by warm starts; its
            penalty in each stage is in the same ratio to the rule's. None to start at 0. It takes about two to three
            times as long, and needs a preset other than ``paper``.
    """

    start_depth: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_start(self.start_depth, 0.0, self.steps, self.initial_steps)

    def _effective_depth(self) -> float:
        return 0.0

    def _start_depth(self) -> float | None:
        return None if self.start_depth is None else float(self.start_depth)
