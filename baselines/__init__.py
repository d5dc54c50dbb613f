"""The built-in baselines, one file each; ``leakybench.baselines.catalogue`` registers them.

``LeakyResNetRegressor``, the Leaky ResNet as a scikit-learn estimator, is imported when it is asked for, since it loads
torch and scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leakybench.baselines.sklearn_estimator import LeakyResNetRegressor

__all__ = ["LeakyResNetRegressor"]


def __getattr__(name: str) -> Any:
    if name == "LeakyResNetRegressor":
        from leakybench.baselines.sklearn_estimator import LeakyResNetRegressor

        return LeakyResNetRegressor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
