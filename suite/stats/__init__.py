"""Statistics over seeds and tasks: pure functions on arrays, seeded where they draw, scipy where it has the method.

Smaller is better throughout: the scores are test errors. A *stratum* holds the runs of one task; statistics are taken
within strata and averaged over them with equal weight, so that a task with more seeds or larger errors does not count
more, and inference is about these tasks, with the seed as the only source of chance.
"""

from leakybench.stats.intervals import METHODS, STATISTICS, Interval, interval, proportion_interval
from leakybench.stats.paired import Paired, holm, mcnemar, paired, probability_of_improvement
from leakybench.stats.ranking import Ranks, performance_profile, rank_intervals

__all__ = [
    "METHODS",
    "STATISTICS",
    "Interval",
    "Paired",
    "Ranks",
    "holm",
    "interval",
    "mcnemar",
    "paired",
    "performance_profile",
    "probability_of_improvement",
    "proportion_interval",
    "rank_intervals",
]
