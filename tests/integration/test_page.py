"""The leaderboard page in a real browser: it sorts, filters, opens runs, asks nobody for anything, and shows names
as text."""

from __future__ import annotations

import base64
import gzip
import json
import string

import numpy as np
import pytest

from leakybench.analysis.leaderboard import leaderboard
from leakybench.analysis.scores import score_frame
from leakybench.cli import main
from leakybench.report.page import compress_json, embed, render_page
from leakybench.specs import MAX_ID_LENGTH
from leakybench.store import Store
from tests.helpers.browser import Watched, browser
from tests.helpers.fabricate import MACHINE, board, record

EVIL = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>"
LONG = "x" * 300
LONG_ID = f"a_namespace_{'y' * 40}/A{'z' * 200}"[: MAX_ID_LENGTH - 3] + "-v0"
LONG_TASK = f"{LONG_ID}[tag={LONG}]"
DEPTH = 8


def _arrays(rng):
    positions = np.linspace(0, 1, DEPTH + 1)
    return {
        "positions": positions,
        "spectra_centred": np.exp(-np.arange(12) * (1 + np.sin(np.pi * positions))[:, None]),
        "hamiltonian": -1.5 + 0.01 * rng.standard_normal(DEPTH),
        "coi": 3 + rng.random((4, DEPTH + 1)),
        "g0": np.array([1e-1, 1e-2, 1e-3, 1e-4]),
    }


def _records():
    rng = np.random.default_rng(0)
    records = board(arrays=_arrays(rng))
    records += [
        record(seed=0, error=0.5, steps=EVIL, message=EVIL, arrays=_arrays(rng)),
        record(seed=0, error=0.6, init=LONG, arrays=_arrays(rng)),
        record(
            LONG_ID, seed=0, error=0.6, steps="adaptive", message=LONG, machine=MACHINE | {"processor": LONG},
            task_overrides={"tag": LONG},
        ),
        record(seed=7, status="diverged", error=None, steps="adaptive", message=EVIL),
        record(seed=8, error=0.1, rank=4, steps="adaptive", machine=MACHINE | {"processor": EVIL}),
    ]  # fmt: skip
    return records


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    store = Store(folder / "runs")
    store.prepare()
    for item in _records():
        store.write(item)
    path = folder / "board.html"
    assert main(["leaderboard", "--results", str(folder / "runs"), "--out", str(path), "--title", EVIL]) == 0
    return path


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


@pytest.fixture
def watched(chromium, page_file):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    seen = Watched(page)
    page.goto(page_file.as_uri())
    yield seen
    assert seen.messages == []
    assert seen.requests == [page_file.as_uri()]
    page.close()


def _column(page, table, column):
    return page.locator(f"#{table} tbody tr:visible td:nth-child({column})").all_inner_texts()


def test_sorts_by_number_both_ways_with_missing_values_last(watched):
    page = watched.page
    head = page.locator("#runs thead button", has_text="test error")
    head.click()
    up = [float(text.rstrip("*")) for text in _column(page, "runs", 6)]
    assert up == sorted(up)
    head.click()
    down = [float(text.rstrip("*")) for text in _column(page, "runs", 6)]
    assert down == sorted(down, reverse=True)
    rank = page.locator("#runs thead button", has_text="rank").first
    for _ in range(2):
        rank.click()
        assert _column(page, "runs", 7)[-1] == "\u2013"  # the diverged run has none


def test_sorts_names_as_people_count(watched):
    page = watched.page
    page.locator("#runs thead button", has_text="task").click()
    tasks = list(dict.fromkeys(_column(page, "runs", 1)))
    # the first is the long one, a_namespace/..
    assert tasks[1:] == ["Linear-k3-v0", "LowRank-k1-v0", "LowRank-k3-v0"]


def test_filters_by_words_and_status(watched):
    page = watched.page
    total = page.locator("#runs tbody tr").count()
    page.fill("#filter", "adaptive linear")
    assert page.locator("#runs tbody tr:visible").count() == 5
    assert page.locator("#count").inner_text() == f"5 of {total} runs"
    page.fill("#filter", "")
    page.select_option("#status", "diverged")
    assert _column(page, "runs", 5) == ["diverged"]


def _panel(page):
    """The panel, once it is open: the first run to be opened is unpacked before."""
    panel = page.locator("#panel[open]")
    panel.wait_for()
    return panel


