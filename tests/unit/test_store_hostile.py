"""Hostile files: records, arrays and packs are read in bounded time and memory, and what is wrong is named."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from leakybench.errors import UsageError
from leakybench.packs.pack import PackError, make_manifest, read_pack, write_pack
from leakybench.packs.validation import validate
from leakybench.packs.verify import verify
from leakybench.record import Record
from leakybench.store import DamagedError, Store, decode, decode_arrays, encode_arrays, intact, schema, storable
from tests.helpers.hostile import HEADERS
from tests.helpers.mutations import Mutation, make_store, mutated_packs, mutations
from tests.helpers.records import record

MEBIBYTE = 2**20
SOUND_HEADERS = {"big-endian", "half", "version 2", "not finite"}
"""Headers of plain numbers in an unusual form, which are read."""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"fit": 2.0', f'"fit": 1{"0" * 400}', "wall_clock.fit"),
        ('"fit": 2.0', '"fit": Infinity', "wall_clock.fit must be a finite number"),
        ('"fit": 2.0', '"fit": -5', "wall_clock.fit must be a number of seconds from 0"),
        ('"fit": 2.0', '"fit": 1e12', "wall_clock.fit must be a number of seconds from 0"),
        ('"objective": 0.33', f'"criticality": 1{"0" * 400}', "training.criticality"),
        ('"objective": 0.33', '"criticality": -Infinity', "training.criticality must be a finite number"),
        ('"objective": 0.33', '"criticality": -5', "training.criticality must be at least 0"),
        ('"objective": 0.33', '"a": {"b": [1, NaN]}', r"training.a.b\[1\] must be a finite number"),
        ('"test_error": 0.25', '"test_error": 1e308', "test_error is beyond the numbers of a record"),
        ('"test_error": 0.25', '"test_error": -0.25', "test_error must be from 0"),
        ('"threads": 1', '"threads": 0', "wall_clock.threads must be a count from 1"),
        ('"threads": 1', '"threads": 1000000000', "wall_clock.threads must be a count from 1"),
        ('"threads": 1', '"threads": 1.0', "wall_clock.threads must be a count from 1"),
        ('"cores": 2', '"cores": 0', "provenance.cores must be a count from 1"),
        ('"bottleneck_rank": 2', '"bottleneck_rank": 4294967296', "bottleneck_rank must be a count"),
        ('"objective": 0.33', f'"deep": {"[" * 500}{"]" * 500}', "training.deep.*nested too deeply"),
        ('"objective": 0.33', f'"long": [{",".join("0" * 500_000)}]', "holds more than 400000 values"),
        ('"objective": 0.33', '"text": "\\ud800"', "training.text is no text"),
        ('"objective": 0.33', '"\\udfff": 1', "a name in training is no text"),
        ('"objective": 0.33', f'"text": "{"x" * 100_001}"', "training.text has 100001 characters"),
    ],
)
def test_a_value_that_cannot_be_is_named(old: str, new: str, reason: str) -> None:
    text = record().to_json()
    assert old in text
    with pytest.raises(DamagedError, match=reason) as caught:
        decode(text.replace(old, new).encode())
    assert len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"training": {"criticality": -5.0}}, "training.criticality must be at least 0"),
        ({"measures": {"big": 1e200}}, "measures.big is beyond the numbers of a record"),
        ({"test_error": 1e120}, "test_error"),
        ({"wall_clock": {"fit": -1.0}}, "wall_clock.fit"),
        ({"wall_clock": {"threads": 0}}, "wall_clock.threads"),
        ({"training": {"odd": {1, 2}}}, "not JSON serializable"),
        ({"training": {"text": "x" * 200_000}}, "training.text has 200000 characters"),
    ],
)
def test_what_could_not_be_read_is_not_written_and_becomes_an_error_with_its_reason(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    store, odd = Store(tmp_path), record(**fields)
    with pytest.raises(UsageError, match=f"cannot be stored: .*{reason}"):
        store.write(odd)
    assert list(tmp_path.iterdir()) == []
    said = storable(odd)
    assert said.status == "error"
    assert said.run == odd.run
    store.write(said)
    assert store.read(odd.run_id).message == said.message
    assert said.message.startswith("the result cannot be stored: ")
    assert storable(record()) == record()
    assert storable(record(arrays={"a": np.ones(2, complex)})).status == "error"


def test_a_record_of_too_many_values_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MAX_VALUES", 1000)
    with pytest.raises(UsageError, match="cannot be stored: holds more than 1000 values"):
        Store(tmp_path).write(record(training={"long": [0] * 1000}))


def test_text_is_harmless_once_it_is_stored_and_its_hash_fits(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(
        record(message="a\ud800\x1b[31m\r\nb\tc", training={"x\x00": ["\udc80", {"y": "\u202e"}]}), log="\ud800"
    )
    read = store.read(record().run_id)
    assert read.message == "a\\ud800\\x1b[31m\\r\nb\tc"
    assert read.training == {"x\\x00": ["\\udc80", {"y": "\u202e"}]}
    assert intact(read)
    read.to_json().encode()
    assert len(record(message="x" * 10**6).message) == 10_000


def test_an_older_record_with_a_hash_of_its_content_alone_is_intact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record())
    path = store.path(record().run_id)
    data = json.loads(path.read_text())
    del data["provenance"]["integrity"]["text"]
    path.write_text(json.dumps(data))
    assert intact(store.read(record().run_id)) is True
    data["test_error"] = 0.2
    path.write_text(json.dumps(data))
    assert intact(store.read(record().run_id)) is False


def test_a_stated_hash_of_the_text_alone_convinces_nobody(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record())
    path = store.path(record().run_id)
    for stated in ("0" * 64, "", 5, None, "\u0660" * 64, '"' * 64):
        data = json.loads(path.read_text())
        data["test_error"], data["provenance"]["integrity"]["text"] = 0.1, stated
        path.write_text(json.dumps(data))
        assert intact(store.read(record().run_id)) is False


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_every_odd_array_is_read_as_numbers_or_called_damaged(name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", HEADERS[name])
    if name in SOUND_HEADERS:
        assert decode_arrays(buffer.getvalue())["a"].dtype.kind == "f"
        return
    with pytest.raises(DamagedError, match="arrays cannot be read: "):
        decode_arrays(buffer.getvalue())
    with pytest.raises(DamagedError, match="arrays cannot be read: "):
        decode_arrays(HEADERS[name])


def test_arrays_of_every_layout_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "f": np.asfortranarray(rng.standard_normal((3, 4))),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 5), np.float32),
        "flags": np.array([True, False]),
        "half": rng.standard_normal(7).astype(np.float16),
        "big": np.arange(300_000, dtype=">i8"),
        "sliced": rng.standard_normal((6, 6))[::2, ::3],
    }
    back = decode_arrays(encode_arrays(arrays))
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


def test_arrays_that_are_no_numbers_or_too_large_are_refused() -> None:
    with pytest.raises(UsageError, match="must hold booleans, integers or floats, got dtype complex128"):
        encode_arrays({"a": np.ones(2, complex)})
    with pytest.raises(UsageError, match="64 MiB together"):
        encode_arrays({"a": np.broadcast_to(np.float64(1.0), (2**23,))})


def test_a_log_is_read_from_its_end_and_never_waited_for(tmp_path: Path) -> None:
    store, run_id = make_store(tmp_path), record(1).run_id
    path = Store(store).path(run_id, "log")
    with path.open("wb") as file:
        file.truncate(2**32)
        file.seek(0, os.SEEK_END)
        file.write(b"the cause")
    assert Store(store).log(run_id).endswith("the cause")
    assert len(Store(store).log(run_id)) <= MEBIBYTE
    path.unlink()
    os.mkfifo(path)
    assert Store(store).log(run_id) == "(the log cannot be read: not a regular file)"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "not a regular file" in Store(store).log(run_id)


def test_what_stands_in_the_way_of_a_record_is_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for kind in ("json", "npz", "log"):
        store.path(record().run_id, kind).mkdir()
    store.write(record(arrays={"a": np.ones(2)}), log="printed")
    assert store.read(record().run_id) == store.read(record().run_id)
    assert store.arrays(record().run_id)["a"].sum() == 2.0
    assert len(list((tmp_path / "quarantine").glob("*.json"))) == 1


def _measured(action: Any) -> tuple[float, float]:
    """Seconds and peak MiB of Python's allocations (numpy's included) of a call."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        action()
    finally:
        seconds = time.perf_counter() - start
        peak = tracemalloc.get_traced_memory()[1] / MEBIBYTE
        tracemalloc.stop()
    return seconds, peak


