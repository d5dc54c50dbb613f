"""Tables of ladders, growth exponents and sample efficiency, on ladders whose thresholds are known."""

from __future__ import annotations

import html
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from leakybench.analysis.board_samples import add_samples
from leakybench.analysis.efficiency import NORMAL, efficiency_notes, sample_efficiency
from leakybench.analysis.growth import growths, power_law, varying_settings
from leakybench.analysis.labels import task_setting
from leakybench.analysis.ladders import Goal, Threshold, parse_goals, threshold
from leakybench.analysis.stored_ladders import stored_ladders
from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.report.columns import board_columns
from leakybench.report.ladder import FORMATS, render, threshold_text
from leakybench.report.ladder_wide import render_wide
from leakybench.report.leaderboard import render as render_board
from leakybench.report.page import render_page
from leakybench.store import Store
from tests.helpers.climbed import climbed
from tests.helpers.fabricate import board, ranked, record, row_of, stored_board

ERROR = Goal(metric="error")
GOALS = parse_goals([])


# ---------------------------------------------------------------------------------------------------- the ladders


def _found(side, value=None, low=None, high=None):
    return Threshold(goal=ERROR, value=value, low=low, high=high, side=side)


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (_found("within", 230.4, 190.2, 280.0), "230 (190 to 280)"),
        (_found("within", 1734.0, 1516.0, 1988.0), "1730 (1520 to 1990)"),  # no exponents of ten
        (_found("below", high=25.0), "< 25"),
        (_found("above", low=3200.0), "> 3200"),
        (_found("open", 240.0, 160.0), "240 (160 to > 3200)"),
        (_found("open", 30.0, None, 60.0), "30 (< 25 to 60)"),
        (_found("open"), "? (< 25 to > 3200)"),
        (_found("unmeasured"), "-"),
    ],
)
def test_a_threshold_is_shown_with_its_interval_or_the_end_of_the_ladder(found, shown):
    assert threshold_text(found, (25.0, 3200.0)) == shown


