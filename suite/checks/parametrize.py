"""The checks as pytest tests of a plugin's own suite, one test per check::

    from leakybench.checks.parametrize import parametrize_with_checks

    @parametrize_with_checks(tasks=["ring/Ring-v0"], baselines=["ring/Nearest-v0"])
    def test_contract(check):
        check()

The first check of an id runs the checker, and the others read its report. ``pytest -k determinism`` selects by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from leakybench.checks import baseline, task
from leakybench.checks.report import CheckFailedError, CheckReport


@dataclass(frozen=True)
class Check:
    """One check of one id, called by a test.

    Attributes:
        kind: ``task`` or ``baseline``.
        id: id of the checked object.
        name: name of the check.
        timeout: seconds for each process.
    """

    kind: str
    id: str
    name: str
    timeout: float

    def __call__(self) -> None:
        """Fail or skip with the reason of the finding, or return."""
        finding = _report(self.kind, self.id, self.timeout).finding(self.name)
        if finding.result == "fail":
            raise CheckFailedError(f"{self.kind} {self.id}, {self.name}: {finding.why}")
        if finding.result == "skip":
            pytest.skip(finding.why)


@cache
def _report(kind: str, id: str, timeout: float) -> CheckReport:
    if kind == "task":
        return task.check_task(id, timeout=timeout)
    return baseline.check_baseline(id, timeout=timeout)


def parametrize_with_checks(
    *, tasks: Sequence[str] = (), baselines: Sequence[str] = (), timeout: float = 120.0
) -> pytest.MarkDecorator:
    """Return a decorator for a test that takes ``check`` and calls it.

    Args:
        tasks: registered ids.
        baselines: registered ids.
        timeout: seconds for each process of the checker.
    """
    checks = [Check("task", id, name, timeout) for id in tasks for name in task.CHECKS]
    checks += [Check("baseline", id, name, timeout) for id in baselines for name in baseline.CHECKS]
    return pytest.mark.parametrize("check", [pytest.param(c, id=f"{c.id}-{c.name}") for c in checks])
