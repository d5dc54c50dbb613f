"""Shortcuts to the rank: against closed forms and independent libraries, and where they must say nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import Ridge, RidgeCV

import leakybench
from leakybench.measures.shortcuts import PENALTIES, canonical_correlations, finds, ridge_map, shortcuts

NAMES = ["inputs", "targets", "ridge", "canonical"]


def rng(seed=0):
    return np.random.default_rng(seed)


def centred(rows):
    return rows - rows.mean(axis=0)


def orthonormal(generator, rows, columns):
    return np.linalg.qr(generator.standard_normal((rows, columns)))[0]


# -- each shortcut on data that are made for it ------------------------------------------------------------------------


def test_inputs_on_a_subspace_are_seen_by_the_inputs():
    x = rng().standard_normal((300, 4)) @ orthonormal(rng(1), 12, 4).T + 1e-3 * rng(2).standard_normal((300, 12))
    y = rng(3).standard_normal((300, 6))
    ranks = shortcuts(x, y).ranks
    assert ranks["inputs"] == 4
    assert ranks["targets"] == 6
    assert ranks["canonical"] is None


def test_a_linear_decoder_is_seen_by_the_targets_alone():
    x = rng().standard_normal((300, 10))
    z = np.sin(3.0 * x[:, :2]) ** 2  # even: nothing linear
    y = z @ orthonormal(rng(1), 8, 2).T
    assert shortcuts(x, y).found_by(2) == ["targets"]


def test_a_linear_map_under_noise_is_seen_by_ridge_and_canonical_correlations():
    x = rng().standard_normal((2000, 10))
    y = x @ orthonormal(rng(1), 10, 3) @ orthonormal(rng(2), 8, 3).T + 0.5 * rng(3).standard_normal((2000, 8))
    assert shortcuts(x, y).found_by(3) == ["ridge", "canonical"]


def test_ridge_finds_the_rank_of_the_mean_jacobian_of_waves():
    # E[cos(w.x + phi) x] = -sin(phi) exp(-|w|^2 / 2) w: waves of two projections have a mean Jacobian of rank 2
    directions = orthonormal(rng(), 12, 2)
    waves, phases = directions @ rng(1).standard_normal((2, 20)), rng(2).uniform(0, 2 * np.pi, 20)
    x = rng(3).standard_normal((20000, 12))
    found = ridge_map(centred(x), centred(np.cos(x @ waves + phases)))[0]
    exact = -np.sin(phases) * np.exp(-0.5 * np.sum(waves**2, axis=0)) * waves
    # each coefficient has a standard error of at most sqrt(1/20000) = 0.007; 240 of them stay below 4.5 of these
    assert np.abs(found - exact).max() < 4.5 * 0.0071
    assert shortcuts(x, np.cos(x @ waves + phases)).ridge.rank == 2
    assert shortcuts(x, np.cos(x @ waves)).ridge.rank is None


def test_ridge_is_silent_on_noise():
    silent = [
        shortcuts(rng(seed).standard_normal((500, 20)), rng(seed + 99).standard_normal((500, 15))).ridge.rank is None
        for seed in range(20)
    ]
    assert all(silent)


# -- ridge regression against brute force and scikit-learn -------------------------------------------------------------


@pytest.mark.parametrize("n", [12, 60])
def test_ridge_map_is_that_of_the_baseline(n):
    x, noise = rng().standard_normal((n, 8)), rng(1).standard_normal((n, 3))
    y = x @ rng(2).standard_normal((8, 3)) + noise
    reference = RidgeCV(alphas=PENALTIES).fit(x, y)
    coefficients, _ = ridge_map(centred(x), centred(y))
    np.testing.assert_allclose(coefficients, reference.coef_.T, rtol=1e-8, atol=1e-10)  # two round-offs


def test_the_error_of_ridge_is_that_of_leaving_each_row_out():
    x, y = rng().standard_normal((25, 4)), rng(1).standard_normal((25, 2))
    y[:, 0] += x[:, 0]

    def left_out(regressor):
        errors = []
        for i in range(len(x)):
            keep = np.arange(len(x)) != i
            errors.append(np.sum((y[i] - regressor(x[keep], y[keep], x[i : i + 1])) ** 2))
        return np.sum(errors)

    penalised = [
        left_out(lambda a, b, at, alpha=alpha: Ridge(alpha=alpha).fit(a, b).predict(at)[0]) for alpha in PENALTIES
    ]
    mean = left_out(lambda a, b, at: b.mean(axis=0))
    # exact in exact arithmetic; scikit-learn solves 25 systems of its own
    assert ridge_map(centred(x), centred(y))[1] == pytest.approx(min(penalised) / mean, rel=1e-9)


# -- canonical correlations --------------------------------------------------------------------------------------------


def test_canonical_correlations_of_a_known_covariance():
    # y_i = r_i x_i + sqrt(1 - r_i^2) e_i has the canonical correlations r_i; 50000 rows leave (1 - r^2) / sqrt(50000)
    known = np.array([0.9, 0.6, 0.3])
    x = rng().standard_normal((50000, 3))
    y = known * x + np.sqrt(1 - known**2) * rng(1).standard_normal((50000, 3))
    mixed = y @ (np.eye(3) + 0.3 * rng(2).standard_normal((3, 3)))
    np.testing.assert_allclose(canonical_correlations(centred(x), centred(mixed))[0], known, atol=0.02)


def test_the_edge_is_where_independent_data_end():
    for n, p, q in [(3000, 300, 200), (1000, 300, 100)]:
        values, edge = canonical_correlations(
            centred(rng(n).standard_normal((n, p))), centred(rng(1).normal(size=(n, q)))
        )
        # the largest of q values lies within about q^(-2/3), here 3 to 5%, of the edge [Johnstone 2008]
        assert values[0] == pytest.approx(edge, rel=0.05)


def test_the_edge_is_one_where_dimensions_exhaust_the_rows():
    values, edge = canonical_correlations(
        centred(rng().standard_normal((20, 15))), centred(rng(1).standard_normal((20, 9)))
    )
    assert edge == 1.0
    assert values[0] == pytest.approx(1.0, abs=1e-7)
    assert shortcuts(rng().standard_normal((20, 15)), rng(1).standard_normal((20, 9))).canonical.rank is None


# -- all of them -------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 100.0), k=st.integers(1, 4))
def test_rotations_shifts_and_scales_change_no_answer(seed, scale, k):
    generator = rng(seed)
    x = generator.standard_normal((150, 6))
    y = np.tanh(x @ orthonormal(generator, 6, k)) @ orthonormal(generator, 7, k).T
    before = shortcuts(x, y)
    # centring first: the penalties of ridge regression have the scale of the inputs
    after = shortcuts(x @ orthonormal(generator, 6, 6) + 3.0, scale * y @ orthonormal(generator, 7, 7) - 5.0)
    assert after.ranks == before.ranks
    for name in NAMES:
        np.testing.assert_allclose(getattr(after, name).spectrum, getattr(before, name).spectrum, atol=1e-6)


def test_data_without_variation_have_no_answer():
    x = rng().standard_normal((20, 3))
    assert shortcuts(x, np.ones((20, 2))).ranks == {"inputs": 3, "targets": None, "ridge": None, "canonical": None}
    nothing = dict.fromkeys(NAMES)
    assert shortcuts(np.ones((20, 3)), np.ones((20, 2))).ranks == nothing
    assert shortcuts(np.ones((20, 3)), x).ranks == {**nothing, "targets": 3}
    assert shortcuts(x[:1], x[:1]).ranks == nothing


def test_float32_data_of_a_task_are_taken_as_they_are():
    task = leakybench.make("LowRank-k3-v0", seed=0)
    found = shortcuts(task.train.inputs, task.train.targets)
    assert list(found.ranks) == NAMES
    assert found.found_by(3) == ["ridge", "canonical"]
    assert found.found_by(17) == []
    assert found.ridge.spectrum[0] == 1.0
    assert found.ridge.spectrum[3] < 0.4


@pytest.mark.parametrize(
    ("inputs", "targets", "match"),
    [
        (np.ones(3), np.ones((3, 1)), "inputs must be a non-empty array of 2 dimensions"),
        (np.ones((3, 2)), np.ones((4, 1)), "targets need one row a sample"),
        (np.ones((3, 2)), np.full((3, 1), np.nan), "targets hold a value that is not finite"),
        (np.array([["a"]]), np.ones((1, 1)), "inputs must hold real numbers"),
    ],
)
def test_bad_data_are_one_line(inputs, targets, match):
    with pytest.raises(leakybench.UsageError, match=match) as caught:
        shortcuts(inputs, targets)
    assert "\n" not in str(caught.value)


# -- what finding means ------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 60), data=st.data())
def test_finds_is_a_binomial_test(n, data):
    right = data.draw(st.integers(0, n))
    answers = data.draw(st.permutations([4] * right + ([None, 5] * n)[: n - right]))
    p = stats.binomtest(right, n, 0.1, alternative="greater").pvalue
    if abs(p - 0.05) > 1e-9:
        assert finds(answers, 4) == (p <= 0.05)


@pytest.mark.parametrize(("seeds", "least"), [(1, None), (3, 2), (7, 3), (21, 6)])
def test_the_number_of_right_answers_that_counts(seeds, least):
    counts = [right for right in range(seeds + 1) if finds([1] * right + [2] * (seeds - right), 1)]
    assert (counts[0] if counts else None) == least
