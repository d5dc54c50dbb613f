"""Times and costs of two devices are never set against each other."""

from __future__ import annotations

import dataclasses
import json

import pytest

from leakybench.analysis.comparison import compare
from leakybench.analysis.leaderboard import leaderboard
from leakybench.analysis.scores import score_frame, select
from leakybench.gate.judge import Settings, judge
from leakybench.report.leaderboard import render as render_board
from leakybench.report.page import render_page
from leakybench.report.table import render as render_table
from tests.helpers.fabricate import MACHINE, record

TASK = "Linear-k3-v0"
YARDSTICK = "bench/Yardstick-v0"
CARD, OTHER = "cuda: Card A", "cuda: Card B"


def on(device, baseline, seed, fit, error=0.2, **overrides):
    """A record of a device, as ``leakybench.evaluation`` writes it."""
    kind = {} if device == "cpu" else {"device": "cuda"}
    machine = MACHINE if device == "cpu" else {**MACHINE, "device": device}
    one = record(TASK, baseline, seed, fit=fit, error=error, machine=machine, **kind, **overrides)
    return dataclasses.replace(one, wall_clock={**one.wall_clock, "device": device})


def runs(device, baseline, fit, error=0.2, seeds=5, **overrides):
    return [on(device, baseline, seed, fit, error * (1 + 0.01 * seed), **overrides) for seed in range(seeds)]


def board_of(*groups):
    return leaderboard(score_frame([one for group in groups for one in group]), resamples=100)


BOTH = (
    runs("cpu", YARDSTICK, 10.0),
    runs(CARD, YARDSTICK, 1.0),
    runs("cpu", "x/Slow-v0", 40.0, error=0.3),
    runs("cpu", "x/Fast-v0", 20.0, error=0.4),
    runs(CARD, "x/Slow-v0", 8.0, error=0.2),
)
"""On the CPU 4 and 2 fits of the yardstick, on the card 8 and the smallest error."""


def test_a_cost_counts_fits_of_the_yardstick_on_its_own_device():
    built = board_of(*BOTH)
    assert built.cost_unit == f"fits of {YARDSTICK}"
    costs = {(row.method, row.device): row.cost for row in built.overall}
    assert costs == {
        ("x/Slow-v0", "cpu"): pytest.approx(4.0),
        ("x/Fast-v0", "cpu"): pytest.approx(2.0),
        ("x/Slow-v0[device=cuda]", CARD): pytest.approx(8.0),
    }
    # without a yardstick on the card there is no cost there, however fast it was
    without = board_of(*(group for group in BOTH if group is not BOTH[1]))
    assert {row.device for row in without.overall if row.cost is not None} == {"cpu"}


def test_seconds_of_two_devices_are_no_costs():
    assert board_of(*BOTH[2:]).cost_unit == ""
    assert board_of(*BOTH[2:4]).cost_unit == "seconds"


def test_a_front_is_of_one_device():
    dear = runs(CARD, "x/Dear-v0", 0.5, error=0.1)  # half a fit, and the smallest error of all
    built = board_of(*BOTH, dear)
    front = {row.method for row in built.overall if row.pareto}
    # better and cheaper than everything on the CPU, and the front there stays as it is
    assert front == {"x/Slow-v0", "x/Fast-v0", "x/Dear-v0[device=cuda]"}


def test_costs_of_two_devices_have_a_column_each():
    built = board_of(*BOTH)
    assert built.cost_devices == ["cpu", CARD]
    assert "costs of different devices are never ranked together: each device has a column of its own." in built.notes
    header, _, *lines = [line for line in render_board(built, "github").splitlines() if line.startswith("|")][:5]
    cells = {
        line.split("|")[2].strip().replace("\\", ""): [cell.strip() for cell in line.split("|")[6:8]] for line in lines
    }
    assert header.count("cost") == 2
    assert f"{YARDSTICK}, {CARD}" in header
    assert cells == {
        "x/Slow-v0": ["4.00 P", "-"],
        "x/Fast-v0": ["2.00 P", "-"],
        "x/Slow-v0[device=cuda]": ["-", "8.00 P"],
    }
    page = render_page(built, {})
    assert page.count("Error against cost on ") == 2
    assert f"Error against cost on {CARD}" in page