def _many():
    return [
        climbed(at=100, parameters=50),
        climbed(method="ResNet-v0", at=200, parameters=50),
        climbed(method="Mean-v0", steps="-", errors=[0.95] * 6, metrics=("error",), status={"ok": 3, "diverged": 2}),
        climbed(method="Oracle-v0", steps="-", errors=[0.05] * 6),
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_of_the_table_holds_every_ladder(format):
    shown = render(_many(), GOALS, format)
    for name in ("LeakyResNet-v0", "ResNet-v0", "Mean-v0", "Oracle-v0"):
        assert name in shown
    if format != "csv":
        assert "2 of 8 runs" not in shown  # of all 42 runs, not of one ladder
        # 3 goals below for the oracle; above for the mean's error, whose other metrics are not measured
        assert "outside the ladder: 4 of 12 thresholds, 3 before its first value and 1 behind its last" in shown
        assert "12 diverged" in shown


def test_the_cells_of_the_table_say_where_and_in_which_units():
    lines = {line.split()[1]: line for line in render(_many(), GOALS[:1], "terminal").splitlines() if "LowRank" in line}
    found = threshold(climbed(at=100), ERROR)
    assert found.value == pytest.approx(100, rel=1e-6)  # the errors are straight lines over octaves
    assert f"100 ({found.low:.3g} to {found.high:.3g})" in lines["LeakyResNet-v0"]
    assert lines["LeakyResNet-v0"].split()[-4:] == ["2", "30", "5", "30.0"]  # 100 / 50, runs, seeds, seconds
    assert "> 800" in lines["Mean-v0"]
    assert "< 25" in lines["Oracle-v0"]
    assert "linear" not in render([climbed(at=100)], GOALS)  # no column without a known rank
    outside = climbed(errors=[0.95] * 6, parameters=50)
    assert "> 16" in render([outside], GOALS)


def test_a_wide_table_has_networks_by_effective_depth_and_then_the_others():
    deep = "LeakyResNet-v0[effective_depth=15.0]"
    ladders = [
        climbed(method="Ridge-v0", steps="-", errors=[0.9] * 6),
        climbed(method="FullyConnected-v0", at=110),
        climbed(method=deep, at=120),
        climbed(method="LeakyResNet-v0", at=200),
        climbed("Curved-k2-v0", "LeakyResNet-v0", at=60),
        climbed(method="ResNet-v0", at=400),
    ]
    shown = render_wide(ladders, ERROR, "github").splitlines()
    lines = [html.unescape(line.replace("\\", "")) for line in shown if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["baseline", "Curved-k2-v0 (n_train, 95%)", "LowRank-k3-v0 (n_train, 95%)"]
    assert [row[0] for row in cells[2:]] == ["ResNet-v0", "LeakyResNet-v0", deep, "FullyConnected-v0", "Ridge-v0"]
    assert cells[2][1] == "-"
    assert cells[3][1].startswith("60")
    assert cells[6][2] == "> 800"
    with pytest.raises(UsageError, match="a row a ladder"):
        render_wide(ladders, ERROR, "csv")


def test_a_wide_table_names_the_step_rules_where_there_are_several():
    ladders = [climbed(at=100), climbed(at=200, steps="adaptive"), climbed(method="Ridge-v0", steps="-", at=300)]
    shown = render_wide(ladders, ERROR)
    assert "LeakyResNet-v0, adaptive" in shown
    assert "LeakyResNet-v0, uniform" in shown


def test_json_holds_every_value_of_the_axis_with_its_interval():
    row = json.loads(render(_many(), GOALS, "json"))["ladders"][0]
    assert [each["goal"] for each in row["thresholds"]] == ["error 0.5", "alignment 0.5", "recovery 0.5"]
    assert row["thresholds"][0]["value"] == pytest.approx(100, rel=1e-6)
    rung = row["rungs"][1]
    assert rung["value"] == 50
    # Student's interval of five runs: sd 0.0158, t = 2.776
    assert rung["error"] == pytest.approx(
        {"mean": 0.75, "low": 0.75 - 0.01963, "high": 0.75 + 0.01963, "runs": 5}, abs=1e-5
    )
    assert rung["recovery"]["mean"] == 0.0


def test_along_another_axis_a_threshold_is_the_value_up_to_which():
    harder = climbed(errors=[0.1, 0.3, 0.4, 0.6, 0.8, 0.9], axis="noise")
    shown = render([harder], [ERROR])
    assert "values of noise up to which a method reaches" in shown
    assert 100 < threshold(harder, ERROR).value < 200
    assert "from which on" in render([climbed(at=100)], [ERROR])
    assert "no ladder has runs" in render([], [ERROR])
    with pytest.raises(UsageError, match="format must be one of"):
        render([], [ERROR], "yaml")


# ---------------------------------------------------------------------------------------------------------- growth


@given(
    exponent=st.floats(-3, 3),
    scale=st.floats(0.1, 100),
    values=st.lists(st.integers(1, 500), min_size=2, max_size=6, unique=True),
)
def test_a_power_law_is_found_exactly(exponent, scale, values):
    slope = power_law(values, [scale * value**exponent for value in values], [0.1] * len(values))
    assert slope.exponent == pytest.approx(exponent, abs=1e-7)  # float64, values up to a ratio of 500
    assert slope.low < exponent < slope.high


def test_the_interval_is_that_of_weighted_least_squares():
    x, y, s = np.array([10, 20, 40, 80]), np.array([55.0, 104, 190, 430]), np.array([0.5, 0.2, 0.4, 0.3])
    (slope, _), covariance = np.polyfit(np.log(x), np.log(y), 1, w=1 / s, cov="unscaled")
    found = power_law(x, y, s)  # scatters less than reported: the reported variance and the normal law
    assert found.exponent == pytest.approx(slope, rel=1e-9)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * math.sqrt(covariance[0, 0]), rel=1e-6)
    wide = np.array([30.0, 150, 120, 900])  # scatters more: its own variance and Student's law
    line = stats.linregress(np.log(x), np.log(wide))
    found = power_law(x, wide, [0.01] * 4)
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 2) * line.stderr, rel=1e-6)