def test_opens_a_run_with_its_curves_and_provenance(watched):
    page = watched.page
    page.fill("#filter", "adaptive linear")
    page.locator("#runs tbody tr:visible").first.click()
    panel = _panel(page)
    assert panel.locator("figure").count() == 3
    assert panel.locator("figure path.curve").count() >= 6 + 1 + 4
    facts = dict(zip(panel.locator("dt").all_inner_texts(), panel.locator("dd").all_inner_texts(), strict=True))
    assert facts["source"] == "0.1.0+aaaaaaaaaaaa"
    assert facts["commit"] == "0" * 40
    assert facts["fit, s"]
    assert "#run-" in page.url
    page.keyboard.press("Escape")
    assert not page.locator("#panel").is_visible()


def test_run_opens_by_keyboard(watched):
    page = watched.page
    page.locator("#runs .open").first.focus()
    page.keyboard.press("Enter")
    assert _panel(page).locator("dt").count() > 5


def test_task_boards_can_be_chosen(watched):
    page = watched.page
    page.select_option("#which", label="LowRank-k3-v0")
    shown = page.locator("[data-board]:visible caption").all_inner_texts()
    assert shown == ["LowRank-k3-v0"]


def test_names_are_text(watched):
    page = watched.page
    assert page.locator("img").count() == 0
    assert page.locator("h1").inner_text() == EVIL
    assert EVIL in _column(page, "runs", 3)[0] or any("<img" in text for text in _column(page, "runs", 3))
    page.fill("#filter", "onerror")
    page.locator("#runs tbody tr:visible", has_text="<img").first.click()
    assert EVIL in _panel(page).inner_text()


def test_readable_at_phone_width(watched):
    page = watched.page
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#runs tbody tr").first.click()
    assert _panel(page).bounding_box()["width"] <= 360


