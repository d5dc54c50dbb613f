"""The verdict of a gate: one judgement for each metric and place, and the worst of them for the whole.

``regressed``: worse by more than the threshold, and chance does not explain it. ``improved``: better by more than that.
``same``: the interval of the change lies within the threshold. ``undecided``: the runs at hand cannot tell.
``not measured``: a run, a reference or a number is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

REGRESSED, IMPROVED, SAME, UNDECIDED, NOT_MEASURED = "regressed", "improved", "same", "undecided", "not measured"
KINDS = (REGRESSED, IMPROVED, NOT_MEASURED, UNDECIDED, SAME)
"""From the one that decides first to the one that needs all others to agree."""
PASSED, STOPPED, UNKNOWN = 0, 1, 3
"""Exit codes: the same, or only faster; regressed, or improved and not accepted; undecided or not measured."""
TIME = "time"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One judgement.

    Attributes:
        metric: name of the metric.
        where: baseline, step rule and task.
        kind: one of ``KINDS``.
        text: the judgement in one line.
        effect: relative change, change of share, or factor; None if there is none.
        low: lower end of the interval of the effect.
        high: upper end of the interval of the effect.
        threshold: allowed effect.
        detects: smallest change that these pairs can show, in the unit of the effect; None if they can show none.
        pairs: number of pairs of runs behind it.
        accepted: whether an improvement passes without being accepted, as that of a time does.
    """

    metric: str
    where: str
    kind: str
    text: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    detects: float | None = None
    pairs: int = 0
    accepted: bool = False


def not_measured(texts: Iterable[str], *, metric: str = "reference", where: str = "all") -> list[Line]:
    """Return a judgement ``not measured`` for each text."""
    return [Line(metric=metric, where=where, kind=NOT_MEASURED, text=text) for text in texts]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All judgements on a set of runs.

    Attributes:
        lines: the judgements.
        pairs: number of pairs of runs that were compared.
        notes: remarks that do not affect the verdict.
        rounds: how often the runs were measured.
    """

    lines: list[Line]
    pairs: int
    notes: list[str] = field(default_factory=list)
    rounds: int = 1

    @property
    def kind(self) -> str:
        """The first of ``KINDS`` that a judgement has; an improvement that nobody has to accept comes last but one.

        ``not measured`` where no pair was compared.
        """
        kinds = {line.kind for line in self.lines if not line.accepted}
        if not self.pairs:
            kinds.add(NOT_MEASURED)
        worst = min(kinds, key=KINDS.index, default=SAME)
        return IMPROVED if worst == SAME and any(line.accepted for line in self.lines) else worst

    @property
    def code(self) -> int:
        """The exit code: ``STOPPED``, ``UNKNOWN`` or ``PASSED``."""
        kind = self.kind
        if kind in (UNDECIDED, NOT_MEASURED):
            return UNKNOWN
        passes = kind == SAME or (kind == IMPROVED and all(line.accepted for line in self.lines if line.kind == kind))
        return PASSED if passes else STOPPED

    @property
    def stopped(self) -> bool:
        """Whether another number than a time regressed or improved, which no further measurement changes."""
        return any(line.metric != TIME and line.kind in (REGRESSED, IMPROVED) for line in self.lines)

    @property
    def undecided_time(self) -> bool:
        """Whether a time is undecided, which further measurements may change."""
        return any(line.metric == TIME and line.kind == UNDECIDED for line in self.lines)

    @property
    def slow(self) -> bool:
        """Whether a time regressed: worth measuring again, since other load on the machine only ever adds time."""
        return any(line.metric == TIME and line.kind == REGRESSED for line in self.lines)
