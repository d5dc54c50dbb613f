"""``leakybench baselines``: list the registered baselines."""

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
        "baselines",
        help="list the baselines",
        description="List the registered baselines: id, whether it has step-size rules, plugin and summary.",
        epilog=EPILOG,
    )
    parser.add_argument("patterns", nargs="*", metavar="GLOB", help="only ids that match one of these globs")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the baselines and return 0."""
    chosen = arguments.list_specs(baselines, args.patterns)
    if args.json:
        arguments.print_json([dataclasses.asdict(spec) for spec in chosen])
        return 0
    rows = [
        (spec.id, ", ".join(getattr(spec, "steps", ())) or "-", spec.plugin or "-", spec.summary) for spec in chosen
    ]
    arguments.print_columns(rows, ("baseline", "steps", "plugin", "summary"))
    if not args.patterns:
        arguments.print_sets(baselines)
    return 0
