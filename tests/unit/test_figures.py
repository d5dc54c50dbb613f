"""The figures from fabricated records: drawings, tables, and the messages when runs are missing."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.figures import MODULES, adaptive, load_figure, names_of, rank_limit, studies, tables
from leakybench.figures.build import adapted, build_figure, draw_files, jobs_of, read_csv
from leakybench.figures.figure import DEPTH, KEYS, Runs
from leakybench.figures.paths import project_paths
from leakybench.figures.step_rules import ERROR
from leakybench.figures.style import FORMATS
from leakybench.figures.summary import paired_differences, seeds_text, summarise_points
from leakybench.store import Store
from leakybench.sweeps.grid import Setting
from tests.helpers.cli import ROOT, one_line_error
from tests.helpers.figure_runs import fabricated, fill

SEEDS = (0, 1, 2)
TRAINED = "2c"
"""The figure whose data need networks: it is trained for real, elsewhere."""
DRAWN = [name for name in MODULES if name != TRAINED]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "runs")
    found.prepare()
    return found


def some_paths(tmp_path: Path) -> pd.DataFrame:
    """Data of figure 2c without training."""
    rng = np.random.default_rng(0)
    rows = [
        {"run_id": "0" * 24, "seed": 0, "status": "ok", "steps": rule, "layer": layer, "p [1]": layer / 18,
         "first [|A|/sqrt(N)]": layer - 9.0, "second [|A|/sqrt(N)]": float(rng.normal()),
         "shown [share of variance]": 0.8}
        for rule in ("uniform", "irregular", "adaptive") for layer in range(19)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_draws_from_its_files_and_names_its_units(name: str, store: Store, tmp_path: Path) -> None:
    figure = load_figure(name)
    assert figure.name == name
    jobs = jobs_of(figure, SEEDS)
    fill(store, jobs)
    built = build_figure(figure, jobs, store, tmp_path, FORMATS)
    assert (built.runs, built.missing) == (len(jobs), 0)
    further = [f"{end}.csv" for end in figure.further]
    expected = {f"{name}.{end}" for end in ("csv", "summary.csv", *further, *FORMATS)}
    assert {Path(file).name for file in built.files} == expected
    for end in (".csv", ".summary.csv", *(f".{end}" for end in further)):
        for column in read_csv(tmp_path / f"{name}{end}"):
            assert column in KEYS or re.fullmatch(r"\S.* \[[^\]]+\]", column), column
    data = read_csv(tmp_path / f"{name}.csv")
    assert set(data["run_id"]) == {job.run.run_id for job in jobs}
    ElementTree.fromstring((tmp_path / f"{name}.svg").read_bytes())
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_missing_and_collapsed_runs_leave_a_figure_that_says_so(name: str, store: Store, tmp_path: Path) -> None:
    figure = load_figure(name)
    jobs = jobs_of(figure, SEEDS)
    fill(store, [job for job in jobs if job.run.seed == 0])
    nothing = {"measures": {}, "arrays": {}, "bottleneck_rank": None, "rank_evidence": {}}
    fill(store, [job for job in jobs if job.run.seed == 1], status="collapsed", test_error=1.0, **nothing)
    built = build_figure(figure, jobs, store, tmp_path, ("svg",))
    assert built.missing == sum(job.run.seed == 2 for job in jobs)
    summary = read_csv(tmp_path / f"{name}.summary.csv")
    if name == "rank":  # its rows count runs of several tasks
        return
    # errors of a collapsed run count, measures it has none; figures that average nothing by themselves compare errors
    of_errors = not figure.values or "test_error" in " ".join(figure.values)
    assert summary["runs"].max() == (2 if of_errors else 1)


def test_the_paths_draw_from_their_data(tmp_path: Path) -> None:
    figure = load_figure(TRAINED)
    data = some_paths(tmp_path)
    data.to_csv(tmp_path / "2c.csv", index=False)
    figure.summary_of(data).to_csv(tmp_path / "2c.summary.csv", index=False)
    assert [path.name for path in draw_files(figure, tmp_path, FORMATS)] == ["2c.svg", "2c.png"]


def test_the_paths_are_trained_once_for_the_same_runs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = load_figure(TRAINED)
    settings = [Setting("width", 60), Setting("depth", 6)]
    jobs = jobs_of(figure, SEEDS, preset="smoke", settings=settings)
    assert [job.run.seed for job in jobs] == [0, 0, 0]
    fill(store, jobs)
    built = build_figure(figure, jobs, store, tmp_path, ("png",))
    data = read_csv(tmp_path / "2c.csv")
    assert len(data) == 3 * 7
    starts = data[data["layer"] == 0]
    # one seed, one embedding: the three paths begin at one point
    assert np.ptp(starts["first [|A|/sqrt(N)]"]) < 1e-5

    def refuse(runs: Runs) -> pd.DataFrame:
        raise AssertionError("trained again")

    again = dataclasses.replace(figure, collect=refuse)
    assert build_figure(again, jobs, store, tmp_path, ("png",)).files == built.files
    with pytest.raises(AssertionError, match="trained again"):
        build_figure(again, jobs[:2], store, tmp_path, ("png",))


def test_equal_data_give_equal_files(store: Store, tmp_path: Path) -> None:
    figure = load_figure("1a")
    jobs = jobs_of(figure, SEEDS)
    fill(store, jobs)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
        build_figure(figure, jobs, store, folder, FORMATS)
    for file in folders[0].iterdir():
        assert file.read_bytes() == (folders[1] / file.name).read_bytes(), file.name


def test_nothing_is_drawn_from_no_run(store: Store, tmp_path: Path) -> None:
    figure = load_figure("1a")
    built = build_figure(figure, jobs_of(figure, SEEDS), store, tmp_path, FORMATS)
    assert (built.files, built.runs) == ([], 0)
    assert not list(tmp_path.glob("1a*"))


def test_runs_of_another_source_serve_where_asked_for(store: Store) -> None:
    (job, *_) = jobs_of(load_figure("1c"), SEEDS)
    for number, source in enumerate(("0.1.0+aaaaaaaaaaaa", "0.1.0+bbbbbbbbbbbb")):
        other = dataclasses.replace(job, run=dataclasses.replace(job.run, source=source))
        store.write(fabricated(other, provenance={"created": f"2026-01-0{2 - number}"}))
    assert len(Runs(store, [job])) == 0
    (found,) = Runs(store, [job], any_source=True)
    assert found.record.run.source == "0.1.0+aaaaaaaaaaaa"
    store.write(fabricated(job))
    (found,) = Runs(store, [job], any_source=True)
    assert found.record.run_id == job.run.run_id


def test_settings_replace_those_of_the_same_name() -> None:
    grid = adapted(studies.grid_study(SEEDS)[0], preset="smoke", settings=[Setting("depth", 4), Setting("width", 40)])
    assert grid.preset == "smoke"
    assert [(setting.name, setting.value) for setting in grid.baseline_settings] == [
        ("effective_depth", 1), ("depth", 4), ("width", 40),
    ]  # fmt: skip


def test_the_summary_is_students_interval_over_finite_values() -> None:
    frame = pd.DataFrame({"x": [1, 1, 1, 2], "p": [0.1, 0.2, 0.3, 0.4], "y": [1.0, 3.0, np.nan, 5.0]})
    found = summarise_points(frame, ["x"], ["y"], along="p")
    assert found["mean [of quantity]"].tolist() == [2.0, 5.0]
    assert found["runs"].tolist() == [2, 1]
    assert found["p"].tolist() == pytest.approx([0.2, 0.4])
    # t(0.975, 1) = 12.7062 times s / sqrt(2) = 1
    assert found["high [of quantity]"][0] == pytest.approx(2.0 + 12.7062, rel=1e-5)
    assert np.isnan(found["high [of quantity]"][1])
    assert seeds_text(found) == "mean and 95% interval over 1 to 2 seeds"


def runs_of(rule: str, errors: dict[int, float], cost: float = 1.0) -> list[dict[str, Any]]:
    """Two seeds whose errors differ by 0.01 at every depth; the cost of a depth is ``cost`` times it."""
    return [
        {"steps": rule, "seed": seed, DEPTH: depth, ERROR: error + 0.01 * seed, "fit_time [s]": cost * depth}
        for depth, error in errors.items()
        for seed in (0, 1)
    ]


def test_differences_are_paired_by_seed() -> None:
    frame = pd.DataFrame(runs_of("uniform", {6: 0.3, 12: 0.2}) + runs_of("adaptive", {6: 0.25, 12: 0.2}))
    found = paired_differences(frame, ERROR, first="adaptive", second="uniform", rule="steps", by=[DEPTH])
    assert found["mean [of quantity]"].tolist() == pytest.approx([-0.05, 0.0])
    # the spread of the seeds cancels, so the interval is a point
    assert found["high [of quantity]"].tolist() == pytest.approx([-0.05, 0.0])


def test_equal_cost_interpolates_between_depths_and_leaves_out_what_is_beyond() -> None:
    frame = pd.DataFrame(runs_of("uniform", {4: 0.4, 16: 0.2}) + runs_of("adaptive", {4: 0.3, 9: 0.1}, cost=2.0))
    found = adaptive.at_equal_cost(frame, "fit_time [s]")
    # 8 s lie half-way between 4 s and 16 s in the logarithm: uniform steps have 0.3 there; 18 s are beyond
    assert found[DEPTH].tolist() == [4]
    assert found["mean [of quantity]"].tolist() == pytest.approx([0.0])


def test_a_planar_path_is_shown_whole() -> None:
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(5 * 4, 2)))[0]
    places = [rng.normal(size=(6, 2)), rng.normal(size=(9, 2))]
    shown, share = project_paths([(place @ plane.T).reshape(-1, 5, 4) for place in places])
    assert share == pytest.approx(1.0)
    for place, found in zip(places, shown, strict=True):
        assert found.shape == place.shape
        # distances between layers, over sqrt(n) with n = 5
        expected = np.linalg.norm(np.diff(place, axis=0), axis=1) / np.sqrt(5.0)
        assert np.linalg.norm(np.diff(found, axis=0), axis=1) == pytest.approx(expected)


def test_names_are_checked() -> None:
    assert names_of(None) == list(MODULES)
    assert names_of("theorem, 1a") == ["1a", "theorem"]
    for text in ("1d", ",", ""):
        with pytest.raises(UsageError, match="1a, 1b"):
            names_of(text)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--only", "9z"], "the figures are: 1a"),
        (["--preset", "smoke"], "--out"),
        (["--set", "width=40"], "--out"),
        (["--format", "pdf"], "svg, png"),
        (["--seeds", "5:2"], "empty range"),
        (["--only", "1a", "--preset", "slow", "--out", "x"], "preset must be one of"),
    ],
)
def test_wrong_arguments_get_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["figures", *arguments, "--results", str(tmp_path / "none")]) == 2
    assert expected in one_line_error(capsys.readouterr().err)


def test_a_dry_run_says_what_is_missing_and_makes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--results", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main(["figures", "--only", "1b,1c", "--dry-run", *arguments]) == 0
    assert "5 of 5 runs to do" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_without_training_the_exit_code_tells_whether_all_is_there(
    capsys: pytest.CaptureFixture[str], store: Store, tmp_path: Path
) -> None:
    arguments = ["figures", "--only", "1c", "--no-train", "--results", str(store.folder), "--out", str(tmp_path)]
    assert main(arguments) == 3
    assert "not drawn, because it has no run" in capsys.readouterr().err
    jobs = jobs_of(load_figure("1c"), range(5))
    fill(store, jobs[:4])
    assert main([*arguments, "--format", "png"]) == 3
    assert "4 runs, 1 missing" in capsys.readouterr().err
    fill(store, jobs)
    assert main([*arguments, "--format", "png", "--json"]) == 0
    assert '"missing": 0' in capsys.readouterr().out


def test_figures_are_trained_and_drawn_by_one_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["figures", "--only", "depth-grid", "--preset", "smoke", "--set", "width=60", "--set", "depth=16"]
    arguments += ["--seeds", "0:1", "--workers", "0", "--results", str(tmp_path / "runs"), "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "4 ok" in capsys.readouterr().err
    assert len(read_csv(tmp_path / "depth-grid.csv")) == 4


def test_tables_of_a_document_come_from_the_summaries(store: Store, tmp_path: Path) -> None:
    figure = load_figure("theorem")
    jobs = jobs_of(figure, SEEDS)
    fill(store, jobs)
    build_figure(figure, jobs, store, tmp_path, ("svg",))
    document = tmp_path / "text.md"
    document.write_text("before\n<!-- table: theorem -->\nold\n<!-- end -->\nafter\n")
    arguments = [str(document), "--data", str(tmp_path)]
    assert tables.main([*arguments, "--check"]) == 1
    assert tables.main(arguments) == 0
    assert tables.main([*arguments, "--check"]) == 0
    lines = document.read_text().splitlines()
    assert lines[:2] == ["before", "<!-- table: theorem -->"]
    assert lines[-2:] == ["<!-- end -->", "after"]
    assert {line.count(" | ") for line in lines[2:-2]} == {lines[2].count(" | ")}
    assert "| 7 | 20 | 1e-6 | whole | -" in document.read_text()


def test_a_document_takes_tables_from_files_beside_it(tmp_path: Path) -> None:
    document, table = tmp_path / "docs" / "text.md", tmp_path / "thresholds.md"
    document.parent.mkdir()
    document.write_text("before\n<!-- file: ../thresholds.md -->\nold\n<!-- end -->\nafter\n")
    with pytest.raises(UsageError, match=re.escape("cannot read '../thresholds.md': No such file")):
        tables.main([str(document)])
    table.write_text("| a |\n| --- |\n\n- note\n")
    assert tables.main([str(document)]) == 0
    assert (
        document.read_text()
        == "before\n<!-- file: ../thresholds.md -->\n| a |\n| --- |\n\n- note\n<!-- end -->\nafter\n"
    )
    assert tables.main([str(document), "--check"]) == 0


def test_the_growth_rate_is_that_of_a_path_that_grows() -> None:
    # COI 4 at Lt = 10, growing at c = 5: kinetic energy takes a quarter of it away
    assert rank_limit.growth(10.0, 3.0, 4.0) == pytest.approx(5.0)
    assert np.isnan(rank_limit.growth(10.0, 4.5, 4.0))


def test_the_tables_of_the_theory_page_are_those_of_the_committed_summaries() -> None:
    assert (
        tables.main([str(ROOT / "docs/theory.md"), "--data", str(ROOT / "results/reference/figures"), "--check"]) == 0
    )
