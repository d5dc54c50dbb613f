"""``wrap_module``: wrap any PyTorch module as a baseline, with a small default trainer or your own.

    def build(d_in, d_out):
        return torch.nn.Sequential(torch.nn.Linear(d_in, 64), torch.nn.ReLU(), torch.nn.Linear(64, d_out))

    baseline = leakybench.wrap_module(build)
    leakybench.evaluate(baseline, leakybench.make("LowRank-k3-v0"), preset="smoke")

Every module gets test error, wall-clock time and the Jacobian rank of its function. Forward hooks record its hidden
states (``ModuleModel.hidden``) and their ranks. An ordinary module does not have the W_l, step-sizes and effective
depth of the recursion that ``leakybench.Representations`` describes. The Hamiltonian measures need those, so they are
absent from its records.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.errors import DivergedError, UsageError
from leakybench.provenance import innermost, settings_of_function
from leakybench.task import Split

if TYPE_CHECKING:
    import torch
    from torch import nn

Factory = Callable[..., "nn.Module"]
Trainer = Callable[..., Any]

STEPS = {"smoke": 150, "standard": 1500, "converged": 6000, "paper": 6000}
"""Number of steps of the default trainer, by preset."""


def wrap_module(
    factory: Factory,
    *,
    trainer: Trainer | None = None,
    layers: Sequence[str] | None = None,
    name: str | None = None,
) -> ModuleBaseline:
    """Wrap an ordinary module as a baseline.

    Args:
        factory: ``factory(d_in, d_out) -> nn.Module``, a fresh module that maps (n, d_in) to (n, d_out). Its initial
            weights may come from torch's global generator, which is seeded for the call and restored afterwards.
        trainer: ``trainer(module, inputs, targets, *, seed, preset)`` trains in place on float32 tensors; it may
            return a dict of plain JSON values for the record. None for ``leakybench.module_baseline.train_with_adam``.
        layers: names of the submodules whose outputs are the hidden states, as in ``module.named_modules()``. None for
            the children of the module, with every ``Sequential`` or ``ModuleList`` replaced by its own children.
        name: name for the record and the random generators; None for the name of the factory.

    Returns:
        A baseline for ``leakybench.evaluate``, sweeps in this process and ``leakybench.check_baseline``. Its records
        name the trainer as ``module:function``, so that the identity of a run follows the trainer's code; a trainer
        that is not a module-level function is recorded by its bare name. Closures, partials, lambdas and objects are
        told apart by the values that they hold, and by their code.

    Raises:
        UsageError: the factory or the trainer cannot be called in this way, or holds something whose content cannot be
            told, such as an open file.
    """
    if not callable(factory) or (trainer is not None and not callable(trainer)):
        raise UsageError("wrap_module requires a callable factory(d_in, d_out), and a callable trainer if one is given")
    _check_signature(factory, 2, (), "a factory takes (d_in, d_out)")
    if trainer is not None:
        _check_signature(trainer, 3, ("seed", "preset"), "a trainer takes (module, inputs, targets, *, seed, preset)")
    return ModuleBaseline(
        factory=factory,
        trainer=trainer or train_with_adam,
        layers=tuple(layers) if layers is not None else None,
        name=name or _name_of(factory),
    )


def _check_signature(function: Callable[..., Any], count: int, keywords: Sequence[str], message: str) -> None:
    try:
        inspect.signature(function).bind(*[None] * count, **dict.fromkeys(keywords))
    except TypeError as error:
        raise UsageError(f"{message}: {error}") from None
    except ValueError:
        pass  # a builtin has no signature


def _name_of(factory: Factory) -> str:
    """Return the name of a factory, of the function within a partial, or of the class of an object."""
    function = innermost(factory)
    return str(getattr(function, "__name__", type(function).__name__))


def _name_of_trainer(trainer: Trainer) -> str:
    """Return ``module:function`` for a module-level function, otherwise its bare name."""
    name = getattr(trainer, "__name__", type(trainer).__name__)
    module = sys.modules.get(getattr(trainer, "__module__", None) or "")
    # a script's __main__ cannot be found again by its name
    if module is None or module.__name__ == "__main__" or getattr(module, name, None) is not trainer:
        return str(name)
    return f"{module.__name__}:{name}"


class ModuleBaseline:
    """A baseline made by ``wrap_module``.

    Attributes:
        factory: makes a fresh module.
        trainer: trains a module in place.
        layers: names of the submodules whose outputs are the hidden states; None for the default choice.
        name: name for the record and the random generators.
        spec: names the module in records. Its settings are those that the factory and the trainer were made with, and
            their code as far as it lies in no module.
        code_modules: modules of the factory and the trainer, whose code the source version of a record covers.
    """

    def __init__(self, *, factory: Factory, trainer: Trainer, layers: tuple[str, ...] | None, name: str) -> None:
        self.factory, self.trainer, self.layers, self.name = factory, trainer, layers, name
        kind = "".join(char for char in name.title() if char.isascii() and char.isalnum()) or "Module"
        made, trained = settings_of_function(factory, "the factory"), settings_of_function(trainer, "the trainer")
        self.code_modules = tuple(sorted(made.modules | trained.modules))
        own: dict[str, Any] = {"trainer": _name_of_trainer(trainer)}
        own |= {f"trainer.{key}": value for key, value in trained.kwargs().items()}
        function = innermost(factory)
        qualname = str(getattr(function, "__qualname__", type(function).__qualname__))
        if name != qualname.split(".")[-1]:
            own["name"] = name  # it seeds the generators
        if name != qualname and "<" not in qualname:
            own["factory"] = qualname
        if layers is not None:
            own["layers"] = list(layers)
        # a setting of the factory that is called like one of these counts by its content
        clash = {key: made.plain.pop(key) for key in own if key in made.plain}
        made.content += [f"{key} {value!r}" for key, value in clash.items()]
        from leakybench.specs import BaselineSpec

        place = getattr(function, "__module__", "leakybench.module_baseline"), getattr(function, "__qualname__", "")
        code = place if place[1].isidentifier() else ("leakybench.module_baseline", "wrap_module")
        self.spec = BaselineSpec(
            id=f"module/{kind if kind[0].isalpha() else f'M{kind}'}-v0",
            entry_point=f"{code[0]}:{code[1]}",
            kwargs={**made.kwargs(), **own},
        )

    def fit(self, train: Split, *, seed: int, preset: str) -> ModuleModel:
        """Build and train on inputs (n, d_in) and targets (n, d_out).

        Raises:
            DivergedError: weights are not finite after training.
            UsageError: the factory returns no module, or one with a wrong output shape.
        """
        import torch

        check_preset(preset)
        begun = time.perf_counter()
        inputs, targets = torch.from_numpy(train.inputs.copy()), torch.from_numpy(train.targets.copy())
        state = torch.random.get_rng_state()
        try:
            torch.manual_seed(_torch_seed(self.name, seed, "init"))
            module = self.factory(inputs.shape[1], targets.shape[1])
            _check_module(module, inputs, targets)
            warmup = time.perf_counter() - begun
            # dropout and shuffling also draw from the global generator
            torch.manual_seed(_torch_seed(self.name, seed, "training"))
            returned = self.trainer(module, inputs, targets, seed=seed, preset=preset)
        finally:
            torch.random.set_rng_state(state)
        module.eval()
        if not all(bool(torch.isfinite(parameter).all()) for parameter in module.parameters()):
            raise DivergedError(f"the weights of {self.name} are not finite")
        count = sum(parameter.numel() for parameter in module.parameters())
        details = returned if isinstance(returned, Mapping) else {}
        values = {"parameters": count, "warmup_seconds": warmup, **details}
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
    """A trained module, with its predictions and hidden states.

    Attributes:
        module: the module, in evaluation mode.
        layers: names of the submodules whose outputs are the hidden states; None for the default choice.
        report: number of parameters, warm-up time, and the values that the trainer returned.
    """

    module: nn.Module
    layers: tuple[str, ...] | None
    report: FitReport = field(default_factory=FitReport)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predict targets (n, d_out) from inputs (n, d_in), float32."""
        import torch

        with torch.no_grad():
            return self.module(torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))).numpy()

    def hidden(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of the chosen submodules, by name in the order of the forward pass, float64 (n, w) each.

        An output with more axes, such as the (n, tokens, w) of a transformer, is flattened to (n, tokens w). Of a
        submodule that runs several times, the last output is returned.

        Args:
            inputs: float32 (n, d_in).

        Raises:
            UsageError: the module has no submodule of a chosen name.
        """
        import torch

        named = dict(self.module.named_modules())
        chosen = _default_layers(self.module) if self.layers is None else list(self.layers)
        missing = [layer for layer in chosen if layer not in named]
        if missing:
            raise UsageError(f"the module has no submodule {missing[0]!r}; it has: {', '.join(filter(None, named))}")
        states: dict[str, np.ndarray] = {}

        def recorder(layer: str) -> Callable[..., None]:
            def hook(submodule: nn.Module, arguments: Any, output: Any) -> None:
                tensor = output[0] if isinstance(output, tuple) else output
                if isinstance(tensor, torch.Tensor):
                    states.pop(layer, None)
                    states[layer] = tensor.detach().flatten(1).double().numpy()

            return hook

        handles = [named[layer].register_forward_hook(recorder(layer)) for layer in chosen]
        try:
            self.predict(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return states

    def hidden_ranks(self, inputs: np.ndarray) -> dict[str, int | None]:
        """Return the linear rank of each hidden state, at the largest gap of its centred spectrum.

        The rank of a constant state is None.

        Args:
            inputs: float32 (n, d_in).
        """
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


def train_with_adam(
    module: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, *, seed: int, preset: str
) -> dict[str, float | int]:
    """Train by full-batch Adam (Kingma and Ba 2015) on the mean squared error; the default trainer.

    The weight decay is decoupled (Loshchilov and Hutter 2019) and 1e-4; the rate decreases from 3e-3 to 0 along a
    cosine.

    Args:
        module: the module, which is trained in place.
        inputs: training inputs, float32 (n, d_in).
        targets: training targets, float32 (n, d_out).
        seed: unused, since full-batch training draws no random numbers.
        preset: chooses the number of steps, see ``STEPS``.

    Returns:
        The final loss (``objective``) and the number of steps (``evaluations``).

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
