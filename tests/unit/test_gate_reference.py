"""The reference of a gate: nothing is judged, and nothing is trained, unless every file of it is what was written."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from leakybench.cli import main
from leakybench.gate import reference as gate
from leakybench.store import Store
from tests.helpers.fabricate import record

SEEDS = 5
PLAN = f'preset = "smoke"\nseeds = "0:{SEEDS}"\ntask = "LowRank-k3-v0"\nbaseline = "Ridge-v0"\n'


def measure(jobs, error=0.3):
    return [
        dataclasses.replace(record(job.run.task, job.run.baseline, job.run.seed, error=error, rank=3), run=job.run)
        for job in jobs
    ]


def refuse(jobs):
    raise AssertionError("nothing may be trained before the reference is known to be complete")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    (folder / "plan.toml").write_text(PLAN)
    gate.update(folder, "first", plan=folder / "plan.toml", runner=measure)
    return folder


@pytest.fixture
def reference(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def runs_of(reference):
    return sorted((reference / "gate" / "runs").glob("*.json"))


def merge_markers(path):
    text = path.read_text()
    path.write_text(f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> branch\n")


def change(path):
    path.write_text(path.read_text().replace('"test_error": 0.3', '"test_error": 0.4'))


def rewrite(path):
    """A record whose own hash fits, and that is not the one that was written."""
    store = Store(path.parent)
    store.write(dataclasses.replace(store.read(path.stem), test_error=0.4), replace=True)


DAMAGE = {
    "missing": (lambda path: path.unlink(), "is missing"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged"),
    "merge markers": (merge_markers, "is damaged"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is damaged"),
    "changed": (change, "its hash does not fit"),
    "of another reference": (rewrite, "belongs to another reference"),
}


@pytest.mark.parametrize("count", range(1, SEEDS + 1))
@pytest.mark.parametrize("kind", DAMAGE)
def test_each_file_that_cannot_be_used_is_named_and_nothing_is_trained(reference, kind, count):
    damage, reason = DAMAGE[kind]
    files = runs_of(reference)
    for path in files[:count]:
        damage(path)
    verdict, _ = gate.check(gate.load_gate(reference), refuse)
    assert (verdict.kind, verdict.code, verdict.pairs) == ("not measured", 3, 0)
    assert len(verdict.lines) == count
    for path, line in zip(files, sorted(verdict.lines, key=lambda line: line.text), strict=False):
        assert line.kind == "not measured"
        assert path.name in line.text
        assert reason in line.text
        assert "\n" not in line.text


def test_whole_reference_passes(reference):
    verdict, _ = gate.check(gate.load_gate(reference), measure)
    assert (verdict.kind, verdict.code, verdict.pairs) == ("same", 0, SEEDS)


@pytest.mark.parametrize("count", range(1, SEEDS + 1))
def test_reference_without_hashes_counts_its_files(reference, count):
    """References that are older than the list of hashes."""
    path = reference / "gate" / "gate.json"
    content = json.loads(path.read_text())
    del content["records"]
    path.write_text(json.dumps(content))
    assert gate.check(gate.load_gate(reference), measure)[0].code == 0
    for file in runs_of(reference)[:count]:
        file.unlink()
    verdict, _ = gate.check(gate.load_gate(reference), refuse)
    assert verdict.code == 3
    assert f"{SEEDS - count} files are there, {SEEDS} were written" in verdict.lines[0].text


def test_run_that_nobody_wrote_is_named(reference):
    store = Store(reference / "gate" / "runs")
    first = next(iter(store))
    stranger = dataclasses.replace(first, run=dataclasses.replace(first.run, seed=77))
    store.write(stranger)
    verdict, _ = gate.check(gate.load_gate(reference), refuse)
    assert [f"{stranger.run_id}.json does not belong to this reference" in line.text for line in verdict.lines] == [
        True
    ]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('"0:5"', '"0:4"', "seed 4 (smoke) is in the reference and not in the plan"),
        ('"0:5"', '"0:6"', "seed 5 (smoke) is in the plan and has no reference"),
        ('"smoke"', '"standard"', "(standard) is in the plan and has no reference"),
        ("LowRank-k3-v0", "LowRank-k5-v0", "Ridge-v0 on LowRank-k5-v0 seed 0 (smoke) is in the plan and has no"),
    ],
)
def test_plan_that_is_not_that_of_the_reference_is_noticed_before_training(reference, before, after, reason):
    path = reference / "gate" / "plan.toml"
    path.write_text(path.read_text().replace(before, after))
    verdict, _ = gate.check(gate.load_gate(reference), refuse)
    assert verdict.code == 3
    assert any(reason in line.text for line in verdict.lines), [line.text for line in verdict.lines]


def test_command_names_what_is_missing_in_one_line_each(reference, capsys):
    first, second = (path.name for path in runs_of(reference)[:2])
    for name in (first, second):
        (reference / "gate" / "runs" / name).unlink()
    assert main(["regress", "--reference", str(reference)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"not measured: reference runs: {name} is missing" for name in (first, second)]
    assert lines[2:] == ["not measured: 0 pairs of runs; judgements: 2 not measured"]
    assert main(["regress", "--reference", str(reference), "--json"]) == 3
    content = json.loads(capsys.readouterr().out)
    assert (content["verdict"], content["code"], len(content["lines"])) == ("not measured", 3, 2)


@pytest.mark.parametrize("text", ['{"history": 3}', '{"history": [3]}', '{"records": []}', "<<<<<<< HEAD\n{}\n"])
def test_damaged_settings_are_one_line(reference, text, capsys):
    (reference / "gate" / "gate.json").write_text(text)
    assert main(["regress", "--reference", str(reference)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_two_results_of_one_run_are_not_measured(reference):
    """Both sides of a merge are kept: one of them is wrong, and nobody knows which."""
    content = json.loads((reference / "gate" / "gate.json").read_text())
    store = Store(reference / "gate" / "runs")
    first = next(iter(store))
    twin = dataclasses.replace(first, run=dataclasses.replace(first.run, source="0.1.0+bbbbbbbbbbbb"))
    store.write(twin)
    content["records"][twin.run_id] = store.read(twin.run_id).provenance["integrity"]["record"]
    (reference / "gate" / "gate.json").write_text(json.dumps(content))
    verdict, _ = gate.check(gate.load_gate(reference), measure)
    assert verdict.code == 3
    assert any("there are two results of it" in line.text for line in verdict.lines)
