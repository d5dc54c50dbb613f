"""Claim runs, so that two sweeps may share one folder without repeating each other's work.

A claim is the file ``<run_id>.claim``, created with O_EXCL so that one sweep wins. It names its owner. It is void when
that process has ended, or, if the owner is on another machine, when its time stamp is far from the present, in the past
or in the future; and whatever is no regular file (a pipe, a link, a folder) is void and never read. Claims only save
work: if two sweeps compute the same run after all, both write the same record, and the last rename wins.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import stat
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from leakybench.atomic import TEMP_SUFFIX
from leakybench.store import QUARANTINE, RUN_FILE, DamagedError, Store, read_file

HEARTBEAT = 10.0
"""Seconds between two refreshes of the time stamp."""
EXPIRY = 120.0
"""Seconds after which the claim of another machine is void: twelve missed heartbeats. Its clock may be ahead by it."""
TORN = 2.0
"""Seconds after which a claim without content is void."""
MAX_BYTES = 1 << 16


class Claims:
    """The claims of this process on the runs of one store; a context that releases them all on exit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = secrets.token_hex(8)
        self._text = json.dumps({**owner(), "token": self._token}, sort_keys=True)
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="leakybench-claims", daemon=True)

    def __enter__(self) -> Claims:
        self._pulse.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for run_id in list(self._held):
            self.release(run_id)

    def take(self, run_id: str) -> bool:
        """Claim a run; return False if a living process has it.

        A void claim that cannot be removed (it belongs to another user, say) does not keep the run from being computed.

        Raises:
            OSError: the folder cannot be written.
        """
        path = self._store.path(run_id, "claim")
        for _ in range(3):
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                if not clear_void(path):
                    return False
                continue
            try:
                os.write(descriptor, self._text.encode())
            except OSError:
                path.unlink(missing_ok=True)  # a full disk: an empty claim would block the run for others
                raise
            finally:
                os.close(descriptor)
            with self._lock:
                self._held.add(run_id)
            return True
        return True

    def release(self, run_id: str) -> None:
        """Release a run, if this process still holds it."""
        with self._lock:
            self._held.discard(run_id)
        path = self._store.path(run_id, "claim")
        try:
            if _look(path)[0] == self._text:
                path.unlink(missing_ok=True)
        except OSError:
            pass  # gone already, or the folder is: either way nothing is held

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with self._lock:
                held = list(self._held)
            for run_id in held:
                try:
                    os.utime(self._store.path(run_id, "claim"), follow_symlinks=False)
                except OSError:
                    continue


@cache
def owner() -> dict[str, Any]:
    """Identify this process by machine, process number and start time, so that others can tell whether it lives."""
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def _machine() -> str:
    # the boot, since process numbers start anew with it; the namespace, since containers number their own
    parts = []
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(os.stat("/proc/self/ns/pid").st_ino))
    except OSError:
        parts.append(str(psutil.boot_time()))
    return "/".join(parts)


def _started(pid: int) -> float | None:
    try:
        return round(psutil.Process(pid).create_time(), 1)
    except psutil.Error:
        return None


def is_alive(text: str, age: float) -> bool:
    """Whether the claim ``text``, last refreshed ``age`` seconds ago, still holds."""
    try:
        claim = json.loads(text)
        machine, pid, started = claim["machine"], int(claim["pid"]), claim["started"]
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return abs(age) < TORN  # being written at this moment, or torn by a crash
    if machine != _machine():
        return abs(age) < EXPIRY
    try:
        return _started(pid) == started and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OverflowError, ValueError):
        return False


def clear_void(path: Path) -> bool:
    """Remove the claim at ``path`` if its owner is gone; return whether the path is free."""
    try:
        seen, age = _look(path)
    except FileNotFoundError:
        return True
    if is_alive(seen, age):
        return False
    # a rename can be won by one only; what it moved may be newer than what was read, and is then put back
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMP_SUFFIX}")
    try:
        os.rename(path, aside)
        if _look(aside)[0] != seen:
            os.link(aside, path, follow_symlinks=False)
    except OSError:
        pass  # somebody was faster
    _remove(aside)
    return True


def _look(path: Path) -> tuple[str, float]:
    """Return the text of a claim and the seconds since its time stamp; nothing and infinity if it is no regular file.

    Raises:
        FileNotFoundError: there is nothing.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return "", math.inf
    age = time.time() - status.st_mtime
    try:
        return read_file(path, MAX_BYTES).decode(errors="replace"), age
    except DamagedError:  # not readable for this user: the time stamp decides, as for another machine
        return json.dumps({"machine": "", "pid": 0, "started": None}), age


def _remove(path: Path) -> None:
    """Remove what was moved away from the place of a claim; a folder that is not empty is set aside."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        try:
            path.rmdir()
        except OSError:
            target = path.parent / QUARANTINE
            with contextlib.suppress(OSError):
                target.mkdir(exist_ok=True)
                path.rename(target / path.name.removeprefix(".").removesuffix(TEMP_SUFFIX))


def clear_leftovers(folder: Path) -> int:
    """Remove temporary files and void claims of killed processes; return how many."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return 0
    void = set()
    for entry in entries:
        match = RUN_FILE.fullmatch(entry.name)
        if match and match["kind"] == "claim":
            with contextlib.suppress(OSError):
                if clear_void(Path(entry.path)):
                    void.add(match["run_id"])
    removed = len(void)
    for entry in entries:
        if not (entry.name.startswith(".") and entry.name.endswith(TEMP_SUFFIX)):
            continue
        with contextlib.suppress(OSError):
            age = time.time() - entry.stat(follow_symlinks=False).st_mtime
            # only the owner of a claim writes the files of its run: nobody will finish those of a void claim
            if entry.name[1:].split(".")[0] in void or age > EXPIRY or _writer_is_gone(entry.name, age):
                os.unlink(entry.path)
                removed += 1
    return removed


def _writer_is_gone(name: str, age: float) -> bool:
    # ".<file>.<pid>-<token>.tmp"; the grace is for a shared folder, where the number may be another machine's
    pid = name.removesuffix(TEMP_SUFFIX).rpartition(".")[2].partition("-")[0]
    return pid.isascii() and pid.isdigit() and len(pid) < 10 and age > TORN and not psutil.pid_exists(int(pid))
