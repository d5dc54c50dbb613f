"""``leakybench export``: write the records as one table for other programs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments, selection
from leakybench.errors import UsageError
from leakybench.report import text

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("csv", "parquet", "json")
DESCRIPTION = """\
Write the stored runs as one table: one row per run, one column per number or text of its record. The file extension
chooses CSV, Parquet or JSON."""
EPILOG = """\
examples:
  leakybench export runs.csv
  leakybench export runs.parquet --results results/reference
  leakybench export - --format json | head
"""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "export", help="export the runs as CSV, Parquet or JSON", description=DESCRIPTION, epilog=EPILOG
    )
    parser.add_argument("file", metavar="FILE", help="output file, or - for standard output")
    parser.add_argument("--format", choices=FORMATS, help="output format (default: from the extension; csv for -)")
    parser.add_argument("--core", action="store_true", help="only the columns that every run has")
    arguments.add_results(parser, several=True)


def run(args: argparse.Namespace) -> int:
    """Write the file; return 0, or 3 if there is no record."""
    from leakybench.analysis.frame import to_frame
    from leakybench.analysis.scores import changed, changed_runs

    form = _format(args)
    frame = to_frame(selection.read_records(args.results), extras=not args.core)
    if frame.empty:
        arguments.print_note(f"{' and '.join(args.results)} holds no records: nothing to export")
        return 3
    if changed(frame).any():
        arguments.print_note(f"{changed_runs(frame)}: their hashes do not fit, and 'intact' is false")
    data = encode_frame(frame, form)
    if args.file == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return 0
    from leakybench.atomic import write_atomic

    try:
        write_atomic(Path(args.file), data)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {args.file!r}: {getattr(error, 'strerror', None) or error}") from None
    arguments.print_note(f"wrote {len(frame)} runs and {len(frame.columns)} columns to {args.file}")
    return 0


def _format(args: argparse.Namespace) -> str:
    if args.format:
        return str(args.format)
    extension = Path(args.file).suffix.removeprefix(".").lower()
    if args.file == "-" or extension in FORMATS:
        return extension or "csv"
    raise UsageError(f"cannot tell the format of {args.file!r} from its extension: add --format {'|'.join(FORMATS)}")


def encode_frame(frame: pd.DataFrame, form: str) -> bytes:
    """Encode a frame as the bytes of a CSV, Parquet or JSON file.

    Raises:
        UsageError: Parquet is requested and its package is not installed.
    """
    import io

    from pandas.api.types import is_numeric_dtype

    if form == "json":
        # use plain values, because the JSON writer of pandas rounds numbers
        plain = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
        return text.to_json(plain, indent=1).encode() + b"\n"
    harmless = text.csv_text if form == "csv" else text.encodable
    columns = {name: frame[name].map(harmless) for name in frame.columns if not is_numeric_dtype(frame[name])}
    frame = _distinct(frame.assign(**columns))
    if form == "csv":
        return bytes(frame.to_csv(index=False, lineterminator="\n").encode())
    buffer = io.BytesIO()
    mixed = [name for name in frame.columns if frame[name].map(type).nunique() > 1 and frame[name].dtype == object]
    # a column that holds text for one run and a number for another has no Parquet type
    frame = frame.assign(**{name: frame[name].map(lambda v: v if v is None else str(v)) for name in mixed})
    try:
        frame.to_parquet(buffer, index=False)
    except ImportError:
        raise UsageError("Parquet requires an extra: pip install '.[parquet]' in the checkout of leakybench") from None
    return buffer.getvalue()


def _distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with names of columns that can be written; names that became equal are numbered."""
    names: dict[str, None] = {}
    for column in frame.columns:
        name = plain = text.clean(column)
        while name in names:
            name = f"{plain} ({len(names)})"
        names[name] = None
    return frame.set_axis(list(names), axis=1)