def _exact_coverage(points):
    """Coverage of ``power_law`` for a true power law with known deviations: slope and scatter are independent."""
    freedom = points - 2
    quantile = stats.t.ppf(0.975, freedom)
    small = stats.chi2.cdf(freedom, freedom) * 0.95

    def covered(scatter):
        half = quantile * math.sqrt(scatter / freedom)
        return stats.chi2.pdf(scatter, freedom) * (2 * stats.norm.cdf(half) - 1)

    return small + integrate.quad(covered, freedom, np.inf)[0]


@pytest.mark.parametrize("points", [3, 4, 5])
def test_intervals_of_exponents_cover_as_stated(points):
    exact = _exact_coverage(points)
    assert 0.93 <= exact <= 0.97
    rng, runs, hits = np.random.default_rng(points), 1500, 0
    values = 10.0 * 2.0 ** np.arange(points)
    for _ in range(runs):
        deviations = rng.uniform(0.05, 0.3, points)
        slope = power_law(values, 7 * values**1.2 * np.exp(deviations * rng.standard_normal(points)), deviations)
        hits += slope.low <= 1.2 <= slope.high
    # four standard errors of a share of 1,500
    assert hits / runs == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / runs))


@pytest.mark.parametrize("numbers", [([1], [1], [1]), ([2, 2], [1, 1], [1, 1]), ([1, 2], [0, 1], [1, 1]),
                                     ([1, 2], [1, 1], [0, 1]), ([-1, 2], [1, 1], [1, 1])])  # fmt: skip
def test_a_power_law_needs_two_values_and_positive_numbers(numbers):
    with pytest.raises(ValueError, match="power law"):
        power_law(*numbers)


def _in_dimensions(**fields):
    """Thresholds at 5 d; the id's default is d = 30."""
    grown = [
        climbed("LowRank-k3-v0[d=15]", at=75, parameters=3 * 27, **fields),
        climbed("LowRank-k3-v0", at=150, parameters=3 * 57, **fields),
        climbed("LowRank-k3-v0[d=60]", at=300, parameters=3 * 117, **fields),
    ]
    return [*grown, climbed("LowRank-k3-v0[d=240]", errors=[0.95] * 6, parameters=3 * 477, **fields)]


def test_ladders_that_differ_in_one_setting_alone_have_an_exponent():
    assert task_setting("LowRank-k3-v0", "d") == 30
    ladders = [*_in_dimensions(), climbed("LowRank-k3-v0[d=90,noise=0.5]", at=75), climbed("Linear-k3-v0", at=50)]
    assert varying_settings(ladders) == ["d"]
    (found,) = growths(ladders, "d", [ERROR])
    assert [value for value, _ in found.points] == [15, 30, 60, 240]
    assert found.slope.exponent == pytest.approx(1.0, abs=1e-3)
    assert (found.task, found.left_out) == ("LowRank-k3-v0", 1)  # the last one is above its ladder
    x = np.log([15, 30, 60, 240])
    assert found.parameters == pytest.approx(stats.linregress(x, np.log([81, 171, 351, 1431])).slope, rel=1e-9)
    assert growths(ladders, "noise", [ERROR]) == []
    none = growths([climbed(f"LowRank-k3-v0[d={d}]", errors=[0.95] * 6) for d in (10, 20)], "d", [ERROR])
    assert (none[0].slope, none[0].left_out) == (None, 2)


def test_the_table_of_growth_stands_below_that_of_the_ladders():
    shown = render(_in_dimensions(), [ERROR], "github")
    row = [line for line in shown.splitlines() if line.startswith("| LowRank-k3-v0 ")][-1]
    assert "1.00 (" in row
    assert "3 of 4" in row
    assert "1 of 4 thresholds are not within their ladders" in shown
    assert "known rate in d: exponent 1" in shown
    content = json.loads(render(_in_dimensions(), [ERROR], "json"))["growth"][0]
    assert content["slope"]["low"] < 1 < content["slope"]["high"]
    assert "grows with" not in render([climbed(at=100)], [ERROR], "github")


