"""Pure functions on float64 arrays that measure a trained network. Rows are samples."""

from __future__ import annotations

from suite.measures.energies import Energies, energies, path_length, velocities
from suite.measures.gap import Gap, largest_gap
from suite.measures.geodesic import Geodesic, solve_geodesic
from suite.measures.hamiltonian import (
    balancedness,
    criticality_residual,
    exact_identity,
    hamiltonian,
    stabilised_hamiltonian,
)
from suite.measures.jacobian import function_spectra, jacobian_rank, path_spectra
from suite.measures.norms import cost_of_identity, kernel_norm
from suite.measures.rank import bottleneck_rank
from suite.measures.run import Measured, measure_model
from suite.measures.spectra import nuclear_rank, spectrum, stable_rank, weight_spectra
from suite.measures.theorem import Decomposition, stable_decomposition, time_scales

__all__ = [
    "Decomposition",
    "Energies",
    "Gap",
    "Geodesic",
    "Measured",
    "balancedness",
    "bottleneck_rank",
    "cost_of_identity",
    "criticality_residual",
    "energies",
    "exact_identity",
    "function_spectra",
    "hamiltonian",
    "jacobian_rank",
    "kernel_norm",
    "largest_gap",
    "measure_model",
    "nuclear_rank",
    "path_length",
    "path_spectra",
    "solve_geodesic",
    "spectrum",
    "stabilised_hamiltonian",
    "stable_decomposition",
    "stable_rank",
    "time_scales",
    "velocities",
    "weight_spectra",
]
