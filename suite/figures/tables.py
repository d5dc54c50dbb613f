"""Markdown tables of the summaries of figures, and of files, filled into a document.

    python -m leakybench.figures.tables docs/theory.md [--data results/reference/figures] [--check]

A document marks the place of a table by two comments, ``<!-- table: 1a -->`` and ``<!-- end -->``. The text between
them is generated from ``1a.summary.csv``, so that no number in it is copied by hand. ``<!-- file: PATH -->``, relative
to the document, takes a Markdown file that another command wrote, such as ``leakybench ladder --wide --out``.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from leakybench.atomic import write_atomic
from leakybench.errors import UsageError
from leakybench.figures import load_figure, names_of
from leakybench.figures.build import read_csv
from leakybench.figures.figure import Figure

FILE = re.compile(r"(<!-- file: (?P<path>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
BLOCK = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(figure: Figure, summary: pd.DataFrame) -> str:
    """Format a summary as a Markdown table, with mean and interval of each tabled quantity and the number of runs.

    There is one row for each point that has at least one of the quantities.

    Raises:
        UsageError: the figure defines no table.
    """
    if not figure.tabled:
        raise UsageError(f"figure {figure.name} has no table")
    rows = summary[summary["quantity"].isin(list(figure.tabled.values()))]
    for column, values in figure.table_of.items():
        rows = rows[rows[column].isin(list(values))]
    keys = [column for column in figure.by if rows[column].notna().any()]
    lines = []
    for key, group in rows.groupby(keys, sort=False, dropna=False):
        quantities = group.set_index("quantity")
        cells = [_interval_cell(quantities, quantity) for quantity in figure.tabled.values()]
        lines.append([*(_key_text(value) for value in key), *cells, _range(group["runs"])])
    headings = [
        *(column.split(" [")[0].replace("_", " ") for column in keys),
        *(heading.replace("|", r"\|") for heading in figure.tabled),
        figure.counted,
    ]
    bar = ["---"] * len(headings)
    return "".join("| " + " | ".join(line) + " |\n" for line in [headings, bar, *lines])


def _interval_cell(quantities: pd.DataFrame, quantity: str) -> str:
    if quantity not in quantities.index:
        return ""
    columns = [f"{name} [of quantity]" for name in ("mean", "low", "high")]
    mean, low, high = quantities.loc[[quantity], columns].to_numpy(dtype=float)[0]
    if not np.isfinite(high - low) or high == low:
        return f"{mean:.3g}"
    # a mean that is 0 up to round-off, as of differences that cancel
    mean = 0.0 if abs(mean) < 1e-12 * (high - low) else mean
    return f"{mean:.3g} ({low:.3g} to {high:.3g})"


def _key_text(value: object) -> str:
    if isinstance(value, float):
        # an infinite effective depth is that of networks without skip connections
        return "fully connected" if value == np.inf else f"{value:g}" if np.isfinite(value) else ""
    return str(value)


def _range(runs: pd.Series) -> str:
    least, most = int(runs.min()), int(runs.max())
    return f"{most}" if least == most else f"{least} to {most}"


def fill(text: str, data: Path, folder: Path = Path()) -> str:
    """Fill each table of ``text`` from the summaries in ``data``, and each file from its path relative to ``folder``.

    Raises:
        UsageError: no figure has the name of a table, or a summary or a file cannot be read.
    """

    def written(match: re.Match[str]) -> str:
        (name,) = names_of(match["name"])
        return match[1] + table(load_figure(name), read_csv(data / f"{name}.summary.csv")) + match[3]

    def read(match: re.Match[str]) -> str:
        try:
            content = (folder / match["path"]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise UsageError(f"cannot read {match['path']!r}: {reason}") from None
        return match[1] + content.rstrip("\n") + "\n" + match[3]

    return FILE.sub(read, BLOCK.sub(written, text))


def main(arguments: list[str]) -> int:
    """Fill the tables of a document; with ``--check`` only return whether they are up to date (0) or not (1)."""
    parser = argparse.ArgumentParser(
        prog="python -m leakybench.figures.tables", description="Fill the tables of a document."
    )
    parser.add_argument("document", type=Path)
    parser.add_argument("--data", type=Path, default=Path("results/reference/figures"), help="folder of the summaries")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a table is out of date")
    parsed = parser.parse_args(arguments)
    before = parsed.document.read_text(encoding="utf-8")
    after = fill(before, parsed.data, parsed.document.parent)
    if parsed.check:
        return int(before != after)
    if before != after:
        write_atomic(parsed.document, after.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