# -------------------------------------------------------------------------------------------------- sample efficiency


def _two_families():
    return [
        climbed("A-v0", "m/Good-v0", at=100),
        climbed("A-v0", "m/Slow-v0", at=200),
        climbed("B-v0", "m/Good-v0", at=60),
        climbed("B-v0", "m/Slow-v0", at=480),
    ]


def test_sample_efficiency_is_the_geometric_mean_of_ratios_to_the_best():
    found = sample_efficiency(_two_families())
    good, slow = (found.methods[f"m/{name}-v0", "uniform"] for name in ("Good", "Slow"))
    assert (good.value, good.low, good.high, good.bound) == (1.0, None, None, False)
    assert slow.value == pytest.approx(math.sqrt(1 / 2 * 1 / 8), rel=1e-6)
    deviations = [threshold(ladder, ERROR).deviation for ladder in _two_families()]
    half = NORMAL * math.sqrt(sum(deviation**2 for deviation in deviations)) / 2
    assert (slow.low, slow.high) == pytest.approx((slow.value * math.exp(-half), slow.value * math.exp(half)), rel=1e-6)
    assert found.families == ["A-v0", "B-v0"]


def test_a_threshold_outside_its_ladder_makes_an_upper_bound():
    ladders = [climbed("A-v0", "m/Good-v0", at=100), climbed("A-v0", "m/Never-v0", errors=[0.95] * 6)]
    found = sample_efficiency(ladders).methods
    assert found["m/Never-v0", "uniform"].value == pytest.approx(100 / 800, rel=1e-6)
    assert found["m/Never-v0", "uniform"].bound
    assert not found["m/Good-v0", "uniform"].bound
    early = [climbed("A-v0", "m/Good-v0", errors=[0.05] * 6), climbed("A-v0", "m/Late-v0", at=100)]
    late = sample_efficiency(early).methods["m/Late-v0", "uniform"]
    assert (late.value, late.bound, late.low) == (pytest.approx(25 / 100, rel=1e-6), True, None)
    short = [climbed("A-v0", "m/Good-v0", at=700), climbed("A-v0", "m/Short-v0", [0.95] * 3, values=(25, 50, 100))]
    assert sample_efficiency(short).methods["m/Short-v0", "uniform"].value == 1.0  # never above 1


def test_families_that_nobody_reaches_or_few_climbed_are_left_out_and_named():
    ladders = _two_families()
    ladders += [climbed("Hard-v0", f"m/{name}-v0", errors=[0.95] * 6) for name in ("Good", "Slow")]
    ladders += [climbed("A-v0", "m/Third-v0", at=100), climbed("Rare-v0", "m/Third-v0", at=100)]
    found = sample_efficiency(ladders)
    assert (found.families, found.unreached, found.rare) == (["A-v0", "B-v0"], ["Hard-v0"], ["Rare-v0"])
    assert ("m/Third-v0", "uniform") not in found.methods
    assert found.incomplete == 1
    said = " ".join(efficiency_notes(found))
    for words in ("2 families (A-v0, B-v0)", "on Hard-v0", "on Rare-v0", "1 methods"):
        assert words in said
    nothing = sample_efficiency([climbed("A-v0", "m/Never-v0", errors=[0.95] * 6)])
    assert nothing.methods == {}
    assert "no sample efficiency" in efficiency_notes(nothing)[0]


def _ladder_records(task="LowRank-k3-v0", preset="standard"):
    """Runs of two methods at three sizes, of which one is the default of the task and has no override."""
    records = []
    for baseline, fields, half in (("FullyConnected-v0", {"steps": "uniform"}, 500), ("ridge/Ridge-v0", {}, 1000)):
        for n in (250, 1000, 4000):
            for seed in range(5):
                error = float(np.clip(0.5 - 0.25 * math.log2(n / half), 0.02, 0.98)) + 0.005 * seed
                overrides = {} if n == 1000 else {"n_train": n}
                records.append(
                    record(task, baseline, seed, error=error, task_overrides=overrides, preset=preset, **fields)
                )
    return records


