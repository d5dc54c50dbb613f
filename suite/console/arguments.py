"""Arguments and output shared by the commands, so that an option means the same everywhere."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.registry import Registry
from leakybench.specs import Spec

if TYPE_CHECKING:
    from leakybench.store import DamagedFile

DEFAULT_RESULTS = "results/runs"


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add ``--results DIR``, the folder that holds the records."""
    parser.add_argument("--results", metavar="DIR", default=DEFAULT_RESULTS, help="folder that holds the records")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, which prints the same information in machine-readable form."""
    parser.add_argument("--json", action="store_true", help="print machine-readable JSON")


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(value, indent=1, sort_keys=True, allow_nan=False))


def print_note(text: str) -> None:
    """Print one line on standard error, where progress and warnings go."""
    print(f"leakybench: {text}", file=sys.stderr)


def print_damaged(files: Iterable[DamagedFile], shown: int = 10) -> None:
    """Name on standard error the files that could not be read, and where they are now."""
    listed = list(files)
    for file in listed[:shown]:
        print_note(str(file))
    if len(listed) > shown:
        print_note(f"and {len(listed) - shown} more damaged files; 'leakybench verify' lists them all")


def print_columns(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
    """Print left-aligned columns on standard output."""
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    for row in [headers, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def list_specs(registry: Registry[Any], patterns: Sequence[str]) -> list[Spec]:
    """Return the specs that match any of the globs, or all specs when there is no glob.

    Plugins that failed to load are named on standard error.
    """
    chosen = registry.match(list(patterns)) if patterns else list(registry)
    for plugin, reason in registry.failures.items():
        print_note(f"plugin {plugin} failed to load its {registry.kind}s: {reason}")
    return chosen


def write_output(content: str, out: str | None, note: str) -> None:
    """Print ``content``, or write it to the file ``out``, making its folder, and say so with ``note``."""
    from leakybench.atomic import write_atomic

    if not out:
        print(content)
        return
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (content + "\n").encode())
    print_note(f"{path}: {note}")


def print_sets(registry: Registry[Any]) -> None:
    """Print on standard output the sets of a registry, which commands take in place of ids."""
    if registry.sets:
        print("\nsets: " + ", ".join(f"@{name} ({len(ids)})" for name, ids in registry.sets.items()))
