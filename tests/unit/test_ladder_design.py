"""The sequential design of a ladder on simulated methods."""

import numpy as np
import pytest

from leakybench.analysis.ladders import Goal, parse_goals
from leakybench.errors import UsageError
from leakybench.ladders.axis import parse_axis
from leakybench.ladders.coverage import LAWS, climb, measure, smooth
from leakybench.ladders.design import CLIMB, MOST, Design

AXIS = parse_axis("n_train=25:3200")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("n_train=25:3200", [25, 50, 100, 200, 400, 800, 1600, 3200]),
        ("n_train=25:300", [25, 50, 100, 200, 300]),
        ("d=10:160:3", [10, 40, 160]),
        ("noise=0.1:0.4", [0.1, 0.2, 0.4]),
        ("noise=0,0.5,1", [0, 0.5, 1]),
        ("k=1,2,5", [1, 2, 5]),
    ],
)
def test_an_axis_is_read_from_its_short_form(text, values):
    axis = parse_axis(text)
    assert [axis.value(position) for position in axis.positions] == pytest.approx(values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_train=", "finite numbers"),
        ("n_train=100", "two values"),
        ("n_train=100,50", "must increase"),
        ("n_train=50,50", "must increase"),
        ("n_train=200:100", "must rise"),
        ("n_train=0:100", "must rise"),
        ("n_train=100:100", "must rise"),
        ("n_train=1:2:3:4", "an axis reads"),
        ("n_train=1:100:1", "from 2 to"),
        ("n_train=1:100:2.5", "from 2 to"),
        ("n_train=1:100:1000", "from 2 to"),
        ("n_train=a,b", "finite numbers"),
        ("n_train=1,nan", "finite numbers"),
        ("n_train=1,inf", "finite numbers"),
        ("25:3200", "an axis reads"),
        ("=25:3200", "an axis reads"),
        ("n train=1,2", "an axis reads"),
        ("n_train=" + ",".join(map(str, range(100))), "at most 64"),
    ],
)
def test_a_wrong_axis_is_refused_in_one_line(text, words):
    with pytest.raises(UsageError, match=words) as error:
        parse_axis(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["error=0", "error=1", "error=-0.5", "error=nan", "error=x", "loss=0.5", "error=0.5=1"]
)
def test_a_wrong_threshold_is_refused(text):
    with pytest.raises(UsageError, match="threshold"):
        parse_goals([text])


def test_a_metric_has_one_threshold():
    with pytest.raises(UsageError, match="one threshold"):
        parse_goals(["error=0.5", "error=0.2"])
    assert [str(goal) for goal in parse_goals([])] == ["error 0.5", "alignment 0.5", "recovery 0.5"]


@pytest.mark.parametrize("settings", [{"most": 2}, {"most": True}, {"precision": 1.0}, {"precision": float("nan")}])
def test_wrong_settings_of_a_design_are_refused(settings):
    with pytest.raises(UsageError):
        Design(axis=AXIS, goals=[Goal(metric="error")], **settings)


def test_positions_between_values_are_values_of_their_own():
    assert AXIS.value(AXIS.between(8, 12)) == 141  # 100 sqrt(2)
    assert parse_axis("k=1,2,3").between(0, 4) is None  # no integer between 1 and 2


def test_no_two_values_share_a_seed():
    design = Design(axis=AXIS, goals=[Goal(metric="error")])
    seeds = [design.seed(position, replicate) for position in range(29) for replicate in range(MOST)]
    assert len(set(seeds)) == len(seeds)


def run_of(design, law, centre, seed=0, order=1):
    """Climb with draws that depend on place and replicate alone; the counts of each step."""
    goal = design.goals[0]
    samples, steps = {}, []
    while wants := design.wanted({goal.metric: samples}, {p: len(v) for p, v in samples.items()}):
        steps.append(dict(wants))
        for position, number in sorted(wants.items())[::order]:
            draws = [
                law.draw(np.array([AXIS.place(position) - centre]), np.random.default_rng([seed, position, r]))[0]
                for r in range(number)
            ]
            samples[position] = np.array(draws)
    return samples, steps


def test_the_path_depends_on_the_results_alone():
    design = Design(axis=AXIS, goals=[Goal(metric="error")])
    law = smooth(0.5, 0.15)
    one, steps = run_of(design, law, 8.0)
    other, same = run_of(design, law, 8.0, order=-1)
    assert steps == same
    assert one.keys() == other.keys()


def test_runs_gather_at_the_threshold():
    design = Design(axis=AXIS, goals=[Goal(metric="error")])
    samples, _ = run_of(design, smooth(0.5, 0.3), 8.3)  # 2^8.3 = 315
    near = [position for position in samples if 315 / 2 <= AXIS.value(position) <= 315 * 2]
    assert sum(len(samples[p]) for p in near) > 0.6 * sum(map(len, samples.values()))
    assert all(CLIMB <= len(values) <= MOST for values in samples.values())
    assert max(AXIS.value(p) for p in samples) < 3200  # it does not pay for what lies far above


def test_a_ladder_that_is_never_reached_ends_at_its_top_with_few_runs():
    design = Design(axis=AXIS, goals=[Goal(metric="error")])
    samples, _ = run_of(design, smooth(0.5, 0.01), 30.0)
    assert sorted(samples) == list(AXIS.positions)
    assert sum(map(len, samples.values())) <= 8 * CLIMB + 3


def test_a_full_design_is_a_grid():
    design = Design(axis=AXIS, goals=[Goal(metric="error")], most=4, full=True)
    samples, steps = run_of(design, smooth(0.5, 0.1), 8.0)
    assert {p: len(v) for p, v in samples.items()} == dict.fromkeys(AXIS.positions, 4)
    assert len(steps) == 1


def test_the_budget_ends_a_ladder():
    design = Design(axis=AXIS, goals=[Goal(metric="error")])
    _, runs = climb(smooth(1.0, 0.5), 8.0, design, 25, np.random.default_rng(0))
    assert runs == 25


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_intervals_cover_their_share(law):
    row = measure(law, ladders=200, compare=False)
    # of 200 ladders at 95%, fewer than 88.5% or none outside happen by chance once in 10,000
    assert row.share >= 0.885
