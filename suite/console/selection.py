"""Select stored runs by ``--results``, ``--task``, ``--baseline`` and ``--preset``, and load them as a score frame."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments
from leakybench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from leakybench.record import Record


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add ``--task``, ``--baseline`` and ``--preset``, which select stored runs."""
    parser.add_argument("--task", metavar="GLOB", help="only tasks whose id or label matches")
    parser.add_argument("--baseline", metavar="GLOB", help="only baselines whose id or label matches")
    parser.add_argument("--preset", metavar="NAME", help="only runs of this preset")


def records_folder(path: str | Path) -> Path:
    """Return the folder that holds the records: ``path``, or its ``records/`` subfolder if ``path`` has no record.

    ``results/reference`` has such a subfolder.

    Raises:
        UsageError: the folder does not exist.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(
            f"there is no results folder {str(path)!r}: create one with 'leakybench run', or choose one with --results"
        )
    inner = folder / "records"
    return inner if inner.is_dir() and not any(folder.glob("*.json")) else folder


def add_changed(parser: argparse.ArgumentParser) -> None:
    """Add ``--include-changed``, which takes in the records whose hash does not fit."""
    parser.add_argument(
        "--include-changed",
        action="store_true",
        help="also count records that were changed after they were written (their hash does not fit)",
    )


def read_records(paths: str | Path | Sequence[str | Path]) -> list[Record]:
    """Read every readable record of one or several results folders, without arrays.

    Damaged files are named on standard error, and so is how many records have no hash. Of a run that several folders
    hold, the record of the first one counts.

    Raises:
        UsageError: a folder does not exist.
    """
    from leakybench.store import Store

    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    records: dict[str, Record] = {}
    repeated: list[str] = []
    for path in listed:
        store = Store(records_folder(path), set_aside=False)  # a command that only reads moves no files
        for record in store:
            if record.run_id not in records:
                records[record.run_id] = record
            elif record.comparable() != records[record.run_id].comparable():
                repeated.append(record.run_id)
        arguments.print_damaged(store.problems)
    if repeated:
        shown = ", ".join(run_id[:8] for run_id in repeated[:5])
        arguments.print_note(
            f"{len(repeated)} runs have different results in several folders ({shown}): that of the first folder counts"
        )
    if bare := sum("integrity" not in record.provenance for record in records.values()):
        arguments.print_note(f"{bare} of {len(records)} records have no hash: whether they were changed cannot be told")
    return list(records.values())


def load_scores(args: argparse.Namespace, paths: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Load the selected runs of ``--results`` (or of ``paths``) as a score frame, which may be empty."""
    from leakybench.analysis.scores import score_frame, select

    frame = score_frame(read_records(paths or args.results))
    wanted: dict[str, Any] = {name: getattr(args, name, None) for name in ("task", "baseline", "preset")}
    return select(frame, **wanted)


def only_changed(args: argparse.Namespace, frame: pd.DataFrame) -> bool:
    """Whether no run is left without ``--include-changed``, which is then said on standard error."""
    from leakybench.analysis.scores import changed, changed_runs

    if args.include_changed or not changed(frame).all():
        return False
    arguments.print_note(
        f"nothing but {changed_runs(frame)}, whose hash does not fit: 'leakybench verify' names them, "
        "--include-changed takes them in"
    )
    return True


def one_preset(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs of the preset with the most runs, and say so on standard error where there are several."""
    if frame["preset"].nunique() < 2:
        return frame
    counts = frame["preset"].value_counts()
    chosen = str(counts.index[0])
    arguments.print_note(
        f"several presets: showing {chosen}, with {counts.iloc[0]} of {len(frame)} runs; choose with --preset"
    )
    return frame[frame["preset"] == chosen]


def report_no_runs(paths: str | Sequence[str]) -> int:
    """Print that the folders hold no run, and return exit code 3."""
    listed = paths if isinstance(paths, str) else " and ".join(paths)
    arguments.print_note(f"{listed} holds no runs yet: compute some with 'leakybench run'")
    return 3
