"""The page of 2,000 runs: how long it takes to make, to open and to sort (limit 1 s each, in a real Chromium)."""

from __future__ import annotations

import pytest

from leakybench.analysis.leaderboard import leaderboard
from leakybench.analysis.scores import score_frame
from leakybench.report.page import render_page
from tests.helpers.browser import browser
from tests.helpers.fabricate import METHODS, board

LIMIT_SECONDS = 1.0
# until the new order is laid out: reading a position forces it
SORT = """() => {
    document.querySelectorAll('#runs thead button')[5].click();
    return document.querySelector('#runs tbody tr').getBoundingClientRect().top;
}"""
TASKS = [f"LowRank-k{k}-v0" for k in range(1, 51)]


@pytest.fixture(scope="module")
def records():
    found = board(TASKS, METHODS, 10)
    assert len(found) == 2000
    return found


@pytest.fixture(scope="module")
def path(records, tmp_path_factory):
    built = leaderboard(score_frame(records), resamples=200)
    path = tmp_path_factory.mktemp("page") / "board.html"
    path.write_text(render_page(built, {r.run_id: r for r in records}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


def test_page_of_2000_runs_opens(benchmark, chromium, path):
    page = chromium.new_page()
    benchmark.pedantic(lambda: page.goto(path.as_uri()), rounds=5, warmup_rounds=1)
    assert page.locator("#count").inner_text() == "2000 of 2000 runs"
    assert benchmark.stats.stats.median < LIMIT_SECONDS


def test_page_of_2000_runs_sorts(benchmark, chromium, path):
    page = chromium.new_page()
    page.goto(path.as_uri())
    benchmark.pedantic(lambda: page.evaluate(SORT), rounds=5, warmup_rounds=1)
    assert benchmark.stats.stats.median < LIMIT_SECONDS


def test_page_of_2000_runs_shows_and_sorts_all_of_them(benchmark, chromium, path):
    page = chromium.new_page()
    page.goto(path.as_uri())
    page.click("#all")
    assert page.locator("#runs tbody tr").count() == 2000
    benchmark.pedantic(lambda: page.evaluate(SORT), rounds=5, warmup_rounds=1)


def test_leaderboard_of_2000_runs_is_built(benchmark, records):
    frame = score_frame(records)
    benchmark.pedantic(lambda: leaderboard(frame, resamples=2000), rounds=1)
