"""``leakybench compare``: is one better than the other?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments, selection
from leakybench.errors import UsageError

if TYPE_CHECKING:
    from leakybench.analysis.comparison import Comparison

EPILOG = """\
A and B are two result folders (the same tasks, baselines, step rules and seeds, run by two versions of the code), or
two baselines in --results, by id, label or glob. With --steps they are two step rules of the same baselines. Runs
are paired by task and seed, and the difference A - B of each pair is what counts. The verdict is on A: better, worse,
no difference shown (chance explains it; the interval says what is excluded), or too few runs. Exit code 0 whatever
the verdict, 3 where no pair exists.

examples:
  leakybench compare --steps adaptive uniform                                the question of the paper
  leakybench compare --steps adaptive uniform --results results/reference    the same, of the committed runs
  leakybench compare 'LeakyResNet-v0[steps=adaptive]' Ridge-v0
  leakybench compare results/reference results/runs --by baseline
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "compare", help="is A better than B?", description="Compare two selections of runs.", epilog=EPILOG
    )
    parser.add_argument("sides", nargs="*", metavar="A B", help="two folders or two baselines")
    parser.add_argument("--steps", nargs=2, metavar=("A", "B"), help="compare two step rules instead")
    arguments.add_results(parser)
    selection.add_selection(parser)
    parser.add_argument("--by", choices=("task", "baseline", "overall"), default="task", help="a row for each of these")
    parser.add_argument("--format", choices=("terminal", "github", "json"), default="terminal", help="how to write it")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="same as --format json")


def run(args: argparse.Namespace) -> int:
    """Print the comparison; 0, or 3 where there is no pair."""
    from leakybench.report.comparison import render, sentence

    comparison = _compare(args)
    print(render(comparison, args.format))
    if args.format == "terminal":
        print(f"\n{sentence(comparison)}")
    if comparison.rows.iloc[-1]["pairs"]:
        return 0
    print("leakybench: no pair of runs to compare", file=sys.stderr)
    return 3


def _compare(args: argparse.Namespace) -> Comparison:
    from leakybench.analysis.comparison import compare
    from leakybench.analysis.scores import select

    sides = list(args.sides)
    if args.steps:
        if sides:
            raise UsageError("--steps compares two step rules within --results: give no A and B with it")
        frame = selection.load(args)
        found = [select(frame, steps=rule) for rule in args.steps]
        return compare(*found, pairing="steps", by=args.by, names=args.steps)
    if len(sides) != 2:
        raise UsageError(
            f"compare takes two sides, A and B, got {len(sides)} ('leakybench compare --help' has examples)"
        )
    folders = [Path(side).is_dir() for side in sides]
    if all(folders):
        frames = [selection.load(args, side) for side in sides]
        return compare(*frames, pairing="folders", by=args.by, names=sides)
    if any(folders):
        raise UsageError(f"{sides[folders.index(False)]!r} is no folder, while the other side is one")
    frame = selection.load(args)
    return compare(*(select(frame, baseline=side) for side in sides), pairing="baselines", by=args.by, names=sides)
