"""The estimators of the bottleneck rank on objects whose rank is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakybench.baseline import Representations
from leakybench.measures import bottleneck_rank, function_spectra, jacobian_rank, largest_gap, path_spectra, spectrum
from leakybench.measures.gap import CLOSING, FLOOR
from leakybench.measures.rank import layer_spectra, spectral_gap
from leakybench.measures.recursion import propagate

cases = settings(deadline=None, max_examples=40, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def network(
    weights: np.ndarray, embedded: np.ndarray, effective_depth: float, skip: float | None = None
) -> Representations:
    """The path of a network given its weights; a fully-connected one at skip = 0."""
    layers = len(weights)
    steps = np.full(layers, 1.0 / layers)
    skips = 1.0 - steps * effective_depth if skip is None else np.full(layers, skip)
    return Representations(
        activations=propagate(embedded, weights, steps, skips),
        positions=np.arange(layers + 1) / layers,
        step_sizes=steps,
        effective_depth=effective_depth,
        weights=weights,
    )


def bottleneck_network(seed: int, rank: int, d: int = 12, layers: int = 6) -> Representations:
    """Fully connected, width 2d: a linear code of R^rank, positive by an offset, and layers that keep it.

    The embedding is mirrored, so that relu(A_0) holds both halves of x and the first layer can be linear in x.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((80, d))
    code = np.linalg.qr(rng.standard_normal((2 * d, rank)))[0] @ np.linalg.qr(rng.standard_normal((d, rank)))[0].T
    weights = np.zeros((layers, 2 * d, 2 * d + 1))
    weights[0, :, :-1] = layers * np.hstack([code, -code])
    weights[0, :, -1] = layers * 10.0
    weights[1:, :, :-1] = layers * np.eye(2 * d)
    return network(weights, np.hstack([x, -x]), float(layers), skip=0.0)


# -- the rule of the largest gap -------------------------------------------------------------------------------------


@cases
@given(seeds, st.integers(1, 20), st.integers(0, 40), st.floats(1e-12, 1e-3))
def test_a_tail_below_the_floor_never_opens_a_gap(seed: int, rank: int, tail: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    # neighbours differ by a factor 1.5 at most; the gap to the floor of 0.03 is 23
    large = np.sort(rng.uniform(0.7, 1.0, rank))[::-1]
    small = np.sort(noise * rng.random(tail))[::-1]
    gap = largest_gap(np.concatenate([large, small]))
    assert gap.rank == gap.above_floor == rank
    # where there is no tail, the end counts as a fall to a quarter of the floor
    assert gap.ratio == pytest.approx(large[-1] / large[0] / (FLOOR if tail else CLOSING * FLOOR))


@cases
@given(st.integers(2, 30), st.floats(0.04, 0.99))
def test_a_full_rank_spectrum_counts_whole(size: int, last: float) -> None:
    """A control task: geometric decay to 0.04 at most, without any gap; two values must not be 8 times apart."""
    last = max(last, 8.0 ** -(size - 1))
    assert largest_gap(np.geomspace(1.0, last, size)).rank == size
    assert largest_gap([1.0]).rank == 1


def test_a_tail_above_the_floor_is_cut_at_the_largest_ratio() -> None:
    # as measured on a trained network: three directions, one that is dying, and the rest
    assert largest_gap([1.0, 0.79, 0.57, 0.028, 0.002, 0.001]).rank == 3
    assert largest_gap([1.0, 0.89, 0.82, 0.38, 0.026, 0.026]).rank == 4


@pytest.mark.parametrize(
    ("rank", "values"),
    [
        (1, [1.0, 0.013, 0.0, 0.0]),
        (2, [1.0, 0.901, 0.047, 0.0]),
        (3, [1.0, 0.902, 0.792, 0.103, 0.004]),
        (3, [1.0, 0.427, 0.22]),
        (5, [1.0, 0.821, 0.671, 0.537, 0.392, 0.065, 0.004]),
        (8, [1.0, 0.849, 0.662, 0.479, 0.323, 0.18, 0.095, 0.042]),
        (10, [1.0, 0.869, 0.778, 0.685, 0.597, 0.524, 0.426, 0.347, 0.264, 0.189, 0.065, 0.006]),
    ],
)
def test_jacobian_spectra_as_trained_networks_show_them(rank: int, values: list[float]) -> None:
    """Pooled spectra of Leaky ResNets on tasks of known rank, the hardest of each; a new rule has to read them too."""
    assert largest_gap(values).rank == rank


def test_of_equal_ratios_the_first_counts() -> None:
    assert largest_gap([1.0, 0.1, 0.0], floor=0.01).rank == 1
    assert largest_gap([1.0, 0.1, 0.01, 0.001], floor=1e-3).rank == 1


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0, 0.0]])
def test_a_spectrum_that_vanishes_has_no_rank(values: list[float]) -> None:
    gap = largest_gap(values)
    assert gap.rank is None
    assert gap.ratio is None
    assert "vanishes" in gap.reason


