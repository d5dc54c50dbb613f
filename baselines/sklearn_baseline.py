"""Any scikit-learn regressor as a baseline, named by an entry point: ``Sklearn-v0``."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.fitted import Fitted, PiecewiseConstant
from leakybench.errors import UsageError
from leakybench.specs import BaselineSpec
from leakybench.task import Split

PROBED = 64
"""Number of training inputs between which a regressor is tested for being piecewise constant."""

NUDGE = 1e-5
"""Length of the move in that test, in standard deviations. Within it, an ensemble of 100 trees of 1000 leaves has a
threshold at one point in ten, and a float32 prediction of a smooth map changes by a hundred units of its last place."""

_FORM = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


@dataclass(frozen=True, kw_only=True)
class SklearnRegressor:
    """A regressor with fit(X, y) and predict(X); a new one is built for each fit.

    Settings:
        regressor: ``package.module:Class``, of scikit-learn or of any package with its interface.
        settings: keyword arguments of the class, plain JSON. ``random_state`` comes from the seed of the run.
        multi_output: ``each``: one regressor for each target; ``auto``: only where the class takes a single target.
    """

    regressor: str = "sklearn.ensemble:ExtraTreesRegressor"
    settings: Mapping[str, Any] = field(default_factory=dict)
    multi_output: str = "auto"
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.regressor, str) or not _FORM.fullmatch(self.regressor):
            raise UsageError(f"regressor must read 'package.module:Class', got {self.regressor!r}")
        if not isinstance(self.settings, Mapping):
            raise UsageError(f"settings must map names to values, got {self.settings!r}")
        if self.multi_output not in ("auto", "each"):
            raise UsageError(f"multi_output must be auto or each, got {self.multi_output!r}")

    def fit(self, train: Split, *, seed: int, preset: str) -> Fitted:
        """Fit on (n, d_in) inputs and (n, d_out) targets, in float64.

        A regressor whose prediction does not change at all when its inputs change a little, such as trees or nearest
        neighbours, is piecewise constant: its record has no rank.

        Raises:
            UsageError: the class cannot be loaded, or refuses the settings.
        """
        check_preset(preset)
        from sklearn.multioutput import MultiOutputRegressor

        regressor = self._build(seed)
        if self.multi_output == "each" or _takes_one_target(regressor):
            regressor = MultiOutputRegressor(regressor)
        with _numpy_state_kept():
            regressor.fit(train.inputs.astype(np.float64), train.targets.astype(np.float64))
        fitted = Fitted(regressor=regressor, report=FitReport(values={"regressor": self.regressor}))
        direction = seeding.generator("Sklearn", seed, "probe").standard_normal((train.inputs.shape[1],))
        if len(train.inputs) > 1 and _piecewise_constant(fitted, train.inputs[:PROBED].astype(np.float64), direction):
            return PiecewiseConstant(regressor=regressor, report=fitted.report)
        return fitted

    def _build(self, seed: int) -> Any:
        module, name = self.regressor.split(":")
        try:
            factory = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"regressor {self.regressor} cannot be loaded: {error}") from None
        # checked on the class, before it is called: another class may do anything with the settings
        methods = [getattr(factory, name, None) for name in ("fit", "predict")]
        if not isinstance(factory, type) or not all(map(callable, methods)):
            raise UsageError(f"regressor {self.regressor} needs fit and predict")
        try:
            built = factory(**self.settings)
        except TypeError as error:
            raise UsageError(f"regressor {self.regressor} does not take these settings: {error}") from None
        if callable(getattr(built, "get_params", None)):
            drawn = int(seeding.generator("Sklearn", seed, "fit").integers(2**31 - 1))
            names = [key for key in built.get_params() if key.split("__")[-1] == "random_state"]
            if "random_state" not in self.settings:
                built.set_params(**dict.fromkeys(names, drawn))
        return built


def _takes_one_target(regressor: Any) -> bool:
    from sklearn.utils import get_tags

    try:
        tags = get_tags(regressor).target_tags
    except AttributeError:
        return False  # no tags: pass all targets
    return bool(not tags.multi_output)


def _piecewise_constant(fitted: Fitted, inputs: np.ndarray, direction: np.ndarray) -> bool:
    """Whether the regressor is piecewise constant, and not constant, which the measures report themselves.

    It is if predictions stay equal to the last bit at half of the points or more when these move by ``NUDGE`` standard
    deviations along ``direction`` (d_in,). The points lie between the inputs (n, d_in), n at least 2, and not half-way,
    because trees put thresholds at inputs and half-way.
    """
    points = 0.618 * inputs[:-1] + 0.382 * inputs[1:]
    here, there = fitted.predict(points), fitted.predict(points + NUDGE * inputs.std(axis=0) * direction)
    varies = bool((here != here[:1]).any())
    return varies and 2 * int((here == there).all(axis=1).sum()) >= len(points)


@contextlib.contextmanager
def _numpy_state_kept() -> Any:
    # some regressors draw from the global generator, in parts that random_state does not reach
    state = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
