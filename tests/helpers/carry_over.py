"""Carry stored runs over to new ids after a change of the code that changes no result.

    python -m tests.helpers.carry_over results/reference/records [FOLDER ..] --before CHECKOUT --work DIR

A sample of the stored runs is computed twice on this machine, by the code in ``CHECKOUT`` (the commit that made the
records, in a folder of its own) and by the present code. All records get the ids of the present code if every pair is
equal to the bit in status, errors, ranks and all that training reports, and to 1e-6 in the measures, whose last digits
depend on where arrays lie in memory. Otherwise nothing is touched. Results are kept in ``DIR``, so that the same
command resumes where it was stopped.

One number may differ: the criticality residual of training under step-sizes that are not uniform, which now weighs
layers by rho. Such records take the value that their own measures give by that definition, and the curve of their
training loses its column.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SAMPLE = 80
SLOW_SECONDS = 60.0
"""Runs whose stored fit took longer are left out of the sample."""
UNEVEN = ("adaptive", "irregular")


def rerun(specs: Path, out: Path) -> None:
    """Compute the runs of a file of JSON lines by the code that this process imports; append results to ``out``."""
    import torch

    present = Path("src", "leakybench").exists()
    code = importlib.import_module("leakybench" if present else "suite")
    assert Path(str(code.__file__)).resolve().is_relative_to(Path.cwd()), f"not the code of this checkout: {code}"
    if not present:  # the layout before there was one namespace, whose entry points are not those installed here
        for package in ("tasks", "baselines"):
            importlib.import_module(package).register()
    torch.set_num_threads(1)
    done = {item["old_id"] for item in _lines(out)}
    for item in _lines(specs):
        if item["run_id"] in done:
            continue
        run, settings = item["run"], dict(item["run"]["task_overrides"])
        task = code.make(run["task"], seed=settings.pop("seed", run["seed"]), **settings)
        baseline = code.make_baseline(run["baseline"], **run["baseline_overrides"])
        record = code.evaluate(baseline, task, seed=run["seed"], preset=run["preset"])
        found = {
            key: value
            for key, value in record.to_dict().items()
            if key not in ("wall_clock", "provenance", "run_id", "run")
        }
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"old_id": item["run_id"], "found": found}) + "\n")
        print(f"{len(done) + 1}: {run['task']} {run['baseline']} {run['baseline_overrides']}", file=sys.stderr)
        done.add(item["run_id"])


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def choose(folders: Iterable[Path], size: int) -> list[dict[str, Any]]:
    """A sample of stored runs, drawn from each baseline and step rule in turn, uneven steps twice as often."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for path in sorted(file for folder in folders for file in folder.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if "run" not in data or float(data["wall_clock"].get("fit") or 0.0) > SLOW_SECONDS:
            continue
        run = data["run"]
        rule = str(run["baseline_overrides"].get("steps"))
        item = {"run_id": data["run_id"], "run": run}
        for _ in range(2 if rule in UNEVEN else 1):
            groups.setdefault((run["baseline"], rule, path.parent.name), []).append(item)
    draw = random.Random(11)
    chosen: dict[str, dict[str, Any]] = {}
    while len(chosen) < size and any(groups.values()):
        for items in groups.values():
            if items and len(chosen) < size:
                item = items.pop(draw.randrange(len(items)))
                chosen[item["run_id"]] = item
    return list(chosen.values())


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what differs between two results of one run, the criticality of training left out."""
    first, second = _plain(before), _plain(after)
    return sorted(name for name in first.keys() | second.keys() if not _equal(name, first.get(name), second.get(name)))


def _equal(name: str, before: Any, after: Any) -> bool:
    if name.startswith(("measures.", "rank_evidence.")):
        if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            return all(_equal(name, a, b) for a, b in zip(before, after, strict=True))
        if isinstance(before, float) and isinstance(after, float):
            # bounds of the theorem are differences of large numbers
            return math.isclose(before, after, rel_tol=1e-6, abs_tol=1e-9)
    return bool(before == after)


def _plain(result: dict[str, Any]) -> dict[str, Any]:
    """Every number of a result by its dotted name, times and the criticality of training left out."""
    found = json.loads(json.dumps(result["found"]))
    training = found.get("training", {})
    training.pop("criticality_residual", None)
    training["curve"] = [point[:2] for point in training.get("curve", ())]
    return {name: value for name, value in _flatten("", found) if not name.rpartition(".")[2].startswith("seconds")}


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flatten(f"{prefix}{key}.", item)
    else:
        yield prefix.rstrip("."), value


def carry(folder: Path, reason: str) -> tuple[int, int]:
    """Give every record of a folder the id of the present code; returns how many changed, and how many had it."""
    from leakybench.atomic import write_atomic
    from leakybench.provenance import source_of
    from leakybench.registry import baselines, tasks
    from leakybench.store import Store, seal

    store = Store(folder, set_aside=False)
    changed = kept = 0
    for record in list(store):
        run = record.run
        task_settings = {key: value for key, value in run.task_overrides.items() if key != "seed"}
        specs = (
            tasks.spec(run.task).with_overrides(task_settings),
            baselines.spec(run.baseline).with_overrides(run.baseline_overrides),
        )
        source = source_of(*specs)
        if source == run.source:
            kept += 1
            continue
        npz = store.path(record.run_id, "npz")
        arrays = npz.read_bytes() if npz.exists() else None
        origin = {**record.provenance, "carried_over": {"run_id": record.run_id, "source": run.source, "why": reason}}
        moved = dataclasses.replace(
            record, run=dataclasses.replace(run, source=source), provenance=origin, training=_training(record)
        )
        if arrays is not None:
            write_atomic(store.path(moved.run_id, "npz"), arrays)
        write_atomic(store.path(moved.run_id), seal(moved, arrays).to_json().encode())
        for kind in ("json", "npz", "log"):
            store.path(record.run_id, kind).unlink(missing_ok=True)
        changed += 1
    if store.problems:
        raise SystemExit(f"{folder}: {store.problems[0]}")
    return changed, kept


def note_in_gate(config: Path, folder: Path, reason: str) -> None:
    """Add the carry-over to the history of a gate's reference."""
    from leakybench.atomic import write_atomic
    from leakybench.provenance import provenance
    from leakybench.store import Store

    records = list(Store(folder, set_aside=False))
    origin = provenance()
    entry = {
        "reason": f"ids carried over: {reason}",
        "created": origin["created"],
        "commit": origin["commit"],
        "sources": sorted({record.run.source for record in records}),
        "runs": len(records),
    }
    content = json.loads(config.read_text(encoding="utf-8"))
    content["history"].append(entry)
    write_atomic(config, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def _training(record: Any) -> dict[str, Any]:
    """The training report with the criticality residual by its present definition."""
    training = dict(record.training)
    if "criticality_residual" not in training or record.run.baseline_overrides.get("steps") not in UNEVEN:
        return training
    training["criticality_residual"] = record.measures.get("criticality")
    training["curve"] = [[*point[:2], None] for point in training.get("curve", ())]
    return training


def main() -> int:
    """Sample, compare, carry over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of records")
    parser.add_argument("--before", type=Path, help="checkout of the code that made them")
    parser.add_argument("--work", type=Path, help="folder for the sample and its results")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="number of runs to compute twice")
    parser.add_argument("--reason", default="", help="why the ids change, kept in each record")
    parser.add_argument("--rerun", nargs=2, type=Path, metavar=("SPECS", "OUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rerun:
        rerun(*args.rerun)
        return 0
    if not (args.folders and args.before and args.work and args.reason):
        parser.error("FOLDER, --before, --work and --reason are needed")
    args.work.mkdir(parents=True, exist_ok=True)
    specs = args.work / "sample.jsonl"
    if not specs.exists():
        specs.write_text("".join(json.dumps(item) + "\n" for item in choose(args.folders, args.sample)))
    results = {}
    for name, place in (("before", args.before), ("after", Path(__file__).resolve().parents[2])):
        out = (args.work / f"{name}.jsonl").resolve()
        path = os.pathsep.join(str(folder.resolve()) for folder in (place / "src", place))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-P", str(Path(__file__).resolve()), "--rerun", str(specs.resolve()), str(out)]
        subprocess.run(command, check=True, cwd=place, env=environment)
        results[name] = {item["old_id"]: item for item in _lines(out)}
    unequal = 0
    for item in _lines(specs):
        found = differences(results["before"][item["run_id"]], results["after"][item["run_id"]])
        unequal += bool(found)
        if found:
            print(f"{item['run_id']} {item['run']['task']} {item['run']['baseline']}: {', '.join(found[:5])}")
    print(f"{len(_lines(specs)) - unequal} of {len(_lines(specs))} runs are equal to the bit")
    if unequal:
        return 1
    for folder in args.folders:
        changed, kept = carry(folder, args.reason)
        if changed and (folder.parent / "gate.json").exists():
            note_in_gate(folder.parent / "gate.json", folder, args.reason)
        print(f"{folder}: {changed} records carried over, {kept} had the present id")
    return 0


if __name__ == "__main__":
    sys.exit(main())
