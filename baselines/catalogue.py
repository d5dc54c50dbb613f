"""The ids of the built-in baselines. Listing them imports nothing heavy."""

from __future__ import annotations

STEP_RULES = ("uniform", "irregular", "adaptive")
"""Layer step-size rules of the three families of networks [JK24 section 3]."""

# id, entry point below leakybench.baselines, summary
NETWORKS = [
    ("FullyConnected-v0", "fully_connected:FullyConnected", "plain deep network: no skip connection"),
    ("ResNet-v0", "resnet:ResNet", "residual network: effective depth 0"),
    ("LeakyResNet-v0", "leaky_resnet:LeakyResNet", "leaky residual network of a given effective depth"),
]
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


def register() -> None:
    """Register every built-in baseline (the entry point ``leakybench.baselines``)."""
    from leakybench import register_baseline

    for id, entry_point, summary in NETWORKS:
        register_baseline(id, f"leakybench.baselines.{entry_point}", summary=summary, steps=STEP_RULES)
    for id, entry_point, summary in OTHERS:
        register_baseline(id, f"leakybench.baselines.{entry_point}", summary=summary)
