"""Residual networks: effective depth 0 [JK24 section 1.1]."""

from __future__ import annotations

from dataclasses import dataclass

from leakybench.baselines.networks.network_baseline import NetworkBaseline


@dataclass(frozen=True, kw_only=True)
class ResNet(NetworkBaseline):
    """A_l = A_{l-1} + rho_l S_{l-1} W_l^T, with S = [relu(A), 1] and rows as samples."""

    def _effective_depth(self) -> float:
        return 0.0
