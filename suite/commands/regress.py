"""``leakybench regress``: test training against a stored reference."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from leakybench.console import arguments

EPILOG = """\
The gate runs the plan in DIR/gate/plan.toml and compares the runs with those in DIR/gate/runs, paired by task and seed:
test and training error, rank recovery, status, and fit time as a ratio to the yardstick. Each quantity has its own
threshold in gate.json. It fails only if the effect exceeds the threshold and chance does not explain it. Results that
are suddenly better fail too, until they are accepted with --update and a reason.

exit codes: 0 fine; 1 regressed or changed; 2 wrong usage; 3 runs failed, or nothing was compared

examples:
  leakybench regress --reference results/reference
  leakybench regress --reference results/reference --update --reason 'new initialisation, see CHANGELOG'
  leakybench regress --reference my/reference --update --plan plan.toml --yardstick Yardstick-v0 --reason 'first'
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "regress",
        help="test for regressions against the reference",
        description="Test whether training is as good and as fast as in a stored reference.",
        epilog=EPILOG,
    )
    parser.add_argument("--reference", metavar="DIR", default="results/reference", help="folder that holds gate/")
    parser.add_argument("--update", action="store_true", help="replace the reference by the present measurement")
    parser.add_argument("--reason", metavar="TEXT", default="", help="with --update: why; stored in the history")
    parser.add_argument("--plan", metavar="FILE.toml", type=Path, help="with --update: a new plan")
    parser.add_argument("--yardstick", metavar="ID", help="with --update: the baseline whose fit is the unit of time")
    parser.add_argument("--all", action="store_true", help="also print the judgements that are fine")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the judgements; return the exit code of the verdict."""
    from leakybench.errors import UsageError
    from leakybench.gate.reference import check, load_gate, update

    reference = Path(args.reference)
    if args.update:
        records = update(reference, args.reason, plan=args.plan, yardstick=args.yardstick)
        print(f"{reference}: the reference now has {len(records)} runs ({args.reason.strip()})")
        return 0
    if args.plan or args.yardstick or args.reason:
        raise UsageError("--plan, --yardstick and --reason require --update")
    verdict, _ = check(load_gate(reference))
    if args.json:
        import dataclasses

        lines = [dataclasses.asdict(line) for line in verdict.lines]
        arguments.print_json({"code": verdict.code, "pairs": verdict.pairs, "lines": lines, "notes": verdict.notes})
        return verdict.code
    print_verdict(verdict, everything=args.all)
    return verdict.code


def print_verdict(verdict: Any, *, everything: bool = False) -> None:
    """Print the judgements that are not fine, with ``everything`` all of them, and a summary line.

    Notes go to standard error.
    """
    from leakybench.report.text import clean

    for line in verdict.lines:
        if everything or line.kind != "fine":
            print(clean(f"{line.kind}: {line.text}"))
    for remark in verdict.notes:
        print(f"leakybench: note: {remark}", file=sys.stderr)
    word = {0: "fine", 1: "regressed", 3: "runs failed" if verdict.pairs else "nothing was compared"}[verdict.code]
    bad = sum(line.kind not in ("fine", "failed") for line in verdict.lines)
    print(f"{word}: {verdict.pairs} pairs of runs, {len(verdict.lines)} judgements, {bad} against")
