"""Options that say where and within which limits runs are computed, and the engine that they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leakybench.engines.engine import Engine

DEFAULTS: dict[str, Any] = {
    "workers": None,
    "threads": 1,
    "oversubscribe": False,
    "engine": "local",
    "scheduler": None,
    "timeout": None,
    "memory": None,
    "no-arrays": False,
}


def add_computing(group: Any) -> None:
    """Add the options; their defaults are None, and ``DEFAULTS`` are filled in later, so that options can override a
    plan file."""
    group.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="worker processes; 0 computes in this process (default: one per available core, one on a GPU)",
    )
    group.add_argument(
        "--threads", metavar="N", type=int, help=default_text(DEFAULTS, "threads", "threads of each worker")
    )
    group.add_argument(
        "--oversubscribe",
        action="store_true",
        default=None,
        help="allow workers x threads to exceed the cores, and several workers on one GPU",
    )
    group.add_argument(
        "--engine", metavar="ENGINE", help=default_text(DEFAULTS, "engine", "local (processes on this machine) or dask")
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="address of an existing Dask scheduler (default: start a cluster on this machine)",
    )
    group.add_argument("--timeout", metavar="TIME", help="time limit of a run: 90, 10m, 2h (default: no limit)")
    group.add_argument("--memory", metavar="SIZE", help="memory limit of a run: 512M, 4G (default: no limit)")
    group.add_argument(
        "--no-arrays",
        action="store_true",
        default=None,
        help="store records alone, in a third of the room: tables need no more, figures along the path do",
    )


def default_text(defaults: Mapping[str, Any], name: str, text: str) -> str:
    """Return the help of an option with its default."""
    return f"{text} (default: {defaults[name]})"


def make_engine_of(options: Mapping[str, Any], *, on_card: bool) -> tuple[Engine, int]:
    """Return the engine that the options ask for, and its number of workers.

    Args:
        options: values by name, ``DEFAULTS`` filled in.
        on_card: whether runs compute on a GPU.

    Raises:
        UsageError: a value that is refused.
    """
    from leakybench.engines import make_engine
    from leakybench.engines.limits import Limits, check_workers, parse_bytes, parse_seconds

    limits = Limits(
        timeout=None if options["timeout"] is None else parse_seconds(options["timeout"]),
        memory=None if options["memory"] is None else parse_bytes(options["memory"]),
    )
    if options["scheduler"] is None:
        allowed = options["oversubscribe"]
        workers = check_workers(options["workers"], options["threads"], oversubscribe=allowed, on_card=on_card)
    else:
        workers = 1  # an existing cluster determines its own number of workers
    engine = make_engine(
        options["engine"],
        workers=workers,
        threads=options["threads"],
        limits=limits,
        scheduler=options["scheduler"],
    )
    return engine, workers
