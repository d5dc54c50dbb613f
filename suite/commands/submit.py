"""``leakybench submit``: results as one file for somebody else's leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from leakybench.console import arguments, selection

EPILOG = """\
The pack is checked as 'leakybench validate' would check it, without the rerun; with a reason against it none is
written.

examples:
  leakybench submit results/runs --preset standard --out mine.zip
  leakybench submit results/runs --baseline 'mine/*' --tasks 'LowRank-*' --seeds 0:3
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "submit", help="pack results for others", description="Pack results into one file.", epilog=EPILOG
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the records")
    parser.add_argument("--out", metavar="PACK.zip", default="submission.zip", help="file to write")
    parser.add_argument("--submitter", metavar="TEXT", default="", help="who hands it in, for the manifest")
    selection.add_selection(parser)
    add_required(parser)


def add_required(parser: argparse.ArgumentParser) -> None:
    """``--tasks`` and ``--seeds``: what a pack must cover."""
    parser.add_argument(
        "--tasks", metavar="GLOB[,..]", default="LowRank-*", help="tasks that every baseline of the pack must have run"
    )
    parser.add_argument("--seeds", metavar="SEEDS", default="0:5", help="seeds that each of them must have")


def required(args: argparse.Namespace) -> tuple[list[str], list[int]]:
    """The task ids and seeds that a pack must cover."""
    from leakybench.registry import tasks
    from leakybench.sweeps.grid import parse_seeds
    from leakybench.sweeps.plan_file import words

    return [spec.id for spec in tasks.match(words(args.tasks, "tasks"))], list(parse_seeds(args.seeds))


def run(args: argparse.Namespace) -> int:
    """Write the pack; 0, or 1 where it would be refused, or 3 where there is nothing to pack."""
    from leakybench.analysis.scores import score_frame, select
    from leakybench.packs.pack import Pack, make_manifest, write_pack
    from leakybench.packs.validation import validate
    from leakybench.store import Store

    names, seeds = required(args)
    records = selection.read_records(args.folder)
    if not records:
        return selection.nothing(args.folder)
    chosen = select(score_frame(records), task=args.task, baseline=args.baseline, preset=args.preset)
    wanted = set(chosen["run_id"])
    picked = [record for record in records if record.run_id in wanted]
    store = Store(selection.records_folder(args.folder), set_aside=False)
    files = {
        f"records/{record.run_id}.{kind}": path.read_bytes()
        for record in picked
        for kind in ("json", "npz")
        if (path := store.path(record.run_id, kind)).exists()
    }
    trial = Pack(manifest=make_manifest(files), files=files)
    report = validate(trial, required_tasks=names, seeds=seeds, sample=0)
    if not report.valid:
        for finding in report.findings[:20]:
            arguments.note(str(finding))
        arguments.note(f"{len(report.findings)} reasons against it: no pack was written")
        return 1
    write_pack(store, picked, Path(args.out), submitter=args.submitter)
    print(f"{args.out}: {len(picked)} runs of {chosen['baseline'].nunique()} baselines on {len(names)} required tasks")
    return 0
