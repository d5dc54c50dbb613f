"""Fully-connected networks: no skip connection, the limit of a large effective depth [JK24 section 1.1]."""

from __future__ import annotations

from dataclasses import dataclass

from leakybench.baselines.networks.network_baseline import NetworkBaseline


@dataclass(frozen=True, kw_only=True)
class FullyConnected(NetworkBaseline):
    """A_l = rho_l L S_{l-1} V_l^T, with S = [relu(A), 1] and rows as samples; its effective depth is L.

    Uniform steps give the plain network of L layers. Other steps weigh each layer's branch and penalty by rho_l L.
    """

    def _effective_depth(self) -> None:
        return None
