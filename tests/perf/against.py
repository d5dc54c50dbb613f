"""The engine of this checkout against that of another commit: fits in pairs, in turn, on this machine.

    python -m tests.perf.ratios against COMMIT [--study speed|small] [--preset P] [--seeds 0:10] [--out FILE]

The commit is checked out in a worktree of its own. ``speed`` fits LowRank-k3-v0 under three families, three step rules
and effective depths 1, 3, 7 and 15. ``small`` fits three tasks at few samples, where the minimum that is found decides
on the test error: objectives within 2% of each other may differ by factors there. Pairs are appended to FILE, and those
that are there already are not fitted again.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tabulate import tabulate

from leakybench.baseline import check_preset
from leakybench.errors import UsageError
from leakybench.sweeps.grid import parse_seeds

ROOT = Path(__file__).resolve().parents[2]
SIDES = ("before", "now")

FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("ResNet-v0", {}),
    *(("LeakyResNet-v0", {"effective_depth": depth}) for depth in (1.0, 3.0, 7.0, 15.0)),
    ("FullyConnected-v0", {}),
]
RULES = ("uniform", "irregular", "adaptive")
SMALL_FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("ResNet-v0", {}),
    *(("LeakyResNet-v0", {"effective_depth": depth}) for depth in (3.0, 7.0, 12.0, 18.0)),
    ("FullyConnected-v0", {}),
]
SMALL_TASKS = (("Staircase-k3-v0", 300), ("Curved-k2-v0", 100), ("LowRank-k10-v0", 300))


def jobs(study: str, preset: str, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The fits of a study."""
    if study == "speed":
        for seed, rule, (baseline, settings) in itertools.product(seeds, RULES, FAMILIES):
            yield _job("LowRank-k3-v0", {}, baseline, {**settings, "steps": rule}, seed, preset)
    else:
        for seed, (task, n), (baseline, settings) in itertools.product(seeds, SMALL_TASKS, SMALL_FAMILIES):
            yield _job(task, {"n_train": n}, baseline, settings, seed, preset)


def _job(
    task: str, task_settings: dict[str, Any], baseline: str, settings: dict[str, Any], seed: int, preset: str
) -> dict[str, Any]:
    return {
        "task": task, "task_settings": task_settings, "baseline": baseline, "settings": settings,
        "seed": seed, "preset": preset,
    }  # fmt: skip


class Worker:
    """A process that fits with the package of one checkout."""

    def __init__(self, checkout: Path) -> None:
        paths = [str(checkout / "src"), str(checkout)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        script = ROOT / "tests" / "perf" / "fit_worker.py"
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script)], cwd=checkout, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def fit(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Fit, and return what the worker measured."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """A checkout of a commit in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkout"
        add = ["git", "worktree", "add", "--detach", str(path), commit]
        done = subprocess.run(add, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise UsageError(f"cannot check out {commit!r}: {done.stderr.strip().splitlines()[-1]}")
        try:
            yield path
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(path)], cwd=ROOT, check=True)


def load(path: Path | None) -> dict[str, dict[str, Any]]:
    """The pairs of a file by job; none where there is no file."""
    if path is None or not path.exists():
        return {}
    return {_key(pair["job"]): pair for pair in map(json.loads, path.read_text().splitlines())}


def run(commit: str, wanted: Sequence[dict[str, Any]], out: Path, earlier: Path | None) -> list[dict[str, Any]]:
    """Fit what ``out`` does not hold yet, and return all pairs of ``wanted``.

    ``earlier`` is another file of pairs with the same commit, whose fits of that commit are taken over, times included.
    """
    done, known = load(out), load(earlier)
    missing = [job for job in wanted if _key(job) not in done]
    if missing:
        with worktree(commit) as before, out.open("a") as file:
            workers = {"before": Worker(before), "now": Worker(ROOT)}
            warm = {**missing[0], "preset": "smoke"}
            for worker in workers.values():
                worker.fit(warm)
            for number, job in enumerate(missing):
                order = SIDES if number % 2 == 0 else SIDES[::-1]
                pair: dict[str, Any] = {"job": job}
                if _key(job) in known:
                    pair["before"] = known[_key(job)]["before"]
                pair |= {side: workers[side].fit(job) for side in order if side not in pair}
                file.write(json.dumps(pair) + "\n")
                file.flush()
                done[_key(job)] = pair
                print(f"\r{number + 1} of {len(missing)} pairs", end="", file=sys.stderr, flush=True)
            for worker in workers.values():
                worker.close()
        print(file=sys.stderr)
    return [done[_key(job)] for job in wanted]


