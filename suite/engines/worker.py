"""The worker process, ``python -P -m leakybench.engines.worker SOCKET THREADS``: compute jobs from a socket.

Its guardian (``leakybench.engines.guardian``) ends it with its sweep; where that is not possible (not on Linux), a
thread that reads the socket does when the other side is gone.
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


def serve(arguments: list[str]) -> NoReturn:
    """Compute jobs from the socket until it closes.

    Args:
        arguments: file descriptor of the socket, and number of threads.
    """
    descriptor, threads = (int(word) for word in arguments)
    own = os.getpid()
    faulthandler.enable()
    # processes started by a run must not keep the connection open after this process is gone
    os.set_inheritable(descriptor, False)
    connection = socket.socket(fileno=descriptor)
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()

    from leakybench.engines.guarded import compute
    from leakybench.engines.job import Job
    from leakybench.registry import restrict_to

    connection.sendall(encode_message({"ready": os.getpid()}))
    while True:
        job = Job.from_json(inbox.get()["job"])
        restrict_to(job.task_spec.plugin, job.baseline_spec.plugin)
        message = encode_message(*compute(job, threads=threads))
        if os.getpid() != own:
            os._exit(0)  # a fork that a run forgot; its parent answers
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


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


if __name__ == "__main__":
    serve(sys.argv[1:])
