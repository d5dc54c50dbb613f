"""The leaderboard as one HTML file that works offline: it sends no request, and shows every name as text."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leakybench.analysis.leaderboard import Board, BoardRow
from leakybench.analysis.profiles import MethodProfile, method_profiles
from leakybench.analysis.runs import run_rows
from leakybench.analysis.summary import machine_letters
from leakybench.errors import UsageError
from leakybench.record import Record
from leakybench.report import text
from leakybench.report.cells import Column, Row, SortKey
from leakybench.report.columns import board_columns, order_columns, run_columns
from leakybench.report.leaderboard import sections
from leakybench.report.panels import run_panel
from leakybench.report.plots import COLOURS, Point, ProfileLine, StepLook, marker, pareto_svg, profile_svg, step_looks

HERE = Path(__file__).parent

NONE = "\u2013"
"""Text of a cell without a value: an en dash, which is not mistaken for a minus."""

MAX_PROFILES = 20
"""Largest number of performance profiles in one plot; of more, each baseline is drawn with one step rule."""

Arrays = Callable[[str], Mapping[str, np.ndarray]]


def render_page(board: Board, records: Mapping[str, Record], arrays: Arrays | None = None, *, title: str = "") -> str:
    """Render a leaderboard as an HTML page.

    Args:
        board: of ``leakybench.analysis.leaderboard.leaderboard``.
        records: the runs of the board by id, for their panels.
        arrays: returns the arrays of a run, or an empty mapping; without it panels have no curves.
        title: title of the page.

    Raises:
        UsageError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise UsageError("the HTML page needs jinja2: pip install 'leakybench[page]'") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_printable,
    )  # fmt: skip
    script = (HERE / "page.js").read_text(encoding="utf-8")
    style = (HERE / "page.css").read_text(encoding="utf-8")
    letters = machine_letters(board.runs)
    listed = run_rows(board.runs)
    columns = run_columns(listed, letters)
    runs = [{"id": run.run_id, "status": run.status, "cells": _page_cells(columns, run)} for run in listed]
    colours = _colours(board)
    looks = step_looks([*(row.steps for row in board.overall), *map(str, board.runs["steps"])])
    panels = {run_id: run_panel(record, {} if arrays is None else arrays(run_id)) for run_id, record in records.items()}
    return environment.get_template("page.html.j2").render(
        title=title or "leakybench leaderboard",
        board=board,
        tasks=len({row.task for row in board.per_task}),
        sections=_page_tables(board),
        plots=[_pareto(board, device, colours, looks) for device in board.cost_devices],
        profiles=_profiles(*method_profiles(board), colours, looks),
        confusion=_shaded_confusion(board),
        orders={
            "heads": _heads(order_columns()),
            "rows": [[column.text(order) for column in order_columns()] for order in board.orders],
        },
        runs=runs,
        run_heads=_heads(columns),
        machines=[(letter, machine) for machine, letter in letters.items()],
        style=style,
        script=script,
        script_hash=_hash(script),
        style_hash=_hash(style),
        data=embed({"rows": [_packed(run) for run in runs], "boards": _sources(board)}),
        panels=compress_json(panels),
        policy=_policy_notes(board),
    )


def _printable(value: Any) -> Any:
    """What the template shows of a value: text without characters that do not print; markup as it is."""
    return text.clean(value, text.LONGEST_NOTE) if type(value) is str else value


