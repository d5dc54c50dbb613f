"""``leakybench run``: compute the missing runs of a grid and print their table."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments, computing, grids
from leakybench.console.plans import compute, print_plan
from leakybench.errors import UsageError

if TYPE_CHECKING:
    from leakybench.engines import Job
    from leakybench.store import Store
    from leakybench.sweeps.grid import Grid
    from leakybench.sweeps.plan import Plan
    from leakybench.sweeps.sweep import Progress

DEFAULTS: dict[str, Any] = {
    **grids.DEFAULTS,
    "seeds": "0",
    **computing.DEFAULTS,
    "batch": "off",
    "retry": "failed",
    "results": arguments.DEFAULT_RESULTS,
}

DESCRIPTION = """\
Compute the runs of a grid (tasks x baselines x step rules x settings x seeds) and print their table. Runs that are
already stored are skipped, so repeating the command resumes an interrupted sweep, and several sweeps can share a
folder. Ctrl-C ends the running jobs, which leave no record; completed runs are stored.
"""

EPILOG = """\
examples:
  leakybench run --task LowRank-k3-v0 --baseline LeakyResNet-v0 --preset smoke
  leakybench run --task 'LowRank-*' --baseline '*ResNet*,Ridge-v0' --steps uniform,irregular,adaptive --seeds 0:5
  leakybench run --task LowRank-k3-v0 --baseline LeakyResNet-v0 --set depth=10 --set depth=20 --set-task d=50
  leakybench run --task '*' --baseline '*' --set 'LeakyResNet-*:effective_depth=7' --dry-run
  leakybench run --plan sweep.toml --timeout 10m --memory 4G --retry all
  leakybench run --plan sweep.toml --engine dask --scheduler tcp://10.0.0.1:8786

a plan file uses the option names as keys and one [[grid]] table per grid; options on the command line override it:
  seeds = "0:5"
  [[grid]]
  task = ["LowRank-k3-v0", "NestedRank-*"]
  baseline = "LeakyResNet-v0"
  set = { depth = [10, 20] }

exit codes: 0 no run failed (collapsed and diverged are results); 2 wrong usage; 3 runs failed, or were interrupted
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "run", help="compute runs and print their table", description=DESCRIPTION, epilog=EPILOG
    )
    # defaults are None here and filled in later, so that options can override a plan file
    _add_what(parser.add_argument_group("what to run"))
    how = parser.add_argument_group("how to run it")
    computing.add_computing(how)
    _add_batch(how)
    out = parser.add_argument_group("output")
    arguments.add_results(out, default=None, help=_default("results", "folder that holds the records"))
    out.add_argument("--dry-run", action="store_true", help="print the plan with a time estimate, and compute nothing")
    arguments.add_json(out)


def _add_what(group: Any) -> None:
    """Options that choose the runs."""
    grids.add_grid(group)
    group.add_argument("--seeds", metavar="SEEDS", help=_default("seeds", "seeds: 0:5 (0 to 4), 0:10:2, or 0,2,5"))
    grids.add_effort(group)
    group.add_argument("--plan", metavar="FILE.toml", type=Path, help="read the sweep from a plan file")
    group.add_argument(
        "--retry", metavar="WHICH", help=_default("retry", "stored runs to compute again: failed, all, none")
    )


def _add_batch(group: Any) -> None:
    group.add_argument(
        "--batch",
        metavar="HOW",
        help=_default(
            "batch",
            "train runs that differ only in their seed in one batch, if the baseline supports it: off; auto, which "
            "times single runs and a batch and continues with the faster; or a batch size. Single runs are "
            "bit-identical whatever the worker and order; in a batch they agree only up to round-off, which training "
            "amplifies",
        ),
    )


def _default(name: str, text: str) -> str:
    return f"{text} (default: {DEFAULTS[name]})"


