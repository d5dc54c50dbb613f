"""From flags and plan files to runs: what is crossed, what is dropped, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakybench.errors import UsageError
from leakybench.evaluation import run_spec
from leakybench.registry import baselines, make, make_baseline, register_baseline
from leakybench.sweeps.grid import Grid, Setting, parse_seeds, parse_setting, settings_from_table
from leakybench.sweeps.plan_file import make_grid, read_plan_file, words
from tests.helpers import dummies
from tests.helpers.records import jobs


@pytest.fixture(autouse=True)
def _dummies() -> None:
    dummies.register()


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0:5", (0, 1, 2, 3, 4)),
        ("0,2,5", (0, 2, 5)),
        ("0:10:4", (0, 4, 8)),
        ("0:3, 2:4,9", (0, 1, 2, 3, 9)),
        ("7", (7,)),
        (7, (7,)),
        ([3, 1, 3], (3, 1)),
        ("4294967295", (4294967295,)),
    ],
)
def test_seeds(text: object, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "0:", ":5", "5:0", "0:5:0", "-1", "1.5", "0..5", "0:99999999999", "4294967296", "1,,2", "9" * 5000),
        *("0x5", "0:1:2:3", "\u0663"),
        *(None, True, [True], {}, [1.5], [[]]),  # what a plan file may hold
    ],
)
def test_malformed_seeds_are_refused(text: object) -> None:
    with pytest.raises(UsageError, match="seed"):
        parse_seeds(text)


@given(st.text(max_size=30))
def test_any_text_gives_seeds_or_one_clear_error(text: str) -> None:
    try:
        seeds = parse_seeds(text)
    except UsageError as error:
        seeds, said = (0,), str(error)
    else:
        said = "seed"
    assert seeds
    assert all(isinstance(seed, int) for seed in seeds)
    assert "seed" in said


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("depth=20", Setting("depth", 20)),
        ("steps=adaptive", Setting("steps", "adaptive")),
        ("noise=0.1", Setting("noise", 0.1)),
        ("flag=true", Setting("flag", True)),
        ("x=null", Setting("x", None)),
        ("dims=[30,6]", Setting("dims", [30, 6])),
        ("Leaky*:depth=20", Setting("depth", 20, "Leaky*")),
        ("mine/A-v0:x=a:b", Setting("x", "a:b", "mine/A-v0")),
        ("x=a=b", Setting("x", "a=b")),
    ],
)
def test_settings(text: str, setting: Setting) -> None:
    assert parse_setting(text) == setting


@pytest.mark.parametrize(
    "text", ["", "depth", "=3", "1x=3", "x=", "x=NaN", "x=Infinity", "x=[1", 'x="', "x=" + "[" * 9999, "a b:x=1", None]
)
def test_malformed_settings_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_setting(text)


def test_planned_runs_are_those_that_evaluate_names() -> None:
    planned = jobs(
        [3],
        task_settings=[Setting("d", 6)],
        baseline_settings=[Setting("width", 5)],
        steps=["adaptive"],
    )
    task = make("dummy/Tiny-v0", seed=3, d=6)
    baseline = make_baseline("dummy/Fit-v0", width=5, steps="adaptive")
    assert [job.run for job in planned] == [run_spec(baseline, task, seed=3, preset="smoke")]


def test_a_setting_that_changes_nothing_is_no_override() -> None:
    (job,) = jobs(1, "dummy/Hang-v0", baseline_settings=[Setting("mode", "hang")])
    assert job.run.baseline_overrides == {}


def test_values_steps_and_seeds_are_crossed() -> None:
    planned = jobs(3, baseline_settings=[Setting("width", 4), Setting("width", 8)], steps=["uniform", "adaptive"])
    assert len({job.run.run_id for job in planned}) == 3 * 2 * 2
    assert {job.run.baseline_overrides["steps"] for job in planned} == {"uniform", "adaptive"}


def test_steps_are_for_baselines_that_have_them() -> None:
    planned = jobs(1, "dummy/Fit-v0,dummy/Raise-v0", steps=["uniform", "adaptive"])
    labels = [job.run.baseline_label for job in planned]
    assert labels == ["dummy/Fit-v0[steps=uniform]", "dummy/Fit-v0[steps=adaptive]", "dummy/Raise-v0"]


def test_a_steps_setting_takes_the_place_of_the_rules() -> None:
    (job,) = jobs(1, baseline_settings=[Setting("steps", "own")], steps=["uniform", "adaptive"])
    assert job.run.baseline_overrides == {"steps": "own"}


def test_a_scope_limits_a_setting() -> None:
    planned = jobs(1, "dummy/Raise-v0,dummy/Die-v0", baseline_settings=[Setting("width", 4, "dummy/R*")])
    assert [job.run.baseline_overrides for job in planned] == [{}, {"width": 4}]
    with pytest.raises(UsageError, match="none of the chosen ids"):
        jobs(1, baseline_settings=[Setting("width", 4, "Else*")])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"baseline_settings": [Setting("width", -1)]}, "width must be at least 1"),
        ({"baseline_settings": [Setting("width", "wide")]}, "width must be an integer, got .wide."),
        ({"baseline_settings": [Setting("depht", 3)]}, "has no setting 'depht'"),
        ({"task_settings": [Setting("d", 0)]}, "d must be an integer"),
        ({"steps": ["sideways"]}, "steps must be among"),
    ],
)
def test_a_bad_grid_is_refused_before_anything_runs(fields: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        jobs(1, **fields)


def test_no_seeds_are_no_grid() -> None:
    with pytest.raises(UsageError, match="seeds must not be empty"):
        jobs([])


def test_too_many_runs_are_refused_quickly() -> None:
    with pytest.raises(UsageError, match="at most"):
        Grid(
            tasks=["dummy/Tiny-v0"],
            baselines=["dummy/Fit-v0"],
            steps=["uniform", "adaptive"],
            seeds=range(150_000),
            preset="smoke",
        ).jobs()


@pytest.fixture
def _script_baseline() -> Iterator[None]:
    register_baseline("dummy/Script-v0", entry_point="__main__:Thing")
    yield
    baselines.unregister("dummy/Script-v0")


@pytest.mark.usefixtures("_script_baseline")
def test_what_a_worker_could_not_load_is_refused() -> None:
    with pytest.raises(UsageError, match="module of its own"):
        jobs(1, "dummy/Script-v0")


def test_settings_of_a_table() -> None:
    assert settings_from_table({"depth": [10, 20], "Res*:width": 4, "dims": [[30, 6]]}) == [
        Setting("depth", 10),
        Setting("depth", 20),
        Setting("width", 4, "Res*"),
        Setting("dims", [30, 6]),
    ]
    for bad in ({"a b": 1}, {"x": []}, {"": 1}, {"x": float("nan")}):
        with pytest.raises(UsageError):
            settings_from_table(bad)


def test_a_plan_file_merges_common_keys_into_its_grids(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(
        'seeds = "0:2"\npreset = "smoke"\nworkers = 2\ntask = "dummy/Tiny-v0"\n'
        '[[grid]]\nbaseline = "dummy/Fit-v0"\nset = { width = [4, 8] }\n'
        '[[grid]]\nbaseline = ["dummy/Raise-v0"]\nseeds = [7]\nset-task = { d = 5 }\n'
    )
    options, grids = read_plan_file(path)
    assert options == {"workers": 2}
    first, second = (make_grid({"steps": "uniform", **grid}) for grid in grids)
    assert len(first.jobs()) == 4
    (job,) = second.jobs()
    assert (job.run.seed, job.run.task_overrides) == (7, {"d": 5})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("task = ", "not TOML"),
        ("\x00", "not TOML"),
        ("seed = 1", "did you mean 'seeds'"),
        ("[[grid]]\nworkers = 1", "'workers'"),
        ("grid = 3", "write"),
        ("grid = []", "write"),
        ("grid = [1]", "write"),
        ("a = " + "[" * 3000, "not TOML"),
        ("#" * (2**20 + 1), "larger"),
    ],
)
def test_a_malformed_plan_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_plan_file(path)


def test_a_plan_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            read_plan_file(path)
    (tmp_path / "wide.toml").write_bytes("a = 1".encode("utf-16"))
    with pytest.raises(UsageError, match="in UTF-16: save it as UTF-8"):
        read_plan_file(tmp_path / "wide.toml")
    (tmp_path / "binary.toml").write_bytes(b"\x80\xff")
    with pytest.raises(UsageError, match="not TOML"):
        read_plan_file(tmp_path / "binary.toml")


def test_words_are_split_and_kept_once() -> None:
    assert words("a,b , a", "task") == ["a", "b"]
    assert words(["a,b", "c"], "task") == ["a", "b", "c"]
    for bad in ("", ",", [], [1], 3, None):
        with pytest.raises(UsageError, match="task must"):
            words(bad, "task")
