"""``leakybench check``: check tasks, baselines and whole plugins against the contract."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments

if TYPE_CHECKING:
    from leakybench.checks.report import CheckReport

DESCRIPTION = """\
Check tasks, baselines or a whole plugin against the contract. Each object is built in separate processes under a time
limit. The checks are contract, determinism across processes, leakage, purity, scale, certified rank, shortcuts,
learnability and cost; each one passes, fails or is skipped, with its reason."""
EPILOG = """\
examples:
  leakybench check task 'LowRank-*'
  leakybench check baseline Ridge-v0 --json
  leakybench check plugin my-package        everything that an installed package registers

exit codes: 0 every check passed; 1 a check failed; 2 wrong usage
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "check", help="check your own tasks and baselines", description=DESCRIPTION, epilog=EPILOG
    )
    parser.add_argument("kind", choices=("task", "baseline", "plugin"), help="kind of the objects to check")
    parser.add_argument("ids", nargs="+", metavar="ID", help="ids or globs; for plugins, distribution names")
    parser.add_argument("--task", metavar="ID", help="task to fit baselines on (default: a small task of rank 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the task and of the fits")
    parser.add_argument("--preset", default="smoke", help="preset of the fits")
    parser.add_argument("--timeout", default="60s", help="time limit of each process, as in 90, 90s or 2m")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the reports; return 0, or 1 if a check failed."""
    passed, documents = True, []
    for report in _reports(args):
        passed &= report.passed
        if args.json:
            documents.append(report.to_dict())
        else:
            print(report, end="\n\n", flush=True)
    if args.json:
        arguments.print_json(documents)
    return 0 if passed else 1


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
