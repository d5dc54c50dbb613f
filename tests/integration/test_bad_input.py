"""Bad input of every kind: one clear line and exit code 2, or a record set aside; nothing outside its folder."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leakybench.analysis.scores import score_frame
from leakybench.cli import main
from leakybench.engines import guarded
from leakybench.store import DamagedError, NewerSchemaError, Store, decode
from tests.helpers import dummies
from tests.helpers.cli import GRID, call, files, one_line_error
from tests.helpers.records import record

BASE = [*GRID, "dummy/Fit-v0"]

FLAGS: list[list[str]] = [
    *([*BASE, "--seeds", text] for text in ("x", "", "5:0", "-1", "1.5", "0:9999999999", "4294967296", "1;2", "0:5:0")),
    *([*BASE, "--preset", text] for text in ("", "fast", "SMOKE", "smoke ", "../smoke", "0")),
    *([*BASE, "--steps", text] for text in ("", "sideways", "uniform,sideways", "Uniform", ",")),
    *([*BASE, "--set", text] for text in ("", "width", "width=", "=1", "width=-1", "width=NaN", "width=wide", "w-d=1")),
    *(
        [*BASE, "--set", text]
        for text in ("width=1e999", "width=[", "depht=1", "width=null", "spec=1", "Else*:width=1")
    ),
    *([*BASE, "--set", text] for text in ("width=[1]", 'width={"a":1}', "__class__=1", "width=" + "9" * 5000)),
    *(
        [*BASE, "--set-task", text]
        for text in ("d=0", "d=-1", "d=1.5", "d=true", "d=101", "k=3", "d", "seed=3", "spec=x")
    ),
    *([*BASE, "--workers", text] for text in ("-1", "x", "1.5", "99999", "", "1e3", "512")),
    *([*BASE, "--threads", text] for text in ("0", "-1", "x", "4096", "")),
    *([*BASE, "--engine", text] for text in ("", "slurm", "Local", "ray")),
    *(
        [*BASE, "--engine", "dask", "--scheduler", text]
        for text in ("", "x", "tcp://", "/etc/passwd", "a:b", "tcp://a:1/../")
    ),
    *([*BASE, "--batch", text] for text in ("", "on", "0", "1", "-2", "1.5", "AUTO", "auto:4", "1025", "9" * 40)),
    [*BASE, "--scheduler", "tcp://127.0.0.1:1"],
    [*BASE, "--engine", "dask", "--workers", "0"],
    *([*BASE, "--timeout", text] for text in ("0", "-3", "x", "", "1y", "nan", "inf", "1e9", "9" * 40)),
    *([*BASE, "--memory", text] for text in ("0", "-3", "x", "", "1Q", "nan", "4K", "9" * 40)),
    [*BASE, "--workers", "0", "--timeout", "3"],
    [*BASE, "--workers", "0", "--memory", "1G"],
    *([*BASE, "--retry", text] for text in ("", "some", "ALL", "failed,all")),
    *([*BASE, "--plan", text] for text in ("/nowhere/plan.toml", "/", "/dev/null/x", "a" * 5000, "\x00")),
    *([*BASE, *rest] for rest in (["extra"], ["--unknown"], ["--task"], ["--seed", "0"], ["--se", "0"], ["--json=1"])),
    *(
        ["run", "--task", text, "--baseline", "dummy/Fit-v0"]
        for text in ("Nope-v0", "LowRank-k3-v9", "LowRank-k3", "../x")
    ),
    *(
        ["run", "--task", text, "--baseline", "dummy/Fit-v0"]
        for text in ("", ",", "/", "Zzz*", "[", "dummy/Tiny-v0 x", "\n")
    ),
    *(
        ["run", "--task", text, "--baseline", "dummy/Fit-v0"]
        for text in ("dummy/../x-v0", "a" * 500, "\x1b[2J", "é-v0")
    ),
    *(
        ["run", "--task", "dummy/Tiny-v0", "--baseline", text]
        for text in ("Nope-v0", "LeakyResNet-v1", "lekyresnet-v0", "?")
    ),
    *(
        ["run", "--task", "dummy/Tiny-v0", "--baseline", text]
        for text in ("", "ghost/Fit-v0", "dummy/Fit-v00", "dummy//x")
    ),
    ["run"],
    ["run", "--task", "dummy/Tiny-v0"],
    ["run", "--baseline", "dummy/Fit-v0"],
    *(["show", text] for text in ("zz", "", "../..", "0" * 25, "A", "0" * 24, "0\n", "-", "*")),
    *(["export", text] for text in ("", "x", "x.xls", "x.csv.gz")),
    ["export"],
    ["show"],
    *([word] for word in ("", "Run", "tasks;", "--", "..", "_shared", "-x", "--help=1", "--version=2")),
    *([word, "--nope"] for word in ("tasks", "baselines", "table", "show", "export", "verify")),
    *(["tasks", text] for text in ("Zzz", "[", "../*", "LowRank-k3", "", "\x00")),
]

PLANS = [
    "task = 3",
    "task = []",
    "task = [1]",
    "task = { a = 1 }",
    "task = true",
    'seeds = "x"',
    "seeds = 1.5",
    "seeds = true",
    "seeds = -1",
    "seeds = [[1]]",
    "seeds = 1979-05-27",
    "seeds = 99999999999999999999",
    "preset = 3",
    "preset = ['smoke']",
    "preset = []",
    "steps = 1",
    "steps = [['uniform']]",
    "set = 3",
    "set = [3]",
    "set = { width = nan }",
    "set = { width = inf }",
    "set = { width = 1979-05-27 }",
    "set = { width = [] }",
    "set = { 'a b' = 1 }",
    "set = { width = { deep = { deeper = 1979-05-27T00:00:00Z } } }",
    "set-task = 'd'",
    "set-task = { d = -1 }",
    "set_task = { d = 1 }",
    "workers = 'x'",
    "workers = 1.5",
    "workers = true",
    "workers = -1",
    "workers = 99999999999999999999",
    "threads = []",
    "threads = 0",
    "timeout = 'soon'",
    "timeout = true",
    "timeout = []",
    "timeout = -1",
    "memory = 'much'",
    "memory = 1",
    "engine = 3",
    "engine = 'ray'",
    "scheduler = 3",
    "batch = 'on'",
    "batch = 1",
    "batch = 2.5",
    "batch = true",
    "batch = ['auto']",
    "retry = 'some'",
    "retry = 3",
    "oversubscribe = 1",
    "results = 3",
    "results = { a = 1 }",
    "grid = 3",
    "grid = [3]",
    "[grid]\ntask = 'x'",
    "[[grid]]\nworkers = 3",
    "[[grid]]\ntaks = 'x'",
    "unknown = 1",
    "task = 'dummy/Tiny-v0'\ntask = 'twice'",
    "=",
    "[",
    "a = " + "[" * 5000,
    "\x00",
    "a = 1" * 10,
]


@pytest.fixture(autouse=True)
def _dummies(monkeypatch: pytest.MonkeyPatch) -> None:
    dummies.register()

    def never(*arguments: Any, **settings: Any) -> None:
        raise AssertionError("bad input reached a run")

    monkeypatch.setattr(guarded, "execute", never)


def test_there_are_enough_of_them() -> None:
    assert len(FLAGS) + len(PLANS) >= 200


@pytest.mark.parametrize("arguments", FLAGS, ids=range(len(FLAGS)))
def test_flags(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[:1] in (["show"], ["export"]):
        Store(tmp_path / "results" / "runs").prepare()
        Store(tmp_path / "results" / "runs").write(record())
    before = files(tmp_path)
    code = main(arguments)
    captured = capsys.readouterr()
    assert code == 2, captured
    assert captured.out == "" or arguments == ["--"]
    if arguments != ["--"]:
        one_line_error(captured.err)
    assert files(tmp_path) == before


@pytest.mark.parametrize("text", PLANS, ids=range(len(PLANS)))
def test_plan_files(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plan.toml"
    grid = "" if "task =" in text else "task = 'dummy/Tiny-v0'\n"
    path.write_text(f"baseline = 'dummy/Fit-v0'\n{grid}{text}\n")
    before = files(tmp_path)
    assert main(["run", "--plan", str(path)]) == 2
    one_line_error(capsys.readouterr().err)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "where", ["file", "file/below", "/proc/nowhere/runs", "/sys/kernel/runs", "nul\x00l", "a" * 5000]
)
def test_results_folders_that_cannot_be(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    assert main([*BASE, "--results", where, "--workers", "0"]) == 2
    assert "results folder" in one_line_error(capsys.readouterr().err)
    assert files(tmp_path) == {"file"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_record_with_any_field_replaced_is_read_or_called_damaged(data: st.DataObject) -> None:
    plain = json.loads(record().to_json())
    target = plain
    if data.draw(st.booleans()):
        target = plain[data.draw(st.sampled_from(["run", "wall_clock", "training", "provenance"]))]
    name = data.draw(st.sampled_from(sorted(target)) | st.text(max_size=10))
    target[name] = data.draw(json_values)
    found, reason = [], ""
    try:
        found = [decode(json.dumps(plain).encode())]
    except (DamagedError, NewerSchemaError) as error:
        reason = str(error)
    assert bool(found) != bool(reason)
    assert "\n" not in reason
    # what is read can be tabulated
    assert len(score_frame(found)) == len(found)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_damaged_record(data: bytes) -> None:
    with pytest.raises(DamagedError):
        decode(data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.text(max_size=12) | st.sampled_from(["--task", "--seeds", "--set", "*", "0:2"]), max_size=5))
def test_any_words_end_with_an_exit_code(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["run", *words, "--results", "/proc/nowhere", "--workers", "0"])
    captured = capsys.readouterr()
    assert code in (0, 2)
    assert "Traceback" not in captured.err
    if code == 2:
        one_line_error(captured.err)


@pytest.mark.slow
def test_a_folder_of_damaged_records_is_set_aside_whole_and_computed_anew(tmp_path: Path) -> None:
    results = tmp_path / "runs"
    grid = (*BASE, "--seeds", "0:40", "--preset", "smoke", "--results", results, "--workers", 0)
    assert call(*grid).returncode == 0
    rng = random.Random(1)
    paths = sorted(results.glob("*.json"))
    for number, path in enumerate(paths):
        text = path.read_bytes()
        path.write_bytes(text[: rng.randrange(len(text))] if number % 2 else bytes(rng.randbytes(50)))
    done = call("table", "--results", results)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "left in place" in done.stderr  # who only reads moves nothing
    assert sorted(results.glob("*.json")) == paths
    again = call(*grid)
    assert "set aside as quarantine/" in again.stderr
    assert len(list((results / "quarantine").glob("*.json"))) == 40
    assert again.returncode == 0, again.stderr
    assert "40 ok" in again.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
