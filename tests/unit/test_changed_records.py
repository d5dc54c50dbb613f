"""A record that was changed after it was written is marked in every table, and left out of boards unless asked for."""

from __future__ import annotations

import csv
import io
import json
import re

import pandas as pd
import pytest

from leakybench.analysis.frame import to_frame
from leakybench.analysis.scores import score_frame
from leakybench.cli import main
from leakybench.report import text
from leakybench.report.leaderboard import render as render_board
from leakybench.report.page import render_page
from leakybench.report.table import render
from leakybench.store import Store
from tests.helpers.fabricate import board, ranked, record

METHODS = (("x/Good-v0", {}), ("x/Fair-v0", {}), ("x/Weak-v0", {}))
EDITED = "x/Weak-v0"
OPTIONS = "--include-changed"


@pytest.fixture
def folder(tmp_path):
    """Two tasks, three methods and five seeds; one run of the worst method is edited to have no error."""
    store = Store(tmp_path / "runs")
    store.prepare()
    for item in board(("LowRank-k3-v0", "Linear-k3-v0"), METHODS, effects={"x/Weak-v0": 1.0}):
        store.write(item)
    edit(store, EDITED, test_error=1e-6)
    return store.folder


def edit(store: Store, baseline: str, **fields: object) -> str:
    """Edit the first run of a baseline in its file, as by hand."""
    for run_id in store.ids():
        data = json.loads(store.path(run_id).read_text())
        if data["run"]["baseline"] == baseline:
            store.path(run_id).write_text(json.dumps({**data, **fields}))
            return run_id
    raise AssertionError(baseline)


def edited(folder):
    return next(row for row in to_frame(Store(folder)).to_dict("records") if row["intact"] is not True)["run_id"]


