"""The page of messages and the code agree: each message that a user can meet has a row, and no row is out of date."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.helpers.cli import ROOT

RAISED = {
    "UsageError", "RegistrationError", "UnknownIdError", "PluginError", "NewerSchemaError", "DamagedError", "PackError",
    "EngineError", "LeakybenchError", "ConflictError", "DivergedError", "CollapsedError", "BaselineError",
}  # fmt: skip
"""Exceptions whose text reaches a user: on the command line, in a record or in a report."""

VALUE = "\0"
"""Stands in a message for what is filled in."""

PASSES_ON = 10
"""A message with fewer letters of its own hands on what another one says."""

SAYS_LITTLE = 6
"""A row with fewer letters of its own would fit nearly every message, and counts for none."""

ROW = re.compile(r"^\| (?P<message>.+?) \| [^|]*\|$", re.MULTILINE)


def literal(node: ast.expr) -> str:
    """The text of an expression, ``VALUE`` where it is not known."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return literal(node.left) + literal(node.right)
    return VALUE


@cache
def sources() -> list[tuple[str, ast.Module]]:
    paths = [path for package in ("suite", "tasks", "baselines") for path in sorted((ROOT / package).rglob("*.py"))]
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


@cache
def constants() -> list[str]:
    nodes = (node for _, tree in sources() for node in ast.walk(tree))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@cache
def messages() -> list[tuple[str, str]]:
    """(place, text) of every exception that is raised with a text of its own."""
    found = []
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                raised = node.exc.func
                kind = raised.id if isinstance(raised, ast.Name) else getattr(raised, "attr", "")
                text = literal(node.exc.args[0])
                if kind in RAISED and len(re.findall(r"\w", text)) >= PASSES_ON:
                    found.append((f"{name}:{node.lineno}", text))
    return found


def rows() -> list[str]:
    page = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8").split("## Checks")[0]
    return [row["message"] for row in ROW.finditer(page) if row["message"] not in ("message", "---")]


def pattern(row: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in row.split("...")), re.DOTALL)


def test_every_message_has_a_row() -> None:
    known = [pattern(row) for row in rows() if len(re.findall(r"\w", row)) >= SAYS_LITTLE]
    missing = [
        f"{place}: {text.replace(VALUE, '...')}"
        for place, text in messages()
        if not any(one.fullmatch(text) for one in known)
    ]
    assert not missing, "add a row to docs/messages.md for\n" + "\n".join(missing)


def test_there_are_messages_and_rows() -> None:
    assert len(messages()) > 200
    assert len(rows()) > 100
    assert len(set(rows())) == len(rows())


@pytest.mark.parametrize("row", rows())
def test_no_row_is_out_of_date(row: str) -> None:
    if any(pattern(row).fullmatch(text) for _, text in messages()):
        return
    # put together elsewhere: each of its parts is still a part of some text
    parts = [part.strip() for part in row.split("...") if len(part.strip()) > 1]
    assert parts
    for part in parts:
        assert any(part in text for text in constants()), f"{part!r} is said nowhere"
