"""The worker process, ``python -P -m leakybench.engines.worker SOCKET PARENT THREADS``: compute jobs from a socket.

It does not outlive its parent: on Linux the kernel ends it together with the parent, and elsewhere a thread that reads
the socket ends it when the other side is gone.
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


def serve(arguments: list[str]) -> NoReturn:
    """Compute jobs from the socket until it closes.

    Args:
        arguments: file descriptor of the socket, process id of the parent, and number of threads.
    """
    descriptor, parent, threads = (int(word) for word in arguments)
    _die_with(parent)
    faulthandler.enable()
    # processes started by a run must not keep the connection open after this process is gone
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
    # this process leads its own group, so processes started by a run end with it
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the request
            os._exit(1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


if __name__ == "__main__":
    serve(sys.argv[1:])
