"""``--tasks`` and ``--seeds`` of the commands that handle packs: the runs that a pack must contain."""

from __future__ import annotations

import argparse


def add_coverage(parser: argparse.ArgumentParser) -> None:
    """Add ``--tasks`` and ``--seeds``."""
    parser.add_argument(
        "--tasks", metavar="GLOB[,..]", default="LowRank-*", help="tasks required of every baseline in the pack"
    )
    parser.add_argument("--seeds", metavar="SEEDS", default="0:5", help="seeds required on each of these tasks")


def parse_coverage(args: argparse.Namespace) -> tuple[list[str], list[int]]:
    """Return the task ids and the seeds that a pack must contain."""
    from leakybench.registry import tasks
    from leakybench.sweeps.grid import parse_seeds
    from leakybench.sweeps.plan_file import words

    return [spec.id for spec in tasks.match(words(args.tasks, "tasks"))], list(parse_seeds(args.seeds))
