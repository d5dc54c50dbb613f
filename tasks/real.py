"""Data sets included in scikit-learn: their true rank is unknown, so error, cost and stability are compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leakybench import seeding
from leakybench.errors import UsageError
from leakybench.specs import TaskSpec
from leakybench.task import Normaliser, Split


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Upper halves (1797, 32) and lower halves (1797, 32) of 8 x 8 images of digits, grey levels 0 to 16."""
    from sklearn.datasets import load_digits

    pixels = load_digits().data
    return pixels[:, :32], pixels[:, 32:]


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """Age, sex, body mass index, blood pressure (442, 4); six serum values, progression after a year (442, 7)."""
    from sklearn.datasets import load_diabetes

    # scaled=True would centre and scale with the statistics of all rows, including the test rows
    columns, progression = load_diabetes(return_X_y=True, scaled=False)
    return columns[:, :4], np.column_stack([columns[:, 4:], progression])


def linnerud() -> tuple[np.ndarray, np.ndarray]:
    """Chins, sit-ups, jumps (20, 3); weight, waist, pulse (20, 3)."""
    from sklearn.datasets import load_linnerud

    inputs, targets = load_linnerud(return_X_y=True)
    return inputs, targets


SOURCES = {"digits": digits, "diabetes": diabetes, "linnerud": linnerud}
SHARED_UNIT = {"digits"}
"""Sources whose columns share a unit. They get one common scale, because a scale of its own would blow up a nearly
constant pixel."""


@dataclass(frozen=True, kw_only=True)
class ColumnNormaliser:
    """Centring and scaling of each column by training statistics, for columns with different units.

    Attributes:
        mean: mean of each column, (d,).
        scale: standard deviation of each column, 1 for a constant one, (d,).
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray) -> ColumnNormaliser:
        """Compute mean and standard deviation of rows (n, d); a column that is constant there is only centred."""
        deviation = rows.std(axis=0)
        return cls(mean=rows.mean(axis=0), scale=np.where(deviation > 0.0, deviation, 1.0))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Scale rows (n, d)."""
        return (rows - self.mean) / self.scale


@dataclass(frozen=True, kw_only=True)
class Real:
    """A real data set, split at random by the seed. It has no teacher, and ``true_rank`` is None.

    - ``digits``: the lower half of an image from its upper half, 32 -> 32, 1797 rows [Alpaydin, Kaynak 1998, UCI].
    - ``diabetes``: serum values and progression from four plain measurements, 4 -> 7, 442 rows [Efron et al. 2004].
    - ``linnerud``: body measurements from exercises, 3 -> 3, 20 rows [Tenenhaus 1998]; too few rows to rank baselines,
      but enough to see which ones are stable.

    Targets are vectors, because a scalar target has bottleneck rank 1; for this reason the serum values are among the
    targets of ``diabetes``. Inputs and targets are centred and scaled by statistics of the training rows: per column,
    or in common for pixels.

    Settings:
        source: name of the data set.
        n_train: number of training rows; default: three quarters of all rows.
        n_test: number of test rows; default: the remaining rows. The test rows do not depend on n_train, and the
            training rows do not depend on n_test.
    """

    source: str
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    spec: TaskSpec

    def __post_init__(self) -> None:
        seeding.check_seed(self.seed)
        if not isinstance(self.source, str) or self.source not in SOURCES:
            raise UsageError(f"source must be one of {', '.join(SOURCES)}, got {self.source!r}")
        for name in ("n_train", "n_test"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 2):
                raise UsageError(f"{name} must be an integer at least 2, or null, got {value!r}")

    @property
    def true_rank(self) -> None:
        """None: the true rank is unknown."""
        return None

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        inputs, targets = SOURCES[self.source]()
        order = seeding.generator(self.spec.id, self.seed, "split").permutation(len(inputs))
        n_train, n_test = self._sizes(len(order))
        train, test = order[:n_train], order[len(order) - n_test :]
        kind = Normaliser if self.source in SHARED_UNIT else ColumnNormaliser
        scaled = []
        for rows in (inputs, targets):
            scale = kind.fit(rows[train])
            scaled.append((scale(rows[train]).astype(np.float32), scale(rows[test]).astype(np.float32)))
        (train_x, test_x), (train_y, test_y) = scaled
        return Split(train_x, train_y), Split(test_x, test_y)

    def _sizes(self, rows: int) -> tuple[int, int]:
        """Number of training rows and number of test rows, out of ``rows``."""
        n_train, n_test = self.n_train, self.n_test
        if n_train is None:
            n_train = 3 * rows // 4
        n_test = rows - n_train if n_test is None else n_test
        if n_train < 2 or n_test < 2 or n_train + n_test > rows:
            raise UsageError(
                f"n_train and n_test must be at least 2 and sum to at most {rows}, the rows of {self.source}; "
                f"got {n_train} and {n_test}"
            )
        return n_train, n_test

    @property
    def train(self) -> Split:
        """Training data: inputs (n_train, d_in), targets (n_train, d_out)."""
        return self._splits[0]

    @property
    def test(self) -> Split:
        """Test data: inputs (n_test, d_in), targets (n_test, d_out), scaled by the training statistics."""
        return self._splits[1]
