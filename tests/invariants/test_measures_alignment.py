"""Code alignment and leak: closed forms, symmetries, and the true functions of the tasks as oracles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakybench
from leakybench.errors import UsageError
from leakybench.evaluation import target_jacobians
from leakybench.measures import code_alignment, code_leak, function_jacobians, model_jacobians
from leakybench.measures.alignment import align
from leakybench.record import structure_found
from leakybench.registry import tasks

seeds = st.integers(0, 10**6)
cases = settings(max_examples=40, deadline=None)
SAMPLES = 48


def _orthonormal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((columns, rows)))[0].T


def _maps(rng: np.random.Generator, k: int, d: int, d_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Jacobians of a code, (n, k, d), and of a target that factors through it, (n, d_out, d)."""
    frames = np.linalg.qr(rng.standard_normal((SAMPLES, d, k)))[0]
    # no direction of the code is below the floor of 3%, or the target's own would differ from it
    code = rng.uniform(0.5, 2.0, (SAMPLES, k, 1)) * np.swapaxes(frames, 1, 2)
    return code, rng.standard_normal((SAMPLES, d_out, k)) @ code


@cases
@given(seeds, st.integers(1, 4), st.integers(5, 9), st.integers(4, 6))
def test_the_true_function_has_alignment_one_and_no_leak(seed: int, k: int, d: int, d_out: int) -> None:
    code, target = _maps(np.random.default_rng(seed), k, d, d_out)
    # float64 at a condition of up to 1e4 for random k x k blocks, of which 1e-12 is lost
    assert code_leak(target, code, rank=k) == pytest.approx(0.0, abs=1e-9)
    balanced = np.linalg.qr(np.random.default_rng(seed).standard_normal((d_out, d_out)))[0][:, :k] @ code
    assert code_alignment(balanced, code, rank=k) == pytest.approx(1.0, abs=1e-9)
    assert code_alignment(target, target, rank=k) == pytest.approx(1.0, abs=1e-9)


def test_what_the_target_itself_hides_at_a_point_is_not_asked_for() -> None:
    rng = np.random.default_rng(3)
    code = np.broadcast_to(_orthonormal(rng, 3, 8), (SAMPLES, 3, 8))
    target = code.copy()
    target[::2, 2] *= 1e-3  # at half of the points a rectifier leaves two directions
    model = code.copy()
    model[::2, 2] = rng.standard_normal(8) * 1e-3  # the model moves there as little, and elsewhere
    assert code_alignment(model, target, rank=3) == pytest.approx(1.0, abs=1e-9)
    # a point at which the target does not move at all says nothing
    target[1], model[1] = 0.0, rng.standard_normal((3, 8))
    assert code_alignment(model, target, rank=3) == pytest.approx(1.0, abs=1e-9)


