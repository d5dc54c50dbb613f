"""``leakybench figures``: the figures of the paper and six more, from runs that are trained where they are missing."""

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
Train the runs that the figures need and that are not stored yet, and write each figure as SVG and PNG with its data
(NAME.csv, a row a run or a layer) and its means and intervals (NAME.summary.csv) beside it. The same command goes on
where it was stopped.
"""

EPILOG = """\
figures:
{figures}

what they need at five seeds, a run trained once for all its figures, and about how long on one core alone:
  2a,2b,2c,adaptive               65 runs    8 min
  depth-grid                      70 runs   12 min
  1a,1b,1c,3,theorem,cross-term   40 runs   30 min
  layers                          22 runs    7 min, 10 of them shared with theorem
  rank                           103 runs   33 min

examples:
  leakybench figures --dry-run                              what has to be trained, and how long it takes
  leakybench figures --only 1a,theorem --workers 2
  leakybench figures --only 2a,adaptive --workers 1         adaptive compares fit times: one run at a time, nothing else
  leakybench figures --no-train                             from what is stored, whatever version of the code made it
  leakybench figures --preset smoke --seeds 0:2 --set width=40 --results /tmp/runs --out /tmp/figures

exit codes: 0 all figures drawn from all runs; 2 wrong usage; 3 runs are missing or failed, or a figure has none
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
    parser.add_argument("--only", metavar="NAME[,..]", help="these figures (default: all)")
    parser.add_argument("--seeds", metavar="SEEDS", default="0:5", help="seeds of the runs")
    parser.add_argument("--results", metavar="DIR", default=RESULTS, help="folder of the records")
    parser.add_argument("--out", metavar="DIR", help=f"folder of the figures (default: {OUT})")
    parser.add_argument("--format", metavar="KIND[,..]", default=",".join(FORMATS), help="svg, png or both")
    parser.add_argument("--workers", metavar="N", type=int, help="processes; 0: this one (default: as the cores allow)")
    parser.add_argument("--preset", metavar="PRESET", help=f"train otherwise: {', '.join(PRESETS)}; needs --out")
    parser.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="another setting of the baselines; needs --out"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--no-train", action="store_true", help="draw from what is stored, and say what is missing")
    mode.add_argument("--dry-run", action="store_true", help="print what has to be trained, and compute nothing")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Train, collect, draw; the exit code says whether every run is in the figures."""
    from leakybench.figures import load, names_of
    from leakybench.figures.build import build, jobs_of
    from leakybench.figures.style import require_matplotlib
    from leakybench.store import Store
    from leakybench.sweeps.grid import parse_seeds, parse_setting

    names, seeds, formats = names_of(args.only), parse_seeds(args.seeds), _formats(args.format)
    if (args.preset or args.set) and not args.out:
        raise UsageError(f"--preset and --set make other figures than those in {OUT}: say where with --out")
    require_matplotlib()
    settings = [parse_setting(text) for text in args.set]
    figures = [load(name) for name in names]
    wanted = {figure.name: jobs_of(figure, seeds, preset=args.preset, settings=settings) for figure in figures}
    store = Store(Path(args.results), set_aside=not (args.no_train or args.dry_run))
    jobs = list({job.run.run_id: job for listed in wanted.values() for job in listed}.values())
    code = 0 if args.no_train else _train(args, jobs, store)
    if args.dry_run:
        return 0
    out = Path(args.out or OUT)
    out.mkdir(parents=True, exist_ok=True)
    built = []
    for figure in figures:
        made = build(figure, wanted[figure.name], store, out, formats, any_source=args.no_train)
        built.append(made)
        absent = f", {made.missing} missing" if made.missing else ""
        note = ", ".join(made.files[2:]) or "not drawn: no run"
        arguments.note(f"{figure.name}: {made.runs} runs{absent}; {note}")
        code = 3 if made.missing or not made.files else code
    arguments.report_problems(store.problems)
    if args.json:
        import dataclasses

        arguments.print_json([dataclasses.asdict(made) for made in built])
    return code


def _formats(text: str) -> list[str]:
    kinds = list(dict.fromkeys(kind.strip() for kind in text.split(",") if kind.strip()))
    if not kinds or not set(kinds) <= set(FORMATS):
        raise UsageError(f"--format must be among {', '.join(FORMATS)}, got {text[:40]!r}")
    return kinds


def _train(args: argparse.Namespace, jobs: list[Job], store: Store) -> int:
    """Compute what is missing; 3 where a run failed. With ``--dry-run`` only say what that is."""
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
