"""Packs that are whole are accepted; damaged, incomplete, duplicated and forged ones are refused, each with its
reason."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.packs.pack import MANIFEST, PackError, make_manifest, read_pack, write_pack
from leakybench.packs.validation import disagreements, validate
from leakybench.store import Store
from tests.helpers.fabricate import MACHINE, board, record

TASKS = ("LowRank-k3-v0", "Linear-k3-v0")
SEEDS = (0, 1, 2)
HERE = MACHINE | {"numpy": "2.4.6"}
REQUIRED = {"required_tasks": TASKS, "seeds": SEEDS}


def _records(**fields):
    methods = [("LeakyResNet-v0", {"steps": "adaptive"})]
    return board(TASKS, methods, len(SEEDS), machine=HERE, arrays={"spectra": np.eye(3)}, **fields)


@pytest.fixture
def pack(tmp_path):
    """A valid pack of six runs."""
    return _pack(tmp_path, _records())


def _pack(folder: Path, records) -> Path:
    store = Store(folder / "runs")
    store.prepare()
    for item in records:
        store.write(item)
    path = folder / "pack.zip"
    write_pack(store, list(store), path)
    return path


def _contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _rewrite(path: Path, files: dict[str, bytes], *, rehash: bool = False) -> Path:
    files = dict(files)
    if rehash:
        body = {name: data for name, data in files.items() if name != MANIFEST}
        files[MANIFEST] = json.dumps(make_manifest(body)).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _findings(path: Path, **options) -> set[str]:
    report = validate(read_pack(path), **{**REQUIRED, "sample": 0, **options})
    return {objection.check for objection in report.objections}


def _first(files: dict[str, bytes], kind: str) -> str:
    return next(name for name in sorted(files) if name.endswith(kind) and name != MANIFEST)


def test_whole_pack_is_valid_and_its_sample_is_rerun(pack):
    stored = {r.run_id: r for r in _records()}
    report = validate(
        read_pack(pack), **REQUIRED, sample=2, random_state=0, rerun=lambda run: stored[run.run_id]
    )  # fmt: skip
    assert report.valid
    assert len(report.rerun) == 2
    assert len(report.records) == 6


def test_same_runs_give_the_same_bytes(tmp_path, monkeypatch):
    class Frozen:
        @staticmethod
        def now(zone):
            from datetime import datetime

            return datetime(2026, 1, 1, tzinfo=zone)

    monkeypatch.setattr("leakybench.packs.pack.datetime", Frozen)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert _pack(tmp_path / "a", _records()).read_bytes() == _pack(tmp_path / "b", _records()).read_bytes()


@pytest.mark.parametrize(
    "overrides",
    [
        {"regressor": "subprocess:Popen", "settings": {"args": ["touch", "owned"]}},
        {"settings": {"steps": [["x", "os:system"]]}},
        {"settings": {"os:system": 1}},
        {"regressor": " os:system "},
    ],
)
def test_pack_does_not_choose_what_is_imported_and_called(tmp_path, overrides):
    def rerun(run):
        raise AssertionError("computed again")

    records = board(TASKS, [("Sklearn-v0", overrides)], len(SEEDS), machine=HERE)
    report = validate(read_pack(_pack(tmp_path, records)), **REQUIRED, sample=2, rerun=rerun)
    assert [str(objection) for objection in report.objections] == ["rerun: pack: no run can be computed again here"]
    assert any("settings name code to load: Sklearn-v0[" in note for note in report.notes)


def test_runs_on_a_card_are_not_rerun_without_one(tmp_path, monkeypatch):
    records = board(TASKS, [("Yardstick-v0", {"device": "cuda"})], len(SEEDS), machine=HERE)
    stored = {one.run_id: one for one in records}
    path = _pack(tmp_path, records)
    for here, objections, rerun in ((True, [], 2), (False, ["rerun: pack: no run can be computed again here"], 0)):
        monkeypatch.setattr("leakybench.packs.validation.has_card", lambda here=here: here)
        report = validate(read_pack(path), **REQUIRED, sample=2, rerun=lambda run: stored[run.run_id])
        assert [str(objection) for objection in report.objections] == objections
        assert len(report.rerun) == rerun
    assert "not rerun, since there is no GPU here: Yardstick-v0[device=cuda]" in report.notes


def test_harmless_settings_with_a_colon_are_rerun(tmp_path):
    records = board(TASKS, [("Sklearn-v0", {"settings": {"note": "a: b", "time": "12:30"}})], len(SEEDS), machine=HERE)
    stored = {r.run_id: r for r in records}
    report = validate(read_pack(_pack(tmp_path, records)), **REQUIRED, rerun=lambda run: stored[run.run_id])
    assert report.valid


def test_changed_after_hashing_is_forged(pack):
    files = _contents(pack)
    name = _first(files, "json")
    data = json.loads(files[name])
    data["test_error"] = 0.001
    files[name] = json.dumps(data).encode()
    assert _findings(_rewrite(pack, files)) == {"forged"}


def test_forger_who_rewrites_the_manifest_meets_the_hash_of_the_record(pack):
    files = _contents(pack)
    name = _first(files, "json")
    data = json.loads(files[name])
    data["test_error"] = 0.001
    files[name] = json.dumps(data).encode()
    assert _findings(_rewrite(pack, files, rehash=True)) == {"forged"}


def test_forger_who_rewrites_every_hash_meets_the_rerun(tmp_path):
    honest = {r.run_id: r for r in _records()}
    better = [dataclasses.replace(r, test_error=r.test_error / 2) for r in honest.values()]
    path = _pack(tmp_path, better)
    report = validate(read_pack(path), **REQUIRED, sample=1, rerun=lambda run: honest[run.run_id])
    assert [objection.check for objection in report.objections] == ["rerun"]
    assert "claims test error" in report.objections[0].reason


def test_forged_arrays(pack):
    files = _contents(pack)
    name = _first(files, "npz")
    files[name] = files[_first({k: v for k, v in files.items() if k != name}, "npz")][:-1] + b"x"
    assert "forged" in _findings(_rewrite(pack, files, rehash=True))


def test_changed_manifest_is_forged(pack):
    files = _contents(pack)
    manifest = json.loads(files[MANIFEST])
    manifest["submitter"] = "somebody else"
    files[MANIFEST] = json.dumps(manifest).encode()
    assert _findings(_rewrite(pack, files)) == {"forged"}


@pytest.mark.parametrize("kind", ["json", "npz"])
def test_missing_file_is_damaged(pack, kind):
    files = _contents(pack)
    del files[_first(files, kind)]
    assert "damaged" in _findings(_rewrite(pack, files))


def test_record_that_is_no_json_is_damaged(pack):
    files = _contents(pack)
    files[_first(files, "json")] = b"{"
    assert "damaged" in _findings(_rewrite(pack, files, rehash=True))


def test_pickled_arrays_are_never_loaded(pack, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "owned",))

    np.savez(tmp_path / "bomb.npz", spectra=np.array([Bomb()], dtype=object))
    files = _contents(pack)
    name = _first(files, "npz")
    files[name] = (tmp_path / "bomb.npz").read_bytes()
    record_name = name.replace("npz", "json")
    data = json.loads(files[record_name])
    data["provenance"]["integrity"]["arrays"] = hashlib.sha256(files[name]).hexdigest()
    files[record_name] = json.dumps(data).encode()
    assert _findings(_rewrite(pack, files, rehash=True)) == {"damaged"}
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("cut", [10, 400])
def test_truncated_zip_is_damaged(pack, cut):
    pack.write_bytes(pack.read_bytes()[:-cut])
    with pytest.raises(PackError):
        read_pack(pack)


def test_flipped_bytes_are_noticed(pack):
    whole, contents = pack.read_bytes(), _contents(pack)
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 60):
        pack.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            noticed = bool(_findings(pack))
        except PackError:
            noticed = True
        # a flip in a date or attribute of the zip itself changes no file of the pack
        assert noticed or _contents(pack) == contents


def test_incomplete_pack_names_what_is_missing(tmp_path):
    path = _pack(tmp_path, _records()[1:])
    report = validate(read_pack(path), **REQUIRED, sample=0)
    assert [objection.check for objection in report.objections] == ["incomplete"]
    assert "LowRank-k3-v0 has no finished run of seed 0" in report.objections[0].reason


def test_failed_run_does_not_complete_and_a_collapsed_one_does(tmp_path):
    rest = _records()[1:]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    collapsed = record(status="collapsed", error=1.0, steps="adaptive", machine=HERE)
    assert _findings(_pack(tmp_path / "a", [*rest, collapsed])) == set()
    broken = record(status="error", error=None, steps="adaptive", machine=HERE)
    assert _findings(_pack(tmp_path / "b", [*rest, broken])) == {"incomplete"}


def test_two_answers_to_one_run_are_duplicated(tmp_path):
    again = dataclasses.replace(_records()[0])
    again = dataclasses.replace(again, run=dataclasses.replace(again.run, source="0.1.0+bbbbbbbbbbbb"))
    assert _findings(_pack(tmp_path, [*_records(), again])) == {"duplicated"}


def test_name_twice_in_the_zip_is_duplicated(pack):
    files = _contents(pack)
    name = _first(files, "json")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(pack, "a") as archive:
        archive.writestr(name, files[name])
    assert "duplicated" in _findings(pack)


@pytest.mark.parametrize(
    "name", ["../../evil.json", "/etc/passwd", "records/../../x.npz", "records/x.py", "C:\\x.json"]
)
def test_names_outside_the_form_are_refused_and_nothing_is_written(pack, name, tmp_path):
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with zipfile.ZipFile(pack, "a") as archive:
        archive.writestr(name, b"evil")
    assert _findings(pack) == {"damaged"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_links_are_refused(pack):
    link = zipfile.ZipInfo("records/" + "0" * 24 + ".json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(pack, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "damaged" in _findings(pack)


def test_zip_bomb_is_refused(pack):
    with zipfile.ZipFile(pack, "a") as archive:
        archive.writestr("records/" + "0" * 24 + ".json", b"\0" * (7 * 2**20), zipfile.ZIP_DEFLATED)
    assert "damaged" in _findings(pack)
    for digit in "234":
        with zipfile.ZipFile(pack, "a") as archive:
            archive.writestr("records/" + digit * 24 + ".json", b"\0" * (7 * 2**20), zipfile.ZIP_DEFLATED)
    with pytest.raises(PackError, match="60 times its size"):
        read_pack(pack)
    with zipfile.ZipFile(pack, "a") as archive:
        archive.writestr("records/" + "1" * 24 + ".json", b"\0" * (65 * 2**20), zipfile.ZIP_DEFLATED)
    with pytest.raises(PackError, match="larger than"):
        read_pack(pack)


def test_folder_is_read_as_a_pack(pack, tmp_path):
    folder = tmp_path / "unpacked"
    for name, data in _contents(pack).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    assert _findings(folder) == set()
    (folder / "records" / ("a" * 24 + ".json")).symlink_to("/etc/passwd")
    assert "damaged" in _findings(folder)


@pytest.mark.parametrize("status", ["timeout", "oom"])
def test_a_rerun_that_met_its_limit_says_which_flag_allows_more(pack, status):
    def rerun(run):
        return dataclasses.replace(record(error=None, rank=None), run=run, status=status, rank_recovered=None)

    report = validate(read_pack(pack), **REQUIRED, sample=1, random_state=0, rerun=rerun)
    (objection,) = report.objections
    assert objection.check == "rerun"
    assert "allow more with --timeout and --memory" in objection.reason


@pytest.mark.parametrize("flag", [["--timeout", "0"], ["--timeout", "soon"], ["--memory", "4K"], ["--memory", ""]])
def test_limits_of_reruns_are_checked(pack, flag, capsys):
    assert main(["validate", str(pack), *flag]) == 2
    assert flag[0].removeprefix("--") in capsys.readouterr().err


def test_missing_provenance_and_impossible_values(tmp_path):
    for name in "abcde":
        (tmp_path / name).mkdir()
    bare = [dataclasses.replace(r, provenance={}) for r in _records()]
    assert _findings(_pack(tmp_path / "a", bare)) == {"provenance"}
    flattering = [dataclasses.replace(r, rank_recovered=True, bottleneck_rank=5) for r in _records()]
    assert _findings(_pack(tmp_path / "b", flattering)) == {"implausible"}
    # the store refuses to write a negative error, so that it takes an editor
    path = _pack(tmp_path / "c", _records())
    contents = {name: data.replace(b'"test_error": 0.', b'"test_error": -0.') for name, data in _contents(path).items()}
    _rewrite(path, contents)
    assert "damaged" in _findings(path)
    aligned = [dataclasses.replace(r, code_alignment=1.5) for r in _records()]
    assert _findings(_pack(tmp_path / "d", aligned)) == {"implausible"}
    leaking = [dataclasses.replace(r, code_leak=-0.5) for r in _records()]
    assert _findings(_pack(tmp_path / "e", leaking)) == {"implausible"}


def test_disagreements():
    claimed = record(error=0.2, rank=3)
    assert disagreements(claimed, record(error=0.21, rank=3)) == []
    assert "rank" in disagreements(claimed, record(error=0.2, rank=4))[0]
    assert "test error" in disagreements(claimed, record(error=0.3, rank=3))[0]
    assert "status" in disagreements(claimed, record(error=1.0, status="collapsed"))[0]


def test_commands_end_to_end(tmp_path, capsys):
    store = Store(tmp_path / "runs")
    store.prepare()
    for item in _records():
        store.write(item)
    out = tmp_path / "mine.zip"
    required = ["--tasks", ",".join(TASKS), "--seeds", "0:3"]
    assert main(["submit", str(tmp_path / "runs"), "--out", str(out), *required]) == 0
    assert main(["validate", str(out), "--sample", "0", *required]) == 0
    assert "valid: 6 runs" in capsys.readouterr().out
    assert main(["validate", str(out), "--sample", "0", "--tasks", "LowRank-*", "--seeds", "0:3"]) == 1
    assert "refused: incomplete: LeakyResNet-v0" in capsys.readouterr().out
    assert main(["submit", str(tmp_path / "runs"), "--out", str(tmp_path / "no.zip"), "--seeds", "0:9"]) == 1
    assert not (tmp_path / "no.zip").exists()
    assert main(["validate", str(tmp_path / "no.zip")]) == 2


def test_no_pack_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no pack"):
        read_pack(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(PackError, match="not a readable zip file"):
        read_pack(tmp_path / "text.zip")
