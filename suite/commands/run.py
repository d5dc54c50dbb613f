"""``leakybench run``: compute what is missing of a grid, and print its table."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.baseline import PRESETS
from leakybench.console import arguments
from leakybench.console.plans import compute, print_plan
from leakybench.errors import UsageError

if TYPE_CHECKING:
    from leakybench.engines import Job
    from leakybench.store import Store
    from leakybench.sweeps.plan import Plan
    from leakybench.sweeps.sweep import Progress

DEFAULTS: dict[str, Any] = {
    "task": None,
    "baseline": None,
    "steps": "uniform",
    "set": None,
    "set-task": None,
    "seeds": "0",
    "preset": "standard",
    "workers": None,
    "threads": 1,
    "oversubscribe": False,
    "engine": "local",
    "scheduler": None,
    "timeout": None,
    "memory": None,
    "batch": "off",
    "retry": "failed",
    "results": arguments.DEFAULT_RESULTS,
}

DESCRIPTION = """\
Compute every run of a grid (tasks x baselines x step rules x settings x seeds) that has no record yet, write one record
a run, and print the table. The same command goes on where it was stopped: what is finished is never computed twice, and
two sweeps may share a folder. Ctrl-C ends the runs in hand, which leave no record; all others are safe.
"""

EPILOG = """\
examples:
  leakybench run --task LowRank-k3-v0 --baseline LeakyResNet-v0 --preset smoke
  leakybench run --task 'LowRank-*' --baseline '*ResNet*,Ridge-v0' --steps uniform,irregular,adaptive --seeds 0:5
  leakybench run --task LowRank-k3-v0 --baseline LeakyResNet-v0 --set depth=10 --set depth=20 --set-task d=50
  leakybench run --task '*' --baseline '*' --set 'LeakyResNet-*:effective_depth=7' --dry-run
  leakybench run --plan sweep.toml --timeout 10m --memory 4G --retry all
  leakybench run --plan sweep.toml --engine dask --scheduler tcp://10.0.0.1:8786

a plan file has the names of the flags as keys, and one [[grid]] for each grid; flags override it:
  seeds = "0:5"
  [[grid]]
  task = ["LowRank-k3-v0", "NestedRank-*"]
  baseline = "LeakyResNet-v0"
  set = { depth = [10, 20] }

exit codes: 0 all runs ended by themselves (collapsed and diverged are results); 2 wrong usage; 3 runs failed
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "run", help="compute runs and print their table", description=DESCRIPTION, epilog=EPILOG
    )
    # defaults are None here and filled in later, so that what is given can override a plan file
    what = parser.add_argument_group("what to run")
    what.add_argument("--task", metavar="GLOB[,..]", action="append", help="tasks, by id or glob")
    what.add_argument("--baseline", metavar="GLOB[,..]", action="append", help="baselines, by id or glob")
    what.add_argument(
        "--steps",
        metavar="RULE[,..]",
        action="append",
        help=_default("steps", "step-size rules for the baselines that have them: uniform, irregular, adaptive"),
    )
    what.add_argument(
        "--set",
        metavar="[GLOB:]NAME=VALUE",
        action="append",
        help="a setting of the baselines (of those that match GLOB); give it twice for two values",
    )
    what.add_argument(
        "--set-task", metavar="[GLOB:]NAME=VALUE", action="append", help="a setting of the tasks, likewise"
    )
    what.add_argument("--seeds", metavar="SEEDS", help=_default("seeds", "0:5 (0 to 4), 0:10:2, or 0,2,5"))
    what.add_argument("--preset", metavar="PRESET", help=_default("preset", ", ".join(PRESETS)))
    what.add_argument("--plan", metavar="FILE.toml", type=Path, help="read the sweep from a file")
    what.add_argument(
        "--retry", metavar="WHICH", help=_default("retry", "which finished runs to run again: failed, all, none")
    )
    how = parser.add_argument_group("how to run it")
    how.add_argument(
        "--workers", metavar="N", type=int, help="processes; 0 computes in this one (default: as the cores allow)"
    )
    how.add_argument("--threads", metavar="N", type=int, help=_default("threads", "threads of each worker"))
    how.add_argument(
        "--oversubscribe", action="store_true", default=None, help="allow workers x threads above the cores"
    )
    how.add_argument("--engine", metavar="ENGINE", help=_default("engine", "local (processes here) or dask"))
    how.add_argument(
        "--scheduler", metavar="ADDRESS", help="an existing Dask scheduler (default: an own cluster on this machine)"
    )
    how.add_argument("--timeout", metavar="TIME", help="end a run after this long: 90, 10m, 2h (default: no limit)")
    how.add_argument("--memory", metavar="SIZE", help="end a run that uses more: 512M, 4G (default: no limit)")
    how.add_argument(
        "--batch",
        metavar="HOW",
        help=_default(
            "batch",
            "train runs that differ in their seed alone together, where their baseline can: off; auto, which times "
            "single runs and a batch first and goes on with what is faster; or the size of a batch. Off unless asked "
            "for, since a run is the same to the bit whatever its worker, order or company, and in a batch it is so "
            "only up to round-off, which training amplifies",
        ),
    )
    out = parser.add_argument_group("what comes out")
    out.add_argument("--results", metavar="DIR", help=_default("results", "folder of the records"))
    out.add_argument("--dry-run", action="store_true", help="print the plan with a time estimate, and compute nothing")
    arguments.add_json(out)