def run(args: argparse.Namespace) -> int:
    """Plan, compute and print; return 0 if no run failed, else 3."""
    from leakybench.engines.environment import one_card

    options, jobs, device, notes = _read(args)
    if options["scheduler"] is not None and ":" in device:
        raise UsageError(f"the workers of a scheduler see cards of their own: use --device cuda, got {device}")
    with one_card("cpu" if options["scheduler"] is not None else device):
        for note in notes:  # said after the check of the card, whose error is one line
            arguments.print_note(note)
        return _sweep(args, options, jobs, on_card=device != "cpu")


def _sweep(args: argparse.Namespace, options: dict[str, Any], jobs: list[Job], *, on_card: bool) -> int:
    from leakybench.store import Store
    from leakybench.sweeps.batching import parse_batch
    from leakybench.sweeps.plan import check_retry, make_plan

    check_retry(options["retry"])
    batching = parse_batch(options["batch"])
    engine, workers = computing.make_engine_of(options, on_card=on_card)
    store = Store(Path(options["results"]), set_aside=not args.dry_run, keep_arrays=not options["no-arrays"])
    if not args.dry_run:
        store.prepare()
    plan = make_plan(jobs, store, retry=options["retry"])
    arguments.print_damaged(store.problems)
    if args.dry_run:
        print_plan(plan, workers, as_json=args.json)
        return 0
    store.problems.clear()
    code, progress = compute(plan, store, engine, args.argv, batching=batching)
    arguments.print_damaged(store.problems)
    _print_results(args, plan, jobs, store, progress)
    return code


def _read(args: argparse.Namespace) -> tuple[dict[str, Any], list[Job], str, list[str]]:
    """Return the options of the sweep, its jobs, its device, and notes on the baselines that an option leaves as they
    are; command-line options override the plan file."""
    from leakybench.specs import check_device, device_kind
    from leakybench.sweeps.plan_file import GRID_KEYS, RUN_KEYS, make_grid, read_plan_file

    given = {name: getattr(args, name.replace("-", "_")) for name in (*GRID_KEYS, *RUN_KEYS)}
    given = {name: value for name, value in given.items() if value is not None}
    from_file, tables = read_plan_file(args.plan) if args.plan is not None else ({}, [{}])
    options = {**DEFAULTS, **from_file, **given}
    _check_types(options)
    jobs: dict[str, Job] = {}
    devices: dict[str, None] = {}
    chosen: list[Grid] = []
    for table in tables:
        values = {**DEFAULTS, **table, **{k: v for k, v in given.items() if k in GRID_KEYS}}
        devices[check_device(values["device"])] = None
        chosen.append(make_grid({**values, "device": device_kind(values["device"])}))
        jobs.update((job.run.run_id, job) for job in chosen[-1].jobs())
    devices.update((job.device, None) for job in jobs.values())  # of a setting as well, or of an id
    return options, list(jobs.values()), _one_device(devices), grids.left_as_they_are(chosen)


def _one_device(devices: Iterable[str]) -> str:
    """Return the card of a sweep, ``cuda`` or ``cuda:N``, or ``cpu``; ``cuda`` alone leaves the number open."""
    cards = {device for device in devices if device != "cpu"}
    numbered = sorted(cards - {"cuda"})
    if len(numbered) > 1:
        raise UsageError(f"a sweep computes on one card, got {', '.join(numbered)}: start one for each")
    return (numbered or sorted(cards) or ["cpu"])[0]


def _check_types(options: dict[str, Any]) -> None:
    """Check the types of the options, which in a TOML file may be anything."""
    kinds: dict[str, tuple[type, ...]] = {
        "workers": (int, type(None)),
        "threads": (int,),
        "oversubscribe": (bool,),
        "engine": (str,),
        "scheduler": (str, type(None)),
        "timeout": (str, int, float, type(None)),
        "memory": (str, int, float, type(None)),
        "batch": (str, int),
        "no-arrays": (bool,),
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
