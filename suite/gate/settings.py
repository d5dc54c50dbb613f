"""Settings of a gate: the numbers that it judges and the changes that it allows."""

from __future__ import annotations

from dataclasses import dataclass

from leakybench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of each run that must not change.

    Attributes:
        column: column of the score frame.
        name: name in the report.
        threshold: smallest relevant relative change (0.05: 5% in either direction).
        floor: added to both sides, so that numbers far below it count as equal.
        both: whether a decrease has to be accepted before it passes.
        optional: whether all runs may lack the number; otherwise a reference without it is not measured.
    """

    column: str
    name: str
    threshold: float
    floor: float = 0.0
    both: bool = True
    optional: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 10.0:
            raise UsageError(f"threshold of {self.name} must lie between 0 and 10, got {self.threshold!r}")


DEFAULT_METRICS = (
    Metric(column="score", name="test error", threshold=0.05, floor=1e-4),
    Metric(column="train_error", name="training error", threshold=0.10, floor=1e-4),
    Metric(
        column="training.steps_spread", name="spread of the adaptive steps", threshold=0.5, floor=1e-3, optional=True
    ),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Metrics, thresholds and level of a gate.

    Attributes:
        metrics: numbers that are compared by their ratio to the reference.
        rank: maximum share of runs that may lose or gain the true rank.
        time: maximum factor by which a fit may get slower, in units of the yardstick; None does not judge times.
        time_floor: shortest fit time that counts, in units of the yardstick's; all times below it are equal.
        yardstick: id of the baseline whose fit is the unit of time; None does not judge times.
        level: significance level of ``regressed`` and ``improved``, after the correction.
    """

    metrics: tuple[Metric, ...] = DEFAULT_METRICS
    rank: float = 0.1
    time: float | None = 1.15
    time_floor: float = 0.02
    yardstick: str | None = None
    level: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 <= self.rank < 1.0:
            raise UsageError(f"the threshold of the rank must lie between 0 and 1, got {self.rank!r}")
        if self.time is not None and not self.time > 1.0:
            raise UsageError(f"the threshold of the time must be above 1, got {self.time!r}")
        if not 0.0 <= self.time_floor < 1.0:
            raise UsageError(f"the threshold of the time_floor must lie between 0 and 1, got {self.time_floor!r}")
        if not 0.0 < self.level < 0.5:
            raise UsageError(f"level must lie between 0 and 0.5, got {self.level!r}")

    @property
    def timed_by(self) -> str | None:
        """The yardstick where times are judged, else None."""
        return self.yardstick if self.time is not None else None
