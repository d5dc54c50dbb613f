"""The leaderboard as one HTML file that works offline: no request leaves it, and every name is text."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leakybench.analysis.leaderboard import Board
from leakybench.analysis.summary import letter
from leakybench.errors import UsageError
from leakybench.record import Record
from leakybench.report import leaderboard as board_text
from leakybench.report import text
from leakybench.report.plots import (
    COLOURS,
    DASHES,
    SHAPES,
    Point,
    Profile,
    marker,
    pareto_svg,
    profile_svg,
)
from leakybench.specs import natural_key
from leakybench.stats import performance_profile

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).parent
CURVES = {
    "spectra_centred": ("Singular values of A, centred", True),
    "weight_spectra": ("Singular values of W", True),
    "hamiltonian": ("Hamiltonian H", False),
    "stable_hamiltonian": ("Stable Hamiltonian", False),
    "coi": ("Cost of identity", True),
    "criticality": ("Criticality residual", True),
}
"""Arrays that a panel draws along the depth p: title, and whether its axis is logarithmic."""
MIN_ERROR = 1e-4
"""Left end of the axis of the performance profiles, at the least."""
MAX_LINES = 6
"""Lines in one panel: the first singular values, or the norms g0."""

ORDER = ("task", "method", "steps", "seed")
"""How the runs are sorted before anybody asks otherwise."""
NUMBERS = {
    "hamiltonian_rank": "rank by -2H/Lt", "hamiltonian_cv": "variation of H (relative)",
    "coi_min_1e-2": "least cost of identity, g0 = 0.01", "coi_min_1e-3": "least cost of identity, g0 = 0.001",
    "criticality": "criticality residual", "balancedness": "violation of balancedness",
}  # fmt: skip
"""Measures that a panel shows as numbers."""

NONE = "\u2013"
"""What a cell without a value shows: an en dash, which is not mistaken for a minus."""

Arrays = Callable[[str], Mapping[str, np.ndarray]]


def render_page(board: Board, records: Mapping[str, Record], arrays: Arrays | None = None, *, title: str = "") -> str:
    """The page as text.

    Args:
        board: of :func:`leakybench.analysis.leaderboard.leaderboard`.
        records: the runs of the board by id, for their panels.
        arrays: gives the arrays of a run, or an empty mapping.
        title: shown at the top.

    Raises:
        UsageError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise UsageError("the HTML page needs jinja2: pip install '.[page]' in the checkout of leakybench") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    script = (HERE / "page.js").read_text(encoding="utf-8")
    style = (HERE / "page.css").read_text(encoding="utf-8")
    machines = sorted(board.runs["machine"].unique())
    letters = {machine: letter(index) for index, machine in enumerate(machines)}
    rows = sorted(board.runs.to_dict("records"), key=lambda row: [natural_key(str(row[name])) for name in ORDER])
    runs = [_run_row(row, letters) for row in rows]
    looks = _looks(board)
    panels = {run_id: _panel(record, arrays) for run_id, record in records.items()}
    return environment.get_template("page.html.j2").render(
        title=title or "leakybench leaderboard",
        board=board,
        sections=_sections(board),
        pareto=_pareto(board, looks),
        profiles=_profiles(board, looks),
        confusion=_confusion(board),
        runs=runs,
        run_heads=RUN_HEADS,
        machines=[(letters[machine], machine) for machine in machines],
        style=style,
        script=script,
        script_hash=_hash(script),
        style_hash=_hash(style),
        data=embed({"rows": [_packed(run) for run in runs], "boards": _origins(board)}),
        panels=compress_json(panels),
        policy=_policy_notes(board),
    )


def embed(value: Any) -> str:
    """JSON that is safe inside a script element: no tag can begin or end in it, whatever the names."""
    found = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        found = found.replace(char, f"\\u{ord(char):04x}")
    return found


def compress_json(value: Any) -> str:
    """Compressed JSON in base64, whose letters end no element; the same bytes for the same value.

    The panels of a thousand runs are most of a page, and a reader opens a few of them: the script unpacks them at the
    first.
    """
    found = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(found.encode(), mtime=0)).decode()


