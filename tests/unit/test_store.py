"""The store: whole or absent, nothing dropped, nothing unpickled, nothing outside its folder."""

from __future__ import annotations

import json
import os
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leakybench import atomic
from leakybench.analysis.frame import to_frame
from leakybench.errors import UsageError
from leakybench.packs.verify import verify
from leakybench.record import SCHEMA
from leakybench.store import (
    ConflictError,
    DamagedError,
    NewerSchemaError,
    Store,
    encode_arrays,
    folder,
    intact,
    reading,
)
from tests.helpers.cli import files
from tests.helpers.records import record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.prepare()
    return store


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    arrays = {"spectra": np.arange(6.0).reshape(2, 3), "rho": np.ones(3, dtype=np.float32)}
    written = record(arrays=arrays)
    store.write(written)
    read = store.read(written.run_id)
    assert read.comparable() == written.comparable()
    assert read.wall_clock == written.wall_clock
    back = store.arrays(written.run_id)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype
    assert files(store.folder) == {f"{written.run_id}.json", f"{written.run_id}.npz"}


def test_a_store_without_arrays_keeps_intact_records_alone(store: Store) -> None:
    written = record(arrays={"spectra": np.arange(6.0)})
    store.write(written)
    light = Store(store.folder, keep_arrays=False)
    light.write(written)  # the record of before goes with its arrays
    assert files(store.folder) == {f"{written.run_id}.json"}
    assert light.read(written.run_id).comparable() == written.comparable()
    assert verify(light).sound
    assert light.arrays(written.run_id) == {}
    with pytest.raises(UsageError, match="pickle"):  # what no store may hold is an error all the same
        light.write(record(1, arrays={"spectra": np.array([object()])}))


def test_a_record_that_an_evaluation_made_comes_back_with_its_device(store: Store) -> None:
    for number, clock in enumerate(({"fit": 1.0, "device": "cpu"}, {"fit": 1.0, "device": "cuda: Card"}, {"fit": 1.0})):
        store.write(record(number, wall_clock=clock))
    assert {read.run.seed: read.wall_clock.get("device") for read in store} == {0: "cpu", 1: "cuda: Card", 2: None}
    assert not store.problems


def test_a_later_record_of_the_run_replaces_the_earlier_one_with_its_files(store: Store) -> None:
    failed = record(status="error", message="died", test_error=None)
    store.write(failed, log="Traceback")
    assert store.log(failed.run_id) == "Traceback"
    store.write(record(arrays={"a": np.ones(2)}), replace=True)
    assert store.log(failed.run_id) == ""
    store.write(record())
    assert store.read(failed.run_id).status == "ok"
    assert store.arrays(failed.run_id) == {}
    assert files(store.folder) == {f"{failed.run_id}.json"}


def test_another_result_of_the_run_is_a_conflict_unless_it_shall_replace_the_earlier_one(store: Store) -> None:
    store.write(record(arrays={"a": np.ones(2)}))
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    with pytest.raises(ConflictError, match=r"differs in test_error.*which stays") as caught:
        store.write(record(test_error=0.5), log="printed")
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before
    store.write(record(wall_clock={"fit": 9.0}))
    assert store.read(record().run_id).wall_clock == {"fit": 9.0}
    store.write(record(test_error=0.5), replace=True)
    assert store.read(record().run_id).test_error == 0.5


def test_a_record_that_cannot_be_read_is_no_conflict_and_one_of_a_newer_version_is(store: Store) -> None:
    path = store.path(record().run_id)
    path.write_text("{")
    store.write(record())
    path.write_text(path.read_text().replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA + 1}'))
    with pytest.raises(ConflictError, match="newer version"):
        store.write(record())


