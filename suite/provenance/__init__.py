"""Where a result comes from: the version of the code that decides it, its inputs, and the machine that computed it."""

from __future__ import annotations

from leakybench.provenance.host import commit, machine, provenance
from leakybench.provenance.source import RESULT_MODULES, forget_sources, modules_in, source_of, source_version
from leakybench.provenance.syntax import PACKAGE

__all__ = [
    "PACKAGE",
    "RESULT_MODULES",
    "commit",
    "forget_sources",
    "machine",
    "modules_in",
    "provenance",
    "source_of",
    "source_version",
]
