"""``leakybench ladder``: find where methods reach a threshold along a numeric setting of a task."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments, computing, grids, selection
from leakybench.errors import LeakybenchError, UsageError

if TYPE_CHECKING:
    from leakybench.analysis.ladders import Goal, Ladder
    from leakybench.ladders.field import Field
    from leakybench.store import Store

FORMATS = ("terminal", "github", "latex", "csv", "json")
SUFFIXES = {".md": "github", ".tex": "latex", ".csv": "csv", ".json": "json", ".txt": "terminal"}
PICTURES = {".svg": "svg", ".png": "png"}
FIGURES = ("curves", "depth", "growth")
DEFAULTS: dict[str, Any] = {**grids.DEFAULTS, **computing.DEFAULTS, "retry": "failed"}

DESCRIPTION = """\
Find the number of samples from which on a method finds the structure of a task, or the value of any other numeric
setting (noise, k, d, frequency) up to which it does. Runs are spent near the threshold: three at each value while
climbing, up to 20 where they matter. They are ordinary runs in an ordinary results folder; the same command resumes.
"""

EPILOG = """\
thresholds are where the mean test error (at most 1 a run) or the mean code alignment crosses 0.5, and where half of the
runs recover the rank; each with a 95% interval. '> 3200' says that the ladder ends before the method gets there.

examples:
  leakybench ladder --task LowRank-k3-v0 --axis n_train=25:3200 --baseline '@networks'
  leakybench ladder --task Staircase-k3-v0 --axis n_train=50:1600 --baseline LeakyResNet-v0 \\
    --set effective_depth=1 --set effective_depth=7 --threshold error=0.5 --out staircase.svg
  leakybench ladder --task LowRank-k3-v0 --axis noise=0.1,0.2,0.4,0.8,1.6 --baseline KernelRidge-v0,ResNet-v0
  leakybench ladder --task MultiIndex-k3-v0 --axis n_train=50:3200 --set-task d=20 --set-task d=40 --set-task d=80 \\
    --baseline FullyConnected-v0

exit codes: 0 no run failed; 2 wrong usage; 3 runs failed, or were interrupted
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "ladder",
        help="how many samples a method needs to find the structure",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    what = parser.add_argument_group("what to run")
    grids.add_grid(what)
    what.add_argument(
        "--axis",
        metavar="NAME=VALUES",
        required=True,
        help="setting of the task and its values: n_train=25:3200 doubles, noise=0.1:1.6:5 takes 5 values of equal "
        "ratios, k=1,2,3,5 lists them",
    )
    what.add_argument(
        "--threshold",
        metavar="METRIC=LEVEL",
        action="append",
        help="error, alignment or recovery, and a level above 0 and below 1; repeat it for several (default: all three "
        "at 0.5)",
    )
    grids.add_effort(what)
    _add_design(parser.add_argument_group("how many runs to spend"))
    how = parser.add_argument_group("how to run it")
    computing.add_computing(how)
    how.add_argument(
        "--retry", metavar="WHICH", help="stored runs to compute again: failed, all, none (default: failed)"
    )
    _add_output(parser.add_argument_group("output"))


def _add_design(design: Any) -> None:
    """Options of the sequential design."""
    design.add_argument(
        "--refine",
        metavar="METRIC[,..]",
        help="thresholds that runs are spent on; the others come from the same runs (default: all)",
    )
    design.add_argument("--budget", metavar="RUNS", type=int, help="largest number of runs (default: 60 a ladder)")
    design.add_argument(
        "--most", metavar="SEEDS", type=int, default=20, help="largest number of seeds at a value (default: 20)"
    )
    design.add_argument(
        "--precision",
        metavar="RATIO",
        type=float,
        default=1.5,
        help="ratio of the ends of an interval at which it is narrow enough (default: 1.5)",
    )
    design.add_argument("--full", action="store_true", help="run --most seeds at every value: a plain grid")
    design.add_argument("--first-seed", metavar="SEED", type=int, default=0, help="added to every seed (default: 0)")


