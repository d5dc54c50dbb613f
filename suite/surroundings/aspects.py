"""The parts of the global state: how each is read, how it is put back, and how a change of it is told."""

from __future__ import annotations

import contextlib
import gc
import locale
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

from leakybench.surroundings.imports import loaded_module

ABSENT = object()
"""Value of a part whose library is not loaded."""

GENERATORS = ("torch generator", "numpy generator", "generator of the module random")
"""Names of the parts that are global random generators."""

LIBRARY_VARIABLES = ("KMP_", "TORCHINDUCTOR_")
"""Beginnings of environment variables that numerical libraries set for themselves when they are loaded."""


@dataclass(frozen=True, kw_only=True)
class Aspect:
    """One part of the global state.

    Attributes:
        name: in the record.
        read: return its value; ``ABSENT`` where the library is not loaded.
        write: put a value back.
        tell: words for a change from one value to another; None for the two values themselves.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    tell: Callable[[Any, Any], str] | None = None


def _torch(read: Callable[[Any], Any]) -> Callable[[], Any]:
    return _loaded("torch", read)


def _torch_write(write: Callable[[Any, Any], object]) -> Callable[[Any], object]:
    return lambda value: write(sys.modules["torch"], value)


def _call(setter: str, torch: Any, value: Any) -> None:
    getattr(torch, setter)(value)


def _loaded(module: str, read: Callable[[Any], Any]) -> Callable[[], Any]:
    """A reader that gets a library, if that is loaded."""

    def reader() -> Any:
        found = loaded_module(module)
        return ABSENT if found is None else read(found)

    return reader


def _drawn(before: Any, after: Any) -> str:
    return "was drawn from or seeded"


def _named(before: Any, after: Any) -> str:
    """Words for a change of a mapping: the names alone, since values may be secrets."""
    added = [f"{name} added" for name in sorted(after.keys() - before.keys())]
    removed = [f"{name} removed" for name in sorted(before.keys() - after.keys())]
    changed = [f"{name} changed" for name in sorted(before.keys() & after.keys()) if before[name] != after[name]]
    return _short([*added, *removed, *changed])


def _short(parts: list[str]) -> str:
    return ", ".join(parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(LIBRARY_VARIABLES)}


def _set_environment(value: dict[str, str]) -> None:
    for name in _environment().keys() - value.keys():
        del os.environ[name]
    for name, text in value.items():
        if os.environ.get(name) != text:
            os.environ[name] = text


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # the folder is gone
        return None


def _set_folder(value: str | None) -> None:
    if value is not None:
        with contextlib.suppress(OSError):
            os.chdir(value)


SIGNALS = tuple(number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP))


def _signals() -> Any:
    return tuple(signal.getsignal(number) for number in SIGNALS)


def _set_signals(value: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may
    for number, handler in zip(SIGNALS, value, strict=True):
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _tell_signals(before: Any, after: Any) -> str:
    changed = [number for number, a, b in zip(SIGNALS, before, after, strict=True) if a is not b]
    names = []
    for number in changed:
        try:
            names.append(signal.Signals(number).name)
        except ValueError:
            names.append(str(int(number)))
    return _short(names)


def _silencers() -> list[Any]:
    """Warning filters for a whole family of warnings from anywhere; libraries add narrow ones of their own."""
    return [f for f in warnings.filters if f[1] is None and f[3] is None and f[2].__module__ == "builtins"]


def _warnings() -> Any:
    return _silencers(), list(warnings.filters), warnings.showwarning


def _set_warnings(value: Any) -> None:
    warnings.filters[:] = value[1]  # type: ignore[index]
    warnings.showwarning = value[2]
    warnings.simplefilter("default")  # a change through the front door, so that no cached answer of the old ones stays
    warnings.filters[:] = value[1]  # type: ignore[index]


def _umask() -> Any:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return ABSENT


class WarningState:
    """Filters and printer of warnings; equal where the broad filters and the printer are the same."""

    def __init__(self) -> None:
        self.broad, self.all, self.printer = _warnings()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WarningState) and (self.broad, self.printer) == (other.broad, other.printer)

    __hash__ = None  # type: ignore[assignment]


class RandomState:
    """State of numpy's global generator, which holds an array."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RandomState) and all(
            bool((a == b).all()) if hasattr(a, "all") else a == b for a, b in zip(self.state, other.state, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]


