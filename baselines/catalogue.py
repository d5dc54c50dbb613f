"""The ids of the built-in baselines. Listing them imports nothing heavy."""

from __future__ import annotations

from typing import Any

BOARD_RULES = ("uniform", "irregular", "adaptive")
"""Layer step-size rules of the three families of networks in [JK24 section 3], each with a row on the board."""
STEP_RULES = (*BOARD_RULES, "early", "settled")
"""All their rules."""

# id, entry point below leakybench.baselines, settings, summary
NETWORKS: list[tuple[str, str, dict[str, Any], str]] = [
    ("FullyConnected-v0", "fully_connected:FullyConnected", {}, "plain deep network: no skip connection"),
    ("ResNet-v0", "resnet:ResNet", {}, "residual network: effective depth 0"),
    ("LeakyResNet-v0", "leaky_resnet:LeakyResNet", {}, "leaky residual network, by default of effective depth 7"),
    *(
        (
            f"LeakyResNet-Lt{depth}-v0",
            "leaky_resnet:LeakyResNet",
            {"effective_depth": float(depth)},
            f"leaky residual network of effective depth {depth}",
        )
        for depth in (1, 3, 15)
    ),
]
# id, entry point below leakybench.baselines, summary
OTHERS = [
    ("Mean-v0", "mean:Mean", "the mean of the training targets: test error 1 by definition"),
    ("Ridge-v0", "ridge:Ridge", "linear ridge regression, penalty by cross-validation on the training data"),
    (
        "KernelRidge-v0",
        "kernel_ridge:KernelRidge",
        "kernel ridge regression, kernel width and penalty by cross-validation",
    ),
    ("ReducedRank-v0", "reduced_rank:ReducedRank", "shortcut: linear map of low rank, by cross-validation"),
    (
        "TargetComponents-v0",
        "target_components:TargetComponents",
        "shortcut: kernel ridge on the targets' principal components, as many as lead their spectrum",
    ),
    (
        "SlicedInverseRegression-v0",
        "inverse_regression:SlicedInverseRegression",
        "shortcut: directions from the mean of x given y, then kernel ridge",
    ),
    (
        "DirectionalRegression-v0",
        "inverse_regression:DirectionalRegression",
        "shortcut: directions from mean and covariance of x given y, then kernel ridge",
    ),
    ("NeuralODE-v0", "neural_ode:NeuralODE", "the leaky flow with an adaptive solver (dopri5)"),
    ("RecursiveFeatureMachine-v0", "feature_machine:RecursiveFeatureMachine", "kernel ridge, metric learnt"),
    ("GradientBoosting-v0", "gradient_boosting:GradientBoosting", "boosted trees, tuned on training rows"),
    ("Sklearn-v0", "sklearn_baseline:SklearnRegressor", "any scikit-learn regressor, named by a setting"),
    ("Yardstick-v0", "yardstick:Yardstick", "plain PyTorch network, autograd and Adam: the unit of cost"),
]

SHORTCUTS = (
    "Mean-v0",
    "Ridge-v0",
    "ReducedRank-v0",
    "TargetComponents-v0",
    "SlicedInverseRegression-v0",
    "DirectionalRegression-v0",
)
"""References that learn no features: a method that does not beat them has found nothing."""
NOT_RANKED = ("Sklearn-v0",)
"""Baselines without a default configuration of their own."""


def register() -> None:
    """Register every built-in baseline (the entry point ``leakybench.baselines``)."""
    from leakybench import register_baseline, register_set

    for id, entry_point, kwargs, summary in NETWORKS:
        register_baseline(id, f"leakybench.baselines.{entry_point}", kwargs, summary=summary, steps=STEP_RULES)
    for id, entry_point, summary in OTHERS:
        register_baseline(id, f"leakybench.baselines.{entry_point}", summary=summary)
    networks, others = [id for id, *_ in NETWORKS], [id for id, *_ in OTHERS]
    register_set("networks", networks)
    register_set("shortcuts", SHORTCUTS)
    register_set("board", [id for id in [*networks, *others] if id not in NOT_RANKED])
