"""``measure_model`` on models that are built by hand: the values that a record receives."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pytest

from leakybench.baseline import Model, Representations, TraceableModel
from leakybench.measures import measure_model
from leakybench.measures.path import G0
from leakybench.measures.recursion import adjoint, propagate
from leakybench.measures.run import suffix
from leakybench.task import Split

LAYERS, WIDTH, D, RANK = 6, 12, 6, 2


@dataclass
class Network:
    """A mirrored embedding, a layer that leaves RANK directions, layers that keep them; a linear read-out."""

    effective_depth: float = float(LAYERS)
    skip: float | None = 0.0
    penalty: float | None = 1e-3
    scale: float = 1.0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        code = np.linalg.qr(rng.standard_normal((WIDTH, RANK)))[0] @ np.linalg.qr(rng.standard_normal((D, RANK)))[0].T
        self.weights = np.zeros((LAYERS, WIDTH, WIDTH + 1))
        self.weights[0, :, :-1] = LAYERS * np.hstack([code, -code])
        self.weights[0, :, -1] = LAYERS * 10.0
        self.weights[1:, :, :-1] = LAYERS * np.eye(WIDTH)
        self.weights *= self.scale
        self.readout = np.linalg.qr(rng.standard_normal((WIDTH, D)))[0].T
        self.steps = np.full(LAYERS, 1.0 / LAYERS)
        self.skips = 1.0 - self.steps * self.effective_depth if self.skip is None else np.full(LAYERS, self.skip)

    def path(self, inputs: np.ndarray) -> np.ndarray:
        x = inputs.astype(np.float64)
        return propagate(np.hstack([x, -x]), self.weights, self.steps, self.skips)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return (self.path(inputs)[-1] @ self.readout.T).astype(np.float32)

    def representations(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> Representations:
        activations, momenta = self.path(inputs), None
        if targets is not None and self.penalty is not None:
            error = activations[-1] @ self.readout.T - targets
            last = -(2.0 / error.size / self.penalty) * error @ self.readout
            momenta = adjoint(activations, last, self.weights, self.steps, self.skips)
        return Representations(
            activations=activations,
            positions=np.arange(LAYERS + 1) / LAYERS,
            step_sizes=self.steps,
            effective_depth=self.effective_depth,
            weights=self.weights,
            momenta=momenta,
            penalty=self.penalty,
        )


@dataclass
class Opaque:
    """Only predictions."""

    network: Network

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return self.network.predict(inputs)


def splits(n: int = 80) -> tuple[Split, Split]:
    rng = np.random.default_rng(1)
    draw = [rng.standard_normal((n, D)).astype(np.float32) for _ in range(4)]
    return Split(draw[0], draw[1]), Split(draw[2], draw[3])


@pytest.fixture(scope="module")
def measured():
    assert isinstance(Network(), TraceableModel)
    return measure_model(Network(), *splits())


def test_the_rank_and_every_estimator_are_reported(measured) -> None:
    assert measured.bottleneck_rank == RANK
    assert measured.rank_evidence["estimator"] == "test_function_jacobian"
    estimators = measured.rank_evidence["estimators"]
    for name in ("function_jacobian", "path_jacobian", "centred_spectrum", "test_function_jacobian"):
        assert estimators[name]["rank"] == RANK, name
    # identity weights on all neurons are not low rank, and say so
    assert estimators["weight_spectrum"]["rank"] == WIDTH - 1
    assert {f"coi{suffix(g0)}" for g0 in G0} <= set(estimators)
    assert {"plain_spectrum", "hamiltonian", "test_centred_spectrum"} <= set(estimators)


def test_values_are_flat_plain_json(measured) -> None:
    text = json.dumps({"values": measured.values, "evidence": measured.rank_evidence}, allow_nan=False)
    assert json.loads(text)["values"] == measured.values
    assert all(isinstance(value, float | int | str | bool) for value in measured.values.values())


def test_each_norm_is_reported_at_each_stabiliser(measured) -> None:
    assert [suffix(g0) for g0 in G0] == ["_1e-1", "_1e-2", "_1e-3", "_1e-4"]
    for stem in ("coi_min", "path_length", "lagrangian", "kinetic_share", "cross_share", "test_coi_min"):
        values = [measured.values[f"{stem}{suffix(g0)}"] for g0 in G0]
        assert np.isfinite(values).all(), stem
    costs = [measured.values[f"coi_min{suffix(g0)}"] for g0 in G0]
    assert costs == sorted(costs)


def test_energies_of_the_profile_add_up(measured) -> None:
    arrays, steps = measured.arrays, measured.arrays["step_sizes"]
    total = arrays["kinetic"] + arrays["cross"] - arrays["potential"]
    for row, g0 in zip(total, G0, strict=True):
        assert measured.values[f"lagrangian{suffix(g0)}"] == pytest.approx(steps @ row, rel=1e-12)


def test_the_minimal_price_is_at_most_that_of_the_weights(measured) -> None:
    sizes = np.sum(Network().weights ** 2, axis=(1, 2)) / (2.0 * LAYERS)
    total = measured.arrays["kinetic"] + measured.arrays["cross"] - measured.arrays["potential"]
    assert (total <= sizes * (1.0 + 1e-9)).all()
    assert measured.values["weight_excess_1e-4"] == pytest.approx(sizes.mean() / total[3].mean(), rel=1e-9)


def test_shapes_of_the_profiles(measured) -> None:
    shapes = {name: array.shape for name, array in measured.arrays.items()}
    expected = {
        "positions": (LAYERS + 1,),
        "spectra": (LAYERS + 1, WIDTH),
        "spectra_centred": (LAYERS + 1, WIDTH),
        "weight_spectra": (LAYERS, WIDTH),
        "coi": (4, LAYERS + 1),
        "test_coi": (4, LAYERS + 1),
        "kinetic": (4, LAYERS),
        "hamiltonian": (LAYERS,),
        "criticality": (LAYERS,),
        "weight_sizes": (LAYERS,),
    }
    assert expected.items() <= shapes.items()
    assert all(array.dtype == np.float64 and np.isfinite(array).all() for array in measured.arrays.values())


def test_a_model_that_only_predicts_gets_a_jacobian_rank() -> None:
    opaque: Model = Opaque(Network())
    found = measure_model(opaque, *splits())
    assert found.bottleneck_rank == RANK
    assert set(found.rank_evidence["estimators"]) == {"function_jacobian", "test_function_jacobian"}
    assert found.values == {}
    assert found.arrays == {}


def test_a_model_without_a_penalty_has_no_momenta_and_no_hamiltonian() -> None:
    found = measure_model(Network(penalty=None), *splits())
    assert found.bottleneck_rank == RANK
    assert "criticality" not in found.values
    assert "hamiltonian" not in found.arrays
    assert "coi_min_1e-2" in found.values


def test_a_resnet_has_energies_but_no_rank_from_its_hamiltonian() -> None:
    network = Network(effective_depth=0.0, skip=None, scale=0.02)
    found = measure_model(network, *splits())
    assert found.bottleneck_rank is not None
    assert "hamiltonian_rank" not in found.values
    assert "theorem_gap_1e-6" not in found.values
    assert found.values["criticality"] > 0.0
    assert (found.arrays["potential"] == 0.0).all()
    assert (found.arrays["cross"] == 0.0).all()


def test_a_network_that_ends_in_a_constant_has_no_rank() -> None:
    network = Network()
    network.weights[:, :, :-1] = 0.0
    found = measure_model(network, *splits())
    assert found.bottleneck_rank is None
    assert found.rank_evidence["reason"] == "the map is constant"
    json.dumps({"values": found.values, "evidence": found.rank_evidence}, allow_nan=False)


def test_a_network_that_vanishes_gives_finite_values() -> None:
    found = measure_model(Network(scale=0.0), *splits())
    assert found.bottleneck_rank is None
    assert found.values["coi_min_1e-2"] == 0.0
    # no weights to compare the momenta with: the residual is infinite, which JSON does not have
    assert found.values["criticality"] is None
    json.dumps({"values": found.values, "evidence": found.rank_evidence}, allow_nan=False)


def test_fewer_samples_than_features_are_flagged() -> None:
    found = measure_model(Network(), *splits(8))
    assert "8 samples for 13 features" in found.values["warning"]
    assert "8 samples for 13 features" in found.values["test_warning"]
    assert measure_model(Network(), *splits()).values["warning"] == ""


def test_measuring_changes_nothing_and_repeats_exactly() -> None:
    network, (train, test) = Network(), splits()
    before = [network.weights.copy(), train.inputs.copy()]
    first, second = measure_model(network, train, test), measure_model(network, train, test)
    assert first.values == second.values
    assert dataclasses.asdict(first)["rank_evidence"] == dataclasses.asdict(second)["rank_evidence"]
    np.testing.assert_array_equal(network.weights, before[0])
    np.testing.assert_array_equal(train.inputs, before[1])
