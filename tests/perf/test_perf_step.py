"""One training step, timed by pytest-benchmark: the engine, the plain PyTorch network and the bare products.

``make perf`` also prints the ratios of the three, taken in turn in one process (tests/perf/ratios.py).
"""

import pytest
import torch

from leakybench.baselines.networks.matmul import matmul_scope
from tests.perf.timings import engine_step, floor_step, plain_step

SHAPE = (100, 1000, 20)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.benchmark(group="step at w=100 N=1000 L=20", min_rounds=9, warmup=True)
@pytest.mark.parametrize("what", ["engine", "plain", "floor"])
def test_step(benchmark, threads, what):
    step = {"engine": engine_step, "plain": plain_step, "floor": floor_step}[what](*SHAPE)
    benchmark.extra_info["threads"] = threads
    if what == "plain":
        benchmark(step)
        return
    with matmul_scope():
        benchmark(step)
