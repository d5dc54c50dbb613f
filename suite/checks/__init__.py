"""Checkers: does a task or a baseline keep the contract, so that its numbers may stand beside others?

``check_task`` and ``check_baseline`` build the object in two processes of their own, under a time limit, and return a
report of named findings, each with its reason. Nothing that a checked object does can hurt the caller: it may hang,
exit, print or change global state.
"""

from __future__ import annotations

from leakybench.checks.baseline import check_baseline
from leakybench.checks.plugin import check_plugin
from leakybench.checks.report import CheckReport, Finding
from leakybench.checks.task import check_task

__all__ = ["CheckReport", "Finding", "check_baseline", "check_plugin", "check_task"]
