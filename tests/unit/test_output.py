"""The output of a process: head and tail are kept, nothing waits, nothing fills up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakybench.engines import output as output_module
from leakybench.engines.output import HEAD_BYTES, TAIL_BYTES, Excerpt, Output, clip

KEPT = HEAD_BYTES + TAIL_BYTES


@given(st.lists(st.integers(0, 3 * TAIL_BYTES), max_size=6))
def test_an_excerpt_is_the_beginning_and_the_end(sizes: list[int]) -> None:
    data = bytes(ord("a") + number % 26 for number in range(251)) * (sum(sizes) // 251 + 1)
    excerpt, start = Excerpt(), 0
    for size in sizes:
        excerpt.add(data[start : start + size])
        start += size
    text = excerpt.text()
    if start <= KEPT:
        assert text.encode() == data[:start]
    else:
        head, _, tail = text.partition(f"\n[{start - KEPT} bytes left out]\n")
        assert (head.encode(), tail.encode()) == (data[:HEAD_BYTES], data[start - TAIL_BYTES : start])


def test_a_text_is_clipped_only_if_it_is_long() -> None:
    assert clip("a" * KEPT) == "a" * KEPT
    clipped = clip("a" * KEPT + "b" * 10)
    assert "\n[10 characters left out]\n" in clipped
    assert clipped.endswith("b" * 10)


@pytest.fixture
def output() -> Iterator[Output]:
    made = Output()
    yield made
    made.close()


def run(output: Output, code: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=output.writer)
    output.started()
    return process


def test_a_process_that_prints_without_end_is_neither_held_up_nor_kept_in_memory(output: Output) -> None:
    before = psutil.Process().memory_info().rss
    # 200 MB are three thousand times what a pipe holds and what is kept
    code = "import os\nfor _ in range(200): os.write(1, b'x' * 10**6)\nos.write(1, b'the end')"
    assert run(output, code).wait(30.0) == 0
    text = output.text()
    assert text.endswith("xxthe end")
    assert f"[{200 * 10**6 + 7 - KEPT} bytes left out]" in text
    # a chunk and what is kept, and slack for the allocator
    assert psutil.Process().memory_info().rss - before < 8 * 2**20


def test_output_is_complete_at_once_and_can_be_cleared(output: Output) -> None:
    assert run(output, "print('one')").wait(10.0) == 0
    assert output.text() == "one\n"
    output.clear()
    assert output.text() == ""


def test_text_returns_though_the_process_prints_on(output: Output) -> None:
    process = run(output, "import os\nwhile True: os.write(1, b'x' * 65536)")
    start = time.monotonic()
    assert set(output.text()) <= set("x\n[]0123456789 bytesleftout")
    # the limit on catching up, and slack for a busy machine
    assert time.monotonic() - start < output_module.CATCH_UP_SECONDS + 2.0
    process.kill()
    process.wait()


def test_closing_frees_the_descriptors_also_before_the_start() -> None:
    before = set(os.listdir("/proc/self/fd"))
    never = Output()
    never.close()
    used = Output()
    used.started()
    used.close()
    assert set(os.listdir("/proc/self/fd")) == before
