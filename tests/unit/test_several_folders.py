"""Several folders read together, names and values of ``show`` apart, and plan files with a byte-order mark."""

from __future__ import annotations

import codecs
import dataclasses
import json
import re

import pytest

from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.store import Store
from leakybench.sweeps.plan_file import read_plan_file
from tests.helpers.fabricate import board, ranked, record

PLAN = 'task = "LowRank-k3-v0"\nbaseline = "Ridge-v0"\n'


def stored(folder, records):
    store = Store(folder)
    store.prepare()
    for item in records:
        store.write(item)
    return str(folder)


@pytest.fixture
def folders(tmp_path):
    """Two folders, of one baseline each, that share one run."""
    shared = record(seed=9)
    parts = [board(methods=[(f"x/{name}-v0", {})], seeds=2) for name in "AB"]
    return [stored(tmp_path / name, [shared, *part]) for name, part in zip("AB", parts, strict=True)]


def both(folders):
    return [word for folder in folders for word in ("--results", folder)]


@pytest.mark.parametrize("command", ["table", "leaderboard", "audit", "compare x/A-v0 x/B-v0", "export -"])
def test_reading_commands_read_several_folders_together(command, folders, capsys):
    code = main([*command.split(), *both(folders), *([] if "export" in command else ["--json"])])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert captured.err == ""
    if command == "table":
        rows = json.loads(captured.out)["rows"]
        assert sum(row["runs"] for row in rows) == 13  # the shared run counts once
    if command.startswith("compare"):
        assert json.loads(captured.out)["rows"][-1]["pairs"] == 6


def test_show_finds_a_run_in_any_of_several_folders(folders, capsys):
    run_id = next(iter(set(Store(folders[1]).ids()) - set(Store(folders[0]).ids())))
    assert main(["show", run_id[:10], *both(folders)]) == 0
    assert run_id in capsys.readouterr().out
    assert main(["show", "0123456789", *both(folders)]) == 2


def test_a_run_with_two_results_counts_as_in_the_first_folder_and_is_said(folders, capsys):
    path = Store(folders[1]).path(record(seed=9).run_id)
    path.unlink()
    Store(folders[1]).write(dataclasses.replace(record(seed=9), test_error=0.9))
    assert main(["export", "-", "--format", "json", *both(folders)]) == 0
    captured = capsys.readouterr()
    assert next(row for row in json.loads(captured.out) if row["seed"] == 9)["test_error"] == 0.2
    assert "1 runs have different results in several folders" in captured.err


@pytest.mark.parametrize("command", ["run --task x --baseline y", "figures", "verify"])
def test_commands_that_write_take_one_folder(command, folders, capsys):
    assert main([*command.split(), *both(folders)]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "--results takes one folder here" in err


@pytest.mark.parametrize("length", [1, 19, 20, 23, 24, 25, 80])
def test_show_keeps_names_and_values_apart(length, tmp_path, capsys):
    name = "n" * length
    fields = {"measures": {name: 1.5, "short": 2.5}, "training": {"nested": {name: 3.5}}}
    run = dataclasses.replace(record(), **fields)
    folder = stored(tmp_path / "runs", [run])
    assert main(["show", run.run_id, "--results", folder]) == 0
    out = capsys.readouterr().out
    assert sorted(re.findall(rf"(?m)^ +{name} {{2,}}(\S+)$", out)) == ["1.5", "3.5"]
    columns = {line.index(line.split()[1]) for line in out.split("\nmeasures\n")[1].splitlines()[:2]}
    assert len(columns) == 1  # the values of a block stand below each other


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_plan_file_may_begin_with_a_byte_order_mark(mark, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_bytes(mark + PLAN.encode())
    assert read_plan_file(path)[1] == [{"task": "LowRank-k3-v0", "baseline": "Ridge-v0"}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_a_plan_file_in_another_encoding_is_one_clear_line(encoding, tmp_path, capsys):
    path = tmp_path / "plan.toml"
    path.write_bytes((PLAN + "# \u00e9\n").encode(encoding))
    with pytest.raises(UsageError, match=r"is in UTF-16: save it as UTF-8|is not TOML"):
        read_plan_file(path)
    assert main(["run", "--plan", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    if encoding == "utf-16":
        with pytest.raises(UsageError, match="is in UTF-16: save it as UTF-8"):
            read_plan_file(path)


def test_tasks_whose_labels_have_different_numbers_of_parts_are_ranked():
    """The labels of tasks with errors above 1 sort by keys of different lengths, which pandas takes for levels."""
    tasks = [("NestedRank-6-3-v0", {"n_test": 20, "n_train": 20}), ("LowRank-k3-v0", {"n_test": 40})]
    records = [
        record(task, baseline, seed, error=1.2 + seed / 10, task_overrides=overrides)
        for task, overrides in tasks
        for baseline in ("Mean-v0", "Ridge-v0")
        for seed in range(8)
    ]
    notes = " ".join(ranked(records).notes)
    assert "LowRank-k3-v0[n_test=40] 16, NestedRank-6-3-v0[n_test=20,n_train=20] 16" in notes