def _add_output(out: Any) -> None:
    """Options of the table and of pictures."""
    arguments.add_results(out)
    out.add_argument("--dry-run", action="store_true", help="print the ladders and the largest number of runs")
    out.add_argument("--format", choices=FORMATS, default="terminal", help="format of the table")
    out.add_argument("--wide", action="store_true", help="the first threshold alone: a row a method, a column a task")
    out.add_argument(
        "--out",
        metavar="FILE",
        help=f"write to a file: {', '.join(SUFFIXES)}; {' and '.join(PICTURES)} draw the curves",
    )
    out.add_argument(
        "--figure",
        choices=FIGURES,
        default="curves",
        help="what a picture shows: curves of every method; thresholds against effective depth; growth with a setting "
        "of the tasks, as --set-task d=20 --set-task d=40",
    )
    selection.add_changed(out)
    arguments.add_json(out)


def run(args: argparse.Namespace) -> int:
    """Climb and print; return 0 if no run failed, else 3."""
    from leakybench.engines.environment import one_card
    from leakybench.specs import check_device, device_kind
    from leakybench.store import Store
    from leakybench.sweeps.plan import check_retry

    _check_out(args.out)
    _check_wide(args)
    options = {name: getattr(args, name.replace("-", "_")) for name in DEFAULTS}
    options = {**DEFAULTS, **{name: value for name, value in options.items() if value is not None}}
    check_retry(options["retry"])
    device = check_device(options["device"])
    field = _field(args, {**options, "device": device_kind(device)})
    store = Store(Path(args.results), set_aside=not args.dry_run, keep_arrays=not options["no-arrays"])
    if args.dry_run:
        return _print_plan(args, field)
    with one_card(device):
        store.prepare()
        engine, _ = computing.make_engine_of(options, on_card=device != "cpu")
        if not _climb(args, field, store, engine, retry=options["retry"]):
            return 3
    arguments.print_damaged(store.problems)
    _print_results(args, field)
    from leakybench.record import FAILED

    return 3 if any(record.status in FAILED for record in field.records) else 0


def _field(args: argparse.Namespace, options: dict[str, Any]) -> Field:
    from leakybench.analysis.ladders import choose_goals, parse_goals
    from leakybench.ladders.axis import parse_axis
    from leakybench.ladders.design import Design
    from leakybench.ladders.field import Field
    from leakybench.seeding import check_seed
    from leakybench.sweeps.plan_file import make_grid

    axis = parse_axis(args.axis)
    goals = parse_goals(args.threshold or ())
    design = Design(
        axis=axis,
        goals=choose_goals(goals, args.refine),
        most=args.most,
        precision=args.precision,
        full=args.full,
    )
    if args.budget is not None and args.budget < 1:
        raise UsageError(f"--budget must be at least 1 run, got {args.budget}")
    grid = make_grid({**options, "seeds": "0"})
    for note in grids.left_as_they_are([grid]):
        arguments.print_note(note)
    return Field(
        grid,
        design,
        goals,
        budget=args.budget,
        first_seed=check_seed(args.first_seed),
        include_changed=args.include_changed,
    )


def _check_out(out: str | None) -> None:
    """Check where the result goes before hours of work."""
    if out and Path(out).suffix not in SUFFIXES | PICTURES:
        raise UsageError(f"--out must end in {', '.join(SUFFIXES | PICTURES)}, got {out!r}")
    if out and Path(out).suffix in PICTURES:
        from leakybench.figures.style import require_matplotlib

        require_matplotlib()


def _check_wide(args: argparse.Namespace) -> None:
    format = SUFFIXES.get(Path(args.out or "").suffix, args.format)
    if args.wide and (args.json or format in ("csv", "json")):
        raise UsageError("--wide is a table to read: terminal, github or latex; csv and json have a row a ladder")


