"""Plan files: a sweep as one TOML file, whose keys are the flags of ``leakybench run``.

::

    preset = "standard"          # keys before the first table apply to every grid
    seeds = "0:5"
    workers = 2

    [[grid]]                     # one or more; without any, the keys above form the grid
    task = ["LowRank-k3-v0", "NestedRank-*"]
    baseline = "LeakyResNet-v0"
    steps = ["uniform", "adaptive"]
    set = { depth = [10, 20] }   # a list is several values, crossed
    set-task = { d = 50 }
"""

from __future__ import annotations

import codecs
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leakybench.errors import UsageError
from leakybench.specs import check_device
from leakybench.sweeps.grid import Grid, Setting, parse_seeds, parse_setting, settings_from_table

GRID_KEYS = ("task", "baseline", "steps", "set", "set-task", "seeds", "preset", "device", "tune")
RUN_KEYS = (
    "workers",
    "threads",
    "oversubscribe",
    "engine",
    "scheduler",
    "timeout",
    "memory",
    "no-arrays",
    "batch",
    "retry",
    "results",
)
MAX_BYTES = 2**20
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How a file of 16 or 32 bits a character begins."""


def read_plan_file(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the options of the sweep, and the values of each grid with the common ones merged in.

    Raises:
        UsageError: the file cannot be read, or has an unknown key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UsageError(f"the plan file {str(path)!r} is larger than {MAX_BYTES >> 20} MiB")
        if text.startswith(UTF_16):
            raise UsageError(f"the plan file {str(path)!r} is in UTF-16: save it as UTF-8")
        data = tomllib.loads(text.decode("utf-8-sig"))  # some editors begin a file with a byte-order mark
    except OSError as error:
        raise UsageError(f"cannot read the plan file {str(path)!r}: {error.strerror}") from None
    except UsageError:
        raise
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the plan file {str(path)!r} is not TOML: {error}") from None
    tables = data.pop("grid", [{}])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"the grids of {str(path)!r} are tables: write [[grid]] above each")
    _check_keys(data, (*GRID_KEYS, *RUN_KEYS), path)
    for table in tables:
        _check_keys(table, GRID_KEYS, path)
    common = {key: value for key, value in data.items() if key in GRID_KEYS}
    options = {key: value for key, value in data.items() if key in RUN_KEYS}
    return options, [{**common, **table} for table in tables]


def _check_keys(table: Mapping[str, Any], allowed: Sequence[str], path: Path) -> None:
    for key in table:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed)}"
            raise UsageError(f"the plan file {str(path)!r} has an unknown key {key[:60]!r}; {hint}")


def make_grid(values: Mapping[str, Any]) -> Grid:
    """Build a grid from the values of flags or of a plan file, by the names in ``GRID_KEYS``.

    Raises:
        UsageError: no task or no baseline, or a malformed value.
    """
    for key in ("task", "baseline"):
        if not values.get(key):
            raise UsageError(f"which {key}? --{key} GLOB chooses; 'leakybench {key}s' lists them")
    return Grid(
        tasks=words(values["task"], "task"),
        baselines=words(values["baseline"], "baseline"),
        steps=words(values["steps"], "steps") if values.get("steps") is not None else (),
        task_settings=_settings(values.get("set-task") or [], "set-task"),
        baseline_settings=_settings(values.get("set") or [], "set"),
        seeds=parse_seeds(values["seeds"]),
        preset=values["preset"],
        device=check_device(values.get("device", "cpu")),
        tune=values.get("tune"),
    )


def words(value: object, name: str) -> list[str]:
    """Return the words of ``a,b`` or of a list of such texts, each once.

    Raises:
        UsageError: any other value.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{name} must be text or a list of texts, got {str(value)[:60]!r}")
    unique = dict.fromkeys(word.strip() for text in texts for word in text.split(",") if word.strip())
    if not unique:
        raise UsageError(f"{name} must name something, got {str(value)[:60]!r}")
    return list(unique)


def _settings(value: object, name: str) -> list[Setting]:
    if isinstance(value, Mapping):
        return settings_from_table(value)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        raise UsageError(f"{name} must be a table or a list of NAME=VALUE, got {str(value)[:60]!r}")
    return [parse_setting(text) for text in value]
