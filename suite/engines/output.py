"""The output of a process: its beginning and its end are kept, the rest is dropped, and the process never waits."""

from __future__ import annotations

import os
import select
import threading
import time

HEAD_BYTES = 16 * 1024
TAIL_BYTES = 48 * 1024
CHUNK = 1 << 16
CATCH_UP_SECONDS = 0.2
"""Maximum time for reading what is in the pipe already, for a process may print faster than it is read."""


class Excerpt:
    """The first ``HEAD_BYTES`` and the last ``TAIL_BYTES`` of a stream of bytes, and how many there were."""

    def __init__(self) -> None:
        self.size = 0
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, data: bytes) -> None:
        """Append bytes."""
        self.size += len(data)
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 4 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]

    def text(self) -> str:
        """Return what is kept, with a line that says how much is left out between beginning and end."""
        tail = self._tail[-TAIL_BYTES:]
        dropped = self.size - len(self._head) - len(tail)
        gap = f"\n[{dropped} bytes left out]\n" if dropped else ""
        return self._head.decode("utf-8", "replace") + gap + tail.decode("utf-8", "replace")


def clip(text: str) -> str:
    """Shorten a text to the length of an ``Excerpt``; a shorter one stays as it is."""
    if len(text) <= HEAD_BYTES + TAIL_BYTES:
        return text
    left_out = len(text) - HEAD_BYTES - TAIL_BYTES
    return f"{text[:HEAD_BYTES]}\n[{left_out} characters left out]\n{text[-TAIL_BYTES:]}"


class Output:
    """A pipe that a thread reads all the time, so that a process that prints a lot fills neither disk nor pipe.

    Attributes:
        writer: descriptor for the process; call ``started`` once the process has it.
    """

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._excerpt = Excerpt()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._drain, name="leakybench-output", daemon=True)

    def started(self) -> None:
        """Start to read; only the process writes from now on."""
        os.close(self.writer)
        self._thread.start()

    def text(self) -> str:
        """Return the output since the last ``clear``, the middle left out if it is long."""
        with self._lock:
            self._catch_up()
            return self._excerpt.text()

    def clear(self) -> None:
        """Forget the output so far."""
        with self._lock:
            self._catch_up()
            self._excerpt = Excerpt()

    def close(self) -> None:
        """Stop reading."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._reader)
                if self._thread.ident is None:
                    os.close(self.writer)

    def _drain(self) -> None:
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        while True:
            ready = poll.poll(500)
            with self._lock:
                if self._closed or (ready and self._read() == 0):
                    return

    def _catch_up(self) -> None:
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while not self._closed and self._read() and time.monotonic() < deadline:
            pass

    def _read(self) -> int | None:
        """Read a chunk and return its size, 0 at the end; None if there is nothing now."""
        try:
            data = os.read(self._reader, CHUNK)
        except BlockingIOError:  # the other thread was faster
            return None
        self._excerpt.add(data)
        return len(data)
