"""Sample efficiency on a leaderboard: a column beside the score, from the runs of ladders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from leakybench.analysis.efficiency import Efficiency, efficiency_notes, sample_efficiency
from leakybench.analysis.labels import configuration
from leakybench.analysis.ladders import Ladder
from leakybench.analysis.leaderboard import Board, BoardRow


def add_samples(board: Board, ladders: Sequence[Ladder]) -> Board:
    """Return the board with the sample efficiency of each method in its tables over several tasks.

    Places, scores and costs stay as they are: the runs of ladders are not among those of the board.

    Args:
        board: of ``leakybench.analysis.leaderboard.leaderboard``.
        ladders: over the number of samples, of the board's preset.
    """
    found = sample_efficiency(ladders)
    # an id that sets what another id's override sets is the same method
    known = {(configuration(method), steps): value for (method, steps), value in found.methods.items()}

    def samples(row: BoardRow) -> Efficiency | None:
        if (own := found.methods.get((row.method, row.steps))) is not None:
            return own
        same = configuration(row.method)
        return None if same is None else known.get((same, row.steps))

    overall, common = (
        [dataclasses.replace(row, samples=samples(row)) for row in rows] for rows in (board.overall, board.common)
    )
    return dataclasses.replace(board, overall=overall, common=common, notes=[*board.notes, *efficiency_notes(found)])