def embed(value: Any) -> str:
    """Encode a value as JSON that is safe inside a script element: no name in it can begin or end a tag."""
    encoded = text.to_json(value, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        encoded = encoded.replace(char, f"\\u{ord(char):04x}")
    return encoded


def compress_json(value: Any) -> str:
    """Encode a value as compressed JSON in base64, whose letters cannot end an element; equal values give equal bytes.

    The panels of a thousand runs are most of a page, and a reader opens a few of them: the script unpacks them when
    the first is opened.
    """
    encoded = text.to_json(value, separators=(",", ":"))
    return base64.b64encode(gzip.compress(encoded.encode(), mtime=0)).decode()


def _hash(content: str) -> str:
    """The hash by which the page's content policy allows its own script and style, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _policy_notes(board: Board) -> list[str]:
    return [
        "Place counts the methods shown to be better, plus one; '=' marks a tie, and the interval in brackets holds "
        "all true ranks at once with 95%.",
        text.DOUBT_NOTE,
        "P beside a cost: no other method is both better and cheaper.",
        "Test error is the mean squared error over the variance of the targets: predicting the mean scores 1.",
        *(note[:1].upper() + note[1:] for note in board.notes),
    ]


def _page_tables(board: Board) -> list[dict[str, Any]]:
    """Name, header and rows of each table of the board."""
    tables = []
    for title, count, rows in sections(board):
        columns = board_columns(rows, count, board.cost_unit, board.cost_devices)
        tables.append({"name": title, "heads": _heads(columns), "rows": [_page_cells(columns, row) for row in rows]})
    return tables


def _heads(columns: Sequence[Column[Row]]) -> list[tuple[str, str]]:
    return [(column.name, column.unit) for column in columns]


def _page_cells(columns: Sequence[Column[Row]], row: Row) -> list[dict[str, str]]:
    """Text and sort key of each cell of a row, and the full text where it is shortened."""
    cells = []
    for column in columns:
        label = column.text(row)
        cells.append(
            {
                "title": label if len(label) > 60 else "",
                "shown": NONE if label == text.MISSING else text.shorten(label),
                "key": _sort_attribute(column.key(row)),
            }
        )
    return cells


def _sort_attribute(key: SortKey) -> str:
    """A sort key as the script reads it; a missing value has the empty key, which sorts last in both directions.

    Means of the same runs differ in their last digit between processors; 12 digits do not, and sort as well.
    """
    if key is None or (isinstance(key, float) and not np.isfinite(key)):
        return ""
    return key if isinstance(key, str) else repr(float(f"{key:.12g}"))


def _packed(run: dict[str, Any]) -> list[Any]:
    """A row for the script: id, status, texts, sort keys, and full texts by column where they are shortened."""
    cells = run["cells"]
    titles = {index: cell["title"] for index, cell in enumerate(cells) if cell["title"]}
    return [run["id"], run["status"], [cell["shown"] for cell in cells], [cell["key"] for cell in cells], titles]


def _sources(board: Board) -> list[list[dict[str, Any]]]:
    """For each row of each table: its name, the origin of its runs, and the words that find them."""
    return [[_row_sources(title, row) for row in rows] for title, _, rows in sections(board)]


def _row_sources(title: str, row: BoardRow) -> dict[str, Any]:
    numbers = row.statistics
    facts = [
        ("runs", text.count_text(numbers.status)), ("seeds", ", ".join(map(str, row.seeds))),
        ("source", ", ".join(numbers.sources)), ("commit", ", ".join(row.commits)),
        ("created", " to ".join(sorted(set(row.created)))), ("machine", "; ".join(numbers.machine)),
        ("threads", ", ".join(map(str, numbers.threads))),
    ]  # fmt: skip
    words = [row.method, *([row.steps] if row.steps != text.MISSING else []), *filter(None, [row.task])]
    return {
        "name": text.clean(f"{_method_name(row)}: {title}"),
        "facts": [[name, text.clean(value)] for name, value in facts if value],
        "words": text.clean(" ".join(words)),
    }


def _method_name(row: BoardRow | MethodProfile) -> str:
    return row.method if row.steps == text.MISSING else f"{row.method} {row.steps}"


def _colours(board: Board) -> dict[str, int]:
    """The colour of each baseline, in the order of the board."""
    methods = [*(row.method for row in board.overall), *map(str, board.runs["method"])]
    return {method: index for index, method in enumerate(dict.fromkeys(methods))}


def _pareto(board: Board, device: str, colours: Mapping[str, int], looks: Mapping[str, StepLook]) -> dict[str, Any]:
    """The plot of error against cost on a device, and its legend: colours of baselines and markers of step rules."""
    rows, points = [], []
    for row in board.overall:
        if row.cost is None or row.score is None or row.device != device:
            continue
        rows.append(row)
        points.append(
            Point(
                x=row.cost, y=row.score, low=row.score_low, high=row.score_high, name=_method_name(row),
                front=row.pareto, colour=colours[row.method], shape=looks[row.steps].shape,
            )
        )  # fmt: skip
    y_name = "score: mean of min(test error, 1)" if len(board.tasks) > 1 else "test error (/ var(y))"
    methods = dict.fromkeys(row.method for row in rows)
    drawn = {row.steps for row in rows} - {text.MISSING}
    return {
        "device": text.clean(device) if len(board.cost_devices) > 1 else "",
        "svg": pareto_svg(points, f"cost ({board.cost_unit})", y_name),
        "colours": [(colours[name] % COLOURS, text.shorten(text.clean(name))) for name in methods],
        "shapes": [
            (marker(look.shape, 8, 6, 4), f"{text.shorten(text.clean(rule))} steps")
            for rule, look in looks.items()
            if rule in drawn
        ],
    }


def _profiles(
    thresholds: np.ndarray,
    profiles: Sequence[MethodProfile],
    colours: Mapping[str, int],
    looks: Mapping[str, StepLook],
) -> dict[str, Any]:
    """The plot of the performance profiles and its legend; of many, the first of each baseline."""
    one_each = len(profiles) > MAX_PROFILES
    if one_each:
        first: dict[str, MethodProfile] = {}
        for profile in profiles:
            first.setdefault(profile.method, profile)
        profiles = list(first.values())
    lines = [
        ProfileLine(
            name=_method_name(profile), share=list(profile.share), low=list(profile.low), high=list(profile.high),
            colour=colours[profile.method], dash=looks[profile.steps].dash,
        )
        for profile in profiles
    ]  # fmt: skip
    svg = profile_svg(lines, list(thresholds), "test error (/ var(y))", "share of runs at or below it")
    names = [(line.colour % COLOURS, line.dash, text.shorten(text.clean(line.name))) for line in lines]
    return {"svg": svg, "names": names, "bands": 'class="band' in svg, "one_each": one_each}


def _shaded_confusion(board: Board) -> dict[str, Any]:
    """The counts of true and measured ranks with their shades, tenths of the row's runs."""
    rows = []
    for true, counts in board.confusion.items():
        total = max(sum(counts.values()), 1)
        cells = [
            {"n": n, "of": total, "shade": round(10 * n / total), "right": str(true) == name}
            for name, n in counts.items()
        ]
        rows.append({"true": str(true), "counts": cells})
    return {"columns": list(next(iter(board.confusion.values()), {})), "rows": rows}
