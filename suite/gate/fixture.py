"""One reference of the pytest fixture on disk, and the runs of somebody's training function beside the yardstick."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leakybench.atomic import write_atomic
from leakybench.errors import UsageError
from leakybench.gate.reference import ROUNDS, measure, shortest
from leakybench.gate.settings import Settings
from leakybench.gate.stored import read_runs, write_runs
from leakybench.gate.verdict import Verdict, not_measured
from leakybench.record import FAILED, Record, label
from leakybench.seeding import check_seed

INDEX, RUNS = "index.json", "runs"
MINE = "gate/Mine-v0"
"""Name of every training function, so that the runs of two versions of it form pairs."""
YARDSTICK = "Yardstick-v0"
SLUG = 60
"""Largest number of readable characters in the name of a reference."""
ASKED = ("test", "call", "task", "seeds", "preset", "threads", "yardstick")


def key_of(file: str, test: str) -> str:
    """Return the folder name of a test: readable, and one to one by a short hash of file name and test id.

    Args:
        file: name of the test file without its folder; the references lie beside it.
        test: id of the test within the file, such as ``TestA::test_b[a/b]``.
    """
    whole = f"{file}::{test}"
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{Path(file).stem}.{test}")[:SLUG].strip("_.-")
    return f"{readable}-{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


@dataclass(frozen=True, kw_only=True)
class Call:
    """What one call of the fixture asks for.

    Attributes:
        folder: of its reference.
        asked: what the reference must have been made for, by the names in ``ASKED``.
    """

    folder: Path
    asked: dict[str, Any]

    def read(self) -> tuple[list[Record], list[str]]:
        """Read the reference; return its runs, and one line for each reason why it cannot be used."""
        path = self.folder / INDEX
        shown = f"reference {self.folder.name}"
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            hashes, made_for = dict(index["records"]), {name: index[name] for name in ASKED}
        except FileNotFoundError:
            lost = self.folder.is_dir()
            reason = f"{shown}: {INDEX} is missing" if lost else f"no reference for {self.folder.name}"
            return [], [f"{reason}: create it with pytest --leakybench-update 'why'"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            return [], [f"{shown}: {INDEX} is damaged: {' '.join(str(error).split())[:200]}"]
        other = [
            f"{shown} is another one: made for {name} {made_for[name]!r}, here {self.asked[name]!r}"
            for name in ASKED
            if made_for[name] != self.asked[name]
        ]
        if other:
            return [], other
        records, problems = read_runs(self.folder / RUNS, hashes)
        return records, [f"{shown}: {problem}" for problem in problems]

    def write(self, records: Sequence[Record], reason: str) -> None:
        """Replace the reference by new runs.

        Raises:
            UsageError: there is no reason, or a run failed.
        """
        if not reason.strip():
            raise UsageError(
                "--leakybench-update requires a reason: one sentence that explains why the reference changes"
            )
        if failed := [record for record in records if record.status in FAILED or record.test_error is None]:
            message = f"seed {failed[0].run.seed}: {failed[0].status} {failed[0].message}".strip()
            raise UsageError(f"{len(failed)} runs failed, so they cannot be a reference: {message}")
        self.folder.mkdir(parents=True, exist_ok=True)
        hashes = write_runs(self.folder / RUNS, records)
        index = {
            **self.asked,
            "reason": reason.strip(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "records": hashes,
        }
        write_atomic(self.folder / INDEX, (json.dumps(index, indent=1, sort_keys=True) + "\n").encode())


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains a function on the seeds of a task, the yardstick before each where times are judged.

    Attributes:
        fit: a baseline.
        task: id of the task.
        seeds: seeds of both task and training.
        preset: preset of the training.
        overrides: settings of the task.
        threads: number of threads of the numerical libraries.
        yardstick: id of the baseline that is timed before each run; None where times are not judged.
    """

    fit: Any
    task: str
    seeds: Sequence[int]
    preset: str
    overrides: dict[str, Any]
    threads: int
    yardstick: str | None

    def __call__(self) -> list[Record]:
        """Compute all runs."""
        import torch  # noqa: F401 - loaded under the limit below it would keep that limit for good

        from leakybench.engines.inline import InlineEngine

        with InlineEngine(threads=self.threads):
            return [record for seed in self.seeds for record in self._of(seed)]

    def _of(self, seed: int) -> list[Record]:
        from leakybench import evaluate, make, make_baseline
        from leakybench.evaluation import device_of

        task = make(self.task, seed=seed, **self.overrides)
        records = []
        if self.yardstick is not None:
            device = device_of(self.fit)
            yardstick = make_baseline(self.yardstick, **({"device": device} if device.startswith("cuda") else {}))
            records.append(evaluate(yardstick, task, seed=seed, preset="smoke"))
        mine = evaluate(self.fit, task, seed=seed, preset=self.preset)
        records.append(
            dataclasses.replace(mine, run=dataclasses.replace(mine.run, baseline=MINE, baseline_overrides={}))
        )
        return records


def check_seeds(seeds: Iterable[Any]) -> tuple[int, ...]:
    """Return seeds as plain numbers.

    Raises:
        UsageError: there are none, one of them is no seed, or one appears twice.
    """
    listed = tuple(int(check_seed(seed)) for seed in seeds)
    if not listed or len(set(listed)) < len(listed):
        raise UsageError(f"seeds of a gate must be at least one, each once, got {list(listed)[:20]!r}")
    return listed


def make_call(folder: Path, file: str, test: str, number: int, trainer: Trainer) -> Call:
    """Return the call of a test by its number, from 1."""
    asked = {
        "test": test,
        "call": number,
        "task": label(trainer.task, trainer.overrides),
        "seeds": list(trainer.seeds),
        "preset": trainer.preset,
        "threads": trainer.threads,
        "yardstick": trainer.yardstick,
    }
    return Call(folder=folder / f"{key_of(file, test)}.{number}", asked=asked)


def check(call: Call, trainer: Callable[[], list[Record]], settings: Settings, *, budget: float) -> Verdict:
    """Judge the runs of a trainer; a reference that cannot be used is reported before it trains."""
    from leakybench.analysis.scores import score_frame

    records, problems = call.read()
    if problems:
        return Verdict(lines=not_measured(problems), pairs=0, rounds=0)
    return measure(score_frame(records), trainer, settings, budget=budget)[0]


def update(call: Call, trainer: Trainer, reason: str, *, budget: float) -> None:
    """Measure the runs of a trainer, as often as the budget allows where times are judged, and store them."""
    start = time.monotonic()
    rounds = [trainer()]
    while (
        trainer.yardstick is not None
        and len(rounds) < ROUNDS
        and (time.monotonic() - start) * (1 + 1 / len(rounds)) <= budget
    ):
        rounds.append(trainer())
    call.write(shortest(rounds), reason)
