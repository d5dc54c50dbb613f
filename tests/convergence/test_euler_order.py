"""The recursion is the explicit Euler scheme of dA/dp = -Lt A + sigma(A) W_p^T: first order, against an adaptive
solver.
"""

import numpy as np
import pytest
import torch
from torchdiffeq import odeint

from leakybench.baselines.networks import steps
from leakybench.baselines.networks.torch_module import LeakyRecursion

WIDTH, SAMPLES = 6, 5


def field(seed=0):
    """A weight that depends smoothly on p: W_p = P cos(2p) + Q sin(3p), (w, w + 1)."""
    draw = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(WIDTH, WIDTH + 1, generator=draw, dtype=torch.float64) for _ in range(2))
    return lambda p: first * np.cos(2.0 * float(p)) + second * np.sin(3.0 * float(p))


def exact(weight, inputs, leak):
    def velocity(p, running):
        states = torch.cat([torch.relu(running), running.new_ones(len(running), 1)], dim=1)
        return -leak * running + states @ weight(p).T

    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return odeint(velocity, inputs, times, rtol=1e-10, atol=1e-12, method="dopri5")[-1]


@pytest.mark.parametrize("leak", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("rule", [steps.uniform, steps.irregular])
def test_error_falls_like_one_over_depth(rule, leak):
    weight = field()
    inputs = torch.randn(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = exact(weight, inputs, leak)
    depths = np.array([40, 80, 160, 320, 640])
    errors = []
    for depth in depths:
        rho = rule(depth)
        places = steps.positions(rho)[:-1]  # explicit: the weight at the beginning of each step
        net = LeakyRecursion(WIDTH, rho, leak, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        with torch.no_grad():
            for layer, p in enumerate(places):
                net.weight[layer] = weight(p) / max(leak, 1.0)
            errors.append((net(inputs) - wanted).norm().item())
    slope = np.polyfit(np.log(depths), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.2)
    assert errors[-1] < 0.05 * wanted.norm().item()
