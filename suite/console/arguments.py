"""What several commands share: arguments of the same name mean the same everywhere."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from leakybench.registry import Registry
from leakybench.specs import Spec

if TYPE_CHECKING:
    from leakybench.store import Problem

DEFAULT_RESULTS = "results/runs"


def add_results(parser: argparse.ArgumentParser) -> None:
    """``--results DIR``: the folder of the records."""
    parser.add_argument("--results", metavar="DIR", default=DEFAULT_RESULTS, help="folder of the records")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``: the same information for a machine, on standard output."""
    parser.add_argument("--json", action="store_true", help="print JSON for a machine to read")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=1, sort_keys=True, allow_nan=False))


def note(text: str) -> None:
    """One line for the reader on standard error, where progress and warnings go."""
    print(f"leakybench: {text}", file=sys.stderr)


def report_problems(problems: Iterable[Problem], shown: int = 10) -> None:
    """Say on standard error which files could not be read and where they are now."""
    listed = list(problems)
    for problem in listed[:shown]:
        note(str(problem))
    if len(listed) > shown:
        note(f"and {len(listed) - shown} more damaged files; 'leakybench verify' lists them all")


def print_columns(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
    """Left-aligned columns on standard output."""
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    for row in [headers, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def list_specs(registry: Registry[Any], patterns: Sequence[str]) -> list[Spec]:
    """The specs that match any of the globs, all of them without one; failed plugins are named on standard error."""
    chosen = registry.match(list(patterns)) if patterns else list(registry)
    for plugin, reason in registry.failures.items():
        note(f"plugin {plugin} failed to load its {registry.kind}s: {reason}")
    return chosen
