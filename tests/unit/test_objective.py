"""The training code's objective against float64 autograd, and its minimiser against a closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leakybench.baseline import FitReport
from leakybench.baselines.networks import steps
from leakybench.baselines.networks.curvature import KroneckerPreconditioner, eigenbasis
from leakybench.baselines.networks.descent import AdamSettings, adapt_steps, run_adam
from leakybench.baselines.networks.initial import orthonormal
from leakybench.baselines.networks.objective import FitProblem, Objective
from leakybench.baselines.networks.quasi_newton import QuasiNewtonSettings, minimise
from leakybench.baselines.networks.recursion import Coefficients
from leakybench.baselines.networks.trained import TrainedNetwork
from leakybench.measures.path import momentum_profile


def problem(runs=1, samples=7, width=6, d_in=4, d_out=3, penalty=0.1, learn_ends=False, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    return FitProblem(
        inputs=normal(runs, d_in, samples),
        targets=normal(runs, d_out, samples),
        embedding=torch.stack([orthonormal(width, d_in, generator=draw) for _ in range(runs)]).to(dtype),
        readout=torch.stack([orthonormal(d_out, width, generator=draw) for _ in range(runs)]).to(dtype),
        penalty=penalty,
        learn_ends=learn_ends,
    )


def reference(data, objective, parameters, penalty_scale):
    """F per run, written with autograd alone; rows are samples."""
    coefficients, views, total = objective.run_coefficients[0], objective.views(parameters), []
    for run in range(data.runs):
        embedding = views[1][run] if data.learn_ends else data.embedding[run]
        readout = views[2][run] if data.learn_ends else data.readout[run]
        running = data.inputs[run].T @ embedding.T
        for matrix, skip, branch in zip(views[0][run], coefficients.skip, coefficients.branch, strict=True):
            states = torch.cat([torch.relu(running), running.new_ones(len(running), 1)], dim=1)
            running = skip * running + branch * states @ matrix.T
        cost = (running @ readout.T - data.targets[run].T).square().mean()
        rho = torch.tensor(coefficients.step_sizes, dtype=torch.float64)
        penalty = (rho * views[0][run].square().sum((1, 2))).sum()
        if data.learn_ends:
            penalty = penalty + (embedding.square().sum() + readout.square().sum()) / coefficients.depth
        total.append(cost + penalty_scale * data.penalty / 2 * penalty)
    return torch.stack(total)


@settings(max_examples=40, deadline=None)
@given(
    runs=st.integers(1, 3),
    samples=st.integers(1, 8),
    width=st.integers(1, 7),
    depth=st.integers(1, 5),
    leak=st.one_of(st.none(), st.floats(0.0, 0.95)),
    learn_ends=st.booleans(),
    scale=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_value_and_gradient_equal_float64_autograd(runs, samples, width, depth, leak, learn_ends, scale, seed):
    rho = np.random.default_rng(seed).dirichlet(np.ones(depth)) * 0.9 + 0.1 / depth
    coefficients = Coefficients.of(rho, None if leak is None else leak * depth)
    size = min(width, 3)
    data = problem(runs, samples, width, size, min(width, 2), 0.2, learn_ends, seed)
    objective = Objective(data, coefficients)
    draw = torch.Generator().manual_seed(seed)
    parameters = torch.randn(runs, objective.size, generator=draw, dtype=torch.float64, requires_grad=True)
    wanted = reference(data, objective, parameters, scale)
    expected = torch.autograd.grad(wanted.sum(), parameters)[0]
    found = torch.empty_like(expected)
    objective.penalty_scale = scale
    evaluation = objective.gradient(parameters.detach(), found)
    # float64 sums in another order; 1e-9 leaves six digits for cancellation
    assert (found - expected).abs().max() <= 1e-9 * (expected.abs().max() + 1e-30)
    torch.testing.assert_close(evaluation.value, wanted.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("effective_depth", [0.5, 2.0, None])
@pytest.mark.parametrize("rule", ["irregular", "adaptive"])
def test_criticality_residual_is_that_of_the_measures(rule, effective_depth):
    data, depth = problem(samples=30, width=8, penalty=0.05), 5
    objective = Objective(data, Coefficients.of(steps.initial(rule, depth), effective_depth))
    draw = torch.Generator().manual_seed(1)
    parameters = 0.5 * torch.randn(1, objective.size, generator=draw, dtype=torch.float64)
    if rule == "adaptive":
        assert adapt_steps(objective, parameters, [steps.AdaptiveSteps(steps.uniform(depth))]).all()
    rho = np.array(objective.run_coefficients[0].step_sizes)
    assert rho.max() > 1.2 * rho.min()  # a weighing by another power of rho would differ
    evaluation = objective.gradient(parameters, torch.empty_like(parameters))
    network = TrainedNetwork(
        weights=objective.views(parameters)[0][0],
        embedding=data.embedding[0],
        readout=data.readout[0],
        coefficients=objective.run_coefficients[0],
        penalty=data.penalty / objective.run_coefficients[0].scale,
        report=FitReport(),
    )
    path = network.representations(data.inputs[0].T.contiguous().numpy(), data.targets[0].T.contiguous().numpy())
    wanted = momentum_profile(path).residual
    # two float64 computations of the same sums
    assert evaluation.criticality_residual.item() == pytest.approx(wanted, rel=1e-9)


def test_an_evaluation_that_is_not_the_newest_is_refused():
    objective = Objective(problem(), Coefficients.of(steps.uniform(3), 1.0))
    parameters = torch.ones(1, objective.size, dtype=torch.float64)
    gradient = torch.empty_like(parameters)
    first = objective.gradient(parameters, gradient)
    cost = first.cost
    second = objective.predict(0.5 * parameters)
    assert second.is_newest
    assert not first.is_newest
    assert first.cost is cost  # what has been computed before stays
    probes = [torch.Generator().manual_seed(0)]
    for read in (
        lambda: first.penalty,
        lambda: first.criticality_residual,
        lambda: KroneckerPreconditioner(first, probes=probes),
    ):
        with pytest.raises(RuntimeError, match="no longer the objective's newest"):
            read()
    with pytest.raises(RuntimeError, match="needs the gradient"):
        _ = second.criticality_residual
    objective.set_coefficients(objective.run_coefficients)
    with pytest.raises(RuntimeError, match="no longer the objective's newest"):
        _ = second.value


def test_outputs_are_those_of_the_network():
    data = problem(runs=2)
    objective = Objective(data, Coefficients.of(steps.uniform(3), 1.0))
    parameters = torch.randn(2, objective.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    evaluation = objective.predict(parameters)
    residual = objective.outputs - data.targets
    torch.testing.assert_close(residual, objective.residual, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(evaluation.cost, residual.square().mean(dim=(1, 2)), rtol=1e-12, atol=0.0)
    assert objective.residual.shape == data.targets.shape


@settings(max_examples=20, deadline=None)
@given(
    runs=st.integers(1, 3),
    width=st.integers(4, 12),  # narrower ones are nearly dead, and one sample at a kink decides on their gradient
    depth=st.integers(1, 5),
    leak=st.one_of(st.none(), st.floats(0.0, 0.95)),
    learn_ends=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_bfloat16_products_give_the_gradient_to_their_rounding(runs, width, depth, leak, learn_ends, seed):
    rho = np.random.default_rng(seed).dirichlet(np.ones(depth)) * 0.9 + 0.1 / depth
    coefficients = Coefficients.of(rho, None if leak is None else leak * depth)
    data = problem(runs, 400, width, 2, 2, 0.2, learn_ends, seed, dtype=torch.float32)
    exact, rounded = Objective(data, coefficients), Objective(data, coefficients, products=torch.bfloat16)
    draw = torch.Generator().manual_seed(seed)
    parameters = torch.randn(runs, exact.size, generator=draw)
    wanted, found = torch.empty_like(parameters), torch.empty_like(parameters)
    exact.gradient(parameters, wanted)
    rounded.gradient(parameters, found)
    # three roundings of 2^-9 a layer and pass; a relu at the edge of a kink may switch, which the norm averages out
    assert (found - wanted).norm() <= 8 * depth * 2**-8 * wanted.norm()
    assert rounded.kernel.states.dtype == torch.bfloat16
    rounded.set_products(None)
    rounded.gradient(parameters, found)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("rho", [steps.uniform(3), steps.irregular(3)])
def test_movement_is_that_of_the_path(rho):
    data = problem(runs=2)
    objective = Objective(data, Coefficients.of(rho, 1.5))
    draw = torch.Generator().manual_seed(2)
    parameters = torch.randn(2, objective.size, generator=draw, dtype=torch.float64)
    movement = objective.movement()
    objective.gradient(parameters, torch.empty_like(parameters), movement=movement)
    moved, sizes = movement.norms()
    c = objective.run_coefficients[0]
    for run in range(2):
        running = data.embedding[run] @ data.inputs[run]
        for layer, matrix in enumerate(objective.views(parameters)[0][run]):
            states = torch.cat([running.clamp_min(0), torch.ones(1, running.shape[1], dtype=torch.float64)])
            after = c.skip[layer] * running + c.branch[layer] * matrix @ states
            assert moved[layer, run].item() == pytest.approx((after - running).norm().item(), rel=1e-10)
            assert sizes[layer, run].item() == pytest.approx(after.norm().item(), rel=1e-10)
            running = after


def closed_form(data):
    """One layer without skip is a ridge problem: min |D V S - Y|^2 / (n d) + (c0/2)|V|^2."""
    running = data.embedding[0] @ data.inputs[0]
    states = torch.cat([running.clamp_min(0), torch.ones(1, running.shape[1], dtype=torch.float64)])
    entries = data.targets[0].numel()
    gram = 2.0 / entries * states @ states.T + data.penalty * torch.eye(len(states), dtype=torch.float64)
    # the rows of V outside the read-out's range are zero, and D has orthonormal rows
    return data.readout[0].T @ torch.linalg.solve(gram, 2.0 / entries * states @ data.targets[0].T).T


@pytest.mark.parametrize("refresh", [0, 10])
def test_minimise_finds_the_closed_form_of_a_ridge_problem(refresh):
    data = problem(samples=40, penalty=0.05)
    objective = Objective(data, Coefficients.of(steps.uniform(1), None))
    parameters = torch.randn(1, objective.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    settings = QuasiNewtonSettings(iterations=200, refresh=refresh, tolerance=1e-9)
    result = minimise(objective, parameters, settings, probes=[torch.Generator().manual_seed(1)])
    assert result.reason == ["critical"]
    torch.testing.assert_close(objective.views(parameters)[0][0, 0], closed_form(data), rtol=0, atol=1e-7)


def test_preconditioner_inverts_the_gauss_newton_matrix_of_one_layer():
    data = problem(samples=4000, penalty=0.03)
    objective = Objective(data, Coefficients.of(steps.uniform(1), None))
    parameters = torch.zeros(1, objective.size, dtype=torch.float64)
    gradient = torch.empty_like(parameters)
    evaluation = objective.gradient(parameters, gradient)
    metric = KroneckerPreconditioner(evaluation, probes=[torch.Generator().manual_seed(0)])
    # one Newton step from zero is the minimum of a quadratic
    step = -metric(gradient, torch.empty_like(gradient))
    wanted = closed_form(data)
    # 4000 probes estimate D^T D to about 1/sqrt(4000) = 1.6%; curvature below 0.1 of the penalty's counts as none,
    # which is 10% of what such a direction gives
    assert (objective.views(step)[0][0, 0] - wanted).norm() < 0.1 * wanted.norm()


@pytest.mark.parametrize(("runs", "learn_ends"), [(1, False), (1, True), (3, False), (3, True)])
def test_the_metric_is_the_damped_inverse_up_to_its_negligible_part(runs, learn_ends):
    data = problem(runs=runs, samples=30, learn_ends=learn_ends)
    objective = Objective(data, Coefficients.of(steps.irregular(6), 2.0))
    draw = torch.Generator().manual_seed(3)
    parameters = 0.3 * torch.randn(runs, objective.size, generator=draw, dtype=torch.float64)
    gradient = torch.empty_like(parameters)

    def factors_and_metric(damping):
        probes = [torch.Generator().manual_seed(run) for run in range(runs)]
        evaluation = objective.gradient(parameters, gradient)
        return KroneckerPreconditioner(evaluation, probes=probes, damping=damping)

    # with a damping that leaves nothing of the data's curvature, the penalty alone remains
    plain = factors_and_metric(1e9)(gradient, torch.empty_like(gradient))
    for rho, part, got in zip(objective.layer_steps, objective.views(gradient), objective.views(plain), strict=True):
        decay = objective.strength * (1.0 + 1e9) * rho.reshape(-1, *[1] * (part.ndim - 2))
        torch.testing.assert_close(got, part / (decay if part.ndim == 4 else decay[0]), rtol=1e-12, atol=0.0)
    # it is a symmetric positive definite map, no larger than the penalty's inverse: an inverse of something larger
    metric = factors_and_metric(1.0)
    left, right = (torch.randn(runs, objective.size, generator=draw, dtype=torch.float64) for _ in range(2))
    images = [metric(vector, torch.empty_like(vector)) for vector in (left, right)]
    torch.testing.assert_close((left * images[1]).sum(1), (right * images[0]).sum(1), rtol=1e-9, atol=1e-9)
    assert ((left * images[0]).sum(1) > 0).all()
    for rho, part, got in zip(objective.layer_steps, objective.views(left), objective.views(images[0]), strict=True):
        decay = 2.0 * objective.strength * rho
        inner = (part * got).sum((-2, -1))
        assert (inner <= (part * part).sum((-2, -1)) / decay * (1 + 1e-12)).all()


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 40),
    rank=st.integers(0, 40),
    decay=st.floats(0.0, 30.0),
    level=st.floats(-30.0, 20.0),
    repeated=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_the_eigenbasis_of_degenerate_factors_is_finite_and_orthonormal(size, rank, decay, level, repeated, seed):
    draw = np.random.default_rng(seed)
    values = np.zeros(size)
    values[: min(rank, size)] = 10.0 ** (level - decay * np.linspace(0, 1, min(rank, size)))
    if repeated:
        values[: min(rank, size) // 2] = values.max(initial=0.0)
    basis = np.linalg.qr(draw.standard_normal((size, size)))[0]
    factor = torch.from_numpy((basis * values) @ basis.T).float().expand(3, size, size)
    found, vectors = eigenbasis(factor)
    assert (found >= 0).all()
    # float64 inside, rounded to float32 at the end
    identity = torch.eye(size).expand(3, size, size)
    torch.testing.assert_close(vectors.mT @ vectors, identity, rtol=0, atol=1e-5)
    largest = float(factor.abs().max())
    torch.testing.assert_close((vectors * found.unsqueeze(-2)) @ vectors.mT, factor, rtol=0, atol=1e-5 * largest)


def test_the_eigenbasis_of_unusable_factors_is_that_of_zero():
    draw = torch.Generator().manual_seed(0)
    root = torch.randn(3, 5, 2, generator=draw)
    factors = root @ root.mT
    factors[1] = 0.0
    factors[2, 0, 0] = float("nan")
    values, vectors = eigenbasis(factors)
    torch.testing.assert_close((vectors[0] * values[0]) @ vectors[0].mT, factors[0], rtol=1e-5, atol=1e-5)
    assert (values[1:] == 0).all()
    assert (values >= 0).all()
    assert torch.isfinite(vectors).all()


def test_a_batch_takes_the_steps_that_each_run_takes_alone():
    data = problem(runs=3, samples=30, width=8)
    coefficients = Coefficients.of(steps.uniform(4), 2.0)
    together = Objective(data, coefficients)
    start = 0.5 * torch.randn(3, together.size, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    settings = AdamSettings(steps=30, rate=0.01)
    batch = start.clone()
    run_adam(together, batch, settings)
    probes = [torch.Generator().manual_seed(run) for run in range(3)]
    result = minimise(together, batch, QuasiNewtonSettings(iterations=40, refresh=10), probes=probes)
    for run in range(3):
        one = FitProblem(
            inputs=data.inputs[run : run + 1],
            targets=data.targets[run : run + 1],
            embedding=data.embedding[run : run + 1],
            readout=data.readout[run : run + 1],
            penalty=data.penalty,
        )
        alone, objective = start[run : run + 1].clone(), Objective(one, coefficients)
        run_adam(objective, alone, settings)
        settings_alone = QuasiNewtonSettings(iterations=40, refresh=10)
        single = minimise(objective, alone, settings_alone, probes=[torch.Generator().manual_seed(run)])
        # the same float64 arithmetic up to the order of sums; 70 steps of a contracting iteration keep it small
        torch.testing.assert_close(batch[run], alone[0], rtol=1e-6, atol=1e-8)
        assert result.objective[run].item() == pytest.approx(single.objective[0].item(), rel=1e-9)


def test_a_run_that_is_not_finite_ends_and_the_others_go_on():
    data = problem(runs=2, samples=20)
    objective = Objective(data, Coefficients.of(steps.uniform(3), 1.0))
    parameters = 0.3 * torch.randn(2, objective.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameters[0, 0] = float("nan")
    before = reference(data, objective, parameters, 1.0)[1].item()
    result = minimise(
        objective, parameters, QuasiNewtonSettings(iterations=30, refresh=0), probes=[torch.Generator().manual_seed(0)]
    )
    assert result.reason[0] == "not finite"
    assert result.objective[1].item() < before
    assert torch.isfinite(parameters[1]).all()


def test_a_run_that_has_ended_keeps_its_step_sizes():
    objective = Objective(problem(runs=2), Coefficients.of(steps.uniform(4), None))
    parameters = 0.3 * torch.randn(2, objective.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = parameters.clone()
    rules = [steps.AdaptiveSteps(steps.uniform(4)) for _ in range(2)]
    changed = adapt_steps(objective, parameters, rules, active=np.array([False, True]))
    assert changed.tolist() == [False, True]
    assert objective.run_coefficients[0].step_sizes == (0.25,) * 4
    assert objective.run_coefficients[1].step_sizes != (0.25,) * 4
    torch.testing.assert_close(parameters[0], before[0], rtol=0, atol=0)
    assert not rules[0].trajectory
