"""One list of columns for each table: what terminal, Markdown and page show and sort by, and performance profiles."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from leakybench.analysis.comparison import compare
from leakybench.analysis.leaderboard import leaderboard
from leakybench.analysis.profiles import MIN_ERROR, THRESHOLDS, method_profiles
from leakybench.analysis.runs import run_rows
from leakybench.analysis.scores import score_frame, select
from leakybench.analysis.summary import machine_letters, summarise
from leakybench.report import page
from leakybench.report.cells import Column
from leakybench.report.columns import (
    board_columns,
    comparison_columns,
    order_columns,
    run_columns,
    summary_columns,
)
from leakybench.report.leaderboard import render
from leakybench.report.page import render_page
from leakybench.report.plots import COLOURS, FURTHER_LOOKS, marker
from leakybench.report.table import render as render_table
from tests.helpers.fabricate import MACHINE, METHODS, board, record


def _tables():
    runs = [*board(alignment=0.8, leak=0.1), record(seed=7, status="diverged", error=None, steps="adaptive")]
    frame = score_frame(runs)
    letters = machine_letters(frame)
    built = leaderboard(frame, resamples=100)
    sides = [select(frame, steps=rule) for rule in ("adaptive", "uniform")]
    rows = summarise(frame)
    return {
        "summary": (summary_columns(rows, "cell", letters), rows),
        "leaderboard": (board_columns(built.overall, len(built.tasks), built.cost_unit), built.overall),
        "orders": (order_columns(), built.orders),
        "runs": (run_columns(run_rows(frame), letters), run_rows(frame)),
        "comparison": (comparison_columns("task"), compare(*sides, pairing="steps").rows),
    }


@pytest.mark.parametrize("name", ["summary", "leaderboard", "orders", "runs", "comparison"])
def test_every_cell_has_a_text_and_a_key_that_is_missing_where_the_text_is(name):
    columns, rows = _tables()[name]
    assert len({(column.name, column.unit) for column in columns}) == len(columns)
    for column in columns:
        for row in rows:
            shown, key = column.text(row), column.key(row)
            assert shown
            assert shown == "-" or key is not None, column.name
        kinds = {type(column.key(row)) is str for row in rows if column.key(row) is not None}
        assert len(kinds) <= 1, f"{column.name} mixes texts and numbers"


@pytest.mark.parametrize("alignment", [None, 0.8])
def test_markdown_and_page_of_a_leaderboard_show_the_same_headers_and_cells(alignment):
    records = board(alignment=alignment)
    built = leaderboard(score_frame(records), resamples=100)
    columns = board_columns(built.overall, len(built.tasks), built.cost_unit)
    page = render_page(built, {r.run_id: r for r in records})
    shown = render(built, "github", per_task=False)
    for column in columns:
        assert f"{column.name} ({column.unit})" in shown or f"| {column.name} " in shown
        assert f">{column.name}<" in page
        for row in built.overall:
            cell = column.text(row)
            assert cell in shown
            assert f">{cell}<" in page or cell == "-"


def test_a_method_with_gaps_sorts_behind_in_the_columns_over_its_tasks():
    easy = [
        record("LowRank-k1-v0", "mine/Easy-v0", s, error=0.09, true_rank=1, rank=1, alignment=0.99) for s in range(5)
    ]
    built = leaderboard(score_frame(board(alignment=0.8) + easy), resamples=100)
    row = next(row for row in built.overall if row.method == "mine/Easy-v0")
    keys = {column.name: column.key(row) for column in board_columns(built.overall, 3, built.cost_unit)}
    assert row.statistics.missed == 0
    assert [keys[name] for name in ("place", "score", "alignment", "rank missed", "cost")] == [None] * 5


def test_machines_of_superseded_runs_get_no_letter():
    records = [record(machine=MACHINE | {"cores": 1}, created="2025-01-01"), record(source="0.1.0+b")]
    assert "machine" not in render_table(score_frame(records)).splitlines()[0]


def test_rows_are_plain_json():
    frame = score_frame([*board(), record(seed=9, status="oom", error=None)])
    built = leaderboard(frame, resamples=100)
    for row in [*summarise(frame), *built.overall, *built.per_task]:
        content = row.to_dict()
        assert json.loads(json.dumps(content, allow_nan=False)).keys() == content.keys()
    assert "task" not in built.overall[0].to_dict()
    assert built.per_task[0].to_dict()["task"] == "Linear-k3-v0"


# -- performance profiles --------------------------------------------------------------------------------------------


def test_profile_by_hand():
    records = [record("Linear-k3-v0", seed=s, error=error) for s, error in enumerate([0.1, 0.2])]
    records += [record("LowRank-k3-v0", seed=s, error=0.5) for s in range(3)]
    thresholds, (profile,) = method_profiles(leaderboard(score_frame(records), resamples=100))
    assert (len(thresholds), thresholds[0], thresholds[-1]) == (THRESHOLDS, pytest.approx(0.1), pytest.approx(1.0))
    shares = dict.fromkeys((0.15, 0.3, 0.9))
    for limit in shares:
        shares[limit] = profile.share[np.searchsorted(thresholds, limit)]
    assert shares == {0.15: 0.25, 0.3: 0.5, 0.9: 1.0}  # tasks weigh equally, whatever their seeds
    assert np.all(profile.low <= profile.share)
    assert np.all(profile.share <= profile.high)


def test_an_exact_method_does_not_stretch_the_thresholds():
    records = [record("Linear-k3-v0", "x/Exact-v0", s, error=1e-14) for s in range(2)]
    records += [record("Linear-k3-v0", seed=s, error=0.3) for s in range(2)]
    thresholds, profiles = method_profiles(leaderboard(score_frame(records), resamples=100))
    assert thresholds[0] == pytest.approx(MIN_ERROR)
    assert next(p for p in profiles if p.method == "x/Exact-v0").share[0] == 1.0


def test_methods_with_gaps_and_boards_without_positive_errors_have_no_profile():
    easy = [record("LowRank-k1-v0", "mine/Easy-v0", s, true_rank=1, rank=1) for s in range(5)]
    _, profiles = method_profiles(leaderboard(score_frame(board() + easy), resamples=100))
    assert [profile.method for profile in profiles].count("mine/Easy-v0") == 0
    assert len(profiles) == len(METHODS)
    thresholds, profiles = method_profiles(leaderboard(score_frame([record(error=0.0)]), resamples=100))
    assert (len(thresholds), profiles) == (0, [])


# -- many methods ----------------------------------------------------------------------------------------------------

MANY = [(f"x/M{i}-v0", {"steps": rule}) for i in range(18) for rule in ("uniform", "irregular", "adaptive")]


@pytest.mark.slow
def test_eighteen_baselines_of_three_step_rules_have_looks_of_their_own():
    records = board(("Linear-k3-v0", "LowRank-k3-v0"), MANY)
    built = leaderboard(score_frame(records), resamples=50)
    assert len(built.overall) == len(MANY)
    shown = render_page(built, {})
    plot = shown[shown.index('id="h-pareto"') : shown.index('id="h-profile"')]
    looks = set()
    for colour, title, body in re.findall(r'<g class="(k\d+) \w+"><title>(.*?):.*?</title>(.*?)</g>', plot):
        corners = re.findall(r'<path d="M([^"]*)Z"', body)[0].split("L")
        looks.add((colour, title.split()[1], len(corners)))
    assert len({(colour, rule) for colour, rule, _ in looks}) == len(MANY)
    assert len({corners for _, _, corners in looks}) == 2  # triangles, and squares that stand or lie on a corner
    profile = shown[shown.index('id="h-profile"') : shown.index('id="h-orders"')]
    # 54 curves cannot be told apart: the first of each baseline
    curves = re.findall(r'<path class="curve (k\d+)"[^>]*><title>', profile)
    assert len(curves) == len(set(curves)) == 18
    assert "the step rule that stands highest on the board" in profile
    first = {row.method: row.steps for row in reversed(built.overall)}
    named = dict(re.findall(r"<title>(\S+) (\w+)</title>", profile))
    assert named == first


def _linear(colour):
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(("scheme", "back"), [("light", "#ffffff"), ("dark", "#14181e")])
def test_colours_differ_from_each_other_and_from_the_page(scheme, back):
    style = (page.HERE / "page.css").read_text(encoding="utf-8")
    colours = re.findall(r"\.k(\d+) \{ --k: (#\w{6}); \}", style)
    half = colours[:COLOURS] if scheme == "light" else colours[COLOURS:]
    assert [int(number) for number, _ in half] == list(range(COLOURS))
    # contrast of graphics as WCAG 2.1 defines it, success criterion 1.4.11: at least 3
    luminance = np.array([_linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in [back, *(c for _, c in half)]])
    contrast = (np.maximum(luminance, luminance[0]) + 0.05) / (np.minimum(luminance, luminance[0]) + 0.05)
    assert contrast[1:].min() >= 3
    # distance in Oklab [Ottosson 2020], where 0.02 is just noticed side by side; markers lie apart
    to_cones = np.array([
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ])  # fmt: skip
    to_lab = np.array([
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ])  # fmt: skip
    lab = np.array([np.cbrt(_linear(colour) @ to_cones.T) @ to_lab.T for _, colour in half])
    apart = np.linalg.norm(lab[:, None] - lab, axis=2)
    assert apart[~np.eye(COLOURS, dtype=bool)].min() > 0.07


# -- step rules of others --------------------------------------------------------------------------------------------


def test_a_step_rule_of_a_third_party_has_a_marker_a_dash_and_a_legend_entry():
    records = board(methods=[*METHODS, ("LeakyResNet-v0", {"steps": "mine<b>"})])
    page = render_page(leaderboard(score_frame(records), resamples=100), {r.run_id: r for r in records})
    look = FURTHER_LOOKS[0]
    legends = re.findall(r'<ul class="legend">.*?</ul>', page)
    assert f"{marker(look.shape, 8, 6, 4)}</svg>mine&lt;b&gt; steps" in legends[0]
    assert f'stroke-dasharray="{look.dash}" d="M0 4H24"/></svg>LeakyResNet-v0 mine&lt;b&gt;' in legends[1]


def test_sort_keys_on_the_page_do_not_show_the_round_off_of_a_processor():
    # the mean of three errors, added up in two orders
    numbers = (0.1 + 0.2 + 0.3) / 3, (0.3 + 0.2 + 0.1) / 3
    assert numbers[0] != numbers[1]
    column = Column(name="error", text=lambda row: "0.2", key=lambda row: row)
    keys = {cell["key"] for number in numbers for cell in page._page_cells([column], number)}
    assert keys == {"0.2"}
