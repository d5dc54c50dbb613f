"""``wrap_module``: any PyTorch module as a baseline, trained by a small default trainer or by your own.

    def build(d_in, d_out):
        return torch.nn.Sequential(torch.nn.Linear(d_in, 64), torch.nn.ReLU(), torch.nn.Linear(64, d_out))

    baseline = leakybench.wrap_module(build)
    leakybench.evaluate(baseline, leakybench.make("LowRank-k3-v0"), preset="smoke")

Every module gets error, wall-clock and the Jacobian rank of its function. Forward hooks show its hidden states
(:meth:`ModuleModel.hidden`) and their ranks. What an ordinary module has not, and nobody can supply for it, are the
W_l, step-sizes and effective depth of the recursion that :class:`leakybench.Representations` describes; the Hamiltonian
measures need those, so they are absent from its records.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.errors import DivergedError, UsageError
from leakybench.task import Split

if TYPE_CHECKING:
    import torch
    from torch import nn

Factory = Callable[..., "nn.Module"]
Trainer = Callable[..., Any]

STEPS = {"smoke": 150, "standard": 1500, "converged": 6000, "paper": 6000}
"""Steps of the default trainer, by preset."""


def wrap_module(
    factory: Factory,
    *,
    trainer: Trainer | None = None,
    layers: Sequence[str] | None = None,
    name: str | None = None,
) -> ModuleBaseline:
    """A baseline of an ordinary module.

    Args:
        factory: ``factory(d_in, d_out) -> nn.Module``, a fresh module that maps (n, d_in) to (n, d_out). Its initial
            weights may come from torch's global generator, which is seeded around the call and put back.
        trainer: ``trainer(module, inputs, targets, *, seed, preset)`` trains in place on float32 tensors; it may
            return a dict of plain JSON values for the record. None: :func:`adam`.
        layers: names of the submodules whose outputs are the hidden states, as in ``module.named_modules()``; None:
            the children of the module, and those of a ``Sequential`` or ``ModuleList`` in it.
        name: for the record and the generators; the factory's own name where none is given.

    Returns:
        A baseline for :func:`leakybench.evaluate`, sweeps in this process and :func:`leakybench.check_baseline`.

    Raises:
        UsageError: a factory or trainer that cannot be called so.
    """
    if not callable(factory) or (trainer is not None and not callable(trainer)):
        raise UsageError("wrap_module needs a factory(d_in, d_out) and, if any, a trainer that can be called")
    _check_signature(factory, 2, (), "a factory takes (d_in, d_out)")
    if trainer is not None:
        _check_signature(trainer, 3, ("seed", "preset"), "a trainer takes (module, inputs, targets, *, seed, preset)")
    shown = name or str(getattr(factory, "__name__", type(factory).__name__))
    given = tuple(layers) if layers is not None else None
    return ModuleBaseline(factory=factory, trainer=trainer or adam, layers=given, name=shown)


def _check_signature(function: Callable[..., Any], count: int, keywords: Sequence[str], message: str) -> None:
    try:
        inspect.signature(function).bind(*[None] * count, **dict.fromkeys(keywords))
    except TypeError as error:
        raise UsageError(f"{message}: {error}") from None
    except ValueError:
        pass  # a builtin does not say what it takes


class ModuleBaseline:
    """What :func:`wrap_module` returns."""

    def __init__(self, *, factory: Factory, trainer: Trainer, layers: tuple[str, ...] | None, name: str) -> None:
        self.factory, self.trainer, self.layers, self.name = factory, trainer, layers, name
        kind = "".join(char for char in name.title() if char.isalnum()) or "Module"
        from leakybench.specs import BaselineSpec

        place = getattr(factory, "__module__", "leakybench.module_baseline"), getattr(factory, "__qualname__", "")
        code = place if place[1].isidentifier() else ("leakybench.module_baseline", "wrap_module")
        # names the module in records; its entry point is the factory, whose source the record's version covers
        self.spec = BaselineSpec(
            id=f"module/{kind if kind[0].isalpha() else f'M{kind}'}-v0",
            entry_point=f"{code[0]}:{code[1]}",
            kwargs={"trainer": getattr(trainer, "__name__", type(trainer).__name__)},
        )

    def fit(self, train: Split, *, seed: int, preset: str) -> ModuleModel:
        """Build and train on inputs (n, d_in) and targets (n, d_out).

        Raises:
            DivergedError: training left the finite numbers. UsageError: a module of another output shape.
        """
        import torch

        check_preset(preset)
        begun = time.perf_counter()
        inputs, targets = torch.from_numpy(train.inputs.copy()), torch.from_numpy(train.targets.copy())
        kept = torch.random.get_rng_state()
        try:
            torch.manual_seed(_torch_seed(self.name, seed, "init"))
            module = self.factory(inputs.shape[1], targets.shape[1])
            _check_module(module, inputs, targets)
            warmup = time.perf_counter() - begun
            # dropout and shuffling draw from the global generator too
            torch.manual_seed(_torch_seed(self.name, seed, "training"))
            told = self.trainer(module, inputs, targets, seed=seed, preset=preset)
        finally:
            torch.random.set_rng_state(kept)
        module.eval()
        if not all(bool(torch.isfinite(parameter).all()) for parameter in module.parameters()):
            raise DivergedError(f"the weights of {self.name} are not finite")
        count = sum(parameter.numel() for parameter in module.parameters())
        values = {"parameters": count, "warmup_seconds": warmup, **(told if isinstance(told, Mapping) else {})}
        return ModuleModel(module=module, layers=self.layers, report=FitReport(values=values))


def _torch_seed(name: str, seed: int, role: str) -> int:
    return int(seeding.seed_sequence(name, seed, role).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _check_module(module: Any, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    import torch

    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"the factory must return a torch.nn.Module, got {type(module).__name__}")
    training = module.training
    with torch.no_grad():
        module.eval()
        shape = tuple(module(inputs[:2]).shape)
    module.train(training)
    if shape != (min(2, len(inputs)), targets.shape[1]):
        wanted = (len(inputs[:2]), targets.shape[1])
        raise UsageError(f"the module maps {tuple(inputs[:2].shape)} to {shape}, expected {wanted}")


@dataclass(frozen=True, kw_only=True)
class ModuleModel:
    """A trained module that predicts, and shows its hidden states."""

    module: nn.Module
    layers: tuple[str, ...] | None
    report: FitReport = field(default_factory=FitReport)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in), float32."""
        import torch

        with torch.no_grad():
            return self.module(torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))).numpy()

    def hidden(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of the chosen submodules, by name in the order of the forward pass, float64 (n, w) each.

        An output of more axes, as the (n, tokens, w) of a transformer, is flattened to (n, tokens w). A submodule that
        runs twice counts with its last output.

        Raises:
            UsageError: a name that the module does not have.
        """
        import torch

        named = dict(self.module.named_modules())
        chosen = _default_layers(self.module) if self.layers is None else list(self.layers)
        missing = [layer for layer in chosen if layer not in named]
        if missing:
            raise UsageError(f"the module has no part {missing[0]!r}; its parts: {', '.join(filter(None, named))}")
        states: dict[str, np.ndarray] = {}

        def keep(layer: str) -> Callable[..., None]:
            def hook(part: nn.Module, given: Any, output: Any) -> None:
                tensor = output[0] if isinstance(output, tuple) else output
                if isinstance(tensor, torch.Tensor):
                    states.pop(layer, None)
                    states[layer] = tensor.detach().flatten(1).double().numpy()

            return hook

        handles = [named[layer].register_forward_hook(keep(layer)) for layer in chosen]
        try:
            self.predict(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return states

    def hidden_ranks(self, inputs: np.ndarray) -> dict[str, int | None]:
        """The linear rank of each hidden state, at the largest gap of its centred spectrum; None for a constant one."""
        from leakybench.measures import spectrum
        from leakybench.measures.gap import largest_gap

        states = self.hidden(inputs)
        return {name: largest_gap(spectrum(state, centred=True)).rank for name, state in states.items()}


def _default_layers(module: nn.Module) -> list[str]:
    import torch

    names = []
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Sequential | torch.nn.ModuleList):
            names += [f"{name}.{inner}" for inner, _ in child.named_children()]
        else:
            names.append(name)
    return names


def adam(
    module: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, *, seed: int, preset: str
) -> dict[str, float | int]:
    """The default trainer: full-batch Adam (Kingma and Ba 2015) on the mean squared error, weight decay 1e-4 decoupled
    (Loshchilov and Hutter 2019), rate 3e-3 falling to 0 along a cosine.

    Args:
        module: trained in place.
        inputs: (n, d_in); targets: (n, d_out).
        seed: not needed here; a trainer with minibatches draws their order from it.
        preset: decides the number of steps, ``STEPS``.

    Raises:
        DivergedError: the loss is not finite.
    """
    import torch

    steps = STEPS[preset]
    optimiser = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    module.train()
    loss = torch.zeros(())
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (module(inputs) - targets).square().mean()
        loss.backward()
        optimiser.step()
        schedule.step()
    if not bool(torch.isfinite(loss)):
        raise DivergedError("the loss is not finite")
    return {"objective": float(loss.detach()), "evaluations": steps}