def test_a_record_is_intact_until_a_value_is_changed(store: Store) -> None:
    assert intact(record()) is None
    store.write(record())
    path = store.path(record().run_id)
    assert intact(store.read(record().run_id)) is True
    # the layout of the file does not count
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert intact(store.read(record().run_id)) is True
    path.write_text(path.read_text().replace('"cost": 3.1', '"cost": 3.0'))
    assert intact(store.read(record().run_id)) is False


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_record_and_no_rubbish(
    store: Store, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    store.write(record(message="first"))
    before = files(store.folder)

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    if failing == "write":
        real = os.fdopen

        def open_full(descriptor: int, mode: str) -> object:
            file = real(descriptor, mode)
            file.close()
            fail()
            return file

        monkeypatch.setattr(atomic.os, "fdopen", open_full)
    else:
        monkeypatch.setattr(atomic.os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        store.write(record(message="second"), replace=True)
    monkeypatch.undo()
    assert files(store.folder) == before
    assert store.read(record().run_id).message == "first"


def test_the_json_is_written_after_the_arrays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = folder.write_atomic

    def spy(path: Path, data: bytes) -> None:
        written.append(path.suffix)
        real(path, data)

    monkeypatch.setattr(folder, "write_atomic", spy)
    store.write(record(arrays={"a": np.ones(2)}), log="printed")
    assert written == [".npz", ".log", ".json"]


def test_arrays_that_need_pickle_are_refused_on_the_way_in(store: Store) -> None:
    with pytest.raises(UsageError, match="pickle"):
        store.write(record(arrays={"objects": np.array([{}, []], dtype=object)}))
    with pytest.raises(UsageError, match="name of an array"):
        store.write(record(arrays={"../evil": np.ones(1)}))
    assert files(store.folder) == set()


def test_arrays_that_need_pickle_are_refused_on_the_way_out(store: Store, tmp_path: Path) -> None:
    # what would make a folder if anybody unpickled it, written by hand: the text form of os.mkdir(FOLDER)
    trap = b"cos\nmkdir\n(V" + str(tmp_path / "unpickled").encode() + b"\ntR."
    assert [operation.name for operation, _, _ in pickletools.genops(trap)][-2:] == ["REDUCE", "STOP"]
    written = record(arrays={"a": np.ones(1)})
    store.write(written)
    with zipfile.ZipFile(store.path(written.run_id, "npz"), "w") as archive, archive.open("a.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "|O", "fortran_order": False, "shape": (1,)})
        member.write(trap)
    with pytest.raises(DamagedError):
        store.arrays(written.run_id)
    store.path(written.run_id, "npz").write_bytes(trap)
    with pytest.raises(DamagedError):
        store.arrays(written.run_id)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], "not valid JSON"),
        (lambda text: b"", "not valid JSON"),
        (lambda text: b"\xff\xfe\x00", "not"),
        (lambda text: b"[" * 100_000, "nested too deeply"),
        (lambda text: b"[]", "must be an object"),
        (lambda text: text.replace(b'"test_error": 0.25', b'"test_error": "low"'), "test_error"),
        (lambda text: text.replace(b'"test_error": 0.25', b'"test_error": 1e999'), "test_error"),
        (lambda text: text.replace(b'"true_rank": 2', b'"true_rank": ' + b"9" * 5000), "digits"),
        (lambda text: text.replace(b'"status": "ok"', b'"status": "splendid"'), "status"),
        (lambda text: text.replace(b'"seed": 1', b'"seed": 2'), "not the hash"),
        (lambda text: text.replace(b'"fit": 2.0', b'"fit": "fast"'), "wall_clock.fit"),
        (lambda text: text.replace(b'"fit": 2.0', b'"fit": -1'), "wall_clock.fit"),
        (lambda text: text.replace(b'"threads": 1', b'"threads": 1e300'), "wall_clock.threads"),
        (lambda text: text.replace(b'"threads": 1', b'"threads": 1, "device": 3'), "wall_clock.device"),
        (lambda text: text.replace(b'"cores": 2', b'"cores": 2, "device": []'), "provenance.device"),
        (lambda text: text.replace(b'"message": ""', b'"surprise": ""'), "surprise"),
    ],
)
def test_a_damaged_record_is_set_aside_with_its_reason(
    store: Store, damage: Callable[[bytes], bytes], reason: str
) -> None:
    sound, hurt = record(0), record(1)
    store.write(sound)
    store.write(hurt)
    path = store.path(hurt.run_id)
    path.write_bytes(damage(path.read_bytes()))
    assert [r.run_id for r in store] == [sound.run_id]
    (problem,) = store.problems
    assert reason in problem.reason
    assert problem.moved_to == f"quarantine/{hurt.run_id}.1.json"
    assert (store.folder / problem.moved_to).exists()
    assert reason in (store.folder / "quarantine" / f"{hurt.run_id}.1.reason.txt").read_text()
    assert not path.exists()


def test_every_damaged_version_is_kept(store: Store) -> None:
    for number in (1, 2):
        store.path(record().run_id).write_text("{")
        assert list(store) == []
        assert store.problems[-1].moved_to == f"quarantine/{record().run_id}.{number}.json"


def test_a_reader_that_only_looks_moves_nothing(store: Store) -> None:
    store.path(record().run_id).write_text("{")
    reader = Store(store.folder, set_aside=False)
    assert list(reader) == []
    assert reader.problems[0].moved_to is None
    assert files(store.folder) == {f"{record().run_id}.json"}


def test_a_quarantine_that_is_a_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (store.folder / "quarantine").symlink_to(tmp_path / "elsewhere")
    store.path(record().run_id).write_text("{")
    assert list(store) == []
    assert "cannot be moved" in store.problems[0].reason
    assert files(tmp_path / "elsewhere") == set()


def test_a_pipe_or_a_folder_in_place_of_a_record_is_set_aside(store: Store) -> None:
    os.mkfifo(store.path(record(0).run_id))
    store.path(record(1).run_id).mkdir()
    store.write(record(2))
    os.mkfifo(store.path(record(2).run_id, "npz"))
    assert [found.run_id for found in store] == [record(2).run_id]
    assert {problem.reason for problem in store.problems} == {"not a regular file"}
    with pytest.raises(DamagedError, match="not a regular file"):
        store.arrays(record(2).run_id)