class TorchState:
    """State of torch's global generator on the CPU."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TorchState) and bool(self.state.equal(other.state))

    __hash__ = None  # type: ignore[assignment]


def _flushes(module: Any) -> bool:
    """Whether the processor takes numbers below the normal range for 0."""
    return bool(module.float64(5e-324) * module.float64(1.0) == 0.0)


def _set_flushing(value: bool) -> None:
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_flush_denormal(value)


def _set_numpy_errors(value: Any) -> None:
    import numpy as np

    np.seterr(**value)


TORCH_SETTINGS = (
    ("torch default dtype", "get_default_dtype", "set_default_dtype"),
    ("torch grad mode", "is_grad_enabled", "set_grad_enabled"),
    ("torch threads", "get_num_threads", "set_num_threads"),
    ("torch float32 products", "get_float32_matmul_precision", "set_float32_matmul_precision"),
    ("torch deterministic algorithms", "are_deterministic_algorithms_enabled", "use_deterministic_algorithms"),
)
"""Name of each setting, and the functions of torch that read and write it."""


def aspects() -> Iterator[Aspect]:
    """Yield every part that is watched."""
    for name, getter, setter in TORCH_SETTINGS:
        yield Aspect(
            name=name,
            read=_torch(methodcaller(getter)),
            write=_torch_write(partial(_call, setter)),
        )
    yield Aspect(
        name="torch default device",
        read=_torch(lambda torch: str(torch.get_default_device())),
        write=_torch_write(lambda torch, v: torch.set_default_device(None if v == "cpu" else v)),
    )
    yield Aspect(
        name=GENERATORS[0],
        read=_torch(lambda torch: TorchState(torch.random.get_rng_state())),
        write=_torch_write(lambda torch, v: torch.random.set_rng_state(v.state)),
        tell=_drawn,
    )
    yield Aspect(
        name=GENERATORS[1],
        read=_loaded("numpy.random", lambda module: RandomState(module.mtrand.get_state())),
        write=lambda v: sys.modules["numpy.random.mtrand"].set_state(v.state),
        tell=_drawn,
    )
    yield Aspect(
        name=GENERATORS[2],
        read=random.getstate,
        write=random.setstate,
        tell=_drawn,
    )
    yield Aspect(name="numpy error state", read=_loaded("numpy", lambda numpy: numpy.geterr()), write=_set_numpy_errors)
    yield Aspect(name="flushing of denormal numbers", read=_loaded("numpy", _flushes), write=_set_flushing)
    yield from _of_python()


def _of_python() -> Iterator[Aspect]:
    """Yield the parts that belong to the interpreter and the process."""
    yield Aspect(name="environment", read=_environment, write=_set_environment, tell=_named)
    yield Aspect(name="working directory", read=_folder, write=_set_folder, tell=lambda *_: "changed")
    yield Aspect(name="signal handlers", read=_signals, write=_set_signals, tell=_tell_signals)
    yield Aspect(name="warning filters", read=WarningState, write=_restore_warnings, tell=lambda *_: "changed")
    yield Aspect(
        name="standard streams",
        read=lambda: (sys.stdin, sys.stdout, sys.stderr),
        write=_set_streams,
        tell=lambda *_: "replaced",
    )
    yield Aspect(name="recursion limit", read=sys.getrecursionlimit, write=sys.setrecursionlimit)
    yield Aspect(name="garbage collection", read=gc.isenabled, write=lambda v: gc.enable() if v else gc.disable())
    yield Aspect(name="locale", read=lambda: locale.setlocale(locale.LC_ALL), write=_set_locale)
    yield Aspect(name="file mode mask", read=_umask, write=os.umask)


def _restore_warnings(value: WarningState) -> None:
    _set_warnings((value.broad, value.all, value.printer))


def _set_streams(value: Any) -> None:
    sys.stdin, sys.stdout, sys.stderr = value


def _set_locale(value: str) -> None:
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, value)
