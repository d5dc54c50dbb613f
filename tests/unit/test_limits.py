"""Limits: text to numbers, and workers x threads within the cores."""

from __future__ import annotations

import pytest

from leakybench.engines import limits
from leakybench.engines.limits import Limits, check_workers, cores, parse_bytes, parse_seconds
from leakybench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), (90, 90.0), (1.5, 1.5), ("1.5m", 90.0), ("2 h", 7200.0), ("1d", 86400.0), ("3S", 3.0)],
)
def test_seconds(text: object, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 * 2**30), ("512M", 2**29), ("1.5GiB", 3 * 2**29), (2**20, 2**20), ("2048kb", 2**21), ("1T", 2**40)],
)
def test_bytes(text: object, size: int) -> None:
    assert parse_bytes(text) == size


BAD = ["", "-1", "0", "abc", "1x", "1e400", "nan", "inf", "9" * 100, None, True, [], "1 2", "\u0663"]


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("parse", [parse_seconds, parse_bytes])
def test_nonsense_is_refused_with_what_is_allowed(text: object, parse: object) -> None:
    with pytest.raises(UsageError, match=r"timeout|memory"):
        parse(text)  # type: ignore[operator]


def test_limits_are_true_when_there_is_one() -> None:
    assert not Limits()
    assert Limits(timeout=1.0)
    assert Limits(memory=1)


def test_workers_follow_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "cores", lambda: 8)
    assert check_workers(None, 1) == 8
    assert check_workers(None, 3) == 2
    assert check_workers(None, 8) == 1
    assert check_workers(0, 8) == 0
    assert check_workers(2, 4) == 2
    with pytest.raises(UsageError, match=r"3 workers x 4 threads exceed the 8 cores"):
        check_workers(3, 4)
    with pytest.raises(UsageError, match="9 threads exceed"):
        check_workers(None, 9)
    assert check_workers(3, 4, oversubscribe=True) == 3
    for workers, threads in ((-1, 1), (5000, 1), (1, 0), (1, -2)):
        with pytest.raises(UsageError, match="must be from"):
            check_workers(workers, threads, oversubscribe=True)


def test_cores_are_at_least_one_and_respect_the_affinity() -> None:
    assert 1 <= cores() <= 4096
