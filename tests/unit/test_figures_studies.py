"""The runs behind each figure, and the figures with runs of their own: rank, layers, adaptive."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakybench.cli import main
from leakybench.engines.job import Job
from leakybench.figures import MODULES, adaptive, layers, load_figure, rank, studies
from leakybench.figures.build import build_figure, jobs_of, read_csv
from leakybench.figures.figure import DEPTH, Runs
from leakybench.measures.path import G0
from leakybench.store import Store
from tests.helpers.figure_runs import fabricated, fill, settings_of

SEEDS = (0, 1, 2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "runs")
    found.prepare()
    return found


def test_figures_share_their_runs() -> None:
    ids = [
        {job.run.run_id for job in jobs_of(load_figure(name), SEEDS)} for name in ("1a", "3", "theorem", "cross-term")
    ]
    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert {job.run.run_id for job in jobs_of(load_figure("1c"), SEEDS)} < ids[0]
    assert {job.run.run_id for job in jobs_of(load_figure("2b"), SEEDS)} < {
        j.run.run_id for j in jobs_of(load_figure("2a"), SEEDS)
    }


def test_no_run_goes_by_two_names() -> None:
    # 7 and 7.0 are equal settings of different run ids: a study that writes the other one trains everything again
    names: dict[Any, set[str]] = {}
    for name in MODULES:
        for job in jobs_of(load_figure(name), SEEDS):
            settings = (sorted(job.run.task_overrides.items()), sorted(job.run.baseline_overrides.items()))
            key = (job.run.task, job.run.baseline, job.run.preset, job.run.seed, *map(tuple, settings))
            names.setdefault(key, set()).add(job.run.run_id)
    assert max(len(ids) for ids in names.values()) == 1


def test_the_help_says_how_many_runs_the_figures_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figures", "--help"]) == 0
    stated = re.findall(r"^  ([\w,-]+) +(\d+) runs ", capsys.readouterr().out, re.MULTILINE)
    assert {name for names, _ in stated for name in names.split(",")} == set(MODULES)
    for names, count in stated:
        ids = {job.run.run_id for name in names.split(",") for job in jobs_of(load_figure(name), range(5))}
        assert len(ids) == int(count), names


def test_uniform_steps_go_deeper_at_every_seed() -> None:
    deeper = [
        job.run.seed
        for job in jobs_of(load_figure("adaptive"), range(5))
        if job.run.baseline_overrides == {"depth": studies.DEEPER, "effective_depth": 3, "steps": "uniform"}
    ]
    assert deeper == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("effective_depth", "found"), [(7.0, 1), (7.5, 0)])
def test_runs_of_another_source_serve_whole_numbers_written_either_way(
    store: Store, effective_depth: float, found: int
) -> None:
    (job, *_) = jobs_of(load_figure("1c"), SEEDS)
    overrides = {**job.run.baseline_overrides, "effective_depth": effective_depth}
    written = dataclasses.replace(job.run, source="0.1.0+aaaaaaaaaaaa", baseline_overrides=overrides)
    store.write(fabricated(dataclasses.replace(job, run=written)))
    assert len(Runs(store, [job], any_source=True)) == found


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        ([1, 1], "1 worker"), ([0, 1], "1 worker"), ([1, 2], "1 or 2 workers"), ([2, None], "2 workers"),
        ([None], "workers unknown"),
    ],
)  # fmt: skip
def test_fit_times_come_with_the_workers_that_ran_side_by_side(workers: list[int | None], text: str) -> None:
    assert adaptive.workers_text(pd.DataFrame({"workers": workers})) == text


def test_the_workers_of_a_run_are_in_the_data(store: Store, tmp_path: Path) -> None:
    jobs = jobs_of(load_figure("adaptive"), (0,))
    fill(store, jobs, provenance={"workers": 2})
    build_figure(load_figure("adaptive"), jobs, store, tmp_path, ("svg",))
    assert set(read_csv(tmp_path / "adaptive.csv")["workers"]) == {2}


def answers(store: Store, seeds: tuple[int, ...], answer: Any) -> pd.DataFrame:
    """Data of the rank study; ``answer`` maps a job and an estimator to the rank that it gives."""
    jobs = jobs_of(load_figure("rank"), seeds)
    for job in jobs:
        evidence = {name: {"rank": answer(job, name), "gap": 2.0} for name in rank.ESTIMATORS}
        store.write(fabricated(job, rank_evidence={"estimators": evidence}))
    return rank.collect(Runs(store, jobs))


def test_the_rank_study_is_the_grid_and_what_lies_beyond_it() -> None:
    jobs = jobs_of(load_figure("rank"), range(5))
    runs = [
        (job.task_spec.true_rank, job.run.task_overrides.get("d", 30), job.run.task_overrides.get("noise", 0.0),
         job.run.seed)
        for job in jobs
    ]  # fmt: skip
    ranks = (1, 2, 3, 5, 10)
    expected = {(k, d, 0.0, seed) for k in (1, 2, 3, 5) for d in (20, 30, 50) for seed in range(5)}
    expected |= {(10, 30, 0.0, seed) for seed in range(3)}
    expected |= {(k, 30, noise, seed) for k in ranks for noise in (0.1, 0.3) for seed in range(3)}
    expected |= {(k, 100, 0.0, seed) for k in ranks for seed in range(2)}
    assert sorted(runs) == sorted(expected)
    assert {job.run.preset for job in jobs} == {"converged"}


def test_shares_of_right_ranks_are_counted_by_hand(store: Store) -> None:
    def answer(job: Job, name: str) -> int | None:
        true = job.task_spec.true_rank
        if name == "hamiltonian":
            return None
        if name == "weight_spectrum":  # wrong at rank 2, right elsewhere
            return 3 if true == 2 else true
        return true + (name == "centred_spectrum" and job.run.task_overrides.get("d") == 50)

    data = answers(store, (0, 1), answer)
    found = rank.shares(data).set_index(["slice", "quantity"])
    mean, low, high, runs = (found[name] for name in found.columns)

    def share(where: str, estimator: str) -> tuple[float, int]:
        key = (where, rank.right(estimator))
        return float(mean[key]), int(runs[key])

    # per seed: 12 of the grid, 1 of rank 10, 10 with noise, 5 of 100 dimensions
    assert share("all", rank.DEFAULT) == (1.0, 56)
    assert share(rank.MAIN, rank.DEFAULT) == (1.0, 24)
    assert share("all", "hamiltonian") == (0.0, 56)
    assert share(rank.MAIN, "weight_spectrum") == (0.75, 24)
    assert share("k = 2", "weight_spectrum") == (0.0, 8)
    assert share("k = 10", "weight_spectrum") == (1.0, 4)
    assert share("d = 50", "centred_spectrum") == (0.0, 8)
    assert share("d = 100", "centred_spectrum") == (1.0, 8)
    assert share("noise = 0", rank.DEFAULT) == share("noise = 0.3", rank.DEFAULT) == (1.0, 10)
    # Wilson at 24 of 24: z^2/(n + z^2) below 1, z = 1.959964
    assert low[(rank.MAIN, rank.right(rank.DEFAULT))] == pytest.approx(24 / (24 + 1.959964**2))
    assert high[(rank.MAIN, rank.right(rank.DEFAULT))] == pytest.approx(1.0)
    assert (mean[("all", rank.NOT_OK)], runs[("all", rank.NOT_OK)]) == (0.0, 56)


def test_confusion_counts_every_run_once_for_each_estimator(store: Store) -> None:
    data = answers(store, (0,), lambda job, name: None if name == "hamiltonian" else job.task_spec.true_rank + 1)
    table = rank.rank_counts(data)
    assert list(table["estimator"].unique()) == list(rank.ESTIMATORS)
    assert set(table.groupby("estimator")["runs"].sum()) == {28}
    none = table[table["estimator"] == "hamiltonian"]
    assert none[rank.MEASURED].isna().all()
    one_more = table[table["estimator"] == "coi_1e-2"]
    assert one_more[rank.MEASURED].tolist() == [2.0, 3.0, 4.0, 6.0, 11.0]
    assert one_more["runs"].tolist() == [6, 6, 6, 6, 4]


def test_the_excess_of_the_first_layer_is_that_of_its_profiles(store: Store) -> None:
    (job, *_) = [job for job in jobs_of(load_figure("layers"), (0,)) if settings_of(job)["effective_depth"] == 7]
    record = fabricated(job)
    profiles = {name: record.arrays[name].copy() for name in ("coi", "speed")}
    profiles["coi"][-1, 0], profiles["speed"][-1, 0] = 6.0, 15.0  # the last g0 is 1e-4
    measures = {**record.measures, "hamiltonian_rank": 2.0, "theorem_gap_high_1e-8": 0.01}
    store.write(dataclasses.replace(record, measures=measures, arrays={**record.arrays, **profiles}))
    data = layers.collect(Runs(store, [job]))
    # 15 - 7 sqrt(6 - 2) = 1, and the bound 2 Lt sqrt(gamma c) = 2 7 0.1
    assert data[layers.FIRST].tolist() == pytest.approx([1.0] * 3)
    assert data.loc[data["g0"] == "1e-8", layers.BOUND].tolist() == pytest.approx([1.4])
    assert G0[-1] == layers.FIRST_G0


def test_collapsed_runs_are_counted_apart_from_wrong_ranks(store: Store, tmp_path: Path) -> None:
    figure, jobs = load_figure("rank"), jobs_of(load_figure("rank"), (0, 1))
    fill(store, [job for job in jobs if job.run.seed == 0])
    fill(store, [job for job in jobs if job.run.seed == 1], status="collapsed", rank_evidence={}, measures={})
    build_figure(figure, jobs, store, tmp_path, ("svg",))
    found = read_csv(tmp_path / "rank.summary.csv").set_index(["slice", "quantity"])
    assert found.loc[("all", rank.NOT_OK), "mean [of quantity]"] == 0.5
    assert found.loc[("all", rank.right(rank.DEFAULT)), ["mean [of quantity]", "runs"]].tolist() == [1.0, 28]
    assert "28 not ok" in (tmp_path / "rank.svg").read_text()


@pytest.mark.parametrize(
    ("measured", "shown"),
    [(np.nan, "none"), (0.0, "none"), (1.0, "1"), (6.0, "6"), (7.0, "7-9"), (9.0, "7-9"), (10.0, "10"), (11.0, "more")],
)
def test_every_rank_has_its_place_in_the_drawing(measured: float, shown: str) -> None:
    assert rank._bin(measured) == shown
    assert shown in rank.BINS


def test_the_violation_of_the_second_inequality_is_in_layers_and_in_a_share_of_the_path(store: Store) -> None:
    jobs = jobs_of(load_figure("layers"), SEEDS)
    assert {(settings_of(job)["effective_depth"], settings_of(job)["depth"]) for job in jobs} == {
        (lt, depth) for lt in (3, 7) for depth in (10, 20, 40)
    }  # fmt: skip
    for job in jobs:
        record = fabricated(job)
        held = 1.0 - 1.0 / settings_of(job)["depth"]
        store.write(dataclasses.replace(record, measures={**record.measures, "theorem_excess_share_1e-8": held}))
    data = layers.collect(Runs(store, jobs))
    failing = data[data["g0"] == "1e-8"]
    assert set(failing[layers.FAILING]) == {1.0}
    assert failing[layers.EXTENT].to_numpy() == pytest.approx(1.0 / failing[DEPTH].to_numpy())
    assert len(data) == 3 * len(jobs)
    by_run = data.drop_duplicates("run_id").set_index("run_id")[layers.HAMILTONIAN]
    for run in Runs(store, jobs):
        assert by_run[run.record.run_id] == run.measure("hamiltonian_rank")
