"""Options that choose a grid: tasks, baselines, their settings, preset and device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from leakybench.baseline import PRESETS
from leakybench.console.computing import default_text

if TYPE_CHECKING:
    from leakybench.sweeps.grid import Grid

DEFAULTS: dict[str, Any] = {
    "task": None,
    "baseline": None,
    "steps": None,
    "set": None,
    "set-task": None,
    "preset": "standard",
    "device": "cpu",
    "tune": None,
}


def left_as_they_are(grids: Iterable[Grid]) -> list[str]:
    """Return notes on the chosen baselines that ``--device`` or ``--tune`` leaves as they are."""
    on_cpu: dict[str, None] = {}
    untuned: dict[str, None] = {}
    for grid in grids:
        if grid.device != "cpu":
            on_cpu.update(dict.fromkeys(grid.without_device()))
        if grid.tune is not None:
            untuned.update(dict.fromkeys(grid.without_search()))
    reasons = {"no setting 'device', so on the CPU: ": on_cpu, "no search space, so not tuned: ": untuned}
    return [reason + ", ".join(ids) for reason, ids in reasons.items() if ids]


def add_grid(group: Any) -> None:
    """Add the options that choose tasks, baselines, step rules and settings."""
    group.add_argument("--task", metavar="GLOB[,..]", action="append", help="tasks, by id or glob")
    group.add_argument("--baseline", metavar="GLOB[,..]", action="append", help="baselines, by id or glob")
    group.add_argument(
        "--steps",
        metavar="RULE[,..]",
        action="append",
        help="step-size rules to combine with the baselines that have layers, as in uniform,adaptive; "
        "'leakybench baselines' lists the rules of each (default: its first rule)",
    )
    group.add_argument(
        "--set",
        metavar="[GLOB:]NAME=VALUE",
        action="append",
        help="override a setting of the baselines (of those that match GLOB); repeat it for several values",
    )
    group.add_argument(
        "--set-task",
        metavar="[GLOB:]NAME=VALUE",
        action="append",
        help="override a setting of the tasks (of those that match GLOB); repeat it for several values",
    )


def add_effort(group: Any) -> None:
    """Add ``--preset``, ``--device`` and ``--tune``."""
    group.add_argument(
        "--preset", metavar="PRESET", help=default_text(DEFAULTS, "preset", f"training effort: {', '.join(PRESETS)}")
    )
    group.add_argument(
        "--device",
        metavar="DEVICE",
        help=default_text(
            DEFAULTS,
            "device",
            "cpu, cuda or cuda:N, for the baselines that have a setting device; the others stay on the CPU. A card is "
            "used by one worker, which is the default there, or by several with --oversubscribe; batches of seeds "
            "(--batch) fill it",
        ),
    )
    group.add_argument(
        "--tune",
        metavar="TRIALS",
        help="search the settings of each baseline that declares a search space, on training rows held out, with that "
        "many trials; or with a time, as in 60s (default: no search)",
    )