def _default(name: str, text: str) -> str:
    return f"{text} (default: {DEFAULTS[name]})"


def run(args: argparse.Namespace) -> int:
    """Plan, check, compute, print; the exit code says whether every run ended by itself."""
    from leakybench.engines import make_engine
    from leakybench.engines.limits import (
        Limits,
        check_workers,
        parse_bytes,
        parse_seconds,
    )
    from leakybench.store import Store
    from leakybench.sweeps.batching import parse_batch
    from leakybench.sweeps.plan import check_retry, make_plan

    options, jobs = _read(args)
    check_retry(options["retry"])
    batching = parse_batch(options["batch"])
    limits = Limits(
        timeout=None if options["timeout"] is None else parse_seconds(options["timeout"]),
        memory=None if options["memory"] is None else parse_bytes(options["memory"]),
    )
    if options["scheduler"] is None:
        workers = check_workers(options["workers"], options["threads"], oversubscribe=options["oversubscribe"])
    else:
        workers = 1  # an existing cluster has the workers it has
    engine = make_engine(
        options["engine"],
        workers=workers,
        threads=options["threads"],
        limits=limits,
        scheduler=options["scheduler"],
    )
    store = Store(Path(options["results"]), set_aside=not args.dry_run)
    if not args.dry_run:
        store.prepare()
    plan = make_plan(jobs, store, retry=options["retry"])
    arguments.report_problems(store.problems)
    if args.dry_run:
        print_plan(plan, workers, as_json=args.json)
        return 0
    store.problems.clear()
    code, progress = compute(plan, store, engine, args.argv, batching=batching)
    arguments.report_problems(store.problems)
    _print_results(args, plan, jobs, store, progress)
    return code


def _read(args: argparse.Namespace) -> tuple[dict[str, Any], list[Job]]:
    """The options of the sweep and its jobs, from the plan file with the flags over it."""
    from leakybench.sweeps.plan_file import (
        GRID_KEYS,
        RUN_KEYS,
        make_grid,
        read_plan_file,
    )

    given = {name: getattr(args, name.replace("-", "_")) for name in (*GRID_KEYS, *RUN_KEYS)}
    given = {name: value for name, value in given.items() if value is not None}
    filed, grids = read_plan_file(args.plan) if args.plan is not None else ({}, [{}])
    options = {**DEFAULTS, **filed, **given}
    _check_types(options)
    jobs: dict[str, Job] = {}
    for grid in grids:
        chosen = make_grid({**DEFAULTS, **grid, **{k: v for k, v in given.items() if k in GRID_KEYS}})
        jobs.update((job.run.run_id, job) for job in chosen.jobs())
    return options, list(jobs.values())


def _check_types(options: dict[str, Any]) -> None:
    """Values from a TOML file have the types of the file."""
    kinds: dict[str, tuple[type, ...]] = {
        "workers": (int, type(None)),
        "threads": (int,),
        "oversubscribe": (bool,),
        "engine": (str,),
        "scheduler": (str, type(None)),
        "timeout": (str, int, float, type(None)),
        "memory": (str, int, float, type(None)),
        "batch": (str, int),
        "retry": (str,),
        "results": (str,),
    }
    for name, allowed in kinds.items():
        value = options[name]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            names = " or ".join(kind.__name__ for kind in allowed if kind is not type(None))
            raise UsageError(f"{name} must be of type {names}, got {str(value)[:60]!r}")


def _print_results(
    args: argparse.Namespace, plan: Plan, jobs: list[Job], store: Store, progress: Progress | None
) -> None:
    if args.json:
        counts: Counter[str] = progress.counts + progress.elsewhere if progress else Counter()
        arguments.print_json(
            {
                "results": str(store.folder),
                "runs": plan.size,
                "complete": progress is not None,
                "computed": dict(counts),
                "kept": dict(plan.kept_counts()),
                "run_ids": [job.run.run_id for job in jobs],
                "notes": progress.notes if progress else [],
            }
        )
        return
    if progress is None:
        return
    from leakybench.analysis.scores import score_frame
    from leakybench.report import table

    records = [record for job in jobs if (record := store.try_read(job.run.run_id)) is not None]
    print(table.render(score_frame(records), format="terminal"))
