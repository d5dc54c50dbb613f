"""``leakybench table``: print a table of the stored results."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from leakybench.console import arguments, selection

FORMATS = ("terminal", "github", "latex", "csv", "json")
GROUPINGS = ("cell", "baseline", "task")

EPILOG = """\
columns:
  test error   mean squared error on the test set divided by the variance of its targets (the mean predictor scores 1),
               averaged over seeds, with a 95% interval
  alignment    mean code alignment with its 95% interval: 1 the directions that matter, 0 chance
  rank         most common bottleneck rank, and its range
  rank missed  number of runs that did not recover the true rank, and the 95% interval of their share
  criticality  median; ! marks one above 0.15, and the brackets count the runs above it
  fit          median training time of the runs with status ok

examples:
  leakybench table --task 'LowRank-*' --format github
  leakybench table --by baseline
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "table",
        help="print a table of the results",
        description="Print a table of the stored results: test error, code alignment, bottleneck rank, ranks missed, "
        "criticality and fit time.",
        epilog=EPILOG,
    )
    arguments.add_results(parser, several=True)
    selection.add_selection(parser)
    parser.add_argument(
        "--by", choices=GROUPINGS, default="cell", help="one row per task and baseline (cell), per baseline or per task"
    )
    parser.add_argument("--format", choices=FORMATS, default="terminal", help="output format")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="same as --format json")


def run(args: argparse.Namespace) -> int:
    """Print the table; return 0, or 3 if there is no run."""
    from leakybench.analysis.summary import notes
    from leakybench.report.table import render
    from leakybench.report.text import clean

    frame = selection.load_scores(args)
    if frame.empty:
        return selection.report_no_runs(args.results)
    print(render(frame, args.format, by=args.by))
    if args.format == "csv":
        for line in notes(frame):
            print(f"note: {clean(line)}", file=sys.stderr)
    return 0
