"""``leakybench regress``: is training as good and as fast as it was?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from leakybench.console import arguments

EPILOG = """\
The gate runs the plan in DIR/gate/plan.toml and compares it with the runs in DIR/gate/runs, by task and seed: test and
training error, rank recovery, status, and fit time as a ratio to the yardstick. Each has its own threshold, in
gate.json, and fails only where the effect is beyond it and chance does not explain it. Results that are suddenly
better fail too, until --update says why.

exit codes: 0 fine; 1 regressed or changed; 2 wrong usage; 3 runs failed or nothing was compared

examples:
  leakybench regress --reference results/reference
  leakybench regress --reference results/reference --update --reason 'new initialisation, see CHANGELOG'
  leakybench regress --reference my/reference --update --plan plan.toml --yardstick Yardstick-v0 --reason 'first'
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "regress", help="compare with the reference", description="Compare training with a reference.", epilog=EPILOG
    )
    parser.add_argument("--reference", metavar="DIR", default="results/reference", help="folder that holds gate/")
    parser.add_argument("--update", action="store_true", help="make what is measured now the reference")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for --update; kept in the history")
    parser.add_argument("--plan", metavar="FILE.toml", type=Path, help="with --update: a new plan")
    parser.add_argument("--yardstick", metavar="ID", help="with --update: the baseline that is the unit of time")
    parser.add_argument("--all", action="store_true", help="print the judgements that are fine, too")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the judgements; the exit code is the verdict."""
    from leakybench.errors import UsageError
    from leakybench.gate.reference import check, load_gate, update

    reference = Path(args.reference)
    if args.update:
        records = update(reference, args.reason, plan=args.plan, yardstick=args.yardstick)
        print(f"{reference}: {len(records)} runs are the reference now ({args.reason.strip()})")
        return 0
    if args.plan or args.yardstick or args.reason:
        raise UsageError("--plan, --yardstick and --reason go with --update")
    verdict, _ = check(load_gate(reference))
    if args.json:
        import dataclasses

        lines = [dataclasses.asdict(line) for line in verdict.lines]
        arguments.print_json({"code": verdict.code, "pairs": verdict.pairs, "lines": lines, "notes": verdict.notes})
        return verdict.code
    print_verdict(verdict, everything=args.all)
    return verdict.code


def print_verdict(verdict: Any, *, everything: bool = False) -> None:
    """What failed on standard output, the rest where asked for, and a last line with the sum."""
    from leakybench.report.text import clean

    for line in verdict.lines:
        if everything or line.kind != "fine":
            print(clean(f"{line.kind}: {line.text}"))
    for remark in verdict.notes:
        print(f"leakybench: note: {remark}", file=sys.stderr)
    word = {0: "fine", 1: "regressed", 3: "runs failed" if verdict.pairs else "nothing was compared"}[verdict.code]
    bad = sum(line.kind not in ("fine", "failed") for line in verdict.lines)
    print(f"{word}: {verdict.pairs} pairs of runs, {len(verdict.lines)} judgements, {bad} against")
