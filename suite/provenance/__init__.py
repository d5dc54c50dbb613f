"""Where a result comes from: the version of the code that decides it, its inputs, and the machine that computed it."""

from __future__ import annotations

from leakybench.provenance.adhoc import innermost, settings_of_function, settings_of_object, settle
from leakybench.provenance.host import commit, machine, provenance
from leakybench.provenance.source import RESULT_MODULES, forget_sources, source_of, source_version
from leakybench.provenance.syntax import PACKAGE

__all__ = [
    "PACKAGE",
    "RESULT_MODULES",
    "commit",
    "forget_sources",
    "innermost",
    "machine",
    "provenance",
    "settings_of_function",
    "settings_of_object",
    "settle",
    "source_of",
    "source_version",
]
