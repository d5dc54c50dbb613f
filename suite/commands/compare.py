"""``leakybench compare``: compare two selections of runs, paired by task and seed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments, selection
from leakybench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from leakybench.analysis.comparison import Comparison

EPILOG = """\
A and B are either two results folders (the same tasks, baselines, step rules and seeds, computed by two versions of the
code) or two baselines in --results, given by id, label or glob. With --steps they are two step rules of the same
baselines. Runs are paired by task and seed, and the test is on the difference A - B of each pair. The verdict describes
A: better, worse, no difference shown (chance explains the difference; the interval gives the excluded effects), or too
few runs.

exit codes: 0 whatever the verdict; 2 wrong usage; 3 there is no pair of runs

examples:
  leakybench compare --steps adaptive uniform                                the question of the paper
  leakybench compare --steps adaptive uniform --results results/reference    the same on the committed runs
  leakybench compare 'LeakyResNet-v0[steps=adaptive]' Ridge-v0
  leakybench compare 'Ridge-v0[tune=16]' Ridge-v0                           tuned against its defaults
  leakybench compare results/reference results/runs --by baseline
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "compare",
        help="compare two baselines, step rules or folders",
        description="Compare two selections of runs, paired by task and seed, with intervals and a verdict.",
        epilog=EPILOG,
    )
    parser.add_argument("sides", nargs="*", metavar="A B", help="two results folders or two baselines")
    parser.add_argument("--steps", nargs=2, metavar=("A", "B"), help="compare two step rules of the same baselines")
    arguments.add_results(parser, several=True)
    selection.add_selection(parser)
    selection.add_changed(parser)
    parser.add_argument(
        "--by", choices=("task", "baseline", "overall"), default="task", help="print one row for each of these"
    )
    parser.add_argument("--format", choices=("terminal", "github", "json"), default="terminal", help="output format")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="same as --format json")


def run(args: argparse.Namespace) -> int:
    """Print the comparison; return 0, or 3 if there is no pair."""
    from leakybench.report.comparison import render, sentence

    comparison = _compare(args)
    print(render(comparison, args.format))
    if args.format == "terminal":
        print(f"\n{sentence(comparison)}")
    if comparison.overall.pairs:
        return 0
    arguments.print_note("there is no pair of runs to compare")
    return 3


def _compare(args: argparse.Namespace) -> Comparison:
    from leakybench.analysis.comparison import compare
    from leakybench.analysis.scores import select

    sides = list(args.sides)
    options = {"by": args.by, "include_changed": args.include_changed}
    if args.steps:
        if sides:
            raise UsageError("--steps compares two step rules within --results; it cannot be combined with A and B")
        frame = selection.load_scores(args)
        frames = [select(frame, steps=rule) for rule in args.steps]
        return compare(*frames, pairing="steps", **options, names=args.steps)
    if len(sides) != 2:
        raise UsageError(
            f"compare takes two sides, A and B, got {len(sides)} ('leakybench compare --help' has examples)"
        )
    folders = [Path(side).is_dir() for side in sides]
    if all(folders):
        frames = [selection.load_scores(args, side) for side in sides]
        return compare(*frames, pairing="folders", **options, names=sides)
    if any(folders):
        raise UsageError(f"{sides[folders.index(False)]!r} is not a folder, but the other side is one")
    frame = selection.load_scores(args)
    return compare(*(_side(frame, side) for side in sides), pairing="baselines", **options, names=sides)


def _side(frame: pd.DataFrame, side: str) -> pd.DataFrame:
    """Return the runs of one side; an id means the runs at its defaults, where there are any."""
    from leakybench.analysis.scores import select

    chosen = select(frame, baseline=side)
    exact = chosen["baseline"] == side
    return chosen[exact] if exact.any() else chosen
