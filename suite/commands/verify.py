"""``leakybench verify``: whether a folder of records can be trusted."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from leakybench.console import arguments

DESCRIPTION = "Check every record of a folder: names, schema, hashes of content and arrays. Changes nothing by itself."
EPILOG = """\
examples:
  leakybench verify --results results/reference
  leakybench verify --set-aside         move damaged records to quarantine/, so that the next run computes them anew

exit codes: 0 every record is sound; 1 some are damaged; 2 no such folder; 3 the folder holds no record
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("verify", help="check a folder of records", description=DESCRIPTION, epilog=EPILOG)
    arguments.add_results(parser)
    parser.add_argument("--set-aside", action="store_true", help="move damaged records to quarantine/")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0, or 1 where records are damaged, or 3 where there are none."""
    from leakybench.console.progress import counted
    from leakybench.packs.verify import verify
    from leakybench.store import Store

    verdict = verify(Store(Path(args.results), set_aside=args.set_aside))
    total = verdict.statuses.total()
    if args.json:
        found = {"sound": total, "statuses": dict(verdict.statuses), "remarks": verdict.remarks}
        arguments.print_json({**found, "damaged": [dataclasses.asdict(problem) for problem in verdict.damaged]})
    else:
        for problem in verdict.damaged:
            print(f"damaged  {problem}")
        for remark in verdict.remarks:
            print(f"note     {remark}")
        print(f"{total} sound records ({counted(verdict.statuses)}), {len(verdict.damaged)} damaged")
    if not verdict.sound:
        return 1
    return 0 if total else 3
