"""``leakybench export``: the records as one table for other programs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments
from leakybench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("csv", "parquet", "json")
DESCRIPTION = "Write one row a run, with every plain number of its record, to FILE (or CSV to standard output, with -)."
EPILOG = """\
examples:
  leakybench export runs.csv
  leakybench export runs.parquet --results results/reference
  leakybench export - --format json | head
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "export", help="write the runs as CSV, Parquet or JSON", description=DESCRIPTION, epilog=EPILOG
    )
    parser.add_argument("file", metavar="FILE", help="where to; its ending chooses the format; - is standard output")
    parser.add_argument("--format", choices=FORMATS, help="the format, where the ending does not say (default: csv)")
    parser.add_argument("--core", action="store_true", help="only the columns that every run has")
    arguments.add_results(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file; 0, or 3 where there is no record."""
    from leakybench.analysis.frame import to_frame
    from leakybench.store import Store

    form = _format(args)
    store = Store(Path(args.results), set_aside=False)
    if not store.folder.is_dir():
        raise UsageError(f"there is no results folder {args.results!r}: 'leakybench run' makes one")
    frame = to_frame(store, extras=not args.core)
    arguments.report_problems(store.problems)
    if frame.empty:
        arguments.note(f"{args.results} holds no record: nothing to export")
        return 3
    data = encode(frame, form)
    if args.file == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return 0
    from leakybench.atomic import write_atomic

    try:
        write_atomic(Path(args.file), data)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {args.file!r}: {getattr(error, 'strerror', None) or error}") from None
    arguments.note(f"wrote {len(frame)} runs and {len(frame.columns)} columns to {args.file}")
    return 0


def _format(args: argparse.Namespace) -> str:
    if args.format:
        return str(args.format)
    ending = Path(args.file).suffix.removeprefix(".").lower()
    if args.file == "-" or ending in FORMATS:
        return ending or "csv"
    raise UsageError(f"the format of {args.file!r} is not clear from its ending: --format {'|'.join(FORMATS)}")


def encode(frame: pd.DataFrame, form: str) -> bytes:
    """A frame as the bytes of a CSV, Parquet or JSON file.

    Raises:
        UsageError: Parquet is asked for and its package is not installed.
    """
    import io

    if form == "csv":
        return bytes(frame.to_csv(index=False, lineterminator="\n").encode())
    if form == "json":
        # through plain values: pandas' own writer rounds numbers
        plain = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
        return json.dumps(plain, indent=1, allow_nan=False).encode() + b"\n"
    buffer = io.BytesIO()
    mixed = [name for name in frame.columns if frame[name].map(type).nunique() > 1 and frame[name].dtype == object]
    # a column that holds text in one run and a number in another has no Parquet type
    frame = frame.assign(**{name: frame[name].map(lambda v: v if v is None else str(v)) for name in mixed})
    try:
        frame.to_parquet(buffer, index=False)
    except ImportError:
        raise UsageError("Parquet needs its extra: pip install '.[parquet]' in the checkout of leakybench") from None
    return buffer.getvalue()
