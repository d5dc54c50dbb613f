"""Arguments and output shared by the commands, so that an option means the same everywhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakybench.errors import UsageError
from leakybench.registry import Registry
from leakybench.report.text import clean, to_json
from leakybench.specs import Spec

if TYPE_CHECKING:
    from leakybench.store import DamagedFile

DEFAULT_RESULTS = "results/runs"


class _Folders(argparse.Action):
    """Collects the folders of ``--results``: a list of them, or one, of which a second is an error."""

    def __init__(self, *, several: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self._several = several

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        given = [*getattr(namespace, "results_given", []), value]
        namespace.results_given = given
        if len(given) > 1 and not self._several:
            raise UsageError(f"--results takes one folder here, got {' and '.join(map(repr, given))}")
        namespace.results = list(dict.fromkeys(given)) if self._several else value


def add_results(parser: Any, *, several: bool = False, default: str | None = DEFAULT_RESULTS, help: str = "") -> None:
    """Add ``--results DIR``, the folder that holds the records.

    Args:
        parser: a parser, or a group of one.
        several: for a command that only reads: the option may be repeated, and ``args.results`` is a list.
        default: the folder without the option.
        help: text of the help.
    """
    text = help or "folder that holds the records" + "; repeat it to read several together" * several
    if several:
        text += f" (default: {default})"
    start = [default] if several else default
    parser.add_argument("--results", metavar="DIR", action=_Folders, several=several, default=start, help=text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, which prints the same information in machine-readable form."""
    parser.add_argument("--json", action="store_true", help="print machine-readable JSON")


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    print(to_json(value, indent=1, sort_keys=True))


def print_note(text: str) -> None:
    """Print one line on standard error, where progress and warnings go."""
    print(f"leakybench: {clean(text)}", file=sys.stderr)


def print_damaged(files: Iterable[DamagedFile], shown: int = 10) -> None:
    """Name on standard error the files that could not be read, and where they are now."""
    listed = list(files)
    for file in listed[:shown]:
        print_note(str(file))
    if len(listed) > shown:
        print_note(f"and {len(listed) - shown} more damaged files; 'leakybench verify' lists them all")


def print_columns(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
    """Print left-aligned columns on standard output."""
    lines = [[clean(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    for row in lines:
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
    if out:
        write_file(out, (content + "\n").encode("utf-8", "backslashreplace"), note)
    else:
        print(content)


def write_file(out: str, content: bytes, note: str) -> None:
    """Write a file, making its folder, and say so with ``note``.

    Raises:
        UsageError: the file cannot be written.
    """
    from leakybench.atomic import write_atomic

    path = Path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {out!r}: {getattr(error, 'strerror', None) or error}") from None
    print_note(f"{path}: {note}")


def print_sets(registry: Registry[Any]) -> None:
    """Print on standard output the sets of a registry, which commands take in place of ids."""
    if registry.sets:
        print("\nsets: " + ", ".join(f"@{name} ({len(ids)})" for name, ids in registry.sets.items()))
