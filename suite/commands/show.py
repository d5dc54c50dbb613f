"""``leakybench show``: print one run with the evidence for its bottleneck rank."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from leakybench.console import arguments

EPILOG = """\
examples:
  leakybench show 3f2a                  the run whose id starts with 3f2a
  leakybench show 3f2a --json           its record as stored
"""
MAX_ITEMS = 12


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "show",
        help="print one run with its evidence",
        description="Print one run: errors, bottleneck rank with its evidence, times, measures, provenance and log.",
        epilog=EPILOG,
    )
    parser.add_argument("run_id", metavar="RUN_ID", help="a run id, or its first digits")
    arguments.add_results(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the record and return 0."""
    from leakybench.errors import UsageError
    from leakybench.store import DamagedError, Store

    store = Store(Path(args.results), set_aside=False)
    run_id = store.find(args.run_id)
    try:
        record = store.read(run_id)
    except DamagedError as error:
        raise UsageError(f"{store.path(run_id)} is damaged: {error}") from None
    if args.json:
        arguments.print_json(record.to_dict())
        return 0
    shown = record.to_dict()
    shown["wall_clock"]["device"] = record.device  # also of a record older than devices
    for line in _lines(shown):
        print(line)
    try:
        arrays = {name: f"{array.dtype} {array.shape}" for name, array in store.arrays(run_id).items()}
    except DamagedError as error:
        arrays = {"unreadable": str(error)}
    for line in _block("arrays", arrays):
        print(line)
    if log := store.log(run_id):
        print("log")
        for line in log.splitlines()[-40:]:
            print(f"  {line}")
    return 0


def _lines(data: Mapping[str, Any]) -> Iterator[str]:
    run = data["run"]
    yield f"{run['task']} x {run['baseline']}, seed {run['seed']}, preset {run['preset']}"
    for name in ("task_overrides", "baseline_overrides"):
        if run[name]:
            yield from _field(name.replace("_", " "), run[name])
    yield from _field("run id", data["run_id"])
    yield from _field("source", run["source"])
    yield from _field("status", f"{data['status']}{': ' if data['message'] else ''}{data['message']}")
    numbers = "test_error", "train_error", "bottleneck_rank", "true_rank", "code_alignment", "code_leak"
    for name in (*numbers, "rank_recovered"):
        yield from _field(name.replace("_", " "), data[name])
    for name in ("rank_evidence", "wall_clock", "training", "measures", "provenance"):
        yield from _block(name, data[name])


def _field(name: str, value: Any) -> Iterator[str]:
    yield f"{name:<20}{_format_value(value)}"


def _block(name: str, values: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    if not values:
        return
    yield f"{indent[2:]}{name.replace('_', ' ') if indent == '  ' else name}"
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _block(str(key), value, indent + "  ")
        else:
            yield f"{indent}{key:<24}{_format_value(value)}"


def _format_value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        items = ", ".join(_format_value(item) for item in value[:MAX_ITEMS])
        return f"[{items}{f', ... {len(value)} in total' if len(value) > MAX_ITEMS else ''}]"
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True)
    return str(value)
