"""How each preset trains the three families of networks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from leakybench.baselines.networks.descent import AdamSettings
from leakybench.baselines.networks.quasi_newton import QuasiNewtonSettings


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The phases of a training, in this order.

    Attributes:
        adam: a phase of Adam; None for none.
        sgd_steps: length of a phase of plain gradient descent (the paper's protocol).
        sgd_rate: its learning rate on V.
        continuation: (share of the penalty, iterations) of quasi-Newton stages that raise the penalty to its full
            strength. At full strength from the start, shrinking the weights pays before the fit has begun, and the rank
            ends too low.
        main_phase: quasi-Newton iterations at the full penalty; None for none.
        initial: initial weights, ``looks-linear`` or ``gaussian``.
        noise: of looks-linear weights.
    """

    adam: AdamSettings | None = None
    sgd_steps: int = 0
    sgd_rate: float = 0.0
    continuation: tuple[tuple[float, int], ...] = ()
    main_phase: QuasiNewtonSettings | None = None
    initial: str = "looks-linear"
    noise: float = 0.2


CONTINUATION_DAMPING = 30.0
"""Of the metric while the penalty is raised, whatever the network: a bolder metric, or a shorter continuation, reaches
the same objective sooner, but at few samples it ends in minima with larger test errors (docs/speed.md)."""


def main_damping(scale: float) -> float:
    """Damping of the metric at the full penalty, for a network with W = scale V: 1.5 max(scale, 2).

    The metric takes layers as independent of each other, which is the less true the larger the effective depth. Of
    3, 10, 30 and 100, each effective depth does best near this line.
    """
    return 1.5 * max(scale, 2.0)


CONTINUATION = ((0.02, 25), (0.06, 25), (0.2, 25), (0.5, 25))

RECIPES: dict[str, Recipe] = {
    "smoke": Recipe(
        continuation=((0.05, 12), (0.3, 12)),
        main_phase=QuasiNewtonSettings(iterations=24),
    ),
    "standard": Recipe(
        continuation=CONTINUATION,
        main_phase=QuasiNewtonSettings(iterations=200, refresh=40, tolerance=0.02, stall=0.01),
    ),
    "converged": Recipe(
        continuation=CONTINUATION,
        main_phase=QuasiNewtonSettings(iterations=2000, tolerance=0.02, stall=2e-4),
    ),
}
"""By preset; ``paper`` depends on the network, see ``paper_recipe``."""


def paper_recipe(scale: float) -> Recipe:
    """The protocol of [JK24 appendix B]: 5000 epochs of Adam at rate 1e-3 on W, then 1000 of SGD at a smaller one.

    V = W / scale, and Adam's steps do not depend on the gradient's size, so 1e-3 on W is 1e-3/scale on V.
    """
    return Recipe(
        adam=AdamSettings(steps=5000, rate=1e-3 / scale, final=1.0, warmup=1),
        sgd_steps=1000,
        sgd_rate=1e-3,
        initial="gaussian",
    )


def recipe_for(preset: str, scale: float) -> Recipe:
    """The recipe of a preset for a network with W = scale V."""
    if preset == "paper":
        return paper_recipe(scale)
    recipe = RECIPES[preset]
    assert recipe.main_phase is not None
    return replace(recipe, main_phase=replace(recipe.main_phase, damping=main_damping(scale)))