def test_boards_of_the_cpu_look_as_before_devices():
    built = board_of(*BOTH[2:4])
    content = json.loads(render_board(built, "json"))
    assert not any("device" in row for row in content["overall"] + content["per_task"])
    assert "device" not in render_board(built, "github")
    page = render_page(built, {})
    assert page.count("Error against cost") == 1
    assert "Error against cost on" not in page


def test_a_method_of_two_cards_has_no_cost():
    built = board_of(*BOTH, [on(OTHER, YARDSTICK, 9, 2.0), on(OTHER, "x/Slow-v0", 9, 8.0)])
    row = next(row for row in built.overall if row.method == "x/Slow-v0[device=cuda]")
    assert (row.device, row.cost, row.pareto) == (f"{CARD} and {OTHER}", None, False)
    assert built.cost_devices == ["cpu"]


def test_a_table_says_which_runs_were_not_on_the_cpu():
    frame = score_frame([one for group in BOTH for one in group])
    shown = render_table(frame)
    assert f"10 of 25 runs were computed on {CARD}." in shown
    assert "times come from 2 machines and must not be compared across them" in shown
    rows = json.loads(render_table(frame, "json"))["rows"]
    assert {tuple(row.get("device", ["cpu"])) for row in rows} == {("cpu",), (CARD,)}
    assert "computed on" not in render_table(score_frame(BOTH[0]))
    assert "device" not in json.loads(render_table(score_frame(BOTH[0]), "json"))["rows"][0]


def test_a_record_older_than_devices_counts_as_one_of_the_cpu():
    assert set(score_frame([record()])["device"]) == {"cpu"}


@pytest.mark.parametrize(("device", "ratio"), [("cpu", 2.0), (CARD, None)])
def test_a_time_ratio_is_of_one_device(device, ratio):
    frame = score_frame([*runs("cpu", "x/Slow-v0", 40.0), *runs(device, "x/Fast-v0", 20.0)])
    sides = [select(frame, baseline=f"x/{name}-v0*") for name in ("Slow", "Fast")]
    found = compare(*sides, pairing="baselines").overall.time_ratio
    assert found == (None if ratio is None else pytest.approx(ratio))


def _judged(reference, current):
    frames = [score_frame([one for group in side for one in group]) for side in (reference, current)]
    verdict = judge(*frames, Settings(yardstick=YARDSTICK))
    times = [line for line in verdict.lines if line.metric == "time"]
    missing = [line.text for line in times if line.kind == "not measured"]
    return {line.where: line.effect for line in times if line.effect is not None}, missing


def test_a_gate_judges_a_time_in_units_of_its_device():
    # the CPU got twice as slow and its yardstick with it; on the card the baseline alone did
    slower = (
        runs("cpu", YARDSTICK, 20.0),
        runs(CARD, YARDSTICK, 1.0),
        runs("cpu", "x/Slow-v0", 80.0),
        runs("cpu", "x/Fast-v0", 40.0),
        runs(CARD, "x/Slow-v0", 16.0),
    )
    factors, missing = _judged(BOTH, slower)
    assert factors == {
        "x/Slow-v0": pytest.approx(1.0),
        "x/Fast-v0": pytest.approx(1.0),
        "x/Slow-v0[device=cuda]": pytest.approx(2.0),
    }
    assert missing == []


def test_a_gate_judges_no_time_of_another_card():
    now = [*BOTH[2:4], BOTH[0], runs(OTHER, YARDSTICK, 1.0), runs(OTHER, "x/Slow-v0", 80.0)]
    factors, missing = _judged(BOTH, now)
    assert set(factors) == {"x/Slow-v0", "x/Fast-v0"}
    (text,) = missing
    assert text.startswith("times of 5 runs are not judged: their device differs from that of the reference")
    # nor where the yardstick did not run on the card
    factors, missing = _judged(BOTH, [group for group in BOTH if group is not BOTH[1]])
    assert set(factors) == {"x/Slow-v0", "x/Fast-v0"}
    assert any("times of 5 runs are not judged" in text for text in missing)
