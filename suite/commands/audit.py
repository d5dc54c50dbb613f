"""``leakybench audit``: which tasks of a board tell methods apart."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leakybench.console import arguments, selection

FORMATS = ("terminal", "github", "json", "svg")
SUFFIXES = {".md": "github", ".json": "json", ".svg": "svg", ".txt": "terminal"}
EPILOG = """\
An exam is audited in the same way: an item that everyone passes measures nothing, and neither does one whose result is
luck. For each task and metric: the share of runs that recovered the rank, the share of the variance between methods
(intraclass correlation), the pairs of methods that are separated, the seeds that part neighbours, and the task that
orders the methods most alike. Then a core set: few tasks that order the methods as all do, with Kendall's tau of the
two orders, also with each method left out of the choice. The yardstick and the mean are references and no candidates.

A task with the verdict 'dead' cannot tell methods apart with these seeds; 'weak' needs more seeds or a harder
version; 'redundant' repeats another task. JSON holds more: pass rates of every metric, the similarity of every two
tasks, and where each method is placed by a core set that was chosen without it.

exit codes: 0 fine; 2 wrong usage; 3 fewer than two methods with two seeds

examples:
  leakybench audit results/runs
  leakybench audit results/runs results/more --task '@opaque'
  leakybench audit results/reference --preset standard --core 6
  leakybench audit results/runs --out audit.svg
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "audit",
        help="which tasks tell methods apart",
        description="Audit stored results: which tasks and metrics tell methods apart, which everyone passes, and "
        "which few tasks order the methods as all do.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "folders", nargs="*", metavar="RESULTS", help="results folders, audited together; instead of --results"
    )
    arguments.add_results(parser, several=True)
    selection.add_selection(parser)
    selection.add_changed(parser)
    parser.add_argument("--core", type=int, metavar="N", default=8, help="largest number of tasks of the core set")
    parser.add_argument("--format", choices=FORMATS, default="terminal", help="output format")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="same as --format json")
    parser.add_argument(
        "--out", metavar="FILE", help="write to this file; the extension .md, .json, .svg or .txt chooses the format"
    )


def run(args: argparse.Namespace) -> int:
    """Print or write the audit; return 0, or 3 if there is too little to audit."""
    from leakybench.analysis.audit import audit, candidates, enough
    from leakybench.analysis.scores import keep_intact
    from leakybench.errors import UsageError
    from leakybench.report.audit import render

    if args.core < 1:
        raise UsageError(f"--core must be at least 1, got {args.core}")
    format = args.format
    if args.out and format == "terminal":
        if Path(args.out).suffix not in SUFFIXES:
            raise UsageError(f"--out must end in {', '.join(SUFFIXES)}, got {args.out!r}")
        format = SUFFIXES[Path(args.out).suffix]
    folders = args.folders or args.results
    frame = selection.load_scores(args, folders)
    if frame.empty:
        return selection.report_no_runs(folders)
    if selection.only_changed(args, frame):
        return 3
    if args.preset is None:
        frame = selection.one_preset(frame)
    counted, _ = keep_intact(frame, include_changed=args.include_changed)
    if not enough(candidates(counted)[0]):
        arguments.print_note("an audit needs at least two methods of two seeds on one task: compute more runs")
        return 3
    content = render(audit(frame, core=args.core, include_changed=args.include_changed), format)
    arguments.write_output(content, args.out, f"{len(counted)} runs")
    return 0
