"""The choice of the library that multiplies: scoped, exact, remembered, and overridable."""

import json

import pytest
import torch

from leakybench.baselines.networks import matmul
from leakybench.errors import UsageError


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    """An empty cache folder and no memory of an earlier choice in this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(matmul.VARIABLE, raising=False)
    matmul._stored_choice.cache_clear()
    yield tmp_path
    matmul._stored_choice.cache_clear()


def test_the_callers_setting_comes_back_even_after_an_error():
    before = torch.get_float32_matmul_precision()
    with matmul.matmul_scope("medium"):
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(RuntimeError, match="inside"), matmul.matmul_scope("medium"):
        raise RuntimeError("inside")
    assert torch.get_float32_matmul_precision() == before


def test_a_fit_that_ends_first_leaves_its_setting_to_those_that_go_on():
    # two fits in two threads, in the order that once put the second on the caller's setting halfway
    before = torch.get_float32_matmul_precision()
    first, second = matmul.matmul_scope("medium"), matmul.matmul_scope("medium")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.get_float32_matmul_precision() == "medium"
    second.__exit__(None, None, None)
    assert torch.get_float32_matmul_precision() == before


def test_a_scope_inside_another_gives_back_the_outer_choice():
    before = torch.get_float32_matmul_precision()
    with matmul.matmul_scope("medium"):
        with matmul.matmul_scope("highest"):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before


def test_the_choice_is_measured_once_and_kept(fresh_cache, monkeypatch):
    calls = []
    monkeypatch.setattr(matmul, "time_products", lambda: calls.append(1) or {"highest": 2.0, "medium": 1.0})
    assert matmul.choose() == "medium"
    matmul._stored_choice.cache_clear()
    assert matmul.choose() == "medium"
    assert len(calls) == 1
    (kept,) = fresh_cache.rglob("matmul-*.json")
    assert json.loads(kept.read_text())["choice"] == "medium"


def test_a_small_gain_does_not_replace_the_default(fresh_cache, monkeypatch):
    monkeypatch.setattr(matmul, "time_products", lambda: {"highest": 1.0, "medium": 0.99})
    assert matmul.choose() == "highest"


def test_a_damaged_memory_is_measured_again(fresh_cache, monkeypatch):
    path = matmul._cache_file(torch.get_num_threads())
    path.parent.mkdir(parents=True)
    path.write_text("{")
    monkeypatch.setattr(matmul, "time_products", lambda: {"highest": 1.0})
    assert matmul.choose() == "highest"


def test_the_variable_decides_and_a_wrong_one_is_named(monkeypatch):
    monkeypatch.setenv(matmul.VARIABLE, "highest")
    assert matmul.choose() == "highest"
    monkeypatch.setenv(matmul.VARIABLE, "fast")
    with pytest.raises(UsageError, match="LEAKYBENCH_MATMUL must be one of highest, medium, got 'fast'"):
        matmul.choose()


class Rounded:
    """A matrix whose products round their factors to bfloat16, as a fast setting does on some processors."""

    def __init__(self, matrix):
        self.matrix = matrix

    def double(self):
        return self.matrix.double()

    def __matmul__(self, other):
        return (self.matrix.bfloat16().float() @ other.bfloat16().float()).float()


def test_products_that_round_to_bfloat16_are_not_exact():
    draw = torch.Generator().manual_seed(0)
    left, right = torch.randn(100, 101, generator=draw), torch.randn(101, 300, generator=draw)
    assert matmul.is_exact(left, right)
    assert not matmul.is_exact(Rounded(left), right)


def test_measuring_covers_the_default():
    assert "highest" in matmul.time_products(width=20, samples=50, rounds=2)