def _hash(content: str) -> str:
    """The hash by which the page's own policy allows its script or style, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _policy_notes(board: Board) -> list[str]:
    return [
        "Place counts the methods shown to be better, plus one; '=' marks a tie, and the interval in brackets holds "
        "all true ranks at once with 95%.",
        "P beside a cost: no other method is both better and cheaper.",
        "Test error is the mean squared error over the variance of the targets: predicting the mean scores 1.",
        *(note[:1].upper() + note[1:] for note in board.notes),
    ]


def _sections(board: Board) -> list[dict[str, Any]]:
    return [
        {"name": title, "heads": board_text.columns(board, tasks=count), "rows": _board_rows(rows)}
        for title, count, rows in board_text.sections(board)
    ]


def _origins(board: Board) -> list[list[dict[str, Any]]]:
    """For each row of each table: its name, where its runs come from, and the words that find them."""
    return [[_origin(title, row) for row in rows.to_dict("records")] for title, _, rows in board_text.sections(board)]


def _origin(title: str, row: dict[Any, Any]) -> dict[str, Any]:
    name = _named(row)
    facts = [
        ("runs", text.count_text(row["status"])), ("seeds", ", ".join(map(str, row["seeds"]))),
        ("source", ", ".join(row["sources"])), ("commit", ", ".join(row["commits"])),
        ("created", " to ".join(sorted(set(row["created"])))), ("machine", "; ".join(row["machine"])),
        ("threads", ", ".join(map(str, row["threads"]))),
    ]  # fmt: skip
    words = [row["method"], *([row["steps"]] if row["steps"] != text.MISSING else []), *filter(None, [row.get("task")])]
    return {
        "name": text.clean(f"{name}: {title}"),
        "facts": [[key, text.clean(value)] for key, value in facts if value],
        "words": text.clean(" ".join(map(str, words))),
    }


def _named(row: dict[Any, Any]) -> str:
    return " ".join(str(part) for part in (row["method"], row["steps"]) if part != text.MISSING)


def _board_rows(rows: pd.DataFrame) -> list[list[dict[str, Any]]]:
    found = []
    for row in rows.to_dict("records"):
        whole = row["score"] is not None  # a share of the tasks that a method happened to run sorts behind
        keys = [
            row["rank_low"], text.natural_text(row["method"]),
            row["steps"], row["score"],
            row["recovered"] / row["recovered_of"] if whole and row["recovered"] is not None else None, row["cost"],
            row["criticality"], row["tasks"], row["runs"],
        ]  # fmt: skip
        found.append(_cells(board_text.cells(row), keys))
    return found


def _cells(shown: list[str], keys: list[Any]) -> list[dict[str, Any]]:
    """Text and sort key of each cell; a missing value has the empty key, which sorts last in both directions."""
    return [
        {
            "title": label if len(label) > 60 else "",
            "shown": NONE if label == text.MISSING else text.shorten(label),
            "key": _key(key),
        }
        for label, key in zip(shown, keys, strict=True)
    ]


def _key(value: Any) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    return repr(float(value)) if isinstance(value, int | float | np.number) else str(value)


RUN_HEADS = (
    ("task", ""), ("baseline", ""), ("steps", ""), ("seed", ""), ("status", ""), ("test error", "/ var(y)"),
    ("rank", ""), ("true", "rank"), ("fit", "s"), ("threads", ""), ("machine", ""), ("run", ""),
)  # fmt: skip


def _run_row(row: dict[Any, Any], letters: Mapping[str, str]) -> dict[str, Any]:
    rank, truth = (None if _missing(row[name]) else int(row[name]) for name in ("bottleneck_rank", "true_rank"))
    threads = None if _missing(row["threads"]) else int(row["threads"])
    shown = [
        text.clean(row["task"]), text.clean(row["method"]), text.clean(row["steps"]), str(row["seed"]), row["status"],
        text.error_text(row["score"]) + "*" * bool(row["imputed"]),
        text.MISSING if rank is None else str(rank), text.MISSING if truth is None else str(truth),
        text.seconds_text(row["fit_seconds"]), text.MISSING if threads is None else str(threads),
        letters[row["machine"]], row["run_id"][:8],
    ]  # fmt: skip
    keys = [
        text.natural_text(row["task"]), text.natural_text(row["method"]), row["steps"], row["seed"], row["status"],
        row["score"], rank, truth, row["fit_seconds"], threads, letters[row["machine"]], row["run_id"],
    ]  # fmt: skip
    return {"id": row["run_id"], "status": row["status"], "cells": _cells(shown, keys)}


def _packed(run: dict[str, Any]) -> list[Any]:
    """A row for the script: id, status, what is shown, sort keys, and full names by column where they are shortened."""
    cells = run["cells"]
    titles = {index: cell["title"] for index, cell in enumerate(cells) if cell["title"]}
    return [run["id"], run["status"], [cell["shown"] for cell in cells], [cell["key"] for cell in cells], titles]


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or bool(pd.isna(value))


def _looks(board: Board) -> dict[str, int]:
    """The colour of each baseline, in the order of the board."""
    methods = [*board.overall["method"], *board.runs["method"]]
    return {method: index for index, method in enumerate(dict.fromkeys(map(str, methods)))}


def _pareto(board: Board, looks: Mapping[str, int]) -> dict[str, Any]:
    """The plot of error against cost, and its legend: colours of baselines and markers of step rules."""
    rows = [row for row in board.overall.to_dict("records") if row["cost"] is not None and row["score"] is not None]
    points = [
        Point(
            x=row["cost"], y=row["score"], low=row["score_low"], high=row["score_high"], name=_named(row),
            front=bool(row["pareto"]), colour=looks[row["method"]], shape=SHAPES.get(row["steps"], "circle"),
        )
        for row in rows
    ]  # fmt: skip
    y_name = "score: mean of min(test error, 1)" if len(board.tasks) > 1 else "test error (/ var(y))"
    colours = dict.fromkeys(row["method"] for row in rows)
    rules = [rule for rule in SHAPES if rule != text.MISSING and any(row["steps"] == rule for row in rows)]
    return {
        "svg": pareto_svg(points, f"cost ({board.cost_unit})", y_name),
        "colours": [(looks[name] % COLOURS, text.shorten(text.clean(name))) for name in colours],
        "shapes": [(marker(SHAPES[rule], 8, 6, 4), f"{rule} steps") for rule in rules],
    }


def _profiles(board: Board, looks: Mapping[str, int]) -> dict[str, Any]:
    """Performance profiles of the methods of the board that ran all ranked tasks."""
    rows = [row for row in board.overall.to_dict("records") if row["score"] is not None]
    counted = board.runs[board.runs["counted"] & board.runs["task"].isin(board.tasks) & (board.runs["score"] > 0)]
    if not rows or counted.empty:
        return {"svg": "", "names": []}
    # errors below the axis count from its left end on: one exact method would squeeze all others to the right
    ends = max(counted["score"].min(), MIN_ERROR), max(counted["score"].max(), 1.0)
    thresholds = np.geomspace(*ends, 120)
    found = []
    for row in rows:
        mine = counted[(counted["method"] == row["method"]) & (counted["steps"] == row["steps"])]
        if mine.empty:
            continue
        scores = [part["score"].to_numpy() for _, part in mine.groupby("task")]
        share, low, high = performance_profile(scores, thresholds)
        found.append(
            Profile(
                name=_named(row), share=list(share), low=list(low), high=list(high), colour=looks[row["method"]],
                dash=DASHES.get(row["steps"], ""),
            )
        )  # fmt: skip
    svg = profile_svg(found, list(thresholds), "test error (/ var(y))", "share of runs at or below it")
    names = [(p.colour % COLOURS, p.dash, text.shorten(text.clean(p.name))) for p in found]
    return {"svg": svg, "names": names, "bands": 'class="band' in svg}


def _confusion(board: Board) -> dict[str, Any]:
    table = board.confusion
    rows = []
    for true, row in table.to_dict("index").items():
        total = max(sum(row.values()), 1)
        counts = [
            {"n": int(n), "of": int(total), "shade": round(10 * int(n) / total), "right": str(true) == name}
            for name, n in row.items()
        ]
        rows.append({"true": str(true), "counts": counts})
    return {"columns": [str(name) for name in table.columns], "rows": rows}


def _panel(record: Record, arrays: Arrays | None) -> dict[str, Any]:
    """What the panel of a run shows: facts as text, curves as numbers with 3 significant digits."""
    run, origin = record.run, record.provenance
    facts = [
        ("run", record.run_id), ("task", run.task_label), ("baseline", run.baseline_label), ("seed", run.seed),
        ("preset", run.preset), ("status", record.status), ("message", record.message),
        ("test error", _fact(record.test_error)), ("training error", _fact(record.train_error)),
        ("bottleneck rank", record.bottleneck_rank), ("true rank", record.true_rank),
        ("rank evidence", record.rank_evidence.get("reason") or record.rank_evidence.get("estimator")),
        ("rank by each estimator", _estimates(record.rank_evidence.get("estimators"))),
        *((label, _fact(record.measures.get(name))) for name, label in NUMBERS.items()),
        *((f"{name}, s", _fact(record.wall_clock.get(name))) for name in ("setup", "fit", "evaluation", "measures")),
        ("threads", record.wall_clock.get("threads")), ("source", run.source),
        *((name, origin.get(name)) for name in (
            "commit", "created", "processor", "cores", "system", "python", "torch", "numpy",
        )),
    ]  # fmt: skip
    shown = [[name, text.clean(value)] for name, value in facts if value not in (None, "")]
    return {"facts": shown, "curves": _curves(arrays(record.run_id), record.true_rank) if arrays is not None else []}


def _estimates(found: Any) -> str:
    """``function jacobian 3, plain spectrum 4, ..``"""
    if not isinstance(found, Mapping):
        return ""
    ranks = {name: one.get("rank") for name, one in found.items() if isinstance(one, Mapping)}
    return ", ".join(f"{str(name).replace('_', ' ')} {rank}" for name, rank in ranks.items() if rank is not None)


def _fact(value: Any) -> str | None:
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else None


def _curves(found: Mapping[str, np.ndarray], true_rank: int | None) -> list[dict[str, Any]]:
    positions = found.get("positions")
    if positions is None or positions.ndim != 1 or len(positions) < 2:
        return []
    middles = (positions[1:] + positions[:-1]) / 2
    g0 = [f"g0 = {value:g}" for value in np.ravel(found.get("g0", np.array([])))]
    curves = []
    for name, (title, logarithmic) in CURVES.items():
        if name not in found:
            continue
        values = np.asarray(found[name], dtype=float)
        depth = [axis for axis, size in enumerate(values.shape) if size in (len(positions), len(middles))]
        if values.ndim not in (1, 2) or not depth:
            continue
        # spectra have depth first, profiles at several g0 have it last
        along = depth[0] if "spectra" in name else depth[-1]
        lines = np.moveaxis(values, along, -1).reshape(-1, values.shape[along])[:MAX_LINES]
        places = positions if lines.shape[1] == len(positions) else middles
        labels = g0 if len(g0) == len(lines) and "spectra" not in name else [str(i + 1) for i in range(len(lines))]
        curves.append(
            {
                "title": title,
                "log": logarithmic,
                "mark": true_rank if name == "coi" else None,
                "x": [_short(x) for x in places],
                "lines": [
                    {"label": label, "y": [_short(y) for y in line]} for label, line in zip(labels, lines, strict=True)
                ],
            }
        )
    return curves


def _short(value: float) -> float | None:
    """Three significant digits: what a curve on a screen shows, in a third of the bytes."""
    return float(f"{value:.3g}") if np.isfinite(value) else None
