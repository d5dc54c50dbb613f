"""``leakybench show``: print one run with the evidence for its bottleneck rank."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments, selection
from leakybench.errors import UsageError
from leakybench.report import text

if TYPE_CHECKING:
    from leakybench.record import Record
    from leakybench.store import Store

EPILOG = """\
examples:
  leakybench show 3f2a                  the run whose id starts with 3f2a
  leakybench show 3f2a --json           its record as stored
"""
MAX_ITEMS = 12
MAX_LINES = 50
"""Largest number of mappings of a list, each in a line of its own."""
LONGEST = 2000
"""Largest number of characters of a value; the middle of a longer one is left out."""


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "show",
        help="print one run with its evidence",
        description="Print one run: errors, bottleneck rank with its evidence, times, measures, provenance and log.",
        epilog=EPILOG,
    )
    parser.add_argument("run_id", metavar="RUN_ID", help="a run id, or its first digits")
    arguments.add_results(parser, several=True)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the record and return 0."""
    from leakybench.store import DamagedError, intact

    store, run_id = _find(args.results, args.run_id)
    try:
        record = store.read(run_id)
    except DamagedError as error:
        raise UsageError(f"{store.path(run_id)} is damaged: {error}") from None
    whole = intact(record)
    if args.json:
        if whole is False:
            arguments.print_note(f"{run_id}: {text.CHANGED}")
        arguments.print_json(record.to_dict())
        return 0
    for line in [*_lines(record, whole), *_block("arrays", _arrays(store, run_id))]:
        print(line)
    if log := store.log(run_id):
        print("log")
        for line in log.splitlines()[-40:]:
            print(f"  {text.clean(line, LONGEST)}")
    return 0


def _find(folders: list[str], prefix: str) -> tuple[Store, str]:
    """The folder that holds the run whose id starts with ``prefix``, and the id; the first of several folders."""
    from leakybench.store import Store

    stores = [Store(selection.records_folder(folder), set_aside=False) for folder in folders]
    holders = [store for store in stores if any(run_id.startswith(prefix) for run_id in store.ids())]
    found = {store.find(prefix) for store in holders or stores[:1]}
    if len(found) > 1:
        raise UsageError(f"{len(found)} runs begin with {prefix!r}: {', '.join(sorted(found))}")
    return (holders or stores)[0], found.pop()


def _arrays(store: Store, run_id: str) -> dict[str, str]:
    """Type and shape of each array of a run."""
    from leakybench.store import DamagedError

    try:
        return {name: f"{array.dtype} {array.shape}" for name, array in store.arrays(run_id).items()}
    except DamagedError as error:
        return {"unreadable": str(error)}


_INTACT = {True: "as it was written", False: text.CHANGED + text.DOUBT, None: "without a hash: may have been changed"}
_NUMBERS = (
    "test_error", "train_error", "bottleneck_rank", "true_rank", "code_alignment", "code_leak", "rank_recovered",
)  # fmt: skip


def _lines(record: Record, whole: bool | None) -> Iterator[str]:
    data = record.to_dict()
    data["wall_clock"]["device"] = record.device  # also of a record older than devices
    run = data["run"]
    yield text.clean(f"{run['task']} x {run['baseline']}, seed {run['seed']}, preset {run['preset']}")
    fields = {name.replace("_", " "): run[name] for name in ("task_overrides", "baseline_overrides") if run[name]}
    fields |= {"run id": data["run_id"], "record": _INTACT[whole], "source": run["source"]}
    fields["status"] = f"{data['status']}{': ' if data['message'] else ''}{data['message']}"
    numbers = {name.replace("_", " "): data[name] for name in _NUMBERS}
    yield from _fields(fields, "", 20)
    for line in _fields(numbers, "", 20):
        yield text.marked(line, whole is False)
    for name in ("rank_evidence", "wall_clock", "training", "measures", "provenance"):
        yield from _block(name.replace("_", " "), data[name])
    if any(text.DOUBT in line for line in _fields(fields | numbers, "", 20)):
        yield f"note: {text.DOUBT_NOTE}"


def _fields(values: Mapping[str, Any], indent: str, least: int) -> Iterator[str]:
    """A line for each value, the values in one column, two blanks behind the longest name."""
    named = [(text.clean(name, LONGEST), value) for name, value in values.items()]
    width = max([least - 2, *(len(name) for name, _ in named)]) + 2
    for name, value in named:
        if isinstance(value, Mapping) and value and indent:
            yield from _block(name, value, indent + "  ")
        elif indent and isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            yield f"{indent}{name}"
            yield from (f"{indent}  {_format_item(item)}" for item in value[:MAX_LINES])
            if len(value) > MAX_LINES:
                yield f"{indent}  ... {len(value)} in total"
        else:
            yield f"{indent}{name:<{width}}{_format_value(value)}".rstrip()


def _format_item(item: Mapping[str, Any]) -> str:
    """A mapping in one line, as in a list of the trials of a search."""
    parts = (
        f"{text.clean(name, LONGEST)} {_format_item(value) if isinstance(value, Mapping) else _format_value(value)}"
        for name, value in item.items()
    )
    return f"({', '.join(parts)})"


def _block(name: str, values: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    if values:
        yield f"{indent[2:]}{name}"
        yield from _fields(values, indent, 24)


def _format_value(value: Any) -> str:
    if value is None:
        return text.MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}{text.doubtful(value, text.LARGEST_SHOWN)}"
    if isinstance(value, list):
        items = ", ".join(_format_value(item) for item in value[:MAX_ITEMS])
        return f"[{items}{f', ... {len(value)} in total' if len(value) > MAX_ITEMS else ''}]"
    return text.clean(text.to_json(value, sort_keys=True) if isinstance(value, Mapping) else value, LONGEST)
