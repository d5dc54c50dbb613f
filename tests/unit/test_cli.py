"""The command line: quick, teaching, one line an error, the same names everywhere."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from leakybench import cli
from leakybench.analysis.frame import to_frame
from leakybench.cli import command_names, main, one_line
from leakybench.store import Store
from leakybench.sweeps.grid import Setting
from tests.helpers import dummies
from tests.helpers.cli import GRID, call, environment, one_line_error
from tests.helpers.records import jobs, record

HEAVY = ("torch", "pandas", "scipy", "sklearn", "tabulate", "distributed", "matplotlib")


@pytest.fixture(autouse=True)
def _dummies() -> None:
    dummies.register()


def _stored(folder: Path, baseline: str = "dummy/Fit-v0", **fields: object) -> str:
    (job,) = jobs(1, baseline, baseline_settings=[Setting("width", 5)])
    store = Store(folder)
    store.prepare()
    store.write(record(run=job.run, **fields), log="Traceback: long" if fields.get("status") == "error" else "")
    return job.run.run_id


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["tasks"],
        ["baselines"],
        ["tasks", "--json"],
        ["run", "--help"],
        ["--version"],
        ["run", "--task", "LowRank-*", "--baseline", "*ResNet-v0,Ridge-v0", "--dry-run", "--results", "/nowhere"],
    ],
)
def test_listings_help_and_planning_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom leakybench.cli import main\n"
        f"code = main({arguments!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["tasks"]])
def test_listings_and_help_are_quick(arguments: list[str]) -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "leakybench", *arguments], env=environment(), capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # seconds of the processor, which are those of the clock on a machine that has nothing else to do
    assert min(seconds() for _ in range(3)) < 0.5


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"tasks", "baselines", "run", "show", "table", "export", "verify"} <= set(command_names())
    for name in command_names():
        assert main([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert f"usage: leakybench {name}" in text
        assert f"leakybench {name}" in text.split("options:")[-1], f"{name} shows no example"


def test_run_help_shows_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for shown in ("(default: standard)", "(default: its first rule)", "(default: failed)", "(default: results/runs)"):
        assert shown in text


def test_without_a_command_the_help_is_printed_and_the_usage_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_listings_name_rank_and_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "dummy/*", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["id"] == "dummy/Tiny-v0"
    assert entry.keys() == {"id", "summary", "true_rank", "opaque", "plugin", "entry_point", "kwargs"}
    assert main(["baselines", "--json"]) == 0
    assert "LeakyResNet-v0" in {entry["id"] for entry in json.loads(capsys.readouterr().out)}
    assert main(["baselines", "dummy/Hang-v0"]) == 0
    assert "dummy/Hang-v0" in capsys.readouterr().out


def test_show_prints_the_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = _stored(tmp_path)
    assert main(["show", run_id[:8], "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for words in ("dummy/Tiny-v0 x dummy/Fit-v0", run_id, "gap", "41.5", "wall clock", "[1, 0.5, 0.25]", '"width": 5'):
        assert words in text
    assert main(["show", run_id, "--results", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run_id"] == run_id


def test_show_prints_the_log_of_a_failed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = _stored(tmp_path, status="error", message="ValueError: no luck", test_error=None)
    assert main(["show", run_id, "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "error: ValueError: no luck" in text
    assert "Traceback: long" in text


def test_run_computes_prints_a_table_and_skips_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = [*GRID, "dummy/Fit-v0", "--seeds", "0:3", "--preset", "smoke", "--results", str(tmp_path), "--workers", "0"]
    assert main([*grid, "--dry-run"]) == 0
    assert "3 of 3 runs to do" in capsys.readouterr().out
    assert Store(tmp_path).ids() == []
    assert main(grid) == 0
    captured = capsys.readouterr()
    assert "dummy/Tiny-v0" in captured.out
    assert captured.err == "leakybench: 3 runs: 3 ok; 0 already stored\n"
    assert main([*grid, "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["runs"], found["complete"], found["computed"], found["kept"]) == (3, True, {}, {"ok": 3})
    assert found["run_ids"] == [job.run.run_id for job in jobs(3)]
    assert main([*grid, "--dry-run", "--json", "--retry", "all"]) == 0
    assert len(json.loads(capsys.readouterr().out)["todo"]) == 3


def test_failed_runs_make_exit_code_3_and_are_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once = tmp_path / "once"
    grid = [*GRID, "dummy/Raise-v0", "--set", f"once={once}", "--results", str(tmp_path / "runs"), "--workers", "0"]
    assert main(grid) == 3
    err = capsys.readouterr().err
    assert "1 error" in err
    assert "leakybench show" in err
    assert main([*grid, "--retry", "none"]) == 3
    assert main(grid) == 0
    assert main([*GRID, "dummy/Diverge-v0", "--results", str(tmp_path / "runs"), "--workers", "0"]) == 0


def test_flags_override_a_plan_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "sweep.toml"
    plan.write_text(
        f'results = "{tmp_path / "runs"}"\nworkers = 0\nseeds = "0:5"\ntask = "dummy/Tiny-v0"\npreset = "smoke"\n'
        '[[grid]]\nbaseline = "dummy/Fit-v0"\n[[grid]]\nbaseline = "dummy/Raise-v0"\nseeds = 9\n'
    )
    assert main(["run", "--plan", str(plan), "--dry-run", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["todo"]) == 6
    assert main(["run", "--plan", str(plan), "--seeds", "3", "--dry-run", "--json"]) == 0
    assert {entry["seed"] for entry in json.loads(capsys.readouterr().out)["todo"]} == {3}
    plan.write_text('workers = "two"\ntask = "dummy/Tiny-v0"\nbaseline = "dummy/Fit-v0"\n')
    assert main(["run", "--plan", str(plan)]) == 2
    assert "workers must be of type int" in one_line_error(capsys.readouterr().err)


def test_export_writes_what_other_programs_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pandas as pd

    results = tmp_path / "runs"
    run_id = _stored(results)
    reference = to_frame(Store(results))
    for name, read in (("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet), ("a.json", pd.read_json)):
        if name.endswith("parquet"):
            pytest.importorskip("pyarrow")
        assert main(["export", str(tmp_path / name), "--results", str(results)]) == 0
        back = read(tmp_path / name)
        assert list(back.columns) == list(reference.columns)
        assert back.loc[0, "run_id"] == run_id
        assert back.loc[0, "test_error"] == 0.25
    capsys.readouterr()
    assert main(["export", str(tmp_path / "a.xls"), "--results", str(results)]) == 2
    assert "--format csv|parquet|json" in one_line_error(capsys.readouterr().err)
    assert main(["export", str(tmp_path / "no" / "a.csv"), "--results", str(results)]) == 2
    assert main(["export", str(tmp_path / "b.csv"), "--results", str(tmp_path / "none")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["export", str(tmp_path / "b.csv"), "--results", str(tmp_path / "empty")]) == 3
    assert not (tmp_path / "b.csv").exists()


def test_export_to_standard_output_and_a_reader_that_leaves(tmp_path: Path) -> None:
    _stored(tmp_path)
    done = call("export", "-", "--results", tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("run_id,task,baseline,")
    line = f"{sys.executable} -m tests.helpers.dummies baselines --json | head -c 10"
    cut = subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], env=environment(), capture_output=True, text=True)
    assert cut.stderr == ""


def test_verify_has_an_exit_code_for_each_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "runs"
    assert main(["verify", "--results", str(results)]) == 2
    results.mkdir()
    assert main(["verify", "--results", str(results)]) == 3
    run_id = _stored(results)
    assert main(["verify", "--results", str(results)]) == 0
    path = Store(results).path(run_id)
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.24"))
    capsys.readouterr()
    assert main(["verify", "--results", str(results), "--json"]) == 1
    (damaged,) = json.loads(capsys.readouterr().out)["damaged"]
    assert "hash differs" in damaged["reason"]
    assert path.exists()
    assert main(["verify", "--results", str(results), "--set-aside"]) == 1
    assert not path.exists()


def test_errors_are_one_line_and_debug_shows_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "Nothing-*"]) == 2
    assert "Nothing-*" in one_line_error(capsys.readouterr().err)
    assert main(["tasks", "Nothing-*", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_error_of_ours_is_not_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> list[str]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "command_names", broken)
    assert main(["tasks"]) == 3
    assert "internal error" in capsys.readouterr().err


def test_text_becomes_one_line() -> None:
    assert one_line("a\n b\t\x1b[31mc") == "a b ?[31mc"
    assert len(one_line("x" * 10_000)) == 600
