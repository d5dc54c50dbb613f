"""``leakybench tasks``: list the registered tasks."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from leakybench.console import arguments
from leakybench.registry import tasks

EPILOG = """\
examples:
  leakybench tasks
  leakybench tasks 'LowRank-*' --json
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "tasks",
        help="list the tasks",
        description="List the registered tasks: id, true bottleneck rank, plugin and summary.",
        epilog=EPILOG,
    )
    parser.add_argument("patterns", nargs="*", metavar="GLOB", help="only ids that match one of these globs")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the tasks and return 0."""
    chosen = arguments.list_specs(tasks, args.patterns)
    if args.json:
        arguments.print_json([dataclasses.asdict(spec) for spec in chosen])
        return 0
    rows = [
        (spec.id, str(getattr(spec, "true_rank", None) or "-"), spec.plugin or "-", spec.summary) for spec in chosen
    ]
    arguments.print_columns(rows, ("task", "rank", "plugin", "summary"))
    return 0
