"""The report of a checker: named findings, each passed, failed or skipped, with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from leakybench.errors import LeakybenchError

RESULTS = ("pass", "fail", "skip")


class CheckFailedError(LeakybenchError, AssertionError):
    """A check failed; the message is its reason."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check.

    Attributes:
        name: name of the check, such as ``contract`` or ``determinism``.
        result: ``pass``, ``fail``, or ``skip`` if the check is not applicable or was not reached.
        why: one line with the reason.
        values: the numbers behind it, as plain JSON values.
    """

    name: str
    result: str
    why: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """All findings on one id.

    Attributes:
        kind: ``task``, ``baseline`` or ``plugin``.
        id: id of the checked object.
        findings: the findings, in the order of the checks.
    """

    kind: str
    id: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed and at least one passed."""
        results = [finding.result for finding in self.findings]
        return "fail" not in results and "pass" in results

    @property
    def failures(self) -> list[Finding]:
        """The findings that failed."""
        return [finding for finding in self.findings if finding.result == "fail"]

    def finding(self, name: str) -> Finding:
        """Return the finding of this name; a check that was not reached counts as skipped."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        return Finding(name=name, result="skip", why="not reached")

    def raise_on_failure(self) -> None:
        """Raise ``CheckFailedError`` with every reason if a check failed."""
        if self.failures:
            reasons = "; ".join(f"{finding.name}: {finding.why}" for finding in self.failures)
            raise CheckFailedError(f"{self.kind} {self.id} failed its check: {reasons}")

    def to_dict(self) -> dict[str, Any]:
        """Convert the report to plain JSON values."""
        findings = [{"name": f.name, "result": f.result, "why": f.why, "values": dict(f.values)} for f in self.findings]
        return {"kind": self.kind, "id": self.id, "passed": self.passed, "findings": findings}

    def __str__(self) -> str:
        width = max((len(finding.name) for finding in self.findings), default=0)
        lines = [f"{f.result:<4}  {f.name:<{width}}  {f.why}" for f in self.findings]
        return "\n".join([f"{self.kind} {self.id}", *lines, "passed" if self.passed else "failed"])


class Findings:
    """Collects findings while a checker runs."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []

    def judge(self, name: str, problems: list[str], fine: str, **values: Any) -> None:
        """Add a pass with the reason ``fine`` if there are no problems, otherwise a fail that names them all."""
        result, why = ("fail", "; ".join(problems)) if problems else ("pass", fine)
        self._findings.append(Finding(name=name, result=result, why=why, values=values))

    def skip(self, why: str, *names: str) -> None:
        """Add a skip for each of the named checks."""
        self._findings += [Finding(name=name, result="skip", why=why) for name in names]

    def time_out(self, failure: str, why: str, checks: Sequence[str]) -> None:
        """Fail the check ``cost`` and skip all others, after a timeout before anything could be judged.

        Args:
            failure: the reason of the failure.
            why: the reason of the skips.
            checks: names of all checks.
        """
        self.skip(why, *(name for name in checks if name != "cost"))
        self.judge("cost", [failure], "")

    def report(self, kind: str, id: str) -> CheckReport:
        """Return the report on one id with the findings so far."""
        return CheckReport(kind=kind, id=id, findings=tuple(self._findings))
