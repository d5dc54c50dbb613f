"""``leakybench leaderboard``: rank the baselines, with intervals."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leakybench.console import arguments, selection

FORMATS = ("terminal", "github", "json", "html")
EPILOG = """\
Places have simultaneous intervals and need 5 seeds; methods that the data do not separate are tied. Costs are fit
times in units of a yardstick baseline timed on the same machine, or seconds if all runs come from one machine.

examples:
  leakybench leaderboard --overall
  leakybench leaderboard --format html --out leaderboard.html
  leakybench leaderboard --task 'LowRank-*' --format github
  leakybench leaderboard --overall --ladders ladders       beside the score, how many samples each method needs
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "leaderboard",
        help="rank the baselines",
        description="Rank the baselines over the tasks by error, with alignment, rank recovery, cost and convergence.",
        epilog=EPILOG,
    )
    arguments.add_results(parser, several=True)
    selection.add_selection(parser)
    selection.add_changed(parser)
    parser.add_argument(
        "--ladders",
        metavar="DIR",
        action="append",
        help="results of 'leakybench ladder' over n_train, for the column of sample efficiency; repeat for several",
    )
    parser.add_argument("--yardstick", metavar="ID", help="baseline whose fit time is the unit of cost")
    parser.add_argument("--format", choices=FORMATS, default="terminal", help="output format")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="same as --format json")
    parser.add_argument(
        "--out", metavar="FILE", help="write to this file; the extension .html, .md or .json chooses the format"
    )
    parser.add_argument("--overall", action="store_true", help="omit the tables of single tasks (terminal, Markdown)")
    parser.add_argument("--title", metavar="TEXT", default="", help="title of the HTML page")


def run(args: argparse.Namespace) -> int:
    """Print or write the leaderboard; return 0, or 3 if there is no run."""
    from leakybench.analysis.leaderboard import leaderboard
    from leakybench.analysis.scores import score_frame, select

    records = selection.read_records(args.results)
    frame = select(score_frame(records), task=args.task, baseline=args.baseline, preset=args.preset)
    if frame.empty:
        return selection.report_no_runs(args.results)
    if selection.only_changed(args, frame):
        return 3
    if args.preset is None:
        frame = selection.one_preset(frame)
    board = leaderboard(frame, yardstick=args.yardstick, include_changed=args.include_changed)
    if args.ladders:
        board = _with_samples(args, board)
        if board is None:
            return 3
    content = _write(args, board, records)
    arguments.write_output(content, args.out, f"{len(board.runs)} runs of {len(board.overall)} methods")
    return 0


def _with_samples(args: argparse.Namespace, board: Any) -> Any:
    """The board with sample efficiencies; None, which is said on standard error, if the folders hold no ladder."""
    from leakybench.analysis.board_samples import add_samples
    from leakybench.analysis.stored_ladders import stored_ladders

    records = selection.read_records(args.ladders)
    found = stored_ladders(
        records,
        preset=board.preset,
        include_changed=args.include_changed,
        tell=lambda sentence: arguments.print_note(f"of the ladders: {sentence}"),
    )
    if not found:
        arguments.print_note(
            f"{' and '.join(args.ladders)} holds no ladder over n_train of preset {board.preset}: make one with "
            "'leakybench ladder'"
        )
        return None
    return add_samples(board, found)


def _write(args: argparse.Namespace, board: Any, records: Any) -> str:
    from leakybench.report.leaderboard import render
    from leakybench.report.page import render_page
    from leakybench.store import DamagedError, Store

    suffixes = {".html": "html", ".md": "github", ".json": "json"}
    format = suffixes.get(Path(args.out).suffix, args.format) if args.out and args.format == "terminal" else args.format
    if format != "html":
        return render(board, format, per_task=not args.overall)
    stores = [Store(selection.records_folder(folder), set_aside=False) for folder in args.results]

    def arrays(run_id: str) -> Any:
        try:
            return next(store for store in stores if store.version(run_id) is not None).arrays(run_id)
        except DamagedError as error:
            arguments.print_note(f"{run_id}: curves omitted: {error}")
            return {}

    wanted = set(board.runs["run_id"])
    chosen = {record.run_id: record for record in records if record.run_id in wanted}
    return render_page(board, chosen, arrays, title=args.title)