STRAY = """() => [...document.querySelectorAll('body *')].filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 1 || box.left < -1) && !element.closest('.scroll, svg');
}).map((element) => element.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("width", [360, 1280])
def test_very_long_names_are_text_and_break_no_layout(watched, width):
    """Nothing but what scrolls inside its own frame reaches beyond the window: the page, each dialog, each table."""
    page = watched.page
    page.set_viewport_size({"width": width, "height": 740})

    def check():
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(STRAY) == []
        panel = page.locator("#panel")  # text that is too wide scrolls within it
        assert panel.evaluate("panel => panel.scrollWidth - panel.clientWidth") <= 0

    check()
    page.select_option("#which", label=LONG_TASK)
    check()
    page.locator("[data-board]:visible [data-row]").first.click()
    assert LONG_TASK in page.locator("#panel-title").inner_text()
    assert LONG in page.locator("#panel").inner_text()  # the processor
    check()
    page.keyboard.press("Escape")
    for words, name in ((LONG, f"init={LONG}"), (LONG_TASK, LONG_TASK)):
        page.fill("#filter", words)
        row = page.locator("#runs tbody tr:visible").first
        assert "..." in row.inner_text()
        assert row.locator(f"td[title*='{name}']").count() == 1
        check()
        row.click()
        assert name in _panel(page).inner_text()
        check()
        page.keyboard.press("Escape")


def test_row_of_the_board_says_where_it_comes_from_and_leads_to_its_runs(watched):
    page = watched.page
    page.select_option("#which", label="Linear-k3-v0")
    page.locator("[data-board]:visible tr", has_text="uniform").locator("[data-row]").first.click()
    panel = page.locator("#panel")
    facts = dict(zip(panel.locator("dt").all_inner_texts(), panel.locator("dd").all_inner_texts(), strict=True))
    assert facts["runs"] == "5 ok"
    assert facts["seeds"] == "0, 1, 2, 3, 4"
    assert facts["source"] == "0.1.0+aaaaaaaaaaaa"
    assert facts["commit"] == "0" * 40
    panel.locator("button", has_text="Show its runs").click()
    assert not panel.is_visible()
    assert page.locator("#runs tbody tr:visible").count() == 5
    assert set(_column(page, "runs", 1)) == {"Linear-k3-v0"}
    assert set(_column(page, "runs", 3)) == {"uniform"}


def test_method_with_gaps_has_no_place_and_sorts_last(watched):
    page = watched.page
    head = page.locator("#board-0 thead button", has_text="score")
    for _ in range(2):
        head.click()
        assert _column(page, "board-0", 4)[-1] == "\u2013"
        assert _column(page, "board-0", 1)[-1] == "\u2013"


def test_rank_confusion_and_plot_are_there(watched):
    page = watched.page
    assert page.locator(".confusion td.right").first.inner_text()
    # two machines without a yardstick: costs are not compared, and so not drawn
    assert page.locator("li", has_text="costs are not compared").count() == 1
    assert page.locator("svg[aria-label^='score']").count() == 0


def test_pareto_plot_of_one_machine(chromium, tmp_path):
    records = board()
    built = leaderboard(score_frame(records), resamples=200)
    path = tmp_path / "board.html"
    path.write_text(render_page(built, {r.run_id: r for r in records}), encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    assert page.locator("svg[aria-label^='score'] g.best, svg[aria-label^='score'] g.other").count() == 4
    assert page.locator("svg[aria-label^='share of runs'] path.curve").count() == 4
    assert page.locator("svg g.best").count() == 1  # the first method is best and cheapest
    page.close()


def test_alignment_and_misses_sort_with_missing_values_last_and_a_run_shows_its_own(chromium, tmp_path):
    values = {"x/A-v0": 0.95, "x/B-v0": -0.05, "x/C-v0": 0.7, "x/Trees-v0": None}
    records = [
        record(
            task, name, seed, alignment=value, leak=None if value is None else 0.25, rank=None if value is None else 3
        )
        for task in ("LowRank-k3-v0", "Linear-k3-v0")
        for name, value in values.items()
        for seed in range(5)
    ]
    built = leaderboard(score_frame(records), resamples=100)
    path = tmp_path / "board.html"
    path.write_text(render_page(built, {r.run_id: r for r in records}), encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    heads = [text.split("\n")[0] for text in page.locator("#board-0 thead button").all_inner_texts()]
    for order in (["x/B-v0", "x/C-v0", "x/A-v0"], ["x/A-v0", "x/C-v0", "x/B-v0"]):
        page.locator("#board-0 thead button", has_text="alignment").click()
        assert _column(page, "board-0", 2) == [*order, "x/Trees-v0"]
    some, none = "10 of 10 (0.72-1.00)", "0 of 10 (0.00-0.28)"  # the directions of B are no better than chance
    for order in ([none, none, some], [some, none, none]):
        page.locator("#board-0 thead button", has_text="rank missed").click()
        assert _column(page, "board-0", heads.index("rank missed") + 1) == [*order, "\u2013"]
    page.locator("#runs thead button", has_text="alignment").click()
    assert _column(page, "runs", 7)[0] == "-0.050"
    assert _column(page, "runs", 7)[-1] == "\u2013"
    page.locator("#runs tbody tr").first.click()
    panel = _panel(page)
    facts = dict(zip(panel.locator("dt").all_inner_texts(), panel.locator("dd").all_inner_texts(), strict=True))
    assert (facts["code alignment"], facts["code leak"]) == ("-0.05", "0.25")
    page.close()


def test_the_page_says_first_what_it_shows_and_how_the_order_changes(watched):
    page = watched.page
    assert page.locator("header p").first.inner_text().startswith("Shown: 6 methods on 3 tasks")
    rows = page.locator(".orders tbody tr")
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == ["geometric mean", "share better"]


def test_a_browser_that_cannot_unpack_the_runs_says_so(chromium, tmp_path):
    records = board()
    path = tmp_path / "board.html"
    built = leaderboard(score_frame(records), resamples=200)
    path.write_text(render_page(built, {r.run_id: r for r in records}), encoding="utf-8")
    page = chromium.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(path.as_uri())
    page.locator("#runs tbody tr").first.click()
    assert "this browser could not unpack the run" in _panel(page).inner_text()
    page.close()


def test_packed_runs_are_the_same_bytes_each_time_and_unpack_to_what_they_were():
    value = {"name": EVIL, "y": [1.5, None]}
    text = compress_json(value)
    assert text == compress_json(value)
    assert set(text) <= set(string.ascii_letters + string.digits + "+/=")
    assert json.loads(gzip.decompress(base64.b64decode(text))) == value


def test_embedded_json_cannot_end_its_element():
    text = embed({"name": EVIL, "line": "\u2028"})
    assert "<" not in text
    assert ">" not in text
    assert json.loads(text)["name"] == EVIL
