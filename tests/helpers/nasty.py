"""A results folder with a nasty text in every field that holds one, written past the checks of the store."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from leakybench.record import RunSpec
from leakybench.specs import digest
from tests.helpers.fabricate import record
from tests.helpers.hostile import TEXTS

FORGED = "x\n| forged | row |\r\nnote: forged\n\\input forged"
"""A text with lines that would forge a row, a note and a command."""
NASTY = (
    *TEXTS, FORGED, "\udc80\udcff", "\x9b31m", "\x85", "\u061c\u200e\u200f", "\u200b\ufeff\u2060", "\U000e0041",
    "=cmd|' /C calc'!A0", " =1", "\t=1", "\r=1", "\uff1d1", "@octocat #1 octo/cat#2", "[a](http://e)",
    "`a` **b** ~~c~~",
    "$x$", "&lt;b&gt;", "a|b\\|c", "<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "{{ 7*7 }}",
    "% & _ ^ { } ~ \\ #", "\\end{tabular}\\input{/etc/passwd}", "\"' x=y", "]]>", "<!-- -->", "9" * 6000,
)  # fmt: skip
TASKS = ("LowRank-k3-v0", "Linear-k3-v0")
FEW = (
    FORGED,
    "\x1b[31mred",
    "\x9b31m",
    "\u202egnp.exe",
    "=1+1",
    "\t=1",
    "@octocat #1",
    "</script><b>a|b",
    "\\input{x}",
    "\r-1",
)
"""One text of each kind, for quick tests."""


def raw_record(run: RunSpec, fields: dict[str, Any], *, fits: bool = True) -> bytes:
    """The JSON of a record with any values, its hash made to fit its content or not."""
    whole = record(run.task, run.baseline, run.seed).to_dict()
    data = {**whole, **fields, "run": run.to_dict(), "run_id": run.run_id}
    seal = digest(data, length=64) if fits else "0" * 64
    data["provenance"] = {**data["provenance"], "integrity": {"record": seal, "arrays": None}}
    return json.dumps(data).encode()


def nasty_folder(folder: Path, texts: Sequence[str] = FEW, *, methods: int = 4, seeds: int = 2) -> Path:
    """Write runs of ``methods`` baselines on two tasks, with the texts in turn in every field that holds one."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, (t, method, seed) in enumerate(itertools.product(range(len(TASKS)), range(methods), range(seeds))):
        own = [texts[(4 * method + step) % len(texts)] for step in range(4)]
        words = [texts[(place + step) % len(texts)] for step in range(16)]
        run = RunSpec(
            task=TASKS[t], baseline=f"x/Method{method}-v0", seed=seed, preset="smoke", source=words[0] or "0",
            task_overrides={"tag": texts[t], texts[t + 1]: texts[t + 2]},
            baseline_overrides={"init": own[0], "steps": own[1], own[2]: own[3]},
        )  # fmt: skip
        write(folder, run, nasty_fields(words[1:], "error" if place % 7 == 6 else "ok"))
        (folder / f"{run.run_id}.log").write_bytes(words[0].encode("utf-8", "replace"))
    return folder


def nasty_fields(words: Sequence[str], status: str = "ok") -> dict[str, Any]:
    """The fields of a record that hold text, each with another of the words."""
    names = iter(words)
    return {
        "status": status,
        "message": next(names),
        "rank_evidence": {"reason": next(names), "estimator": next(names), "estimators": {next(names): {"rank": 3}}},
        "wall_clock": {"fit": 1.0, "total": 1.5, "threads": 1, "device": next(names) or "cpu"},
        "training": {next(names): next(names), "criticality_residual": 0.5, "nested": {next(names): [next(names)]}},
        "measures": {next(names): 1.0},
        "provenance": {
            "processor": next(names), "system": next(names), "commit": next(names), "cores": 2,
            next(names): next(names),
        },
    }  # fmt: skip


def write(folder: Path, run: RunSpec, fields: dict[str, Any], **options: Any) -> None:
    """Write a raw record into a folder."""
    (folder / f"{run.run_id}.json").write_bytes(raw_record(run, fields, **options))


def unprintable(text: str, allowed: str = "\n") -> Iterable[str]:
    """The characters of an output that a terminal would obey, hide or fail to encode."""
    return sorted({char for char in text if not char.isprintable() and char not in allowed})
