"""Tables in the documents are printed by the commands that stand above them.

    python -m tests.helpers.readme

renews each block between ``<!-- begin: leakybench ARGUMENTS -->`` and ``<!-- end -->`` of README.md; a test fails where
a block is not what its command prints. Behind the arguments, parts of the table may be chosen, in this order:

    <!-- begin: leakybench ARGUMENTS | where steps=uniform,- | first 6 | columns baseline, score, cost or fit -->

A column is named by its heading without the unit in brackets; of several names joined by ``or``, the first that the
table has is taken. A block with such parts holds the first table that the
command prints and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
import sys
from pathlib import Path

from leakybench import cli

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = ("README.md", "docs/validity.md")
BLOCK = re.compile(r"(<!-- begin: leakybench (?P<head>[^\n]*?) -->\n)(?P<body>.*?)(<!-- end -->)", re.S)
CELL_BORDER = re.compile(r"(?<!\\)\|")


@functools.cache
def run_command(arguments: str) -> str:
    """Run ``leakybench ARGUMENTS`` in the repository's root and return what it prints."""
    out = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(out):
        code = cli.main(shlex.split(arguments))
    if code:
        raise RuntimeError(f"leakybench {arguments} ended with exit code {code}")
    return out.getvalue().strip()


def choose(printed: str, parts: list[str]) -> str:
    """Return the chosen rows and columns of the first Markdown table in ``printed``."""
    lines = printed.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("|"))
    length = next((n for n, line in enumerate(lines[start:]) if not line.startswith("|")), len(lines) - start)
    heads, rule, *rows = [_cells(line) for line in lines[start : start + length]]
    names = [head.split(" (")[0] for head in heads]
    for part in parts:
        word, _, rest = part.partition(" ")
        if word == "where":
            name, _, values = rest.partition("=")
            rows = [row for row in rows if row[names.index(name)] in values.split(",")]
        elif word == "first":
            rows = rows[: int(rest)]
        elif word == "columns":
            places = [_place(names, choice.split(" or ")) for choice in rest.split(", ")]
            heads, rule, *rows = [[row[place] for place in places] for row in (heads, rule, *rows)]
        else:
            raise ValueError(f"a block chooses by where, first and columns, got {part!r}")
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, [_rule(cell) for cell in rule], *rows))


def _place(names: list[str], choice: list[str]) -> int:
    """Place of the first name of ``choice`` that the table has."""
    for name in choice:
        if name in names:
            return names.index(name)
    raise ValueError(f"the table has no column {' or '.join(choice)}")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in CELL_BORDER.split(line)[1:-1]]


def _rule(cell: str) -> str:
    """Three dashes with the colons that align the column."""
    return re.sub("-+", "---", cell)


def fill(head: str) -> str:
    """Return the body of the block with this head: a command and, if any, the parts to choose."""
    arguments, *parts = head.split(" | ")
    printed = run_command(arguments)
    return f"\n{choose(printed, parts) if parts else printed}\n\n"


def renew(text: str) -> str:
    """Return ``text`` with every block as its command prints it now."""
    return BLOCK.sub(lambda match: match[1] + fill(match["head"]) + match[4], text)


if __name__ == "__main__":
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(renew(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{name} is up to date", file=sys.stderr)
