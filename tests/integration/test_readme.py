"""The README is true: its table is what its command prints, and its code runs."""

import re
import sys

import pytest

import leakybench
from leakybench.registry import baselines, tasks
from tests.helpers.readme import BLOCK, DOCUMENTS, ROOT, choose, renew

README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name != "README.md" else []) for name in DOCUMENTS]
)
def test_tables_are_what_their_commands_print(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert BLOCK.search(text)
    assert renew(text) == text, "run: python -m tests.helpers.readme"


def test_results_stand_in_generated_tables_alone():
    rest = BLOCK.sub("", README)
    assert not re.search(r"^\|.*(Net-v0|Connected-v0|Ridge-v0)", rest, re.M)


def test_a_changed_number_is_noticed():
    body = BLOCK.search(README)["body"]
    number = re.search(r"\d\.\d{3,}", body)[0]
    forged = README.replace(body, body.replace(number, "0.123456", 1))
    assert renew(forged) != forged


PRINTED = """### Heading

| place (rank) | baseline | steps | score (mean) |
|:-------------|----------|-------|-------------:|
| 1 | A-v0 \\| a | uniform | 0.1 |
| 2 | B-v0 | adaptive | 0.2 |
| 3 | C-v0 | - | 0.3 |

| another | table |
|---|---|
| 1 | 2 |
"""


def test_a_block_may_choose_rows_and_columns():
    chosen = choose(PRINTED, ["where steps=uniform,-", "first 1", "columns baseline, score"])
    assert chosen.splitlines() == ["| baseline | score (mean) |", "| --- | ---: |", "| A-v0 \\| a | 0.1 |"]
    either = choose(PRINTED, ["first 1", "columns baseline, alignment or score"])
    assert either.splitlines()[0] == "| baseline | score (mean) |"
    assert choose(PRINTED, ["where steps=-"]).splitlines()[2:] == ["| 3 | C-v0 | - | 0.3 |"]
    for wrong in (["columns nothing"], ["columns nothing or less"], ["where nothing=1"], ["last 1"]):
        with pytest.raises(ValueError, match=r"nothing|where, first and columns"):
            choose(PRINTED, wrong)


def test_the_table_is_small_enough_to_read():
    head, _, *rows = BLOCK.search(README)["body"].strip().splitlines()
    assert head.count("|") - 1 <= 4
    assert 4 <= len(rows) <= 6


def test_nothing_is_said_to_be_on_a_package_index():
    """Until leakybench is published, every `pip install` in a document names a path."""
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb")]
    documents += [*(ROOT / "examples").rglob("*.md"), *(ROOT / ".github").rglob("*.yml")]
    for path in documents:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pip install [^\n`]*?(?<![./\w-])leakybench\b", text), path.name


def test_every_link_inside_resolves():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_commands_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target
    commands = {path.stem for path in (ROOT / "suite" / "commands").glob("[a-z]*.py")}
    for command in set(re.findall(r"^\s*leakybench ([a-z]+)", README, re.M)):
        assert command in commands, command


def test_the_code_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    blocks = []
    for code in CODE:
        if match := re.match(r"# (my_\w+)/(\w+)\.py\n", code):
            (tmp_path / match[1]).mkdir(exist_ok=True)
            (tmp_path / match[1] / f"{match[2]}.py").write_text(code)
        else:
            blocks.append(code)
    try:
        for code in blocks:
            exec(compile(code, "README.md", "exec"), {})
        assert capsys.readouterr().out.startswith("ok 0.")
        record = leakybench.evaluate(
            leakybench.make_baseline("mine/Nearest-v0"), leakybench.make("mine/Ring-v0", seed=0), preset="smoke"
        )
        assert record.status == "ok"
        assert record.true_rank == 2
        assert record.test_error < 1.0
    finally:
        for registry, id in ((tasks, "mine/Ring-v0"), (baselines, "mine/Nearest-v0")):
            if id in registry:
                registry.unregister(id)
        for name in [name for name in sys.modules if name.split(".")[0] in ("my_tasks", "my_baselines")]:
            del sys.modules[name]
