"""The built-in baselines. This module only registers ids, so that listing them imports nothing heavy."""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Register every built-in baseline (the entry point ``leakybench.baselines``)."""
    from leakybench import register_baseline

    for id, name, summary in (
        ("FullyConnected-v0", "FullyConnected", "plain deep network: no skip connection"),
        ("ResNet-v0", "ResNet", "residual network: effective depth 0"),
        ("LeakyResNet-v0", "LeakyResNet", "leaky residual network of a given effective depth"),
    ):
        register_baseline(id, entry_point=f"baselines.{_module(name)}:{name}", summary=summary, steps=True)
    for id, name, summary in (
        ("Mean-v0", "Mean", "the mean of the training targets: test error 1 by definition"),
        ("Ridge-v0", "Ridge", "linear ridge regression, penalty by cross-validation on the training data"),
        ("KernelRidge-v0", "KernelRidge", "kernel ridge regression, kernel width and penalty by cross-validation"),
    ):
        register_baseline(id, entry_point=f"leakybench.baselines.references:{name}", summary=summary)
    for id, entry_point, summary in (
        ("NeuralODE-v0", "neural_ode:NeuralODE", "the leaky flow with an adaptive solver (dopri5)"),
        ("RecursiveFeatureMachine-v0", "feature_machine:RecursiveFeatureMachine", "kernel ridge, metric learnt"),
        ("GradientBoosting-v0", "gradient_boosting:GradientBoosting", "boosted trees, tuned on training rows"),
        ("Sklearn-v0", "sklearn_regressor:SklearnRegressor", "any scikit-learn regressor, named by a setting"),
    ):
        register_baseline(id, entry_point=f"baselines.{entry_point}", summary=summary)
    register_baseline(
        "Yardstick-v0",
        entry_point="leakybench.baselines.yardstick:Yardstick",
        summary="plain PyTorch network, autograd and Adam: the unit of cost",
    )


def _module(name: str) -> str:
    return {"FullyConnected": "fully_connected", "ResNet": "resnet", "LeakyResNet": "leaky_resnet"}[name]


def __getattr__(name: str) -> Any:
    if name == "LeakyResNetRegressor":  # imports torch and scikit-learn, so only when asked for
        from leakybench.baselines.sklearn_estimator import LeakyResNetRegressor

        return LeakyResNetRegressor
    raise AttributeError(f"module 'leakybench.baselines' has no attribute {name!r}")
