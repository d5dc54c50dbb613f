"""From ``--results``, ``--task``, ``--baseline`` and the like to the frame that tables and verdicts work on."""

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
    """``--task``, ``--baseline``, ``--preset``: which of the stored runs."""
    parser.add_argument("--task", metavar="GLOB", help="only tasks that match, by id or label")
    parser.add_argument("--baseline", metavar="GLOB", help="only baselines that match, by id or label")
    parser.add_argument("--preset", metavar="NAME", help="only runs of this preset")


def records_folder(path: str | Path) -> Path:
    """The folder that holds the runs: ``path``, or its ``records/`` as in results/reference, where it has none itself.

    Raises:
        UsageError: the folder does not exist.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(
            f"there is no results folder {str(path)!r}: 'leakybench run' makes one, --results names another"
        )
    inner = folder / "records"
    return inner if inner.is_dir() and not any(folder.glob("*.json")) else folder


def read_records(path: str | Path) -> list[Record]:
    """Every readable record of a results folder, without arrays; files that are damaged are named on standard error.

    Raises:
        UsageError: the folder does not exist.
    """
    from leakybench.store import Store

    store = Store(records_folder(path), set_aside=False)  # whoever only looks moves nothing
    records = list(store)
    arguments.report_problems(store.problems)
    return records


def load(args: argparse.Namespace, path: str | None = None) -> pd.DataFrame:
    """The selected runs of ``--results`` (or of ``path``) as a score frame; empty where the folder holds none."""
    from leakybench.analysis.scores import score_frame, select

    frame = score_frame(read_records(path or args.results))
    wanted: dict[str, Any] = {name: getattr(args, name, None) for name in ("task", "baseline", "preset")}
    return select(frame, **wanted)


def nothing(path: str) -> int:
    """Say that a folder holds no run; exit code 3."""
    arguments.note(f"{path} holds no run yet: nothing to show ('leakybench run' makes some)")
    return 3
