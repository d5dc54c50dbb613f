"""``leakybench submit``: pack results into one file for another leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leakybench.console import arguments, coverage, selection

EPILOG = """\
The pack is first checked as by 'leakybench validate', without the rerun. If there is an objection, no pack is written.

exit codes: 0 pack written; 1 refused, with every reason; 2 wrong usage; 3 there is no run to pack

examples:
  leakybench submit results/runs --preset standard --out mine.zip
  leakybench submit results/runs --baseline 'mine/*' --tasks 'LowRank-*' --seeds 0:3
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "submit",
        help="pack results for a leaderboard",
        description="Pack stored runs and their hashes into one file that others can validate.",
        epilog=EPILOG,
    )
    parser.add_argument("folder", metavar="DIR", help="folder that holds the records")
    parser.add_argument("--out", metavar="PACK.zip", default="submission.zip", help="file to write")
    parser.add_argument("--submitter", metavar="TEXT", default="", help="name of the submitter, for the manifest")
    selection.add_selection(parser)
    coverage.add_coverage(parser)


def run(args: argparse.Namespace) -> int:
    """Write the pack; return 0, or 1 if it would be refused, or 3 if there is no run to pack."""
    from leakybench.analysis.scores import score_frame, select
    from leakybench.packs.pack import Pack, make_manifest, pack_files, write_pack
    from leakybench.packs.validation import validate
    from leakybench.store import DamagedError, Store

    names, seeds = coverage.parse_coverage(args)
    records = selection.read_records(args.folder)
    if not records:
        return selection.report_no_runs(args.folder)
    chosen = select(score_frame(records), task=args.task, baseline=args.baseline, preset=args.preset)
    chosen_ids = set(chosen["run_id"])
    packed = [record for record in records if record.run_id in chosen_ids]
    store = Store(selection.records_folder(args.folder), set_aside=False)
    try:
        files = pack_files(store, (record.run_id for record in packed))
    except DamagedError as error:
        arguments.print_note(f"no pack was written: {error}")
        return 1
    trial = Pack(manifest=make_manifest(files), files=files)
    report = validate(trial, required_tasks=names, seeds=seeds, sample=0)
    if not report.valid:
        for objection in report.objections[:20]:
            arguments.print_note(str(objection))
        arguments.print_note(f"no pack was written, because of {len(report.objections)} objections")
        return 1
    write_pack(store, packed, Path(args.out), submitter=args.submitter)
    print(f"{args.out}: {len(packed)} runs of {chosen['baseline'].nunique()} baselines on {len(names)} required tasks")
    return 0
