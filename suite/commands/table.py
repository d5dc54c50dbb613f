"""``leakybench table``: the results so far."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from leakybench.console import arguments, selection

FORMATS = ("terminal", "github", "latex", "csv", "json")
GROUPINGS = ("cell", "baseline", "task")

EPILOG = """\
columns: test error is the mean squared error on the test set over the variance of its targets (the mean predictor
scores 1), mean over seeds with a 95% interval; rank is the commonest bottleneck rank and its range; recovered counts
the runs whose rank is the true one; fit is the median training time of runs that ended ok.

examples:
  leakybench table --task 'LowRank-*' --format github
  leakybench table --by baseline
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("table", help="print the results", description="Print the results.", epilog=EPILOG)
    arguments.add_results(parser)
    selection.add_selection(parser)
    parser.add_argument(
        "--by", choices=GROUPINGS, default="cell", help="a row for each task and baseline, or over tasks"
    )
    parser.add_argument("--format", choices=FORMATS, default="terminal", help="how to write it")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="same as --format json")


def run(args: argparse.Namespace) -> int:
    """Print the table; 0, or 3 where there is no run."""
    from leakybench.analysis.summary import notes
    from leakybench.report.table import render

    frame = selection.load(args)
    if frame.empty:
        return selection.nothing(args.results)
    print(render(frame, args.format, by=args.by))
    if args.format == "csv":
        for line in notes(frame):
            print(f"note: {line}", file=sys.stderr)
    return 0
