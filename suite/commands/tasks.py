"""``leakybench tasks``: list the registered tasks."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from leakybench.console import arguments
from leakybench.registry import tasks
from leakybench.specs import Spec

DESCRIPTION = """\
List the registered tasks: id, true bottleneck rank, label, plugin and summary. The rank of an open task can be read off
the data by a shortcut, such as the Jacobian of ridge regression; that of an opaque task cannot."""
EPILOG = """\
examples:
  leakybench tasks
  leakybench tasks 'LowRank-*' --json
"""

LABELS = {True: "opaque", False: "open", None: "-"}
"""Text of ``TaskSpec.opaque``."""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("tasks", help="list the tasks", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("patterns", nargs="*", metavar="GLOB", help="only ids that match one of these globs")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the tasks and return 0."""
    chosen = arguments.list_specs(tasks, args.patterns)
    if args.json:
        arguments.print_json([dataclasses.asdict(spec) for spec in chosen])
        return 0
    arguments.print_columns([_row(spec) for spec in chosen], ("task", "rank", "label", "plugin", "summary"))
    if not args.patterns:
        arguments.print_sets(tasks)
    return 0


def _row(spec: Spec) -> tuple[str, str, str, str, str]:
    rank, opaque = getattr(spec, "true_rank", None), getattr(spec, "opaque", None)
    return spec.id, str(rank or "-"), LABELS[opaque], spec.plugin or "-", spec.summary
