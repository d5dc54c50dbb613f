"""A task: waves over a plane that is hidden in d dimensions."""

from dataclasses import dataclass

import numpy as np

from leakybench import SyntheticTask


@dataclass(frozen=True, kw_only=True)
class Ring(SyntheticTask):
    """f(x) = B [z1, z2, sin(|z|^2 / 2)] with z = A x in the plane: true rank 2, though f spans three dimensions."""

    d: int = 10
    d_out: int = 6

    @property
    def true_rank(self) -> int:
        """f factors through the plane, and moves in both of its directions."""
        return 2

    def target_function(self, rng: np.random.Generator):
        """Draw A (2, d) and B (d_out, 3) with orthonormal rows and columns."""
        plane, _ = np.linalg.qr(rng.standard_normal((self.d, 2)))
        readout, _ = np.linalg.qr(rng.standard_normal((self.d_out, 3)))

        def target(x: np.ndarray) -> np.ndarray:
            z = x @ plane
            return np.column_stack([z, np.sin(0.5 * np.sum(z**2, axis=1))]) @ readout.T

        return target
