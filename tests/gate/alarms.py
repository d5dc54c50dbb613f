"""How often the gate is right: unchanged code, and each planted fault, 20 times each, on five sets of seeds in turn.

    python -m tests.gate.alarms [FOLDER] [--repetitions 20] [--only NAME]

prints the verdicts of each as counts. It works on a copy of the packages with networks so small that a check takes
seconds, and goes on where it was stopped if it is given the same FOLDER. A machine that does other work at the same
time is a harder trial, since times are judged too. It ends with exit code 1 where unchanged code was not ``same``, or a
fault was.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from tests.helpers.planted_faults import FAULTS, Planted, drive, make_copy, slower

UNCHANGED = "unchanged code"
CASES = {UNCHANGED: None, **FAULTS, "a step made 50% slower": slower(0.5)}
VERDICTS = ("regressed", "improved", "undecided", "not measured", "same")
BUDGET = 30
"""Seconds of each check after which an undecided time stays undecided."""
PLAN = """
preset = "smoke"
seeds = "{first}:{last}"
task = "Linear-k3-v0"
baseline = "LeakyResNet-v0"
steps = "adaptive"
set = {{ width = 12, depth = 6, effective_depth = 4.0 }}
set-task = {{ n_train = 100, n_test = 40, d = 10 }}
"""
SETS = 5
"""References, each of 10 seeds of its own; the checks of a case take them in turn."""
DRIVER = """
import json
import sys
from pathlib import Path
import leakybench
from leakybench.engines.inline import InlineEngine
from leakybench.gate import reference as gate

leakybench.register_baseline("bench/Yardstick-v0", entry_point="yardstick:Yardstick")


def measure(jobs):
    # in this process, whose start would otherwise be most of a check
    with InlineEngine(threads=1) as engine:
        return [outcome.record for outcome in engine.map(iter(jobs))]


command, budget, *folders = sys.argv[1:]
measure(gate.gate_jobs(Path(folders[0]) / "plan.toml", "bench/Yardstick-v0")[:6])  # imports and first calls
for folder in map(Path, folders):
    if command == "update":
        gate.update(folder, "first", plan=folder / "plan.toml", yardstick="bench/Yardstick-v0", runner=measure)
        continue
    verdict, _ = gate.check(gate.load_gate(folder), measure, budget=float(budget))
    bad = [f"{line.kind}: {line.text}" for line in verdict.lines if line.kind != "same"]
    print(json.dumps({"folder": folder.name, "kind": verdict.kind, "rounds": verdict.rounds, "bad": bad}), flush=True)
"""


def prepare(folder: Path) -> list[Path]:
    """Make the copy and the references that it lacks; return the references."""
    if not (folder / "drive.py").exists():
        folder.mkdir(parents=True, exist_ok=True)
        make_copy(folder, DRIVER, steps=30)
    references = [folder / f"reference-{number}" for number in range(SETS)]
    for number, path in enumerate(references):
        path.mkdir(exist_ok=True)
        (path / "plan.toml").write_text(PLAN.format(first=10 * number, last=10 * number + 10))
    if missing := [path for path in references if not (path / "gate" / "gate.json").exists()]:
        _run(folder, "update", missing)
    return references


def study(folder: Path, name: str, references: list[Path], repetitions: int) -> list[dict]:
    """The verdicts of one case; those of an earlier call are not computed again."""
    stored = folder / f"{name.replace(' ', '-').replace('%', '')}.jsonl"
    done = len(stored.read_text().splitlines()) if stored.exists() else 0
    if done < repetitions:
        wanted = [references[number % SETS] for number in range(done, repetitions)]
        fault = CASES[name]
        with Planted(folder, fault) if fault else nullcontext():
            text = _run(folder, "check", wanted)
        with stored.open("a") as file:
            file.write(text)
    return [json.loads(line) for line in stored.read_text().splitlines()[:repetitions]]


def _run(folder: Path, command: str, references: list[Path]) -> str:
    done = drive(folder, command, str(BUDGET), *map(str, references), timeout=7200)
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    """Print the counts; return 1 where unchanged code was not the same, or a fault was."""
    parser = argparse.ArgumentParser(description="Count false alarms and caught faults of the gate.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder to work in; kept, and gone on with")
    parser.add_argument("--repetitions", type=int, default=20, help="checks of each case (default: 20)")
    parser.add_argument("--only", choices=list(CASES), help="one case")
    args = parser.parse_args(arguments)
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        references = prepare(folder)
        print(f"| {args.repetitions} checks each | {' | '.join(VERDICTS)} | measured, on average |", flush=True)
        print("|---" * (len(VERDICTS) + 2) + "|")
        for name in [args.only] if args.only else CASES:
            rows = study(folder, name, references, args.repetitions)
            counts = Counter(row["kind"] for row in rows)
            wrong += counts["same"] if name != UNCHANGED else len(rows) - counts["same"]
            rounds = sum(row["rounds"] for row in rows) / len(rows)
            print(f"| {name} | {' | '.join(str(counts[kind]) for kind in VERDICTS)} | {rounds:.1f} |", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
