"""The guardian of one command: a small process that holds all descendants of the command and ends them.

``python -I -S guardian.py PARENT CONTROL FDS COMMAND...`` starts the command in a session of its own, with the open
files FDS. The guardian is a child subreaper (``prctl(2)``, ``PR_SET_CHILD_SUBREAPER``): a descendant that forks twice,
opens a session or outlives its parent stays below it in the process tree, so none can detach. When the other side of
the socket CONTROL is closed, or the process PARENT dies (``PR_SET_PDEATHSIG``), it kills them all and exits.

The file needs the standard library alone, so that it starts within milliseconds and remains small beside each worker.
Without ``/proc`` and ``prctl`` (not Linux) it ends the process group of the command.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Container
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
END_SECONDS = 10.0
"""Maximum time for the death of killed processes, which a disk that does not answer can delay."""
PROC = os.path.isdir("/proc/self/task")
LISTED = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
"""Whether the kernel lists the children of a process; otherwise every process is looked at."""


def guard(arguments: list[str]) -> int:
    """Start the command, report ``pid N`` and ``exit CODE`` on the socket, and end everything with the other side.

    Args:
        arguments: process id of the parent, descriptor of the socket, descriptors for the command (with commas), and
            the command.

    Returns:
        0 if no descendant is left.
    """
    parent, descriptor = int(arguments[0]), int(arguments[1])
    files = [int(word) for word in arguments[2].split(",") if word]
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # wakes select below
    prctl = _prctl()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    child = _start(arguments[3:], prctl)
    for file in files:
        os.close(file)
    _report(control, f"pid {child}")
    while os.getppid() == parent:
        for pid, status in _reap()[0]:
            if pid == child:
                _report(control, f"exit {os.waitstatus_to_exitcode(status)}")
        readable, _, _ = select.select([descriptor, woken], [], [])
        if descriptor in readable and not control.recv(64):
            break
        if woken in readable:
            os.read(woken, 4096)
    if not PROC:
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
    return 0 if end_descendants(os.getpid(), left=lambda: _reap()[1]) else 1


def descendants(root: int) -> list[int]:
    """Return the process ids below ``root``, parents first; those that have ended are left out."""
    found: dict[int, None] = {}
    waiting = [root]
    while waiting:
        for child in _children(waiting.pop()):
            if child not in found and child != root:
                found[child] = None
                waiting.append(child)
    return [pid for pid in found if not _has_ended(pid)]


def end_descendants(root: int, *, seconds: float = END_SECONDS, left: Callable[[], bool] = lambda: False) -> bool:
    """Kill the descendants of a process until none is left, and no other process.

    Args:
        root: process id.
        seconds: maximum time.
        left: reaps the children of this process and says whether any is left.

    Returns:
        Whether none is left.
    """
    deadline = time.monotonic() + seconds
    while True:
        stopped: set[int] = set()
        # a stopped process starts no further ones, so this comes to an end even while they multiply
        while (fresh := set(descendants(root)) - stopped) and time.monotonic() < deadline:
            for pid in fresh:
                send(pid, signal.SIGSTOP, {root, *stopped, *fresh})
            stopped |= fresh
        for pid in stopped:
            send(pid, signal.SIGKILL, {root, *stopped})
        if not left() and not descendants(root):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)


def send(pid: int, number: int, parents: Container[int | None]) -> None:
    """Send a signal to a process if it is still a child of one of ``parents``: a number may be given again."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError) as error:
        if not isinstance(error, ProcessLookupError):  # an old kernel, or too many open files
            with contextlib.suppress(OSError):
                os.kill(pid, number)
        return
    try:
        if parent_of(pid) in parents:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        pass  # gone, or a program of another user, which only that user may end
    finally:
        os.close(handle)


def parent_of(pid: int) -> int | None:
    """Return the parent of a process; None if it is gone."""
    fields = _status(pid)
    return int(fields[1]) if fields else None


def _status(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the name: state, parent, and so on."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except (OSError, ValueError):
        return []


def _has_ended(pid: int) -> bool:
    state = _status(pid)[:1]
    if state not in ([], ["Z"], ["X"]):
        return False
    try:  # the first thread may have ended before the others
        return len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def _children(pid: int) -> list[int]:
    if not LISTED:
        names = os.listdir("/proc") if PROC else []
        return [int(name) for name in names if name.isdigit() and parent_of(int(name)) == pid]
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def _start(command: list[str], prctl: Callable[[int, int], object]) -> int:
    guardian = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:  # it ended before the request
            os._exit(1)
        os.setsid()
        for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and an ignored signal is inherited
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        os.execvp(command[0], command)
    except BaseException as error:
        os.write(2, f"{command[0]} cannot be started: {error}\n".encode(errors="replace"))
    os._exit(127)


def _prctl() -> Callable[[int, int], object]:
    if sys.platform != "linux":
        return lambda option, value: None
    import ctypes

    prctl: Callable[[int, int], object] = ctypes.CDLL(None).prctl
    return prctl


def _reap() -> tuple[list[tuple[int, int]], bool]:
    """Return the children that have ended, with their status, and whether others are left."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended.append((pid, status))


def _report(control: socket.socket, line: str) -> None:
    with contextlib.suppress(OSError):
        control.sendall(f"{line}\n".encode())


def main() -> NoReturn:
    """Guard, and leave without the clean-up of the interpreter, which takes longer than everything else."""
    code = 1
    with contextlib.suppress(KeyboardInterrupt):
        code = guard(sys.argv[1:])
    os._exit(code)


if __name__ == "__main__":
    main()
