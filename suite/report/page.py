"""The leaderboard as one HTML file that works offline: no request leaves it, and every name is text."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from suite.errors import UsageError
from suite.leaderboard import Board
from suite.record import Record
from suite.report import board as board_text
from suite.report import text
from suite.report.plots import Point, Profile, pareto_svg, profile_svg
from suite.report.summary import letter
from suite.stats import performance_profile

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).parent
CURVES = {
    "spectra_centred": ("Singular values of A, centred", "layers"),
    "weight_spectra": ("Singular values of W", "steps"),
    "hamiltonian": ("Hamiltonian H", "steps"),
    "stable_hamiltonian": ("Stable Hamiltonian", "steps"),
    "coi": ("Cost of identity", "layers"),
    "criticality": ("Criticality residual", "steps"),
}
"""Arrays that a panel draws along the depth p: title, and whether they live on layers (L + 1) or between them (L)."""
MAX_LINES = 6
"""Lines in one panel: the first singular values, or the norms g0."""

ORDER = ("task", "method", "steps", "seed")
"""How the runs are sorted before anybody asks otherwise."""
NUMBERS = ("hamiltonian_rank", "hamiltonian_cv", "coi_min_1e-2", "coi_min_1e-3", "criticality", "balancedness")
"""Measures that a panel shows as numbers."""

Arrays = Callable[[str], Mapping[str, np.ndarray]]


def render_page(board: Board, records: Mapping[str, Record], arrays: Arrays | None = None, *, title: str = "") -> str:
    """The page as text.

    Args:
        board: of :func:`suite.leaderboard.leaderboard`.
        records: the runs of the board by id, for their panels.
        arrays: gives the arrays of a run, or an empty mapping.
        title: shown at the top.

    Raises:
        UsageError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise UsageError("the HTML page needs jinja2: pip install 'leakybench[page]'") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    script = (HERE / "page.js").read_text(encoding="utf-8")
    style = (HERE / "page.css").read_text(encoding="utf-8")
    machines = sorted(board.runs["machine"].unique())
    letters = {machine: letter(index) for index, machine in enumerate(machines)}
    rows = sorted(board.runs.to_dict("records"), key=lambda row: [text.natural_key(str(row[name])) for name in ORDER])
    runs = [_run_row(row, letters) for row in rows]
    panels = {run_id: _panel(record, arrays) for run_id, record in records.items()}
    return environment.get_template("page.html.j2").render(
        title=title or "leakybench leaderboard",
        board=board,
        sections=_sections(board),
        pareto=_pareto(board),
        profiles=_profiles(board),
        confusion=_confusion(board),
        runs=runs,
        run_heads=RUN_HEADS,
        machines=[(letters[machine], machine) for machine in machines],
        style=style,
        script=script,
        script_hash=_hash(script),
        style_hash=_hash(style),
        data=embed({"panels": panels, "rows": [_packed(run) for run in runs]}),
        policy=_policy_notes(board),
    )


def embed(value: Any) -> str:
    """JSON that is safe inside a script element: no tag can begin or end in it, whatever the names."""
    found = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        found = found.replace(char, f"\\u{ord(char):04x}")
    return found


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


def _board_rows(rows: pd.DataFrame) -> list[list[dict[str, Any]]]:
    found = []
    for row in rows.to_dict("records"):
        keys = [
            row["rank_low"], text.natural_text(row["method"]),
            row["steps"], row["score"],
            None if row["recovered"] is None else row["recovered"] / row["recovered_of"], row["cost"],
            row["criticality"], row["tasks"], row["runs"],
        ]  # fmt: skip
        found.append(_cells(board_text.cells(row), keys))
    return found


def _cells(shown: list[str], keys: list[Any]) -> list[dict[str, Any]]:
    """Text and sort key of each cell; a missing value has the empty key, which sorts last in both directions."""
    return [
        {"text": label, "title": label if len(label) > 60 else "", "shown": text.shorten(label), "key": _key(key)}
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


def _pareto(board: Board) -> str:
    points = [
        Point(
            x=row["cost"], y=row["score"], low=row["score_low"], high=row["score_high"],
            name=" ".join(part for part in (row["method"], row["steps"]) if part != "-"), front=bool(row["pareto"]),
        )
        for row in board.overall.to_dict("records")
        if row["cost"] is not None and row["score"] is not None
    ]  # fmt: skip
    return pareto_svg(points, f"cost ({board.cost_unit})", _error_name(board))


def _error_name(board: Board) -> str:
    return "score: mean of min(test error, 1)" if len(board.tasks) > 1 else "test error (/ var(y))"


def _profiles(board: Board) -> dict[str, Any]:
    """Performance profiles of the first methods of the board that ran all ranked tasks."""
    rows = [row for row in board.overall.to_dict("records") if row["tasks"] == len(board.tasks)][:MAX_LINES]
    counted = board.runs[board.runs["counted"] & board.runs["task"].isin(board.tasks) & (board.runs["score"] > 0)]
    if not rows or counted.empty:
        return {"svg": "", "names": []}
    ends = counted["score"].min(), max(counted["score"].max(), 1.0)
    thresholds = np.geomspace(*ends, 120)
    found = []
    for row in rows:
        mine = counted[(counted["method"] == row["method"]) & (counted["steps"] == row["steps"])]
        if mine.empty:
            continue
        scores = [part["score"].to_numpy() for _, part in mine.groupby("task")]
        share, low, high = performance_profile(scores, thresholds)
        name = " ".join(part for part in (row["method"], row["steps"]) if part != "-")
        found.append(Profile(name=name, share=list(share), low=list(low), high=list(high)))
    svg = profile_svg(found, list(thresholds), "test error (/ var(y))", "share of runs at or below it")
    return {"svg": svg, "names": [text.shorten(text.clean(profile.name)) for profile in found]}


def _confusion(board: Board) -> dict[str, Any]:
    table = board.confusion
    largest = max(int(table.to_numpy().max()), 1) if not table.empty else 1
    rows = [
        {
            "true": str(true),
            "counts": [
                {"n": int(n), "shade": round(10 * int(n) / largest), "right": str(true) == name}
                for name, n in row.items()
            ],
        }
        for true, row in table.to_dict("index").items()
    ]
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
        *((name.replace("_", " "), _fact(record.measures.get(name))) for name in NUMBERS),
        *((f"{name}, s", _fact(record.wall_clock.get(name))) for name in ("setup", "fit", "evaluation", "measures")),
        ("threads", record.wall_clock.get("threads")), ("source", run.source),
        *((name, origin.get(name)) for name in (
            "commit", "created", "processor", "cores", "system", "python", "torch", "numpy",
        )),
    ]  # fmt: skip
    shown = [[name, text.clean(value)] for name, value in facts if value not in (None, "")]
    return {"facts": shown, "curves": _curves(arrays(record.run_id)) if arrays is not None else []}


def _fact(value: Any) -> str | None:
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else None


def _curves(found: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    positions = found.get("positions")
    if positions is None or positions.ndim != 1 or len(positions) < 2:
        return []
    middles = (positions[1:] + positions[:-1]) / 2
    g0 = [f"g0 = {value:g}" for value in np.ravel(found.get("g0", np.array([])))]
    curves = []
    for name, (title, _) in CURVES.items():
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
                "log": bool("spectra" in name or name == "criticality"),
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
