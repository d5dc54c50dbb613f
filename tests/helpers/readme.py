"""Tables in the documents are printed by the commands that stand above them.

    python -m tests.helpers.readme

writes anew each block between ``<!-- begin: leakybench ARGUMENTS -->`` and ``<!-- end -->`` of README.md; a test
fails where a block is not what its command prints.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

from leakybench import cli

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = ("README.md",)
BLOCK = re.compile(r"(<!-- begin: leakybench (?P<arguments>[^\n]*?) -->\n)(?P<body>.*?)(<!-- end -->)", re.S)


def printed(arguments: str) -> str:
    """What ``leakybench ARGUMENTS`` prints, run in the repository's root."""
    out = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(out):
        code = cli.main(shlex.split(arguments))
    if code:
        raise RuntimeError(f"leakybench {arguments} ended with exit code {code}")
    return f"\n{out.getvalue().strip()}\n\n"


def renewed(text: str) -> str:
    """``text`` with every block as its command prints it now."""
    return BLOCK.sub(lambda match: match[1] + printed(match["arguments"]) + match[4], text)


if __name__ == "__main__":
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{name} is up to date", file=sys.stderr)
