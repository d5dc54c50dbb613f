"""Progress of a sweep on standard error: a bar on a terminal, otherwise a line at intervals."""

from __future__ import annotations

import sys
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

from leakybench.report.text import clean
from leakybench.sweeps.sweep import Progress

LINE_SECONDS = 15.0
"""Minimum time between two lines when standard error is not a terminal."""


class Display:
    """Context manager that shows a ``leakybench.sweeps.sweep.Progress`` with its rate and the time left.

    The time left is the estimate of the plan, scaled by the ratio of measured to estimated time of the finished runs.
    """

    def __init__(self, *, total: int, seconds: float, workers: int) -> None:
        self._total = total
        self._planned = seconds
        self._workers = max(workers, 1)
        self._start = self._last = time.monotonic()
        self._bar: Any = None
        self._noted = 0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from tqdm import tqdm

            form = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} runs [{elapsed}, {rate_fmt}{postfix}]"
            self._bar = tqdm(total=self._total, unit=" runs", file=sys.stderr, bar_format=form, dynamic_ncols=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, progress: Progress) -> None:
        """Show the current progress and the notes added since the previous call."""
        for note in progress.notes[self._noted :]:
            self._print(f"leakybench: {clean(note)}")
        self._noted = len(progress.notes)
        if self._bar is not None:
            self._bar.set_postfix_str(self._rest(progress), refresh=False)
            self._bar.update(progress.done - self._bar.n)
            if progress.waiting:
                self._bar.refresh()
        elif time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            rate = progress.done / max(time.monotonic() - self._start, 1e-9) * 60.0
            rest = self._rest(progress)
            self._print(f"{progress.done}/{self._total} runs, {rate:.3g} a minute, {rest}")

    def _print(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def _rest(self, progress: Progress) -> str:
        if progress.waiting:
            return f"waiting for {progress.waiting} runs of another sweep"
        passed = time.monotonic() - self._start
        finished = self._planned - progress.seconds_left
        scale = passed / finished if progress.done >= self._workers and finished > 0.0 else 1.0 / self._workers
        text = f"{duration(progress.seconds_left * scale)} left"
        return f"{text}, {progress.failures} failed" if progress.failures else text


def duration(seconds: float) -> str:
    """Format a duration with enough digits for planning: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 1.0:
        return "under 1 s"
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    if seconds < 6000.0:
        return f"{seconds / 60.0:.0f} min"
    return f"{seconds / 3600.0:.1f} h"


def counted(counts: Counter[str]) -> str:
    """Format counts by status, as in ``12 ok, 1 timeout``, in the order of the statuses."""
    from leakybench.record import STATUSES

    return ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]) or "none"
