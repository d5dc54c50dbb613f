"""Pure functions on float64 arrays that measure a trained network. Rows are samples.

The geodesic solver is not imported here, because it alone needs scipy: use ``leakybench.measures.geodesic``. Array
shapes are annotated with jaxtyping and checked under pytest. Public functions also accept tensors and lists, which they
convert and check themselves, so their inputs are ``Any``.
"""

from __future__ import annotations

from leakybench.measures.alignment import CodeAlignment, code_alignment, code_leak
from leakybench.measures.energies import Energies, layer_energies, path_length, velocities
from leakybench.measures.gap import Gap, largest_gap
from leakybench.measures.jacobian import (
    function_jacobians,
    function_spectra,
    jacobian_rank,
    model_jacobians,
    path_spectra,
)
from leakybench.measures.momenta import (
    balancedness,
    criticality_residual,
    exact_identity,
    hamiltonian,
    stabilised_hamiltonian,
)
from leakybench.measures.norms import cost_of_identity, kernel_norm
from leakybench.measures.rank import bottleneck_rank
from leakybench.measures.run import Measured, measure_model
from leakybench.measures.spectra import nuclear_rank, spectrum, stable_rank, weight_spectra
from leakybench.measures.theorem import Decomposition, stable_decomposition, time_scales

__all__ = [
    "CodeAlignment",
    "Decomposition",
    "Energies",
    "Gap",
    "Measured",
    "balancedness",
    "bottleneck_rank",
    "code_alignment",
    "code_leak",
    "cost_of_identity",
    "criticality_residual",
    "exact_identity",
    "function_jacobians",
    "function_spectra",
    "hamiltonian",
    "jacobian_rank",
    "kernel_norm",
    "largest_gap",
    "layer_energies",
    "measure_model",
    "model_jacobians",
    "nuclear_rank",
    "path_length",
    "path_spectra",
    "spectrum",
    "stabilised_hamiltonian",
    "stable_decomposition",
    "stable_rank",
    "time_scales",
    "velocities",
    "weight_spectra",
]
