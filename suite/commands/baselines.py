"""``leakybench baselines``: what can learn it."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from leakybench.console import arguments
from leakybench.registry import baselines

EPILOG = """\
examples:
  leakybench baselines
  leakybench baselines '*ResNet*' --json
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "baselines", help="list the baselines", description="List the baselines.", epilog=EPILOG
    )
    parser.add_argument("patterns", nargs="*", metavar="GLOB", help="only the ids that match one of these")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the baselines; 0."""
    chosen = arguments.list_specs(baselines, args.patterns)
    if args.json:
        arguments.print_json([dataclasses.asdict(spec) for spec in chosen])
        return 0
    rows = [
        (spec.id, "yes" if getattr(spec, "steps", False) else "-", spec.plugin or "-", spec.summary) for spec in chosen
    ]
    arguments.print_columns(rows, ("baseline", "steps", "plugin", "summary"))
    return 0
