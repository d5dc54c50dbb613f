"""A baseline: the mean of the nearest training targets."""

from dataclasses import dataclass

from leakybench import Split, UsageError
from leakybench.baseline import check_preset


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Mean of the targets of the ``count`` nearest training inputs."""

    count: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise UsageError(f"count must be an integer, at least 1, got {self.count!r}")

    def fit(self, train: Split, *, seed: int, preset: str):
        """Keep the training data; a scikit-learn regressor has the predict that a model needs."""
        from sklearn.neighbors import KNeighborsRegressor

        check_preset(preset)
        return KNeighborsRegressor(min(self.count, len(train))).fit(train.inputs, train.targets)
