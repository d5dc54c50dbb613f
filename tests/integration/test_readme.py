"""The README is true: its table is what its command prints, and its code does what it says."""

import re
import sys

import pytest

import leakybench
from leakybench.registry import baselines, tasks
from tests.helpers.readme import BLOCK, DOCUMENTS, ROOT, renewed

README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_tables_are_what_their_commands_print(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert BLOCK.search(text)
    assert renewed(text) == text, "run: python -m tests.helpers.readme"


def test_results_stand_in_generated_tables_alone():
    rest = BLOCK.sub("", README)
    assert not re.search(r"^\|.*(Net-v0|Connected-v0|Ridge-v0)", rest, re.M)


def test_a_changed_number_is_noticed():
    body = BLOCK.search(README)["body"]
    number = re.search(r"\d\.\d{3,}", body)[0]
    forged = README.replace(body, body.replace(number, "0.123456", 1))
    assert renewed(forged) != forged


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
            exec(compile(code, "README.md", "exec"), {"leakybench": leakybench})
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
