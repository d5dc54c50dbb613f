"""``leakybench figures``: train missing runs and draw the figures of the paper and nine more."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.baseline import PRESETS
from leakybench.console import arguments
from leakybench.errors import UsageError
from leakybench.figures import MODULES

if TYPE_CHECKING:
    from leakybench.engines import Job
    from leakybench.store import Store

RESULTS, OUT = "results/reference/figures/records", "results/reference/figures"
FORMATS = ("svg", "png")

DESCRIPTION = """\
Draw the figures of the paper with error bars. Runs that are not stored yet are trained first. Each figure is written as
SVG and PNG together with its data (NAME.csv, one row per run or layer) and its means and intervals (NAME.summary.csv).
Repeating the command resumes an interrupted one.
"""

EPILOG = """\
figures:
{figures}

cost at five seeds on one otherwise idle core (a run shared by several figures is trained once):
  2a,2b,2c,adaptive               65 runs    8 min
  depth-grid                      70 runs   12 min
  1a,1b,1c,3,theorem,cross-term   40 runs   30 min
  layers                          22 runs    7 min (10 of them shared with theorem)
  rank                           103 runs   33 min
  controls                       328 runs   50 min
  few-samples                    200 runs   17 min
  tuned                          360 runs   80 min

examples:
  leakybench figures --dry-run                              list the runs to train, with a time estimate
  leakybench figures --only 1a,theorem --workers 2
  leakybench figures --only 2a,adaptive --workers 1         adaptive compares fit times: one run at a time, idle machine
  leakybench figures --only few-samples --seeds 0:10 --no-arrays
  leakybench figures --no-train                             use stored runs, whichever version of the code made them
  leakybench figures --preset smoke --seeds 0:2 --set width=40 --results /tmp/runs --out /tmp/figures

exit codes: 0 all figures drawn from all runs; 2 wrong usage; 3 runs are missing or failed, or a figure has no run
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    listed = "\n".join(f"  {name:<12}{text}" for name, (_, text) in MODULES.items())
    parser = subparsers.add_parser(
        "figures",
        help="draw the figures of the paper, with error bars",
        description=DESCRIPTION,
        epilog=EPILOG.format(figures=listed),
    )
    parser.add_argument("--only", metavar="NAME[,..]", help="figures to draw (default: all)")
    parser.add_argument("--seeds", metavar="SEEDS", default="0:5", help="seeds of the runs")
    arguments.add_results(parser, default=RESULTS)
    parser.add_argument("--out", metavar="DIR", help=f"folder for the figures (default: {OUT})")
    parser.add_argument("--format", metavar="KIND[,..]", default=",".join(FORMATS), help="svg, png or both")
    parser.add_argument(
        "--workers", metavar="N", type=int, help="worker processes; 0 for none (default: one per available core)"
    )
    parser.add_argument(
        "--preset", metavar="PRESET", help=f"train with another preset ({', '.join(PRESETS)}); requires --out"
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="override a setting of the baselines; requires --out",
    )
    parser.add_argument(
        "--no-arrays",
        action="store_true",
        help="store new runs without their arrays: controls, few-samples and tuned need none",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--no-train", action="store_true", help="use stored runs only, and report missing ones")
    mode.add_argument("--dry-run", action="store_true", help="print the runs to train, and compute nothing")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Train, collect and draw; return 0 if every run is in the figures, else 3."""
    from leakybench.figures import load_figure, names_of
    from leakybench.figures.build import build_figure, jobs_of
    from leakybench.figures.style import require_matplotlib
    from leakybench.store import Store
    from leakybench.sweeps.grid import parse_seeds, parse_setting

    names, seeds, formats = names_of(args.only), parse_seeds(args.seeds), _formats(args.format)
    if (args.preset or args.set) and not args.out:
        raise UsageError(f"--preset and --set would overwrite {OUT} with different figures: choose a folder with --out")
    require_matplotlib()
    settings = [parse_setting(text) for text in args.set]
    figures = [load_figure(name) for name in names]
    wanted = {figure.name: jobs_of(figure, seeds, preset=args.preset, settings=settings) for figure in figures}
    store = Store(Path(args.results), set_aside=not (args.no_train or args.dry_run), keep_arrays=not args.no_arrays)
    jobs = list({job.run.run_id: job for listed in wanted.values() for job in listed}.values())
    code = 0 if args.no_train else _train_missing(args, jobs, store)
    if args.dry_run:
        return 0
    out = Path(args.out or OUT)
    out.mkdir(parents=True, exist_ok=True)
    results = []
    for figure in figures:
        result = build_figure(figure, wanted[figure.name], store, out, formats, any_source=args.no_train)
        results.append(result)
        absent = f", {result.missing} missing" if result.missing else ""
        files = ", ".join(result.files[2:]) or "not drawn, because it has no run"
        arguments.print_note(f"{figure.name}: {result.runs} runs{absent}; {files}")
        code = 3 if result.missing or not result.files else code
    arguments.print_damaged(store.problems)
    if args.json:
        import dataclasses

        arguments.print_json([dataclasses.asdict(result) for result in results])
    return code


def _formats(text: str) -> list[str]:
    kinds = list(dict.fromkeys(kind.strip() for kind in text.split(",") if kind.strip()))
    if not kinds or not set(kinds) <= set(FORMATS):
        raise UsageError(f"--format must be among {', '.join(FORMATS)}, got {text[:40]!r}")
    return kinds


def _train_missing(args: argparse.Namespace, jobs: list[Job], store: Store) -> int:
    """Compute the missing runs, or with ``--dry-run`` print them; return 3 if a run failed."""
    from leakybench.console.plans import compute, print_plan
    from leakybench.engines import make_engine
    from leakybench.engines.limits import check_workers
    from leakybench.sweeps.plan import make_plan

    workers = check_workers(args.workers, 1, oversubscribe=False)
    if not args.dry_run:
        store.prepare()
    plan = make_plan(jobs, store)
    if args.dry_run:
        print_plan(plan, workers, as_json=args.json)
        return 0
    if not plan.todo:
        return 0
    code, progress = compute(plan, store, make_engine("local", workers=workers), args.argv)
    if progress is None:
        raise KeyboardInterrupt
    return code