def test_stored_runs_become_ladders_with_the_default_of_the_task():
    found = stored_ladders(_ladder_records(), sizes=True)
    assert [(ladder.task, ladder.method) for ladder in found] == [
        ("LowRank-k3-v0", "FullyConnected-v0"),
        ("LowRank-k3-v0", "ridge/Ridge-v0"),
    ]
    assert [(rung.value, rung.runs) for rung in found[0].rungs] == [(250, 5), (1000, 5), (4000, 5)]
    assert found[0].parameters == 3 * (30 + 30 - 3)
    assert stored_ladders(_ladder_records(), preset="smoke") == []
    assert stored_ladders([]) == stored_ladders(board()) == []  # one value is no ladder


def test_a_board_with_ladders_has_a_column_and_the_same_places():
    plain = ranked(board())
    ladders = stored_ladders(_ladder_records())
    built = add_samples(plain, ladders)
    assert [row.rank_low for row in built.overall] == [row.rank_low for row in plain.overall]
    assert [row.score for row in built.overall] == [row.score for row in plain.overall]
    column = next(c for c in board_columns(built.overall, 3, built.cost_unit) if c.name == "samples")
    assert column.text(row_of(built.overall, "FullyConnected-v0", "uniform")) == "1.000"
    shown = column.text(row_of(built.overall, "ridge/Ridge-v0", "-"))
    best, other = (threshold(ladder, ERROR).value for ladder in ladders)
    assert float(shown.split()[0]) == pytest.approx(best / other, abs=0.0006)  # three decimals
    assert "(" in shown
    assert column.text(row_of(built.overall, "LeakyResNet-v0", "uniform")) == "-"
    assert "samples (N_best / N, 95%)" in render_board(built, "github", per_task=False)
    assert "samples: geometric mean over 1 family (LowRank-k3-v0)" in render_board(built)
    rows = json.loads(render_board(built, "json"))["overall"]
    assert {"value", "low", "high", "bound", "families"} == set(rows[2].get("samples") or rows[3]["samples"])
    assert "N_best / N" in render_page(built, {})
    assert "samples" not in [c.name for c in board_columns(plain.overall, 3, plain.cost_unit)]
    assert all("samples" not in row for row in json.loads(render_board(plain, "json"))["overall"])


def test_the_leaderboard_reads_ladders_of_its_preset_alone(tmp_path, capsys):
    stored_board(tmp_path / "runs")
    for name, preset in (("ladders", "standard"), ("smoke", "smoke")):
        store = Store(tmp_path / name)
        store.prepare()
        for item in _ladder_records(preset=preset):
            store.write(item)
    command = ["leaderboard", "--task", "LowRank-k1-v0", "--results", str(tmp_path / "runs"), "--ladders"]
    assert main([*command, str(tmp_path / "ladders")]) == 0
    assert "N_best / N" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "smoke")]) == 3
    assert "holds no ladder over n_train of preset standard" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "nowhere")]) == 2


def test_the_leaderboard_names_ladder_records_that_were_changed(tmp_path, capsys):
    stored_board(tmp_path / "runs")
    store = Store(tmp_path / "ladders")
    store.prepare()
    items = _ladder_records()
    for item in items:
        store.write(item)
    path = store.path(items[0].run_id)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "test_error": 0.001}))
    command = ["leaderboard", "--task", "LowRank-k1-v0", "--results", str(tmp_path / "runs")]
    command += ["--ladders", str(tmp_path / "ladders")]
    assert main(command) == 0
    said = f"of the ladders: 1 run of changed records ({items[0].run_id[:8]}) left out"
    assert said in capsys.readouterr().err
    assert main([*command, "--include-changed"]) == 0
    assert said not in capsys.readouterr().err