@pytest.mark.slow
@pytest.mark.parametrize("field", ["provenance", "task_overrides"])
def test_records_full_of_values_are_not_all_held_in_memory(tmp_path: Path, field: str) -> None:
    path = tmp_path / "pack.zip"
    runs = [record(seed).run for seed in range(12)]
    files = {}
    for run in runs:
        if field == "task_overrides":
            run = dataclasses.replace(run, task_overrides={"a": [{}] * 100_000})
        values = {str(n): 1.0 for n in range(100_000)}
        whole = record(run=run, **({} if field == "task_overrides" else {field: values}))
        files[f"records/{whole.run_id}.json"] = whole.to_json().encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(make_manifest(files)))
        for name, data in files.items():
            archive.writestr(name, data)
    del files
    # one record of 100,000 values takes about 15 MB while it is parsed and hashed, all of them 100 MB and more
    assert _measured(lambda: _check(path))[1] < 60


def _kinds(store: Store, run_id: str) -> set[str]:
    """Kinds of the dtypes of a run's arrays."""
    try:
        return {array.dtype.kind for array in store.arrays(run_id).values()}
    except DamagedError:
        return {"damaged"}


def _check(pack: Path) -> set[str]:
    try:
        report = validate(read_pack(pack), required_tasks=["dummy/Tiny-v0"], seeds=[0, 1, 2], sample=0)
    except PackError:
        return {"damaged"}
    return {objection.check for objection in report.objections}


