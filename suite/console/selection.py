"""Select stored runs by ``--results``, ``--task``, ``--baseline`` and ``--preset``, and load them as a score frame."""

from __future__ import annotations

import argparse
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


def read_records(path: str | Path) -> list[Record]:
    """Read every readable record of a results folder, without arrays; name damaged files on standard error.

    Raises:
        UsageError: the folder does not exist.
    """
    from leakybench.store import Store

    store = Store(records_folder(path), set_aside=False)  # a command that only reads moves no files
    records = list(store)
    arguments.print_damaged(store.problems)
    return records


def load_scores(args: argparse.Namespace, path: str | None = None) -> pd.DataFrame:
    """Load the selected runs of ``--results`` (or of ``path``) as a score frame, which may be empty."""
    from leakybench.analysis.scores import score_frame, select

    frame = score_frame(read_records(path or args.results))
    wanted: dict[str, Any] = {name: getattr(args, name, None) for name in ("task", "baseline", "preset")}
    return select(frame, **wanted)


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


def report_no_runs(path: str) -> int:
    """Print that a folder holds no run, and return exit code 3."""
    arguments.print_note(f"{path} holds no runs yet: compute some with 'leakybench run'")
    return 3
