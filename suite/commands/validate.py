"""``leakybench validate``: can a pack be believed?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leakybench.commands import submit
from leakybench.console import arguments

EPILOG = """\
checks: damaged (unreadable), forged (changed after hashing), duplicated, incomplete (a required task or seed is
missing), provenance, implausible (cannot be), rerun (a random sample is computed again and must agree: the same
status and rank, and a test error within 10%). Nothing in a pack is executed or unpickled: a rerun uses the ids,
overrides and seed of a record with the packages installed here. Runs whose overrides name code to load
(package.module:Name, as Sklearn-v0 takes it) are never rerun.

exit codes: 0 valid; 1 refused, with every reason; 2 wrong usage

examples:
  leakybench validate mine.zip
  leakybench validate mine.zip --sample 5 --tasks 'LowRank-*,Linear-*' --seeds 0:5
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "validate", help="check somebody's pack", description="Check a pack of results.", epilog=EPILOG
    )
    parser.add_argument("pack", metavar="PACK", type=Path, help="a .zip, or a folder with the same content")
    parser.add_argument("--sample", metavar="N", type=int, default=1, help="runs to compute again; 0 for none")
    submit.add_required(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the verdict; 0 valid, 1 refused."""
    from leakybench.errors import UsageError
    from leakybench.packs.pack import PackError, read_pack
    from leakybench.packs.validation import Objection, ValidationReport, validate

    if args.sample < 0:
        raise UsageError(f"--sample must be at least 0, got {args.sample}")
    names, seeds = submit.required(args)
    try:
        pack = read_pack(args.pack)
        report = validate(pack, required_tasks=names, seeds=seeds, sample=args.sample)
    except PackError as error:
        report = ValidationReport(
            findings=[Objection(check="damaged", where="pack", reason=str(error))], notes=[], records=[]
        )
    if args.json:
        findings = [{"check": f.check, "where": f.where, "reason": f.reason} for f in report.findings]
        content = {"valid": report.valid, "findings": findings, "notes": report.notes, "runs": len(report.records)}
        arguments.print_json(content | {"rerun": report.rerun})
        return 0 if report.valid else 1
    for finding in report.findings:
        print(_one_line(f"refused: {finding}"))
    for remark in report.notes:
        print(_one_line(f"note: {remark}"))
    if report.valid:
        again = f"{len(report.rerun)} computed again and found the same" if report.rerun else "none computed again"
        print(f"valid: {len(report.records)} runs, {again}")
    return 0 if report.valid else 1


def _one_line(text: str) -> str:
    from leakybench.report.text import clean

    return clean(text)