def test_arrays_of_an_earlier_attempt_are_a_remark(store: Store) -> None:
    store.write(record(arrays={"a": np.ones(2)}))
    arrays = store.path(record().run_id, "npz").read_bytes()
    store.write(record())
    # as if killed between the new record and the removal of the old arrays
    store.path(record().run_id, "npz").write_bytes(arrays)
    verdict = verify(store)
    assert verdict.sound
    assert "earlier attempt" in verdict.remarks[0]


def test_a_record_under_another_name_is_damaged(store: Store) -> None:
    store.write(record(0))
    os.rename(store.path(record(0).run_id), store.path(record(1).run_id))
    with pytest.raises(DamagedError, match="does not match its name"):
        store.read(record(1).run_id)


@pytest.mark.parametrize(
    "text", ["../../etc/passwd", "", "A" * 24, "0" * 23, "0" * 25, "0" * 23 + "/", "0" * 24 + "\n"]
)
def test_no_path_leaves_the_folder(store: Store, text: str) -> None:
    with pytest.raises(UsageError, match="run id"):
        store.path(text)


def test_find_wants_one_run(store: Store) -> None:
    for seed in range(40):
        store.write(record(seed))
    first = store.ids()[0]
    assert store.find(first) == first
    assert store.find(first[:12]) == first
    with pytest.raises(UsageError, match="no run in"):
        store.find("0" * 24)
    with pytest.raises(UsageError, match="begin with"):
        store.find(_common(store.ids()))
    with pytest.raises(UsageError, match="hexadecimal"):
        store.find("../x")


def _common(ids: list[str]) -> str:
    firsts = [run_id[0] for run_id in ids]
    return next(char for char in firsts if firsts.count(char) > 1)


def test_older_records_are_migrated_and_newer_ones_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written = record()
    store.write(written)
    path = store.path(written.run_id)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "schema": SCHEMA - 1, "old_name": data.pop("message")}))
    with pytest.raises(DamagedError, match="schema"):
        store.read(written.run_id)

    def rename(old: dict[str, object]) -> dict[str, object]:
        return {**{k: v for k, v in old.items() if k != "old_name"}, "message": old["old_name"]}

    monkeypatch.setitem(reading.MIGRATIONS, SCHEMA - 1, rename)
    assert store.read(written.run_id).comparable() == written.comparable()
    path.write_text(json.dumps({**data, "schema": SCHEMA + 1}))
    with pytest.raises(NewerSchemaError, match="newer version"):
        store.read(written.run_id)
    assert list(store) == []
    assert path.exists()


def test_verify_finds_a_changed_number_and_changed_arrays(store: Store) -> None:
    for seed in range(4):
        store.write(record(seed, arrays={"a": np.ones(3)}))
    assert verify(store).sound
    ids = [record(seed).run_id for seed in range(4)]
    changed = store.path(ids[0])
    changed.write_bytes(changed.read_bytes().replace(b'"test_error": 0.25', b'"test_error": 0.01'))
    store.path(ids[1], "npz").write_bytes(encode_arrays({"a": np.zeros(3)}))
    store.path(ids[2], "npz").unlink()
    verdict = verify(Store(store.folder, set_aside=False))
    assert {problem.name for problem in verdict.damaged} == {f"{run_id}.json" for run_id in ids[:3]}
    assert verdict.statuses == {"ok": 1}
    assert store.ids() == sorted(ids)
    verify(store)
    assert store.ids() == [ids[3]]


def test_verify_remarks_on_what_does_not_belong(store: Store) -> None:
    store.write(record())
    (store.folder / "notes.txt").write_text("mine")
    (store.folder / f"{'a' * 24}.npz").write_bytes(b"")
    (store.folder / f"{'b' * 24}.claim").write_text("")
    (store.folder / ".x.1-2.tmp").write_text("")
    verdict = verify(store)
    assert verdict.sound
    assert len(verdict.remarks) == 4


def test_the_frame_has_its_columns_whatever_the_records(store: Store) -> None:
    from leakybench.analysis.frame import COLUMNS

    assert list(to_frame(store).columns) == list(COLUMNS)
    store.write(record(1, status="timeout", test_error=None, bottleneck_rank=None, rank_recovered=None))
    store.write(record(0))
    frame = to_frame(store).set_index("seed")
    assert list(frame.loc[:, "status"].sort_index()) == ["ok", "timeout"]
    assert frame.loc[0, "measures.hamiltonian.mean"] == -1.5
    assert frame.loc[0, "bottleneck_rank"] == 2
    assert frame["bottleneck_rank"].isna().loc[1]
    assert frame["test_error"].isna().loc[1]
    assert "training.curve" not in frame.columns
