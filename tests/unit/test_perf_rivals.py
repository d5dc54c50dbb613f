"""The parts of the speed measurements that need no clock: losses of the rivals, records of runs, shares of time."""

from __future__ import annotations

import importlib.util
import json
import math

import pytest
import torch

from tests.perf.fit_shares import METHODS, Profile, Stopwatch
from tests.perf.growth import fit_memory
from tests.perf.problems import FAMILIES, make_start
from tests.perf.rival_methods import BudgetSpentError, PlainNetwork, Trace, jax_loss
from tests.perf.rivals import Runs, best_of, race, reached, row, standing
from tests.perf.tables import exponent

SMALL = {"width": 30, "depth": 8}


@pytest.fixture(params=FAMILIES)
def start(request):
    settings = {**FAMILIES[request.param], **SMALL}
    return make_start(request.param, settings, preset="converged", task={"n_train": 50, "n_test": 10})


def test_rivals_minimise_the_same_objective_from_the_same_weights(start):
    objective, parameters = start.objective()
    gradient = torch.empty_like(parameters)
    expected = float(objective.gradient(parameters, gradient).value[0])
    network = PlainNetwork(start)
    # float32 sums in another order
    assert float(network.backward()) == pytest.approx(expected, rel=1e-5)
    wanted = objective.views(gradient)[0][0]
    for layer, own in zip(network.hidden, wanted, strict=True):
        both = torch.cat([layer.weight.grad, layer.bias.grad.unsqueeze(1)], dim=1)
        torch.testing.assert_close(both, own, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_rival_in_jax_minimises_the_same_objective(start):
    loss, weights = jax_loss(start)
    assert float(loss(weights)) == pytest.approx(float(PlainNetwork(start).backward()), rel=1e-5)


def test_trace_keeps_the_falling_values_and_ends_with_the_lowest():
    times = iter([0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    trace = Trace(budget=5.0, clock=lambda: next(times))
    trace.begin()
    for value in (8.0, 9.0, 4.0, 3.9999):  # the last falls by less than what is worth a point, but is the lowest
        trace.add(value)
    assert trace.points() == [(1.0, 8.0), (3.0, 4.0), (4.0, 3.9999)]
    with pytest.raises(BudgetSpentError):
        trace.add(math.nan)
    assert trace.points()[-1] == (4.0, 3.9999)


def a_run(method, points, **options):
    return {"method": method, "options": options, "points": points, "seconds": 10.0}


def test_standing_counts_seeds_and_divides_times_by_those_of_the_package():
    raced = [
        [a_run("engine", [(1.0, 2.0), (2.0, 1.0)]), a_run("rival", [(3.0, 1.5), (6.0, 1.005)])],
        [a_run("engine", [(1.0, 1.0)]), a_run("rival", [(1.0, 1.5)])],
        [a_run("engine", [(1.0, 1.1)]), a_run("rival", [(4.0, 1.0)])],
    ]
    got = standing("rival", raced)
    assert (got.reached, got.seconds, got.final) == (2, 6.0, 1.005)
    assert got.ratios == [0.0, 3.0, math.inf]  # only the rival reached it, both did, only the package did
    assert standing("engine", raced).ratios == [1.0, 1.0]
    assert row("a family", "rival", raced) == ["a family", "rival", "2 of 3", "6", "3", "0", "not reached", 1.005]


def test_best_of_takes_the_soonest_and_without_any_the_lowest():
    late, soon, never = (a_run("a", points) for points in ([(5.0, 1.0)], [(2.0, 1.005)], [(1.0, 1.2)]))
    assert best_of([late, soon, never], []) is soon
    assert best_of([late, never], [a_run("b", [(1.0, 0.5)])]) is late
    assert reached([], 1.0) == math.inf


def test_race_tries_adam_on_the_first_seed_and_goes_on_after_an_interruption(tmp_path):
    made = []

    def make(job):
        made.append(job)
        assert (job["seconds"] is None) == (job["method"] == "engine")
        return {"points": [[1.0, 1.0 + job["options"].get("rate", 0.0)]], "seconds": 2.0}

    path = tmp_path / "runs.jsonl"
    problem = {"baseline": "ResNet-v0", "settings": {}}
    raced = race(problem, 2, 4.0, Runs(path, make))
    assert {job["seconds"] for job in made if job["method"] != "engine"} == {8.0}
    adam = [job["options"] for job in made if job["method"] == "torch Adam"]
    assert len({options["rate"] for options in adam}) > 2
    assert adam[-1] == best_of([run for run in raced[0] if run["method"] == "torch Adam"], raced[0])["options"]

    first = len(made)
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == first
    path.write_text("".join(lines[:-1]) + lines[-1][:20])  # killed within its last line
    assert race(problem, 2, 4.0, Runs(path, make)) == raced
    assert made[first:] == [made[first - 1]]
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == first


def test_stopwatch_counts_a_part_without_the_parts_inside_it():
    now = [0.0]

    class Machine:
        def outer(self):
            now[0] += 1.0
            self.inner()
            now[0] += 2.0

        def inner(self):
            now[0] += 4.0

    machine, watch, before = Machine(), Stopwatch(clock=lambda: now[0]), Machine.outer
    with watch.watching({"outside": [(Machine, "outer")], "inside": [(Machine, "inner")]}):
        machine.outer()
        machine.inner()
    assert watch.seconds == {"outside": 3.0, "inside": 8.0}
    assert Machine.outer is before


def test_shares_of_a_fit_sum_to_one():
    parts = dict.fromkeys(list(METHODS)[1:], 1.0)
    shares = Profile(seconds=8.0, evaluations=3, parts=parts).shares()
    assert shares == [0.0, *([0.125] * len(parts)), 0.5]


def test_exponent_of_a_power():
    assert exponent([1.0, 2.0, 4.0], [3.0, 12.0, 48.0]) == pytest.approx(2.0)


def test_memory_of_a_fit_counts_activations_and_pairs():
    got = fit_memory((30, 60, 5))
    assert got["activations"] == 4 * 5 * 31 * 60
    assert got["pairs"] == 3 * 4 * 20 * 5 * 30 * 31