def test_a_small_pack_never_takes_much_memory(tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    store = Store(make_store(tmp_path / "runs"))
    write_pack(store, list(store), path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):  # 180 kB that unpack to 120 MB
            archive.writestr(f"records/{number:024x}.json", b"[" + b"{}," * (2 * MEBIBYTE) + b"{}]")
    assert path.stat().st_size < MEBIBYTE
    found: list[set[str]] = []
    seconds, peak = _measured(lambda: found.append(_check(path)))
    assert found == [{"damaged"}]
    assert peak < 100
    assert seconds < 10


@pytest.mark.slow
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(mutation=mutations())
def test_600_mutations_of_a_stored_run(tmp_path_factory: pytest.TempPathFactory, mutation: Mutation) -> None:
    folder = make_store(tmp_path_factory.getbasetemp() / "hostile")
    path = mutation.apply(folder)
    sound = {record(seed).run_id for seed in (0, 2)}

    def read() -> None:
        store = Store(folder, set_aside=False)
        records = {each.run_id: each for each in store}
        assert sound <= records.keys()
        assert {problem.name for problem in store.problems} <= {path.name}
        for each in records.values():
            assert isinstance(each, Record)
            intact(each)
            each.to_json().encode()
        for run_id in (record(1).run_id, *sound):
            kinds = _kinds(store, run_id)
            assert kinds <= set("biuf") or (kinds == {"damaged"} and run_id not in sound)
            store.log(run_id)
        verdict = verify(Store(folder, set_aside=False))
        assert {problem.name for problem in verdict.damaged} <= {f"{record(1).run_id}.json"}
        # a number that differs from what was written is named, or the record is marked
        changed = records.get(record(1).run_id)
        if changed is not None and changed.test_error != 0.25 and "hashes fit" not in mutation.name:
            assert intact(changed) is not True

    seconds, peak = _measured(read)
    assert seconds < 10, mutation
    assert peak < 200, mutation


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(mutation=mutated_packs())
def test_400_mutations_of_a_pack(tmp_path_factory: pytest.TempPathFactory, mutation: Mutation) -> None:
    path = tmp_path_factory.getbasetemp() / "pack.zip"
    mutation.place(path)
    seconds, peak = _measured(lambda: _check(path))
    assert seconds < 10, mutation
    assert peak < 200, mutation


def test_the_directory_of_a_zip_is_counted_before_it_is_read(tmp_path: Path) -> None:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    for count in (5_000, 100_000):
        data = entry * count
        data += struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, min(count, 9), min(count, 9), len(data), 0, 0)
        found: list[str] = []

        def read(data: bytes = data, found: list[str] = found) -> None:
            with pytest.raises(DamagedError) as caught:
                decode_arrays(data)
            found.append(str(caught.value))

        assert _measured(read)[1] < 40
        assert found
