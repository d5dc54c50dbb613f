"""A command with all its descendants, held by a guardian process: start it, weigh it, and end it completely."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from leakybench.engines import guardian

MARK = "LEAKYBENCH_FAMILY"
"""Variable that marks the descendants of a command, should their guardian be killed."""
GUARDIAN_SECONDS = 3.0
"""Time for a guardian to end its processes; then this process does it, for the guardian may be stopped."""
MEMORY_SHARE = 0.1
"""Largest share of the time that exact measurements of memory may take."""

_UNPRINTABLE = re.compile(r"[^ -~]")


class Family:
    """A running command and its descendants, however they detached.

    Only what descends from the command is ever ended. Three kinds of process escape: one that another daemon starts
    on request (cron, a container engine), which is no descendant; one that runs as another user; and, if the command
    kills its guardian, one that has also cleared its environment.

    Args:
        command: the command line.
        env: its environment.
        files: descriptors that it inherits, beside the standard ones.
        stdin: as in ``subprocess.Popen``.
        stdout: as in ``subprocess.Popen``.
        stderr: as in ``subprocess.Popen``.

    Raises:
        OSError: no process can be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        files: Sequence[int] = (),
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> None:
        self.code: int | None = None
        self._pid: int | None = None
        self._mark = secrets.token_hex(16)
        self._reports = b""
        self._exact_until = 0.0
        self._control, far = socket.socketpair()
        places = [str(os.getpid()), str(far.fileno()), ",".join(map(str, files))]
        try:
            with far:
                self._guardian = subprocess.Popen(
                    [sys.executable, "-I", "-S", guardian.__file__, *places, *command],
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    pass_fds=(far.fileno(), *files),
                    env={**env, MARK: self._mark},
                    start_new_session=True,
                )
        except OSError:
            self._control.close()
            raise
        self._control.setblocking(False)

    @property
    def stdin(self) -> IO[bytes] | None:
        """The pipe to the command, if there is one."""
        return self._guardian.stdin

    @property
    def pid(self) -> int | None:
        """Process id of the command; None until it has started."""
        self._listen()
        return self._pid

    def alive(self) -> bool:
        """Whether the command is running; ``code`` is its exit code, or minus the signal, once it is not."""
        self._listen()
        return self.code is None

    def wait(self, seconds: float) -> int | None:
        """Wait for the end of the command and return its exit code; None if it runs on."""
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.code

    def memory(self, limit: int | None = None) -> int:
        """Return the resident bytes of the command and its descendants.

        Pages that forked processes share are counted once (proportional set size) where the plain sum exceeds
        ``limit``; that takes longer, so it is done at most for a tenth of the time.
        """
        members = guardian.descendants(self._guardian.pid)
        plain = sum(_resident(pid) for pid in members)
        if limit is None or plain <= limit or len(members) < 2:
            return plain
        start = time.monotonic()
        if start < self._exact_until:
            return min(plain, limit)
        exact = sum(_proportional(pid) for pid in members)
        self._exact_until = time.monotonic() + (time.monotonic() - start) / MEMORY_SHARE
        return exact

    def strays(self) -> list[int]:
        """Return the process ids of the descendants of the command."""
        own = self.pid
        if own is None:
            return []
        return [pid for pid in guardian.descendants(self._guardian.pid) if pid != own]

    def pause(self) -> None:
        """Stop the command until ``resume``, so that its threads take no time from others."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the command."""
        self._signal(signal.SIGCONT)

    def end(self) -> bool:
        """Kill the command, its descendants and the guardian; return whether all are gone."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)  # also where a fork of this process holds the socket
        gone = True
        try:
            self._guardian.wait(GUARDIAN_SECONDS)
        except subprocess.TimeoutExpired:
            gone = guardian.end_descendants(self._guardian.pid)
            self._guardian.kill()
            self._guardian.wait()
        self._listen()
        self._control.close()
        if self.code is None:
            self.code = -signal.SIGKILL
        if self._guardian.returncode != 0:
            gone = _end_marked(self._mark) and gone
        for stream in (self._guardian.stdin, self._guardian.stdout, self._guardian.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return gone

    def _signal(self, number: int) -> None:
        if (pid := self.pid) is not None and self.code is None:
            guardian.send(pid, number, {self._guardian.pid})

    def _listen(self) -> None:
        """Read the reports of the guardian."""
        while self.code is None:
            try:
                data = self._control.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:  # the guardian is dead, and the command with it
                self.code = -signal.SIGKILL
                return
            *lines, self._reports = (self._reports + data).split(b"\n")
            for word, _, number in (line.partition(b" ") for line in lines):
                if word == b"pid":
                    self._pid = int(number)
                else:
                    self.code = int(number)


def describe(pids: Sequence[int]) -> str:
    """Return the names of processes for a message, as in ``python (2), sleep``; those that are gone are left out."""
    names: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_bytes().decode("ascii", "replace").rstrip("\n")
            name = _UNPRINTABLE.sub("?", name)  # a process chooses its own name
            names[name] = names.get(name, 0) + 1
    shown = [name if count == 1 else f"{name} ({count})" for name, count in sorted(names.items())]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration, ValueError):
        return _resident(pid)


def _end_marked(mark: str) -> bool:
    """Kill the processes that inherited a mark; return whether none is left."""
    deadline = time.monotonic() + guardian.END_SECONDS
    needle = f"{MARK}={mark}".encode()
    while True:
        marked = []
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                if needle in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                    marked.append(process)
        if not marked or time.monotonic() > deadline:
            return not marked
        _kill_all(marked)


def _kill_all(processes: Sequence[Any]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.suspend()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    time.sleep(0.005)
