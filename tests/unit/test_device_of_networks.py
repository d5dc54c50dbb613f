"""Networks on a device: where there is one; and on every machine, that nothing depends on torch's defaults."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import leakybench

SETTINGS = {"width": 16, "depth": 6}
CASES = [
    ("LeakyResNet-v0", {"effective_depth": 3.0, "steps": "adaptive"}, "smoke"),
    ("LeakyResNet-v0", {"effective_depth": 3.0, "ends": "learned", "precision": "bfloat16"}, "smoke"),
    ("FullyConnected-v0", {"steps": "irregular"}, "smoke"),
]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture
def strange_defaults() -> Iterator[None]:
    """A default device that holds no numbers, and a default precision that is not the networks' own."""
    dtype = torch.get_default_dtype()
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)


def task(seed: int = 0) -> leakybench.Task:
    return leakybench.make("LowRank-k2-v0", seed=seed, d=6, n_train=60, n_test=20)


@pytest.mark.parametrize(("family", "settings", "preset"), CASES)
def test_torchs_defaults_change_nothing(family, settings, preset, request):
    baseline = leakybench.make_baseline(family, **SETTINGS, **settings)
    data = task()
    wanted = baseline.fit(data.train, seed=0, preset=preset)
    paths = [wanted.representations(data.test.inputs, data.test.targets)]
    request.getfixturevalue("strange_defaults")
    found = baseline.fit(data.train, seed=0, preset=preset)
    paths.append(found.representations(data.test.inputs, data.test.targets))
    np.testing.assert_array_equal(found.predict(data.test.inputs), wanted.predict(data.test.inputs))
    for name in ("activations", "momenta", "weights"):
        np.testing.assert_array_equal(getattr(paths[1], name), getattr(paths[0], name))
    assert found.report.values["device"] == "cpu"


@needs_cuda
@pytest.mark.parametrize(("family", "settings", "preset"), CASES)
def test_a_fit_on_the_card_starts_as_on_the_processor(family, settings, preset):
    data = task()
    both = [
        leakybench.make_baseline(family, **SETTINGS, **settings, device=device).fit(data.train, seed=0, preset=preset)
        for device in ("cpu", "cuda")
    ]
    first = [model.report.values["curve"][0][1] for model in both]
    # products round otherwise there; a dozen iterations amplify that
    assert first[1] == pytest.approx(first[0], rel=0.05)
    assert both[1].report.values["device"].startswith("cuda: ")
    assert np.isfinite(both[1].predict(data.test.inputs)).all()


@needs_cuda
def test_a_batch_on_the_card_trains_every_seed():
    settings = {**SETTINGS, "effective_depth": 3.0, "steps": "adaptive", "device": "cuda"}
    baseline = leakybench.make_baseline("LeakyResNet-v0", **settings)
    tasks = [task(seed) for seed in range(4)]
    models = baseline.fit_many([one.train for one in tasks], seeds=range(4), preset="smoke")
    assert [model.report.status for model in models] == ["ok"] * 4
    assert len({model.coefficients.step_sizes for model in models}) == 4
