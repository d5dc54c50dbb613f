"""Progress: a rate, a time left that learns from the runs so far, and lines where there is no terminal."""

from __future__ import annotations

import io
import sys
from collections import Counter

import pytest

from leakybench.console import progress
from leakybench.console.progress import Display, counted, duration
from leakybench.sweeps.sweep import Progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "under 1 s"), (45.0, "45 s"), (720.0, "12 min"), (12600.0, "3.5 h"), (0.0, "under 1 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_come_in_the_order_of_the_statuses() -> None:
    assert counted(Counter(error=1, ok=12, oom=0, timeout=2)) == "12 ok, 2 timeout, 1 error"
    assert counted(Counter()) == "none"


def _at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds)


def test_the_time_left_is_the_estimate_scaled_by_what_was_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _at(monkeypatch, 0.0)
    with Display(total=10, seconds=1000.0, workers=2) as show:
        # 4 of 10 runs, 400 of 1000 estimated seconds, took 20 s: the other 600 take 30 s
        _at(monkeypatch, 20.0)
        show(Progress(total=10, seconds_left=600.0, counts=Counter(ok=3, timeout=1)))
        show(Progress(total=10, seconds_left=500.0, counts=Counter(ok=5)))
    assert capsys.readouterr().err == "4/10 runs, 12 a minute, 30 s left, 1 failed\n"


def test_before_the_first_runs_are_done_the_estimate_is_shared_among_workers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _at(monkeypatch, 0.0)
    with Display(total=10, seconds=100.0, workers=2) as show:
        _at(monkeypatch, 16.0)
        show(Progress(total=10, seconds_left=90.0, counts=Counter(ok=1)))
        _at(monkeypatch, 40.0)
        show(Progress(total=10, seconds_left=90.0, counts=Counter(ok=1), waiting=3))
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("45 s left")
    assert second.endswith("waiting for 3 runs of another sweep")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Display(total=2, seconds=2.0, workers=1) as show:
        show(Progress(total=2, seconds_left=1.0, counts=Counter(ok=1), waiting=1))
        show(Progress(total=2, seconds_left=0.0, counts=Counter(ok=2)))
    assert "2/2 runs" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