def call(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


@pytest.mark.parametrize("format", ["terminal", "github", "latex"])
def test_table_marks_the_row_and_names_the_run(format, folder, capsys):
    code, out, _ = call(capsys, "table", "--results", folder, "--format", format)
    assert code == 0
    rows = [line for line in out.splitlines() if "Good-v0" in line or "Fair-v0" in line or "Weak-v0" in line]
    assert [text.DOUBT in row for row in rows] == ["Weak-v0" in row and rows.index(row) == bad(rows) for row in rows]
    assert "1 run of changed records" in out.replace("\\", "")
    assert edited(folder)[:8] in out
    assert text.DOUBT_NOTE.split(",")[0] in out


def bad(rows: list[str]) -> int:
    """Place of the marked row, of which there is one."""
    places = [place for place, row in enumerate(rows) if text.DOUBT in row]
    assert len(places) == 1
    return places[0]


def test_table_counts_the_changed_runs_of_a_row_in_csv_and_json(folder, capsys):
    _, out, err = call(capsys, "table", "--results", folder, "--format", "csv")
    assert sum(int(row["changed"]) for row in csv.DictReader(io.StringIO(out))) == 1
    assert "1 run of changed records" in err
    _, out, _ = call(capsys, "table", "--results", folder, "--json")
    assert sorted(row["changed"] for row in json.loads(out)["rows"]) == [0, 0, 0, 0, 0, 1]


def test_export_has_a_column_that_says_it(folder, tmp_path, capsys):
    code, _, err = call(capsys, "export", tmp_path / "runs.csv", "--results", folder)
    assert code == 0
    frame = pd.read_csv(tmp_path / "runs.csv")
    assert list(frame.loc[~frame["intact"], "run_id"]) == [edited(folder)]
    assert "1 run of changed records" in err


def test_show_says_it_and_marks_the_numbers(folder, capsys):
    _, out, _ = call(capsys, "show", edited(folder), "--results", folder)
    assert text.CHANGED in out
    assert "test error          1e-06 ?" in out
    _, _, err = call(capsys, "show", edited(folder), "--results", folder, "--json")
    assert text.CHANGED in err
    good = next(run_id for run_id in Store(folder).ids() if run_id != edited(folder))
    _, out, _ = call(capsys, "show", good, "--results", folder)
    assert "as it was written" in out
    assert text.DOUBT not in out


@pytest.mark.parametrize("command", ["leaderboard", "audit"])
def test_boards_leave_it_out_and_say_so(command, folder, capsys):
    for options, runs, note in (([], 29, "left out"), ([OPTIONS], 30, "changed records")):
        code, out, _ = call(capsys, command, "--results", folder, *options)
        assert code == 0
        assert "1 run of changed records" in out
        assert note in out
        _, out, _ = call(capsys, command, "--results", folder, "--json", *options)
        content = json.loads(out)
        assert (content["runs"] if command == "audit" else sum(row["runs"] for row in content["overall"])) == runs
    if command == "leaderboard":
        _, out, _ = call(capsys, command, "--results", folder, OPTIONS)
        assert text.DOUBT in next(line for line in out.splitlines() if "Weak-v0" in line)


def test_comparison_leaves_its_pair_out_and_marks_it_where_it_is_asked_for(folder, capsys):
    for options, pairs in (([], 9), ([OPTIONS], 10)):
        code, out, _ = call(capsys, "compare", "x/Good-v0", EDITED, "--results", folder, "--json", *options)
        row = json.loads(out)["rows"][-1]
        assert (code, row["pairs"], row["changed"]) == (0, pairs, pairs - 9)
        assert "changed record" in " ".join(json.loads(out)["notes"])
    _, out, _ = call(capsys, "compare", "x/Good-v0", EDITED, "--results", folder, OPTIONS)
    assert text.DOUBT in out.split("\nall ")[1].splitlines()[0]


def test_page_marks_it_in_its_tables_and_panel(folder):
    records = list(Store(folder))
    shown = render_page(ranked(records, include_changed=True), {item.run_id: item for item in records})
    assert "1 run of changed records" in shown
    assert f"{text.error_text(1e-6)} ?" in shown
    assert f"{text.error_text(1e-6)} ?" not in render_page(ranked(records), {item.run_id: item for item in records})


def test_a_folder_of_changed_records_has_no_board(folder, capsys):
    store = Store(folder)
    for run_id in store.ids():
        data = json.loads(store.path(run_id).read_text())
        store.path(run_id).write_text(json.dumps({**data, "train_error": 0.5}))
    for command in (["leaderboard"], ["audit"], ["compare", "x/Good-v0", EDITED]):
        code, _, err = call(capsys, *command, "--results", folder)
        assert code == 3
        assert len(err.splitlines()) == 1
        assert call(capsys, *command, "--results", folder, OPTIONS)[0] == 0


def test_a_record_without_a_hash_is_counted_and_said(folder, capsys):
    store = Store(folder)
    path = store.path(store.ids()[0])
    data = json.loads(path.read_text())
    del data["provenance"]["integrity"]
    path.write_text(json.dumps(data))
    _, _, err = call(capsys, "table", "--results", folder)
    assert "1 of 30 records have no hash" in err


def test_records_older_than_the_alignment_fit_their_hash():
    """A field that was added later, and that a record lacks, is no change of it."""
    frame = to_frame(Store("results/reference/records", set_aside=False))
    assert len(frame) > 1000
    assert frame["intact"].all()


@pytest.mark.parametrize("error", [1e60, *(pytest.param(size, marks=pytest.mark.slow) for size in (1e200, 1e308))])
def test_an_error_beyond_measure_is_marked_and_overflows_nothing(error):
    records = board(methods=METHODS[:2]) + [record(baseline="x/Huge-v0", seed=s, error=error) for s in range(5)]
    frame = score_frame(records)
    row = next(line for line in render(frame).splitlines() if "Huge-v0" in line)
    assert "1.00e+50 ?" in row
    assert text.DOUBT_NOTE in render(frame)
    assert "5 of 35 runs have a test error above 1e+50, which counts as that" in render(frame)
    for shown in (render(frame, "json"), render(frame, "csv"), render_board(ranked(records), "json")):
        assert not re.search(r"\b(?:nan|inf|NaN|Infinity)\b", shown)


def test_an_error_below_zero_is_left_out():
    frame = score_frame([record(seed=seed, error=-0.5 if seed == 0 else 0.2) for seed in range(3)])
    assert "1 of 3 runs have a test error below 0: left out" in render(frame)
    assert "0.200 (0.200-0.200)" in render(frame)
