"""``leakybench check``: does a task, a baseline or a whole plugin keep the contract?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments

if TYPE_CHECKING:
    from leakybench.checks.report import CheckReport

DESCRIPTION = """\
Build what an id names in processes of its own, under a time limit, and report what is wrong with it, and why:
contract, determinism across processes, leakage, purity, scale, certified rank, learnability, cost."""
EPILOG = """\
examples:
  leakybench check task 'LowRank-*'
  leakybench check baseline Ridge-v0 --json
  leakybench check plugin my-package        all that an installed package registers

exit codes: 0 every check passed; 1 a check failed; 2 wrong usage
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "check", help="check tasks and baselines of your own", description=DESCRIPTION, epilog=EPILOG
    )
    parser.add_argument("kind", choices=("task", "baseline", "plugin"), help="what to check")
    parser.add_argument("ids", nargs="+", metavar="ID", help="ids or globs; for a plugin, names of distributions")
    parser.add_argument("--task", metavar="ID", help="fit baselines on this task (default: a small one of rank 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the task and of the fits")
    parser.add_argument("--preset", default="smoke", help="of the fits")
    parser.add_argument("--timeout", default="60s", help="of each process, as in 90, 90s or 2m")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the reports; 0, or 1 where a check failed."""
    fine, documents = True, []
    for report in _reports(args):
        fine &= report.passed
        if args.json:
            documents.append(report.to_dict())
        else:
            print(report, end="\n\n", flush=True)
    if args.json:
        arguments.print_json(documents)
    return 0 if fine else 1


def _reports(args: argparse.Namespace) -> Iterator[CheckReport]:
    from leakybench.checks import check_baseline, check_plugin, check_task
    from leakybench.engines.limits import parse_seconds
    from leakybench.registry import baselines, tasks

    timeout = parse_seconds(args.timeout)
    if args.kind == "plugin":
        for name in args.ids:
            yield from check_plugin(name, timeout=timeout)
        return
    registry: Any = tasks if args.kind == "task" else baselines
    for spec in registry.match(list(args.ids)):
        if args.kind == "task":
            yield check_task(spec.id, seed=args.seed, timeout=timeout)
        else:
            yield check_baseline(spec.id, task=args.task, seed=args.seed, preset=args.preset, timeout=timeout)