def _climb(args: argparse.Namespace, field: Field, store: Store, engine: Any, *, retry: str) -> bool:
    """Compute round after round; return whether it came to its end."""
    from leakybench.console.plans import reason_of, stopped_by_signals
    from leakybench.console.progress import Display
    from leakybench.sweeps.plan import make_plan
    from leakybench.sweeps.sweep import sweep

    rounds = 0
    try:
        with stopped_by_signals(), engine:
            while jobs := field.next_jobs():
                rounds += 1
                plan = make_plan(jobs, store, retry=retry)
                if plan.todo:
                    arguments.print_note(
                        f"round {rounds}: {len(plan.todo)} runs for {field.active} of {len(field.climbs)} ladders; "
                        f"{field.asked} of at most {field.budget} runs asked for"
                    )
                    with Display(total=len(plan.todo), seconds=plan.seconds, workers=engine.workers) as show:
                        sweep(plan, store, engine, notify=show)
                wanted = [job.run.run_id for job in jobs]
                field.learn(record for run_id in wanted if (record := store.try_read(run_id)) is not None)
    except (KeyboardInterrupt, OSError, LeakybenchError) as error:
        if isinstance(error, UsageError):
            raise
        arguments.print_note(f"{reason_of(error, store)} in round {rounds}: completed runs are stored")
        arguments.print_note(f"resume with: {shlex.join(['leakybench', *args.argv])}")
        return False
    return True


def _print_plan(args: argparse.Namespace, field: Field) -> int:
    values = [field.axis.value(position) for position in field.axis.positions]
    if args.json:
        arguments.print_json(
            {
                "ladders": [climb.name for climb in field.climbs.values()],
                "axis": {"name": field.axis.name, "values": values},
                "thresholds": [str(goal) for goal in field.goals],
                "budget": field.budget,
            }
        )
        return 0
    for climb in field.climbs.values():
        print(climb.name)
    listed = ", ".join(f"{value:g}" for value in values)
    print(f"{len(field.climbs)} ladders over {field.axis.name} = {listed}; at most {field.budget} runs")
    return 0


def _print_results(args: argparse.Namespace, field: Field) -> None:
    from leakybench.report.ladder import render
    from leakybench.report.ladder_wide import render_wide

    listed = field.ladders()
    notes = list(field.notes)
    if cut := [climb.name for climb in field.climbs.values() if climb.cut]:
        notes.append(
            f"the budget of {field.budget} runs ended before {len(cut)} of {len(field.climbs)} ladders were done "
            f"({cut[0]}{', ..' * (len(cut) > 1)}): --budget allows more."
        )
    suffix = Path(args.out).suffix if args.out else ""
    format = "json" if args.json else SUFFIXES.get(suffix, args.format)
    content = (
        render_wide(listed, field.goals[0], format, notes=notes)
        if args.wide
        else render(listed, field.goals, format, notes=notes)
    )
    arguments.write_output(content, args.out if suffix in SUFFIXES else None, f"{len(listed)} ladders")
    if suffix in PICTURES:
        from leakybench.figures.style import encode_figure

        picture = encode_figure(_draw(args.figure, listed, field.goals), PICTURES[suffix])
        arguments.write_file(args.out, picture, f"{args.figure} of {len(listed)} ladders")


def _draw(figure: str, ladders: list[Ladder], goals: list[Goal]) -> Any:
    from leakybench.analysis.growth import varying_settings
    from leakybench.figures.ladder import draw
    from leakybench.figures.ladder_depth import draw_depths
    from leakybench.figures.ladder_growth import draw_growths

    if figure == "depth":
        return draw_depths(ladders, goals)
    if figure == "growth":
        settings = varying_settings(ladders)
        if len(settings) != 1:
            raise UsageError(
                "a figure of growth needs ladders that differ in one setting of the tasks, such as --set-task d=20 "
                f"--set-task d=40; these differ in {', '.join(settings) or 'none'}"
            )
        return draw_growths(ladders, settings[0], goals[0])
    return draw(ladders, goals)
