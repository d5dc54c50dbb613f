"""``leakybench validate``: check a pack of results."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import Any

from leakybench.console import arguments, coverage

EPILOG = """\
checks:
  damaged       a file cannot be read
  forged        a file was changed after hashing
  duplicated    two runs have the same task, baseline, preset and seed
  incomplete    a required task or seed is missing
  provenance    a record does not state its origin
  implausible   a record contradicts itself or the task
  rerun         a random sample is computed again and must agree: same status and rank, test error within 10%

Nothing in a pack is executed or unpickled: a rerun uses the ids, overrides and seed of a record with the packages
installed here, in a process of its own that is ended at --timeout or --memory. Runs whose overrides name code to load
(package.module:Name, as for Sklearn-v0) are never rerun.

exit codes: 0 valid; 1 refused, with every reason; 2 wrong usage

examples:
  leakybench validate mine.zip
  leakybench validate mine.zip --timeout 5m --memory 2G
  leakybench validate mine.zip --sample 5 --tasks 'LowRank-*,Linear-*' --seeds 0:5
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "validate",
        help="check a pack of results",
        description="Check whether a pack of results is intact, complete, plausible and reproducible.",
        epilog=EPILOG,
    )
    parser.add_argument("pack", metavar="PACK", type=Path, help="a .zip file, or a folder with the same content")
    parser.add_argument("--sample", metavar="N", type=int, default=1, help="number of runs to rerun; 0 for none")
    parser.add_argument("--timeout", metavar="TIME", default="30m", help="time limit of a rerun (default: 30m)")
    parser.add_argument("--memory", metavar="SIZE", default="4G", help="memory limit of a rerun (default: 4G)")
    coverage.add_coverage(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the objections; return 0 if the pack is valid, 1 if it is refused."""
    from leakybench.engines.limits import parse_bytes, parse_seconds
    from leakybench.errors import UsageError
    from leakybench.packs.pack import PackError, read_pack
    from leakybench.packs.validation import Objection, ValidationReport, rerun_here, validate
    from leakybench.report.text import clean

    if args.sample < 0:
        raise UsageError(f"--sample must be at least 0, got {args.sample}")
    rerun = functools.partial(rerun_here, timeout=parse_seconds(args.timeout), memory=parse_bytes(args.memory))
    names, seeds = coverage.parse_coverage(args)
    try:
        pack = read_pack(args.pack)
        report = validate(pack, required_tasks=names, seeds=seeds, sample=args.sample, rerun=rerun)
    except PackError as error:
        report = ValidationReport(
            objections=[Objection(check="damaged", where="pack", reason=str(error))], notes=[], records=[]
        )
    if args.json:
        objections = [dataclasses.asdict(objection) for objection in report.objections]
        content = {"valid": report.valid, "objections": objections, "notes": report.notes, "runs": len(report.records)}
        arguments.print_json(content | {"rerun": report.rerun})
        return 0 if report.valid else 1
    for objection in report.objections:
        print(clean(f"refused: {objection}"))
    for note in report.notes:
        print(clean(f"note: {note}"))
    if report.valid:
        again = f"{len(report.rerun)} rerun with the same result" if report.rerun else "none rerun"
        print(f"valid: {len(report.records)} runs, {again}")
    return 0 if report.valid else 1
