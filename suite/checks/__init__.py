"""Checkers: test whether a task or a baseline keeps the contract, so that its results are comparable with others.

``check_task`` and ``check_baseline`` build the object in two separate processes under a time limit and return a report
of named findings, each with its reason. The caller is protected from anything that the checked object does: it may
hang, exit, print or change global state.
"""

from __future__ import annotations

from leakybench.checks.baseline import check_baseline
from leakybench.checks.plugin import check_plugin
from leakybench.checks.report import CheckReport, Finding
from leakybench.checks.task import check_task

__all__ = ["CheckReport", "Finding", "check_baseline", "check_plugin", "check_task"]
