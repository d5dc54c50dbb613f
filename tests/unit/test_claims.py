"""Claims: one owner at a time, and no owner after death."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leakybench.store import Store
from leakybench.sweeps import claims as claims_module
from leakybench.sweeps.claims import EXPIRY, Claims, clear_leftovers, clear_void, is_alive, owner

RUN = "0123456789abcdef01234567"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_one_wins_and_the_other_waits(store: Store) -> None:
    with Claims(store) as first, Claims(store) as second:
        assert first.take(RUN)
        assert not second.take(RUN)
        second.release(RUN)
        assert not second.take(RUN)
        first.release(RUN)
        assert second.take(RUN)
    assert list(store.folder.iterdir()) == []


def test_a_claim_of_a_dead_process_is_void(store: Store) -> None:
    path = store.path(RUN, "claim")
    path.write_text(json.dumps({**owner(), "pid": _dead_pid(), "token": "x"}))
    with Claims(store) as claims:
        assert claims.take(RUN)
    assert list(store.folder.iterdir()) == []


def test_a_process_number_that_was_given_again_is_another_process() -> None:
    assert is_alive(json.dumps({**owner(), "pid": 1, "started": claims_module._started(1)}), 1e9)
    assert not is_alive(json.dumps({**owner(), "pid": 1, "started": 12.3}), 0.0)


def test_another_machine_is_alive_while_its_heart_beats() -> None:
    text = json.dumps({"machine": "elsewhere", "pid": 1, "started": 0.0})
    assert is_alive(text, EXPIRY - 1.0)
    assert not is_alive(text, EXPIRY + 1.0)


def test_a_time_stamp_in_the_future_is_no_heart_beat(store: Store) -> None:
    text = json.dumps({"machine": "elsewhere", "pid": 1, "started": 0.0})
    assert is_alive(text, -EXPIRY + 1.0)  # a clock that is a little ahead
    for content in (text, ""):
        path = store.path(RUN, "claim")
        path.write_text(content)
        os.utime(path, (time.time() + 3600.0,) * 2)
        with Claims(store) as claims:
            assert claims.take(RUN)
        assert not path.exists()


def test_a_claim_of_an_earlier_process_with_the_number_of_this_one_is_void(store: Store) -> None:
    assert is_alive(json.dumps(owner()), 0.0)
    store.path(RUN, "claim").write_text(json.dumps({**owner(), "started": 12.3}))
    with Claims(store) as claims:
        assert claims.take(RUN)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _full_folder(path: Path) -> None:
    path.mkdir()
    (path / "precious").write_text("kept")


def _endless_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _listener(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**33)  # a sparse file
    os.utime(path, (0.0, 0.0))


ODD = [_pipe, _folder, _full_folder, _endless_link, _dead_link, _loop, _listener, _huge]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", ODD)
def test_what_is_no_claim_file_keeps_no_run_from_being_computed(
    store: Store, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.folder)  # the address of a listener has few characters
    path = store.path(RUN, "claim")
    make(path)
    with Claims(store) as claims:
        assert claims.take(RUN)
        claims.release(RUN)
    make(path)
    assert clear_leftovers(store.folder) >= 1
    assert not os.path.lexists(path)
    kept = list(store.folder.rglob("precious"))
    assert len(kept) == 2 * (make is _full_folder)
    assert all(found.parent.parent.name == "quarantine" for found in kept)


@pytest.mark.timeout(20)
def test_a_claim_that_becomes_a_pipe_while_it_is_held_hangs_nothing(store: Store) -> None:
    path = store.path(RUN, "claim")
    with Claims(store) as claims:
        assert claims.take(RUN)
        path.unlink()
        os.mkfifo(path)
        claims.release(RUN)
        assert path.is_fifo()


def test_a_void_claim_that_cannot_be_removed_keeps_no_run_from_being_computed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.path(RUN, "claim")
    path.write_text(json.dumps({**owner(), "pid": _dead_pid()}))

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(claims_module.os, "rename", refuse)
    with Claims(store) as claims:
        assert claims.take(RUN)
    assert path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"machine": 1}', '{"machine":"a","pid":1e999,"started":0}'])
def test_a_torn_claim_is_void_after_a_moment(store: Store, text: str) -> None:
    path = store.path(RUN, "claim")
    path.write_text(text)
    assert not clear_void(path)
    os.utime(path, (time.time() - 60.0,) * 2)
    assert clear_void(path)
    assert not path.exists()


def test_held_claims_are_refreshed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "HEARTBEAT", 0.05)
    with Claims(store) as claims:
        claims.take(RUN)
        path = store.path(RUN, "claim")
        os.utime(path, (0.0, 0.0))
        deadline = time.monotonic() + 10.0
        while path.stat().st_mtime < 1.0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 1.0


def test_leftovers_go_and_the_living_stay(store: Store) -> None:
    old = time.time() - 30.0
    dead, alive = _dead_pid(), os.getpid()
    for name, pid in ((f".{RUN}.json.{dead}-aa.tmp", dead), (f".{RUN}.json.{alive}-aa.tmp", alive)):
        (store.folder / name).write_text("half")
        os.utime(store.folder / name, (old, old))
        assert str(pid) in name
    (store.folder / ".foreign.tmp").write_text("not ours to judge yet")
    (store.folder / f"{'c' * 24}.claim").write_text(json.dumps({**owner(), "pid": dead}))
    (store.folder / f".{'c' * 24}.json.{dead}-bb.tmp").write_text("a moment ago, by the owner of the void claim")
    with Claims(store) as claims:
        claims.take(RUN)
        assert clear_leftovers(store.folder) == 3
        left = {path.name for path in store.folder.iterdir()}
    assert left == {f".{RUN}.json.{alive}-aa.tmp", ".foreign.tmp", f"{RUN}.claim"}
    assert clear_leftovers(store.folder / "absent") == 0


def test_a_claim_that_changed_hands_is_not_removed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.path(RUN, "claim")
    path.write_text(json.dumps({**owner(), "pid": _dead_pid(), "token": "old"}))
    fresh = json.dumps({**owner(), "token": "fresh"})
    real = os.rename

    def late(source: Path, target: Path) -> None:
        # between reading the void claim and moving it, somebody else takes the run over
        monkeypatch.undo()
        path.write_text(fresh)
        real(source, target)

    monkeypatch.setattr(claims_module.os, "rename", late)
    clear_void(path)
    assert path.read_text() == fresh
