"""Where the time of a standard fit goes, and how far the whole fit is from its matrix products alone."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch

from leakybench.baselines.networks.curvature import KroneckerPreconditioner
from leakybench.baselines.networks.history import History
from leakybench.baselines.networks.matmul import matmul_scope
from leakybench.baselines.networks.objective import Objective
from leakybench.baselines.networks.training import train_in_stages
from tests.perf import problems, timings
from tests.perf.problems import Start
from tests.perf.tables import show

FITS = 3

METHODS: dict[str, list[tuple[type, str]]] = {
    "gradients": [(Objective, "gradient"), (Objective, "predict")],
    "values": [(Objective, "cost_of"), (Objective, "penalty"), (Objective, "criticality_residual")],
    "pairs, direction": [(History, name) for name in ("add", "at", "direction", "change_metric")],
    "metric built": [(KroneckerPreconditioner, "__init__")],
    "metric applied": [(KroneckerPreconditioner, "__call__")],
}
"""The public methods in which each part of a fit is spent; what runs outside of all of them is the rest."""


class Stopwatch:
    """Seconds spent in the parts of a call, each without the parts that run inside it.

    Attributes:
        seconds: by part.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._inside: list[float] = []  # of each open part, the seconds of the parts inside it

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted as that of ``part``."""

        def run(*arguments: Any, **named: Any) -> Any:
            begun = self._clock()
            self._inside.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                whole = self._clock() - begun
                self.seconds[part] = self.seconds.get(part, 0.0) + whole - self._inside.pop()
                if self._inside:
                    self._inside[-1] += whole

        return run

    @contextlib.contextmanager
    def watching(self, methods: Mapping[str, Sequence[tuple[type, str]]]) -> Iterator[None]:
        """Count the time of methods (class, name) as that of their part, inside the block."""
        with contextlib.ExitStack() as stack:
            for part, (owner, name) in ((part, method) for part, listed in methods.items() for method in listed):
                stack.enter_context(mock.patch.object(owner, name, self.timed(part, getattr(owner, name))))
            yield


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A timed training.

    Attributes:
        seconds: of all phases, from the first gradient on.
        evaluations: gradients.
        parts: seconds by part, without the rest.
    """

    seconds: float
    evaluations: int
    parts: dict[str, float]

    def shares(self) -> list[float]:
        """The parts and the rest, in the order of ``METHODS``, over the whole."""
        parts = [self.parts.get(part, 0.0) for part in METHODS]
        return [part / self.seconds for part in (*parts, self.seconds - sum(parts))]


def profile(start: Start) -> Profile:
    """Train from ``start`` with every part timed."""
    objective, parameters = start.objective()
    watch = Stopwatch()
    with matmul_scope(), watch.watching(METHODS):
        begun = time.perf_counter()
        train_in_stages(start.recipe, objective, parameters, start.probes())
        seconds = time.perf_counter() - begun
    return Profile(seconds=seconds, evaluations=objective.evaluations, parts=watch.seconds)


def fit(preset: str = "standard") -> None:
    """Shares of a fit's time, and its time over that of the products alone; medians of three fits."""
    torch.set_num_threads(1)
    shares, ratios = [], []
    for family, settings in problems.FAMILIES.items():
        start = problems.make_start(family, settings, preset=preset)
        shape = (start.settings.width, start.data.inputs.shape[2], start.settings.depth)
        measured = [timings.beside_floor(shape, partial(profile, start)) for _ in range(FITS)]
        columns = zip(*(profile.shares() for profile, _ in measured), strict=True)
        shares.append([family, *(100.0 * statistics.median(column) for column in columns)])
        rows = [
            [
                fitted.seconds,
                fitted.evaluations,
                1e3 * floor,
                fitted.seconds / (fitted.evaluations * floor),
                fitted.parts["gradients"] / (fitted.evaluations * floor),
            ]
            for fitted, floor in measured
        ]
        ratios.append([family, *(statistics.median(column) for column in zip(*rows, strict=True))])
    title = f"a {preset} fit of LowRank-k3-v0, one thread, medians of {FITS}"
    show(f"{title}: shares of its time, %", shares, ["family", *METHODS, "the rest"])
    headers = ["family", "fit, s", "evaluations", "floor, ms", "fit/(evaluations x floor)", "gradients alone"]
    show(f"{title}: over the floor, timed before and after each", ratios, headers)
