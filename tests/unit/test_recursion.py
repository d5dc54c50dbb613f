"""The recursion against plain PyTorch: values, gradients, special cases, and its use as a module."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leakybench.baselines.networks import steps
from leakybench.baselines.networks.initial import looks_linear, mirrored, orthonormal, signal_preserving
from leakybench.baselines.networks.recursion import Coefficients
from leakybench.baselines.networks.torch_module import LeakyRecursion
from leakybench.errors import UsageError


def plain(inputs, weight, coefficients):
    """The recursion of science section 1 written with nothing but autograd; rows are samples."""
    running = inputs
    for matrix, skip, branch in zip(weight, coefficients.skip, coefficients.branch, strict=True):
        states = torch.cat([torch.relu(running), running.new_ones(len(running), 1)], dim=1)
        running = skip * running + branch * (states @ matrix.T)
    return running


def module(width, step_sizes, effective_depth, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    return LeakyRecursion(width, step_sizes, effective_depth, generator=draw, dtype=dtype)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 9),
    depth=st.integers(1, 7),
    samples=st.integers(1, 6),
    leak=st.one_of(st.none(), st.floats(0.0, 0.9)),
    seed=st.integers(0, 2**16),
    contiguous=st.booleans(),
)
def test_values_and_gradients_equal_float64_autograd(width, depth, samples, leak, seed, contiguous):
    rng = np.random.default_rng(seed)
    rho = rng.dirichlet(np.ones(depth)) * 0.9 + 0.1 / depth
    net = module(width, rho, None if leak is None else leak * depth, seed)
    with torch.no_grad():
        net.weight.normal_(generator=torch.Generator().manual_seed(seed))
    inputs = torch.from_numpy(rng.standard_normal((samples, width) if contiguous else (width, samples)))
    inputs = (inputs if contiguous else inputs.T).detach().requires_grad_()
    probe = torch.from_numpy(rng.standard_normal((samples, width)))
    values = net(inputs)
    found = torch.autograd.grad((values * probe).sum(), [inputs, net.weight])
    wanted_values = plain(inputs, net.weight, net.coefficients)
    wanted = torch.autograd.grad((wanted_values * probe).sum(), [inputs, net.weight])
    # both are float64 sums of the same terms in another order: 1e-9 leaves six digits for cancellation
    for got, expected in zip((values, *found), (wanted_values, *wanted), strict=True):
        scale = expected.abs().max().item() + 1e-30
        assert (got - expected).abs().max().item() <= 1e-9 * scale


def test_gradcheck_against_finite_differences():
    net = module(4, steps.irregular(3), 2.0)
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(5, 4, generator=draw, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, _: net(x), (inputs, net.weight))


def test_full_leak_is_a_plain_sequential_network():
    depth, width = 6, 11
    net = module(width, steps.uniform(depth), float(depth))
    stages = []
    for matrix in net.weight.detach():
        linear = torch.nn.Linear(width, width, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(matrix[:, :-1])
            linear.bias.copy_(matrix[:, -1])
        stages += [torch.nn.ReLU(), linear]
    inputs = torch.randn(8, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    # rho Lt = 1 up to one rounding of 1/L * L; values are of order 1
    torch.testing.assert_close(net(inputs), torch.nn.Sequential(*stages)(inputs), rtol=1e-12, atol=1e-12)
    connected = module(width, steps.uniform(depth), None)
    torch.testing.assert_close(connected(inputs), net(inputs), rtol=1e-12, atol=1e-12)


def test_no_leak_is_a_plain_residual_loop():
    depth, width = 5, 7
    net = module(width, steps.irregular(depth, 0.8), 0.0)
    running = torch.randn(9, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = net(running)
    for rho, matrix in zip(net.step_sizes, net.weight.detach(), strict=True):
        running = running + rho * (torch.relu(running) @ matrix[:, :-1].T + matrix[:, -1])
    torch.testing.assert_close(found, running, rtol=1e-12, atol=1e-12)


def test_module_round_trips_through_its_state_dict():
    first, second = module(6, steps.irregular(4), 2.0, seed=1), module(6, steps.uniform(4), 2.0, seed=2)
    inputs = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert not torch.equal(first(inputs), second(inputs))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(inputs), second(inputs))
    assert first.state_dict().keys() == {"weight", "step_sizes"}


def test_overlapping_graphs_do_not_share_memory():
    net = module(5, steps.uniform(3), 1.0)
    draw = torch.Generator().manual_seed(4)
    one, two = (torch.randn(4, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    alone = torch.autograd.grad(net(one).square().sum(), net.weight)[0]
    loss = net(one).square().sum()
    net(two).square().sum().backward()
    assert torch.equal(torch.autograd.grad(loss, net.weight)[0], alone)


def test_float32_agrees_with_float64_to_its_precision():
    double, single = module(20, steps.uniform(10), 4.0), module(20, steps.uniform(10), 4.0, dtype=torch.float32)
    inputs = torch.randn(30, 20, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    # ten layers of sums of 21 terms: about 200 roundings of 6e-8
    torch.testing.assert_close(single(inputs.float()).double(), double(inputs), rtol=1e-4, atol=1e-5)


def test_wrong_width_is_one_clear_line():
    with pytest.raises(UsageError, match=r"inputs must be \(n, 5\), got \(2, 4\)"):
        module(5, steps.uniform(2), 1.0)(torch.zeros(2, 4, dtype=torch.float64))


@pytest.mark.parametrize("effective_depth", [0.5, 3.0, 9.0, 15.0, None])
@pytest.mark.parametrize("rule", [steps.uniform, steps.irregular])
def test_looks_linear_weights_are_an_isometry_at_any_depth(rule, effective_depth):
    coefficients = Coefficients.of(rule(20), effective_depth)
    draw = torch.Generator().manual_seed(0)
    weight = looks_linear(coefficients, 24, noise=0.0, generator=draw)
    embedded = torch.randn(10, 7, generator=draw, dtype=torch.float64) @ mirrored(24, 7, generator=draw).T
    final = plain(embedded, weight, coefficients)
    # twenty layers that each reproduce their input up to a few roundings
    torch.testing.assert_close(final, embedded, rtol=1e-12, atol=1e-12)


def test_looks_linear_resnet_starts_as_the_identity():
    coefficients = Coefficients.of(steps.uniform(8), 0.0)
    assert not looks_linear(coefficients, 6, noise=0.0, generator=None).any()


def test_signal_preserving_weights_keep_the_norm_on_average():
    coefficients = Coefficients.of(steps.uniform(20), 7.0)
    draw = torch.Generator().manual_seed(0)
    weight = signal_preserving(coefficients, 400, generator=draw)
    inputs = torch.randn(50, 400, generator=draw, dtype=torch.float64)
    ratio = (plain(inputs, weight, coefficients).norm() / inputs.norm()).item()
    # exact in expectation for one layer; at width 400 and 20 layers the spread is about 20 * 1/400 per unit, well
    # below 0.3
    assert 0.7 < ratio < 1.3


@pytest.mark.parametrize(("rows", "columns"), [(10, 4), (4, 10), (5, 5)])
def test_orthonormal_matrices_are(rows, columns):
    matrix = orthonormal(rows, columns, generator=torch.Generator().manual_seed(0))
    gram = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    assert matrix.shape == (rows, columns)
    torch.testing.assert_close(gram, torch.eye(min(rows, columns), dtype=torch.float64), rtol=0, atol=1e-13)
    half = mirrored(21, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(half.T @ half, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-13)
