"""A worker process: ``python -P -m leakybench.engines.worker SOCKET PARENT THREADS``; computes jobs until its socket closes.

It lives as long as whoever started it, and no longer: the kernel ends it with its parent where it can (Linux), and a
thread that reads the socket ends it when the other side is gone.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

from leakybench.engines.wire import Reader, encode_message

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> NoReturn:
    """Serve jobs."""
    descriptor, parent, threads = (int(word) for word in arguments)
    _die_with(parent)
    faulthandler.enable()
    # what a run starts must not hold the line open after this process is gone
    os.set_inheritable(descriptor, False)
    connection = socket.socket(fileno=descriptor)
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()

    from leakybench.engines.execute import execute
    from leakybench.engines.job import Job
    from leakybench.engines.wire import encode_outcomes

    connection.sendall(encode_message({"ready": os.getpid()}))
    while True:
        job = Job.from_json(inbox.get()["job"])
        message = encode_message(*encode_outcomes(execute(job, threads=threads)))
        _flush()
        connection.sendall(message)


def _listen(connection: socket.socket, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    reader = Reader()
    while True:
        try:
            data = connection.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            _end_group()
        for header, _ in reader.feed(data):
            inbox.put(header)


def _end_group() -> NoReturn:
    # this process leads its own group, so what a run started ends with it
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before the request
            os._exit(1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


if __name__ == "__main__":
    main(sys.argv[1:])