@cases
@given(seeds, st.integers(1, 3), st.integers(4, 8))
def test_rotations_of_inputs_code_and_outputs_change_nothing(seed: int, k: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    code, _ = _maps(rng, k, d, 5)
    model = rng.standard_normal((SAMPLES, 5, d))
    inputs, outputs, codes = _orthonormal(rng, d, d), _orthonormal(rng, 5, 5), _orthonormal(rng, k, k)
    moved = outputs @ model @ inputs, codes @ code @ inputs
    for measure in (code_alignment, code_leak):
        assert measure(*moved, rank=k) == pytest.approx(measure(model, code, rank=k), abs=1e-9)


def test_a_random_map_has_alignment_zero_and_the_leak_of_chance() -> None:
    rng = np.random.default_rng(0)
    k, d, n = 3, 12, 4000
    model, code = rng.standard_normal((n, 6, d)), rng.standard_normal((n, k, d))
    found = align(model, code, rank=k)
    # the interval is at 95%, and one draw in twenty may miss it: 0 within 4 standard errors, and not wide
    assert abs(found.alignment) < 2.0 * (found.high - found.low)
    assert found.high - found.low < 0.02
    assert found.leak == pytest.approx(1.0 - k / d, abs=0.01)
    assert found.energy == pytest.approx(0.0, abs=0.02)


@cases
@given(seeds, st.integers(2, 4), st.integers(6, 9))
def test_a_model_of_rank_one_in_the_right_space_has_a_share_of_the_alignment(seed: int, k: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    code, _ = _maps(rng, k, d, 4)
    model = rng.standard_normal((SAMPLES, 4, 1)) @ (rng.standard_normal((SAMPLES, 1, k)) @ code)
    found = align(model, code, rank=k)
    assert found.alignment == pytest.approx((1.0 / k - k / d) / (1.0 - k / d), abs=1e-9)
    # the failure mode of the energy: it does not see that directions are missing
    assert found.energy == pytest.approx(1.0, abs=1e-9)


@cases
@given(seeds, st.integers(1, 3), st.floats(0.05, 0.9))
def test_weaker_directions_outside_of_the_code_leak_but_do_not_misalign(seed: int, k: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    d = 8
    frame = _orthonormal(rng, d, d)
    # k directions of size 1 inside, two of a smaller size outside: a model of rank k + 2 that contains the code
    model = np.vstack([frame[:k], size * frame[k : k + 2]])[None].repeat(SAMPLES, axis=0)
    code = np.linalg.qr(rng.standard_normal((SAMPLES, k, k)))[0] @ frame[:k]
    assert code_alignment(model, code, rank=k) == pytest.approx(1.0, abs=1e-9)
    assert code_leak(model, code, rank=k) == pytest.approx(2 * size**2 / (k + 2 * size**2), abs=1e-9)


def test_the_alignment_of_two_planes_is_their_angle() -> None:
    angle = 0.3
    model, code = np.zeros((SAMPLES, 2, 6)), np.zeros((SAMPLES, 1, 6))
    model[:, 0, 0], model[:, 0, 1] = np.cos(angle), np.sin(angle)
    code[:, 0, 0] = 2.5
    expected = (np.cos(angle) ** 2 - 1 / 6) / (1 - 1 / 6)
    assert code_alignment(model, code, rank=1) == pytest.approx(expected, abs=1e-12)
    assert code_leak(model, code, rank=1) == pytest.approx(np.sin(angle) ** 2, abs=1e-12)


@pytest.mark.parametrize("id", [spec.id for spec in tasks if spec.true_rank is not None])
def test_the_true_function_of_each_task_is_the_best_model(id: str) -> None:
    task = leakybench.make(id, seed=0)
    inputs = task.test.inputs
    if task.true_rank == inputs.shape[1]:
        pytest.skip("every direction matters: there is no alignment")
    truth = target_jacobians(task, inputs[:SAMPLES])
    # with itself, to float64; with central differences of float64 at another step, to 1e-9
    assert code_alignment(truth, truth, rank=task.true_rank) == pytest.approx(1.0, abs=1e-9)
    assert code_leak(truth, truth, rank=task.true_rank) < 1e-9
    numeric = function_jacobians(lambda rows: task.teacher(task.input_scale.inverse(rows)), inputs, samples=SAMPLES)
    # of float32 points: 1e-5 a derivative, and a few kinks crossed by the larger step
    assert code_alignment(numeric, truth, rank=task.true_rank) == pytest.approx(1.0, abs=1e-3)
    assert code_leak(numeric, truth, rank=task.true_rank) < 1e-3


@pytest.mark.parametrize("id", ["ResNet-v0", "LeakyResNet-v0", "FullyConnected-v0"])
@pytest.mark.parametrize("steps", ["uniform", "irregular"])
def test_exact_jacobians_of_networks_are_those_of_their_predictions(id: str, steps: str) -> None:
    task = leakybench.make("LowRank-k2-v0", seed=0, d=7, n_train=60)
    baseline = leakybench.make_baseline(id, depth=9, width=16, steps=steps)
    model = baseline.fit(task.train, seed=0, preset="smoke")
    inputs = task.test.inputs.astype(np.float64)
    exact = model_jacobians(model, inputs)
    assert exact.shape == (128, task.train.targets.shape[1], 7)
    numeric = function_jacobians(model.predict, inputs)
    # float32 differences are exact to 1e-4; a kink within a step of a sample moves some derivatives by more
    assert np.median(np.abs(numeric - exact)) < 1e-4 * np.abs(exact).max()
    assert np.mean(np.abs(numeric - exact) > 1e-2 * np.abs(exact).max()) < 0.05


def test_columns_of_different_spread_are_differenced_on_their_own_scale() -> None:
    rng = np.random.default_rng(1)
    spread = np.array([1e-3, 1.0, 30.0, 0.0])
    x = rng.standard_normal((200, 4)) * spread + 2.0
    slopes = rng.standard_normal((3, 4)) / np.array([1e-3, 1.0, 30.0, 1.0])
    found = function_jacobians(lambda rows: rows.astype(np.float64) @ slopes.T, x, samples=5)
    assert found.shape == (5, 3, 4)
    # the distance of the float32 points is taken as it is, so a linear map is exact to float64
    np.testing.assert_allclose(found, np.broadcast_to(slopes, found.shape), rtol=1e-8)


def test_arguments_that_do_not_fit_are_refused() -> None:
    model, code = np.ones((4, 3, 6)), np.ones((4, 2, 6))
    for wrong in (0, 6, True, 1.5, "2"):
        with pytest.raises(UsageError, match="rank must be an integer from 1 to 5"):
            code_alignment(model, code, rank=wrong)
    with pytest.raises(UsageError, match="need the same inputs"):
        code_alignment(model, code[:3], rank=1)
    with pytest.raises(UsageError, match="need the same inputs"):
        code_alignment(model, code[:, :, :5], rank=1)
    with pytest.raises(UsageError, match="of 2 rows cannot have rank 3"):
        code_alignment(model, code, rank=3)
    with pytest.raises(UsageError, match="the model does not move"):
        code_leak(0.0 * model, code, rank=1)
    with pytest.raises(UsageError, match="the target does not move"):
        code_leak(model, 0.0 * code, rank=1)
    with pytest.raises(UsageError, match="not finite"):
        code_alignment(model * np.nan, code, rank=1)


@pytest.mark.parametrize(
    ("rank", "alignment", "error", "expected"),
    [
        (3, 0.9, 0.1, True),
        (3, 0.5, 0.99, True),
        (3, None, 0.1, True),
        (2, 0.9, 0.1, False),
        (3, 0.49, 0.1, False),
        (3, 1e308, 0.1, False),  # no alignment at all
        (3, 0.9, 1.0, False),  # no better than the mean
        (3, 0.9, None, False),
        (None, 0.9, 0.1, None),
    ],
)
def test_recovered_asks_for_rank_alignment_and_an_error_below_that_of_the_mean(
    rank: int | None, alignment: float | None, error: float | None, expected: bool | None
) -> None:
    assert structure_found(rank, 3, alignment=alignment, test_error=error) is expected
    assert structure_found(rank, None, alignment=alignment, test_error=error) is None
