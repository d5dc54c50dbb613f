"""Leaky ResNets: everything between a ResNet and a fully-connected network [JK24 section 1.1]."""

from __future__ import annotations

from dataclasses import dataclass

from leakybench.baselines.networks.network_baseline import NetworkBaseline, check_leak, check_start


@dataclass(frozen=True, kw_only=True)
class LeakyResNet(NetworkBaseline):
    """A_l = (1 - rho_l Lt) A_{l-1} + rho_l S_{l-1} W_l^T, with S = [relu(A), 1] and rows as samples.

    Settings, beside those of ``NetworkBaseline``:
        effective_depth: Lt, the leak integrated over the depth. 0 is a ResNet.
        start_depth: a larger effective depth at which training starts, going down to Lt in stages by warm starts; its
            penalty in each stage is in the same ratio to the rule's. None to start at Lt. It takes about two to three
            times as long, and needs a preset other than ``paper``.
    """

    effective_depth: float = 7.0
    start_depth: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_leak(self.effective_depth, self.steps, self.initial_steps)
        check_start(self.start_depth, float(self.effective_depth), self.steps, self.initial_steps)

    def search_space(self) -> dict[str, object]:
        """Values for ``tune``: those of every network, and effective depths that 20 layers allow under each rule."""
        return {"effective_depth": {"low": 0.5, "high": 15.0, "log": True}, **super().search_space()}

    def _effective_depth(self) -> float:
        return float(self.effective_depth)

    def _start_depth(self) -> float | None:
        return None if self.start_depth is None else float(self.start_depth)
