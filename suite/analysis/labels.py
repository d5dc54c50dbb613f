"""Settings within the labels of tasks and baselines: ``LeakyResNet-v0[effective_depth=3.0]``."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

from leakybench.errors import LeakybenchError
from leakybench.registry import baselines, tasks
from leakybench.settings import complete
from leakybench.specs import canonical_json, is_number, parse_id

if TYPE_CHECKING:
    from leakybench.registry import Registry
    from leakybench.specs import BaselineSpec, TaskSpec

_PART = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\{[^}]*\}|[^,"\[{])+')
"""One override of a label: a comma within quotes, a list or a mapping separates nothing."""
DEEPEST = math.inf
"""Effective depth of a fully-connected network, whose layers keep no share of the last one."""


def split_label(label: str) -> tuple[str, dict[str, str]]:
    """Return the id and the texts of the overrides by name."""
    id, bracket, inner = label.partition("[")
    parts = _PART.findall(inner.removesuffix("]")) if bracket else []
    return id, {name: value for name, _, value in (part.partition("=") for part in parts)}


def without(label: str, *names: str) -> str:
    """Return a label without some of its overrides."""
    id, overrides = split_label(label)
    rest = ",".join(f"{name}={value}" for name, value in overrides.items() if name not in names)
    return f"{id}[{rest}]" if rest else id


def task_setting(label: str, name: str) -> float | None:
    """Return a numeric setting of a task: its override, else the default of its id; None without a finite number."""
    return _setting(label, name, tasks)


def effective_depth(label: str) -> float | None:
    """Return the effective depth of a network: 0 for ``ResNet``, ``DEEPEST`` for ``FullyConnected``, else its setting.

    Returns:
        None for a baseline that has none.
    """
    name = parse_id(split_label(label)[0])[1]
    if name in ("ResNet", "FullyConnected"):
        return 0.0 if name == "ResNet" else DEEPEST
    return _setting(label, "effective_depth", baselines)


def configuration(label: str) -> tuple[str, str] | None:
    """Return the class of a labelled baseline and all its settings but the step rule, as text that can be compared.

    Labels of one configuration agree: ``LeakyResNet-Lt15-v0`` and ``LeakyResNet-v0[effective_depth=15.0]``.

    Returns:
        None for an id that is not registered here, or a label that cannot be read.
    """
    id, texts = split_label(label)
    if id not in baselines:
        return None
    spec = baselines.spec(id)
    try:
        settings = complete(spec, {name: _value(text) for name, text in texts.items()})
        return spec.entry_point, canonical_json({k: v for k, v in settings.items() if k not in ("steps", "spec")})
    except (LeakybenchError, TypeError, ValueError):
        return None


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _setting(label: str, name: str, registry: Registry[TaskSpec] | Registry[BaselineSpec]) -> float | None:
    id, overrides = split_label(label)
    if name in overrides:
        try:
            number = float(overrides[name])
        except ValueError:
            return None
        return number if math.isfinite(number) else None
    if id not in registry:
        return None
    value = complete(registry.spec(id), {}).get(name)
    return float(value) if value is not None and is_number(value) else None
