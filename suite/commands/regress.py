"""``leakybench regress``: test training against a stored reference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leakybench.console import arguments
from leakybench.report.text import clean

EPILOG = """\
The gate runs the plan in DIR/gate/plan.toml and compares the runs with those in DIR/gate/runs, paired by task and seed:
test and training error, rank recovery, status, and fit time as a ratio to the yardstick. Each quantity has its own
threshold in gate.json, and each judgement says the smallest change that its pairs of runs can detect.

verdicts, of each judgement and of the whole (field "kind" and field "verdict" of --json):
  regressed      worse by more than the threshold, and chance does not explain it
  improved       better by more than that: a leak or an advance, to be accepted with --update; a faster fit just passes
  same           the 90% interval of the change lies within the threshold, or all runs are equal to the bit
  undecided      the runs at hand cannot tell: use more seeds; an undecided time is measured again within --budget
  not measured   runs failed, or files of the reference are missing, damaged, changed or not its own

exit codes: 0 same, or only faster; 1 regressed, or improved and not accepted; 2 wrong usage; 3 undecided or not
measured

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
    parser.add_argument(
        "--budget", metavar="SECONDS", type=float, default=180.0,
        help="do not measure again, for an undecided time, beyond these seconds (default: 180)",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="also print the judgements that are the same")
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
    if not args.budget >= 0:
        raise UsageError(f"--budget must be at least 0 seconds, got {args.budget!r}")
    verdict, _ = check(load_gate(reference), budget=args.budget)
    if args.json:
        import dataclasses

        lines = [dataclasses.asdict(line) for line in verdict.lines]
        content = {"verdict": verdict.kind, "code": verdict.code, "pairs": verdict.pairs, "rounds": verdict.rounds}
        arguments.print_json({**content, "lines": lines, "notes": verdict.notes})
        return verdict.code
    print_verdict(verdict, everything=args.all)
    return verdict.code


def print_verdict(verdict: Any, *, everything: bool = False) -> None:
    """Print the judgements that are not ``same``, with ``everything`` all of them, and a summary line.

    Notes go to standard error.
    """
    from leakybench.gate.verdict import KINDS

    for line in verdict.lines:
        if everything or line.kind != "same":
            print(clean(f"{line.kind}: {line.text}"))
    for remark in verdict.notes:
        arguments.print_note(f"note: {remark}")
    counts = {kind: sum(line.kind == kind for line in verdict.lines) for kind in KINDS}
    shown = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    repeats = f", measured {verdict.rounds} times" if verdict.rounds > 1 else ""
    print(f"{verdict.kind}: {verdict.pairs} pairs of runs{repeats}; judgements: {shown or 'none'}")
