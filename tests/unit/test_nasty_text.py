"""Every command and format over records whose texts would forge a row, drive a terminal, compute in a spreadsheet or
run on a page: the text is shown, and harmless."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from leakybench.cli import main
from leakybench.store import Store
from tests.helpers.nasty import FEW, NASTY, nasty_folder
from tests.helpers.outputs import CHECKS, check_json, check_terminal, tags

PLAIN = tuple(f"word{number}" for number in range(len(FEW)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return nasty_folder(tmp_path_factory.mktemp("nasty") / "runs")


SIDES = ("x/Method0-v0*", "x/Method1-v0*")
COMMANDS = [
    *((("table",), format) for format in ("terminal", "github", "latex", "csv", "json")),
    *((("table", "--by", by), "terminal") for by in ("baseline", "task")),
    *((("leaderboard",), format) for format in ("terminal", "github", "json", "html")),
    *((("audit",), format) for format in ("terminal", "github", "json", "svg")),
    *((("compare", *SIDES), format) for format in ("terminal", "github", "json")),
    *((("export", "-"), format) for format in ("csv", "json")),
]


@pytest.mark.parametrize(
    ("command", "format"), COMMANDS, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_nasty_texts_are_shown_and_harmless(command, format, folder, capsysbinary):
    code = main([*command, "--results", str(folder), "--format", format])
    captured = capsysbinary.readouterr()
    out, err = captured.out.decode(), captured.err.decode()
    assert code == 0, err
    CHECKS[format](out)
    check_terminal(err)
    assert "Traceback" not in err
    assert len(out) > 500  # there is something to see


def test_show_prints_a_nasty_record_line_by_line(folder, capsys):
    for run_id in Store(folder).ids():
        assert main(["show", run_id, "--results", str(folder)]) == 0
        check_terminal(capsys.readouterr().out)
        assert main(["show", run_id, "--results", str(folder), "--json"]) == 0
        check_json(capsys.readouterr().out)


def test_page_has_the_elements_of_a_page_with_plain_names(folder, tmp_path, capsys):
    pages = []
    for runs in (folder, nasty_folder(tmp_path / "plain", PLAIN)):
        assert main(["leaderboard", "--results", str(runs), "--format", "html"]) == 0
        pages.append(tags(capsys.readouterr().out))
    assert pages[0] == pages[1]


def test_parquet_holds_the_texts_as_they_are(folder, tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "runs.parquet"
    assert main(["export", str(path), "--results", str(folder)]) == 0
    frame = pd.read_parquet(path)
    assert set(frame["message"]) <= set(FEW)
    assert len(set(frame["message"])) > 5


@pytest.mark.parametrize("command", ["verify", "submit", "validate"])
def test_commands_on_whole_folders_stay_in_their_lines(command, folder, tmp_path, capsys):
    arguments = {"verify": ["--results", str(folder)], "validate": [str(folder), "--sample", "0"]}
    code = main([command, *arguments.get(command, [str(folder), "--out", str(tmp_path / "p.zip")])])
    captured = capsys.readouterr()
    assert code in (0, 1, 2)
    assert "Traceback" not in captured.err
    check_terminal(captured.out)
    check_terminal(captured.err)


NAMES = ["\x1b[2Jx", "\u202ex", "\udc80\udcff", "=1", "a\nleakybench: forged", "<b>|x", "x" * 255, "\ud800", "a\0b"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("command", ["table", "show 1a", "leaderboard", "audit", "export -", "verify", "compare A B"])
def test_names_of_folders_are_one_line(name, command, tmp_path, capsys):
    parent = tmp_path / "there"
    parent.mkdir()
    for path in (tmp_path / name, parent / name):
        if path.parent == parent:
            try:
                path.mkdir()
            except (OSError, ValueError):
                continue  # no file can have this name
        assert main([*command.split(), "--results", str(path)]) in (2, 3)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert len(captured.err.splitlines()) == (command != "verify" or not path.is_dir())
        check_terminal(captured.out + captured.err)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_output_files_are_one_line(name, folder, tmp_path, capsys):
    for command in (["leaderboard", "--format", "json", "--out"], ["audit", "--format", "json", "--out"], ["export"]):
        target = [str(tmp_path / name), *(["--format", "json"] if command == ["export"] else [])]
        assert main([*command, *target, "--results", str(folder)]) in (0, 2, 3)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        check_terminal(captured.out + captured.err)


@pytest.mark.slow
def test_every_nasty_text_in_every_field_goes_through_every_command(tmp_path, capsysbinary):
    whole = [text for text in NASTY if not re.search("[\ud800-\udfff]", text)]
    halves = [text for text in NASTY if text not in whole]
    runs = nasty_folder(tmp_path / "runs", whole, methods=16)
    assert len(list(Store(runs, set_aside=False))) > 20  # records with texts that no record may hold are set aside
    nasty_folder(runs, ["plain", *halves, "text"], methods=2, seeds=3)
    for command, format in COMMANDS:
        code = main([*command, "--results", str(runs), "--format", format])
        captured = capsysbinary.readouterr()
        assert code in (0, 3), (command, format)
        assert b"Traceback" not in captured.err, captured.err[-2000:]
        if code == 0:
            CHECKS[format](captured.out.decode())
        check_terminal(captured.err.decode())
