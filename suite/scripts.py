"""The running script as a module: what it defines can be imported by the script's own name, in workers too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

MAIN = "__main__"


def module_name() -> str | None:
    """Return the name under which the running script can be imported.

    Returns:
        None where it cannot: in a notebook, in an interactive session, for a file that is no module of ``sys.path``, or
        for a package that runs as a command.
    """
    main = sys.modules.get(MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        return None if spec.name.split(".")[-1] == MAIN else str(spec.name)
    file = getattr(main, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py"):
        return None
    script = Path(file).resolve()
    try:
        found = importlib.util.find_spec(script.stem) if script.stem.isidentifier() else None
    except (ImportError, ValueError, AttributeError):
        return None
    if found is None or found.origin is None or Path(found.origin).resolve() != script:
        return None
    return script.stem


def portable(entry_point: str) -> str:
    """Return ``__main__:Thing`` as ``script:Thing``, where the script can be imported; another text as it is."""
    module, colon, attribute = entry_point.partition(":")
    name = module_name() if module == MAIN else None
    return entry_point if name is None else f"{name}{colon}{attribute}"


def running(module: str, attribute: str) -> ModuleType | None:
    """Return the running script if it is ``module`` and has ``attribute``: importing it would run it a second time."""
    main = sys.modules.get(MAIN)
    if module in sys.modules or not hasattr(main, attribute):
        return None
    return main if module_name() == module else None
