"""``leakybench verify``: check the integrity of a folder of records."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from leakybench.console import arguments

DESCRIPTION = """\
Check the integrity of every record in a folder: file name, schema, and the hashes of content and arrays. Nothing is
changed unless --set-aside is given."""
EPILOG = """\
examples:
  leakybench verify --results results/reference
  leakybench verify --set-aside         move damaged records to quarantine/, so that the next run computes them again

exit codes: 0 every record is intact; 1 some are damaged; 2 no such folder; 3 the folder holds no record
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("verify", help="check a folder of records", description=DESCRIPTION, epilog=EPILOG)
    arguments.add_results(parser)
    parser.add_argument("--set-aside", action="store_true", help="move damaged records to quarantine/")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the result; return 0, or 1 if records are damaged, or 3 if there are none."""
    from leakybench.console.progress import counted
    from leakybench.packs.verify import verify
    from leakybench.store import Store

    verification = verify(Store(Path(args.results), set_aside=args.set_aside))
    total = verification.statuses.total()
    if args.json:
        damaged = [dataclasses.asdict(file) for file in verification.damaged]
        statuses = dict(verification.statuses)
        arguments.print_json(
            {"sound": total, "statuses": statuses, "remarks": verification.remarks, "damaged": damaged}
        )
    else:
        for file in verification.damaged:
            print(f"damaged  {file}")
        for remark in verification.remarks:
            print(f"note     {remark}")
        print(f"{total} intact records ({counted(verification.statuses)}), {len(verification.damaged)} damaged")
    if not verification.sound:
        return 1
    return 0 if total else 3
