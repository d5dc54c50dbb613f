"""The shortcut references: closed forms, exact optima, what each of them sees and what it cannot see."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import Ridge

import leakybench
from leakybench import seeding
from leakybench.baselines import inverse_regression, reduced_rank, target_components, tuned_kernel
from leakybench.baselines.ridge import PENALTIES
from leakybench.task import Split

IDS = ["ReducedRank-v0", "TargetComponents-v0", "SlicedInverseRegression-v0", "DirectionalRegression-v0"]
MEAN, BOTH = (
    {"slices": 10, "second_moments": False},
    {"slices": 3, "second_moments": True},
)


def split(inputs, targets):
    return Split(np.asarray(inputs, dtype=np.float32), np.asarray(targets, dtype=np.float32))


def fit(id, inputs, targets, seed=0):
    return leakybench.make_baseline(id).fit(split(inputs, targets), seed=seed, preset="standard")


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def spanned(basis, wanted):
    """Share of the orthonormal columns ``wanted`` (d, k) that lies in the span of ``basis`` (d, r): 1 all, 0 none."""
    q = np.linalg.qr(basis)[0] if basis.shape[1] else np.zeros((len(wanted), 1))
    return float(np.sum((q.T @ wanted) ** 2)) / wanted.shape[1]


def find(inputs, targets, moments, seed=0):
    """The directions in centred inputs, and the eigenvalues over the largest of the permuted targets."""
    how = lambda rows, heights: inverse_regression.moment_matrix(rows, heights, **moments)  # noqa: E731
    centred = inputs - inputs.mean(axis=0), targets - targets.mean(axis=0)
    return inverse_regression.directions(*centred, np.random.default_rng(seed), how)


# --- every one of them -------------------------------------------------------------------------------------------


def odd_data():
    x, y = gaussian(0, 40, 5), gaussian(1, 40, 3)
    y[:, 0] += x[:, 0]
    constant, copied = x.copy(), x.copy()
    constant[:, 1], copied[:, 1:4] = 3.0, x[:, :1]
    yield "one row", x[:1], y[:1]
    yield "two rows", x[:2], y[:2]
    yield "three rows, one target", x[:3], y[:3, :1]
    yield "fewer rows than dimensions", gaussian(2, 12, 30), gaussian(3, 12, 30)
    yield "one input", x[:, :1], y
    yield "one target", x, y[:, :1]
    yield "constant column", constant, y
    yield "constant inputs", np.ones((40, 5)), y
    yield "constant targets", x, np.ones((40, 3))
    yield "equal columns", copied, y
    yield "equal rows", np.repeat(x[:4], 10, axis=0), np.repeat(y[:4], 10, axis=0)
    yield "labels", x, np.eye(3)[np.arange(40) % 3]
    yield "large", 1e30 * x, 1e30 * y
    yield "small", 1e-30 * x, 1e-30 * y
    yield "far from 0", 1e5 + x, 1e5 + y


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize(("inputs", "targets"), [pytest.param(x, y, id=name) for name, x, y in odd_data()])
def test_data_of_any_shape_give_finite_predictions_and_a_report_in_plain_json(id, inputs, targets):
    model = fit(id, inputs, targets)
    predicted = model.predict(np.asarray(inputs, dtype=np.float32))
    assert predicted.shape == targets.shape
    assert np.isfinite(predicted).all()
    json.dumps(dict(model.report.values), allow_nan=False)
    # no reference is worse than the mean on its own training rows; float32 targets are rounded by 6e-8 of their size
    spread = np.mean((targets - targets.mean(axis=0)) ** 2)
    assert np.mean((predicted - targets) ** 2) <= 1.001 * spread + (1e-7 * np.abs(targets).max()) ** 2


@pytest.mark.parametrize("id", IDS)
def test_the_seed_decides_every_draw_and_not_the_global_generator(id):
    x = gaussian(0, 150, 6)
    y = np.sin(x[:, :2]) @ gaussian(1, 2, 4) + 0.3 * gaussian(2, 150, 4)
    first = fit(id, x, y, seed=3)
    np.random.seed(5)  # noqa: NPY002
    np.testing.assert_array_equal(fit(id, x, y, seed=3).predict(x), first.predict(x))


@pytest.mark.parametrize("id", IDS)
def test_an_unknown_preset_is_one_line(id):
    with pytest.raises(leakybench.UsageError, match="preset must be one of smoke, standard"):
        leakybench.make_baseline(id).fit(split(gaussian(0, 9, 2), gaussian(1, 9, 2)), seed=0, preset="quick")


# --- reduced-rank regression -------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 25),
    d_in=st.integers(1, 12),
    d_out=st.integers(1, 12),
    exponent=st.integers(-3, 3),
    seed=st.integers(0, 10**6),
)
def test_the_map_of_each_rank_is_the_best_approximation_of_the_augmented_fit(n, d_in, d_out, exponent, seed):
    penalty = 10.0**exponent
    x, y = gaussian(seed, n, d_in), gaussian(seed + 1, n, d_out)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    slope, components = reduced_rank.ridge_components(x, y, penalty)
    tall = np.vstack([x, np.sqrt(penalty) * np.eye(d_in)])
    full = np.vstack([y, np.zeros((d_in, d_out))])
    solution = np.linalg.lstsq(tall, full, rcond=None)[0]
    np.testing.assert_allclose(slope, solution, atol=1e-9)  # float64, condition of the augmented rows at most 1e3
    # Eckart and Young: what rank r leaves of the augmented fit is the tail of its singular values
    values = np.linalg.svd(tall @ solution, compute_uv=False)
    left = np.sum((full - tall @ solution) ** 2)
    for rank in range(components.shape[1] + 1):
        kept = components[:, :rank]
        objective = np.sum((full - tall @ slope @ kept @ kept.T) ** 2)
        assert objective == pytest.approx(left + np.sum(values[rank:] ** 2), rel=1e-8, abs=1e-9)


def test_penalty_rank_and_error_are_those_of_a_cross_validation_row_by_row():
    x = gaussian(0, 60, 7)
    y = x @ gaussian(1, 7, 2) @ gaussian(2, 2, 5) + 2.0 * gaussian(3, 60, 5)
    model = fit("ReducedRank-v0", x, y, seed=4)
    x, y = x.astype(np.float32).astype(float), y.astype(np.float32).astype(float)
    order = seeding.generator(reduced_rank.NAME, 4, "folds").permutation(60)
    errors = np.zeros((len(PENALTIES), 60, 6))
    for held in np.array_split(order, reduced_rank.FOLDS):
        rest = np.setdiff1d(order, held)
        centre, offset = x[rest].mean(axis=0), y[rest].mean(axis=0)
        for i, penalty in enumerate(PENALTIES):
            ridge = Ridge(alpha=penalty).fit(x[rest], y[rest])  # with its intercept: an independent solution
            rows = np.vstack([x[rest] - centre, np.sqrt(penalty) * np.eye(7)])
            right = np.linalg.svd(rows @ ridge.coef_.T)[2]
            for rank in range(6):
                predicted = offset + (x[held] - centre) @ ridge.coef_.T @ right[:rank].T @ right[:rank]
                errors[i, held, rank] = np.mean((predicted - y[held]) ** 2, axis=1)
    means = errors.mean(axis=1)
    best, top = np.unravel_index(np.argmin(means), means.shape)
    excess = errors[best] - errors[best][:, [top]]
    rank = next(r for r in range(6) if excess[:, r].mean() <= excess[:, r].std() / np.sqrt(60))
    values = model.report.values
    assert values["penalty"] == PENALTIES[best]
    assert values["rank"] == rank
    assert values["cross_validated"] == pytest.approx(means[best, rank], rel=1e-9)
    assert np.linalg.matrix_rank(model.slope, tol=1e-8) == rank


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_a_noisy_linear_map_has_its_rank_and_noise_alone_has_rank_0(rank):
    x = gaussian(0, 400, 10)
    y = x @ np.linalg.qr(gaussian(1, 10, rank))[0] @ np.linalg.qr(gaussian(2, 12, rank))[0].T
    assert fit("ReducedRank-v0", x, y + 0.3 * gaussian(3, 400, 12)).report.values["rank"] == rank
    noise = fit("ReducedRank-v0", x, gaussian(4, 400, 12))
    assert noise.report.values["rank"] == 0
    np.testing.assert_allclose(noise.predict(x), np.tile(noise.offset, (400, 1)))


# --- components of the targets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spectrum", "count"),
    [
        ([1.0, 0.9, 0.4, 0.3], 2),  # the first drop of 2.25
        ([1.0, 0.9, 0.4, 0.01], 2),  # the first one, not the largest
        ([1.0, 2 / 3, 0.5], 1),  # a drop of exactly 1.5
        ([1.0, 0.7, 0.5, 0.4], 4),  # no drop: all
        ([1.0, 0.7, 0.5, 0.02, 0.01], 3),  # below the floor is noise, with or without drops
        ([5.0], 1),
        ([0.0, 0.0], 0),
    ],
)
def test_the_first_drop_ends_the_leading_group(spectrum, count):
    assert target_components.first_drop(np.array(spectrum)) == count
    assert target_components.first_drop(1e-30 * np.array(spectrum)) == count


def test_the_number_of_components_does_not_look_at_the_inputs():
    task = leakybench.make("LowRank-k3-v0", n_train=300)
    inputs, targets = task.train.inputs, task.train.targets
    known = fit("TargetComponents-v0", inputs, targets).report.values
    blind = fit("TargetComponents-v0", gaussian(0, 300, 2), targets).report.values
    assert known["components"] == blind["components"] == 3
    assert known["spectrum"] == blind["spectrum"]


NOT_READ = {"Curved-k2-v0", "MultiIndex-k3-v0"}
"""The synthetic tasks of the first release whose rank the targets do not show: a sphere in three dimensions, and a
link of a smooth spectrum."""
READ = ["FullRank-d8", "Linear-k3", "LowRank-k1", "LowRank-k2", "LowRank-k3", "LowRank-k5", "LowRank-k10"]
READ += ["NestedRank-6-3", "Noisy-k3", "Staircase-k3", "Symmetry-SO3"]


def drops(id, seed):
    task = leakybench.make(id, seed=seed)
    targets = task.train.targets.astype(float)
    spectrum = np.linalg.svd(targets - targets.mean(axis=0), compute_uv=False)
    return target_components.first_drop(spectrum), task.true_rank, spectrum


@pytest.mark.parametrize("name", READ)
def test_the_targets_alone_show_the_rank_of_eleven_tasks(name):
    for seed in range(3):
        found, rank, spectrum = drops(f"{name}-v0", seed)
        assert found == rank
        # the margins that the docstring of DROP states
        ratios = spectrum[: rank + 1][:-1] / np.maximum(spectrum[1 : rank + 1], 1e-300)
        assert all(ratio <= 1.41 + 5e-3 for ratio in ratios[: rank - 1])
        assert len(spectrum) == rank or spectrum[rank - 1] / max(spectrum[rank], 0.03 * spectrum[0]) >= 1.60


@pytest.mark.parametrize("id", sorted(NOT_READ))
def test_the_targets_do_not_show_the_rank_of_the_other_two(id):
    wrong = [found != rank for found, rank, _ in (drops(id, seed) for seed in range(5))]
    assert sum(wrong) >= 4


def test_with_all_components_it_is_kernel_ridge_regression():
    x = gaussian(0, 120, 4)
    y = np.stack([np.sin(x[:, 0]), np.cos(x[:, 1]), x[:, 2]], axis=1)
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    model = fit("TargetComponents-v0", x, y)
    assert model.report.values["components"] == 3
    plain = fit("KernelRidge-v0", x, y)
    # a rotation of the targets; the float32 scores round by 1e-7, which the smallest penalty 1e-4 amplifies to 1e-3
    np.testing.assert_allclose(model.predict(x), plain.predict(x), atol=2e-3)


def test_beyond_the_tuning_rows_a_part_decides_and_all_rows_are_fitted(monkeypatch):
    x = gaussian(0, 240, 3)
    y = np.sin(2.0 * x[:, :1])
    every, values = tuned_kernel.fit_tuned(x, y, name="Test", seed=0)
    assert len(every.X_fit_) == 240
    monkeypatch.setattr(tuned_kernel, "TUNING_ROWS", 80)
    partly, chosen = tuned_kernel.fit_tuned(x, y, name="Test", seed=0)
    assert len(partly.X_fit_) == 240
    part = x[seeding.generator("Test", 0, "tuning").permutation(240)[:80]]
    alone = fit("KernelRidge-v0", part, np.sin(2.0 * part[:, :1])).report.values
    assert (chosen["gamma"], chosen["penalty"]) == pytest.approx((alone["gamma"], alone["penalty"]))
    assert set(values) == set(chosen)
    held = gaussian(1, 500, 3)
    error = np.mean((partly.predict(held) - np.sin(2.0 * held[:, :1])) ** 2)
    # fewer than all 240 rows would leave more: 80 rows alone leave ten times the error or so
    assert error < 2.0 * np.mean((every.predict(held) - np.sin(2.0 * held[:, :1])) ** 2) + 1e-6


# --- inverse regression ------------------------------------------------------------------------------------------


def whitened(rows):
    centred = rows - rows.mean(axis=0)
    left, _, right = np.linalg.svd(centred, full_matrices=False)
    return np.sqrt(len(rows)) * left @ right


def test_two_halves_of_a_line_have_the_moments_of_the_half_normal_distribution():
    rows = whitened(gaussian(0, 200_000, 3))
    heights = rows[:, :1]
    expected = np.zeros((3, 3))
    expected[0, 0] = 2.0 / np.pi  # the mean of |z| is sqrt(2/pi)
    # 200,000 rows: each entry has an error of about 1 / sqrt(N) = 0.002
    found = inverse_regression.moment_matrix(rows, heights, slices=2, second_moments=False)
    np.testing.assert_allclose(found, expected, atol=0.01)
    # E[z^2 | z > 0] = 1: no second moment, and A^2 + tr(A) A remains
    both = inverse_regression.moment_matrix(rows, heights, slices=2, second_moments=True)
    np.testing.assert_allclose(both, 2.0 * expected**2, atol=0.01)


def test_an_even_link_has_no_first_moment_and_the_second_one_of_truncated_normals():
    rows = whitened(gaussian(1, 200_000, 3))
    heights = rows[:, :1] ** 2
    np.testing.assert_allclose(
        inverse_regression.moment_matrix(rows, heights, slices=2, second_moments=False), 0.0, atol=1e-3
    )
    q = norm.ppf(0.75)  # the median of |z|
    outer = 2.0 * (2.0 * (q * norm.pdf(q) + norm.sf(q)))  # E[z^2 | |z| > q], each half has the share 1/2
    expected = np.zeros((3, 3))
    expected[0, 0] = (outer - 1.0) ** 2  # the inner half has 2 - outer: the same square
    both = inverse_regression.moment_matrix(rows, heights, slices=2, second_moments=True)
    np.testing.assert_allclose(both, expected, atol=0.02)


def test_the_matrix_is_the_average_over_the_lines_and_does_not_depend_on_the_order_of_the_rows():
    rows, heights = whitened(gaussian(0, 90, 4)), gaussian(1, 90, 3)
    for moments in (MEAN, BOTH):
        total = inverse_regression.moment_matrix(rows, heights, **moments)
        single = [inverse_regression.moment_matrix(rows, heights[:, [i]], **moments) for i in range(3)]
        np.testing.assert_allclose(total, np.mean(single, axis=0), atol=1e-14)
        order = np.random.default_rng(2).permutation(90)
        again = inverse_regression.moment_matrix(rows[order], heights[order], **moments)
        np.testing.assert_allclose(again, total, atol=1e-12)


@pytest.mark.parametrize("moments", [MEAN, BOTH], ids=["mean", "both"])
def test_a_linear_model_is_found_at_the_rate_of_the_root_of_n(moments):
    wanted = np.linalg.qr(gaussian(0, 10, 1))[0]

    def angle(n, seed):
        x = gaussian(seed, n, 10)
        basis, _ = find(x, x @ wanted + 0.5 * gaussian(seed + 1, n, 1), moments)
        return np.sqrt(1.0 - spanned(basis[:, :1], wanted))

    few, many = (np.mean([angle(n, 100 * i) for i in range(12)]) for n in (400, 6400))
    # 16 times the rows, a quarter of the angle; an angle of 9 components varies by 24%, the mean of 12 by 7%
    assert few / many == pytest.approx(4.0, rel=0.3)


def test_an_even_link_is_invisible_to_the_means_and_seen_by_the_covariances():
    wanted = np.linalg.qr(gaussian(0, 12, 2))[0]
    found = {True: [], False: []}
    for seed in range(10):
        x = gaussian(seed, 500, 12)
        y = np.cos(1.5 * (x @ wanted) @ gaussian(50, 2, 8))
        for second, moments in ((False, MEAN), (True, BOTH)):
            found[second].append(find(x, y, moments, seed)[0])
    assert [basis.shape[1] for basis in found[True]] == [2] * 10
    assert min(spanned(basis, wanted) for basis in found[True]) > 0.95
    # the level of the test is 1/20; three of ten would have a probability of 0.01
    assert sum(basis.shape[1] > 0 for basis in found[False]) <= 2


@pytest.mark.parametrize("moments", [MEAN, BOTH], ids=["mean", "both"])
def test_independent_targets_pass_the_permutation_test_at_its_level(moments):
    passed = 0
    for seed in range(160):
        x, y = gaussian(seed, 40, 4), gaussian(seed + 1000, 40, 1)
        passed += find(x, y, moments, seed)[0].shape[1] > 0
    # binomial of 160 and 1/20: mean 8, standard deviation 2.8; the bounds are at 2.5 and 3.2 of them
    assert 1 <= passed <= 17


def test_the_coordinates_have_variance_1_and_the_map_of_the_inputs_does_not_matter():
    x = gaussian(0, 300, 5)
    y = np.stack([np.sin(x[:, 0]), x[:, 1] ** 2, x[:, 0] + 0.1 * x[:, 1]], axis=1)
    mixed = x @ gaussian(1, 5, 5) + 3.0
    basis, ratios = find(x, y, BOTH)
    assert basis.shape[1] == 2
    assert ratios.shape == (5,)
    assert (ratios[:2] > 1.0).all()
    assert (ratios[2:] < 1.0).all()
    coordinates = (x - x.mean(axis=0)) @ basis
    np.testing.assert_allclose(coordinates.T @ coordinates / 300, np.eye(2), atol=1e-9)
    other, _ = find(mixed, y, BOTH)
    moved = (mixed - mixed.mean(axis=0)) @ other
    np.testing.assert_allclose(np.abs(moved), np.abs(coordinates), atol=1e-8)


def test_constant_inputs_have_no_directions():
    basis, ratios = find(np.ones((20, 3)), gaussian(0, 20, 2), BOTH)
    assert basis.shape == (3, 0)
    assert ratios.shape == (0,)


# --- what they find on the tasks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "task", "rank", "least", "most"),
    [
        # least and most: bounds of the test error, 20% around the values of the docstrings
        ("ReducedRank-v0", "LowRank-k3-v0", 3, 0.31, 0.47),
        ("SlicedInverseRegression-v0", "Staircase-k3-v0", 3, 0.015, 0.035),
        ("DirectionalRegression-v0", "MultiIndex-k3-v0", 3, 0.004, 0.012),
        ("SlicedInverseRegression-v0", "Symmetry-SO3-v0", None, 0.99, 1.01),
        ("ReducedRank-v0", "Symmetry-SO3-v0", None, 0.99, 1.01),
    ],
)
def test_it_finds_the_rank_and_the_error_of_its_docstring(id, task, rank, least, most):
    record = leakybench.evaluate(leakybench.make_baseline(id), leakybench.make(task, seed=0), preset="standard")
    assert record.status == "ok"
    assert record.bottleneck_rank == rank
    assert least <= record.test_error <= most