def _key(job: Mapping[str, Any]) -> str:
    return json.dumps(job, sort_keys=True)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half width of its 95% interval by Student's t."""
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def table(pairs: Sequence[Mapping[str, Any]]) -> str:
    """A row a cell, its seeds summed up; then a row for each family, each step rule, and over all."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for level in (_cell, _family, _rule, lambda job: "all"):
        for pair in pairs:
            if name := level(pair["job"]):
                groups.setdefault(name, []).append(pair)
    headers = [
        "pairs of", "number", "before, s", "now, s", "times faster", "from", "to", "evaluations before", "now",
        "objective, %, median", "worst", "criticality before", "now", "error before", "now", "difference", "+-",
        "rank right before", "now",
    ]  # fmt: skip
    return tabulate([_row(name, chosen) for name, chosen in groups.items()], headers=headers, floatfmt=".4g")


def _cell(job: Mapping[str, Any]) -> str:
    size = f" N {n}" if (n := job["task_settings"].get("n_train")) else ""
    return f"{job['task']}{size} {_family(job)} {_rule(job)}"


def _family(job: Mapping[str, Any]) -> str:
    depth = job["settings"].get("effective_depth")
    return str(job["baseline"]) if depth is None else f"{job['baseline']} Lt {depth:g}"


def _rule(job: Mapping[str, Any]) -> str:
    return str(job["settings"].get("steps", ""))


def _row(name: str, pairs: Sequence[Mapping[str, Any]]) -> list[object]:
    usable = [pair for pair in pairs if all(pair[side]["objective"] is not None for side in SIDES)]

    def values(key: str) -> list[np.ndarray]:
        return [np.array([pair[side][key] for pair in usable], dtype=float) for side in SIDES]

    names = ("seconds", "evaluations", "objective", "criticality", "test_error")
    seconds, evaluations, objectives, critical, errors = map(values, names)
    speed, half = interval(np.log(seconds[0] / seconds[1]))
    change = 100.0 * (objectives[1] / objectives[0] - 1.0)
    right = [sum(pair[side]["right"] for pair in pairs) for side in SIDES]
    return [
        name, len(pairs), *(np.median(side) for side in seconds), *np.exp([speed, speed - half, speed + half]),
        *(side.mean() for side in evaluations), np.median(change), change.max(),
        *(np.median(side) for side in critical), *(side.mean() for side in errors),
        *interval(errors[1] - errors[0]), *right,
    ]  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("commit", help="of the engine to compare with")
    parser.add_argument("--study", choices=["speed", "small"], default="speed", help="what to fit (speed)")
    parser.add_argument("--preset", default="standard", help="of the fits (standard)")
    parser.add_argument("--seeds", default="0:10", metavar="A:B", help="as of leakybench run (0:10)")
    parser.add_argument("--rules", default="", help="only these step rules, by comma")
    parser.add_argument("--before", type=Path, metavar="FILE", help="pairs whose fits of COMMIT are taken over")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keeps the pairs (a file of the temporary folder)")


def main(parsed: argparse.Namespace) -> None:
    """Fit the pairs and print their table."""
    wanted = list(jobs(parsed.study, check_preset(parsed.preset), parse_seeds(parsed.seeds)))
    if parsed.rules:
        wanted = [job for job in wanted if job["settings"].get("steps") in parsed.rules.split(",")]
    out = parsed.out or Path(tempfile.gettempdir()) / f"against-{parsed.commit}-{parsed.study}-{parsed.preset}.jsonl"
    print(table(run(parsed.commit, wanted, out, parsed.before)), flush=True)
    print(f"\npairs: {out}")