# -- representations -------------------------------------------------------------------------------------------------


@cases
@given(seeds, st.integers(1, 10), st.sampled_from([0.0, 1e-4, 2e-3]))
def test_linear_rank_of_a_code_with_noise_and_a_constant(seed: int, rank: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((100, rank + 1)))[0]
    code = rng.standard_normal((400, rank)) @ basis[:, 1:].T + 5.0 * basis[:, 0]
    # noise of 2e-3 an entry has singular values up to 2e-3 (sqrt(400) + sqrt(100)) = 0.06; the code has 20: 0.003
    code = code + noise * rng.standard_normal(code.shape)
    centred, plain = layer_spectra(np.stack([code] * 5))
    positions = np.linspace(0.0, 1.0, 5)
    assert spectral_gap(centred, positions)["rank"] == rank
    np.testing.assert_allclose(centred[0], spectrum(code, centred=True), rtol=0, atol=1e-7 * centred[0, 0])
    np.testing.assert_allclose(plain[0], spectrum(code, centred=False), rtol=0, atol=1e-7 * plain[0, 0])


def test_a_code_of_three_dimensions_spans_four_and_moves_in_three() -> None:
    """z = x C^T raised until its smallest entry is 0: non-negative without offset, four directions, Jacobian of rank
    3."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)

    def encode(x: np.ndarray) -> np.ndarray:
        code = np.asarray(x, dtype=np.float64) @ corners.T
        return code - code.min(axis=1, keepdims=True)

    x = np.random.default_rng(0).standard_normal((500, 3))
    code = encode(x)
    assert code.min() == 0.0
    assert largest_gap(spectrum(code, centred=True)).rank == 4
    found = jacobian_rank(function_spectra(encode, x))
    assert found["rank"] == 3
    # a sample within a step of a kink mixes two pieces: 1e-2 against entries of order 1, so a few of 64
    assert found["agreement"] >= 0.9


@pytest.mark.parametrize("rank", [1, 2, 3, 5, 10, 12])
def test_bottleneck_rank_of_a_constructed_network(rank: int) -> None:
    found, evidence = bottleneck_rank(bottleneck_network(rank, rank))
    assert found == rank
    estimators = evidence["estimators"]
    assert estimators["jacobian"]["rank"] == estimators["centred_spectrum"]["rank"] == rank
    assert estimators["jacobian"]["agreement"] == 1.0
    assert estimators["jacobian"]["by_layer"][0] == 12
    assert evidence["estimator"] == "jacobian"


def test_a_network_of_full_rank_gets_the_dimension_of_its_inputs() -> None:
    rng = np.random.default_rng(0)
    embedded = rng.standard_normal((100, 9)) @ np.linalg.qr(rng.standard_normal((20, 9)))[0].T
    path = network(0.1 * rng.standard_normal((5, 20, 21)), embedded, 1.0)
    found, evidence = bottleneck_rank(path)
    assert found == 9
    assert evidence["estimators"]["centred_spectrum"]["rank"] >= 9


@cases
@given(seeds, st.integers(1, 4))
def test_permuting_the_neurons_changes_no_estimate(seed: int, rank: int) -> None:
    path = bottleneck_network(seed % 1000, rank)
    order = np.random.default_rng(seed).permutation(24)
    columns = np.append(order, 24)
    permuted = Representations(
        activations=path.activations[:, :, order],
        positions=path.positions,
        step_sizes=path.step_sizes,
        effective_depth=path.effective_depth,
        weights=path.weights[:, order][:, :, columns],
    )
    before, after = bottleneck_rank(path), bottleneck_rank(permuted)
    assert before[0] == after[0]
    for name, found in before[1]["estimators"].items():
        assert after[1]["estimators"][name]["rank"] == found["rank"], name


# -- Jacobians -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("effective_depth", "skip"), [(0.0, None), (3.0, None), (6.0, 0.0)])
def test_tangents_along_the_path_equal_finite_differences(effective_depth: float, skip: float | None) -> None:
    rng = np.random.default_rng(1)
    width, layers = 15, 6
    embedding = np.linalg.qr(rng.standard_normal((width, 7)))[0]
    x = rng.standard_normal((60, 7))
    weights = rng.standard_normal((layers, width, width + 1)) * (layers if skip == 0.0 else 1.5) / np.sqrt(width)
    path = network(weights, x @ embedding.T, effective_depth, skip)
    exact = path_spectra(path, samples=20)
    steps, skips = path.step_sizes, 1.0 - path.step_sizes * effective_depth if skip is None else np.zeros(layers)

    def predict(inputs: np.ndarray) -> np.ndarray:
        return propagate(inputs @ embedding.T, weights, steps, skips)[-1]

    numeric = function_spectra(predict, x, samples=20, step=1e-3)
    size = exact[-1, :, :1]
    # float32 inputs give 1e-7 / 1e-3 = 1e-4; a kink within a step of a sample moves a value by up to a few hundredths,
    # so that the median over the samples is compared at 1e-3
    assert np.median(np.abs(numeric - exact[-1, :, :7]) / size) < 1e-3
    top = float(np.median(size))
    np.testing.assert_allclose(np.median(numeric, axis=0), np.median(exact[-1], axis=0), rtol=0.05, atol=1e-4 * top)


@cases
@given(seeds, st.integers(1, 6), st.integers(6, 10), st.integers(6, 10))
def test_jacobian_rank_of_a_linear_map(seed: int, rank: int, d_in: int, d_out: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((size, rank)))[0] for size in (d_out, d_in))
    x = rng.standard_normal((200, d_in)) @ np.diag(rng.uniform(0.5, 2.0, d_in))
    spectra = function_spectra(lambda rows: rows @ right @ left.T, x)
    found = jacobian_rank(spectra)
    assert found["rank"] == rank
    assert found["agreement"] == 1.0
    # the Jacobian in units of standard deviations: the singular values of the outputs over the square root of N
    outputs = spectrum(x @ right @ left.T, centred=True) / np.sqrt(len(x))
    np.testing.assert_allclose(spectra[0][:rank], outputs[:rank], rtol=1e-4)  # float32 points


def test_jacobian_rank_counts_a_direction_that_is_alive_at_some_samples() -> None:
    rows = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    found = jacobian_rank(rows)
    assert found["rank"] == 3
    assert found["agreement"] == 0.5
    np.testing.assert_allclose(found["spectrum"], np.sqrt([1.0, 0.75, 0.5]))


def test_a_map_that_is_constant_at_half_of_the_samples_has_no_rank() -> None:
    assert jacobian_rank([[1.0, 0.5], [0.0, 0.0]])["rank"] is None
    assert jacobian_rank([[1.0, 0.5], [1.0, 0.5], [0.0, 0.0]])["rank"] == 2


def test_a_weak_direction_of_a_full_rank_map_is_kept_by_pooling() -> None:
    """Each point alone has a large gap somewhere, at another place each time; the pooled spectrum has none."""
    rng = np.random.default_rng(4)
    rows = np.sort(np.exp(rng.normal(0.0, 0.5, (64, 8))) * np.geomspace(1.0, 0.05, 8), axis=1)[:, ::-1]
    found = jacobian_rank(rows)
    assert found["rank"] == 8
    assert found["agreement"] < 0.9


def test_directions_that_the_data_lack_are_not_counted() -> None:
    """Inputs on a plane of R^5: the map sees two directions, whatever it does elsewhere."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((50, 2)) @ rng.standard_normal((2, 5))
    assert function_spectra(lambda rows: rows, x).shape == (50, 2)


def test_a_piecewise_constant_map_has_no_jacobian_rank() -> None:
    x = np.random.default_rng(3).standard_normal((64, 4))
    found = jacobian_rank(function_spectra(lambda rows: np.round(rows / 10.0), x))
    assert found["rank"] is None
    assert "constant" in found["reason"]
