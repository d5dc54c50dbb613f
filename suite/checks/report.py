"""What a checker says: findings by name, each passed, failed or skipped, with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from leakybench.errors import LeakybenchError

RESULTS = ("pass", "fail", "skip")


class CheckFailedError(LeakybenchError, AssertionError):
    """A check that failed; the message is its reason."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check.

    Attributes:
        name: ``contract``, ``determinism``, ...
        result: ``pass``, ``fail``, or ``skip`` where the check cannot be made.
        why: one line: what was found.
        values: the numbers behind it, plain JSON.
    """

    name: str
    result: str
    why: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """All findings on one id, in the order of the checks."""

    kind: str
    id: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """No finding failed, and at least one passed."""
        results = [finding.result for finding in self.findings]
        return "fail" not in results and "pass" in results

    @property
    def failures(self) -> list[Finding]:
        """The findings that failed."""
        return [finding for finding in self.findings if finding.result == "fail"]

    def finding(self, name: str) -> Finding:
        """The finding of this name; one that was never reached counts as skipped."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        return Finding(name=name, result="skip", why="not reached")

    def raise_on_failure(self) -> None:
        """Raise :class:`CheckFailedError` with every reason, where a check failed."""
        if self.failures:
            reasons = "; ".join(f"{finding.name}: {finding.why}" for finding in self.failures)
            raise CheckFailedError(f"{self.kind} {self.id} failed its check: {reasons}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        findings = [{"name": f.name, "result": f.result, "why": f.why, "values": dict(f.values)} for f in self.findings]
        return {"kind": self.kind, "id": self.id, "passed": self.passed, "findings": findings}

    def __str__(self) -> str:
        width = max((len(finding.name) for finding in self.findings), default=0)
        lines = [f"{f.result:<4}  {f.name:<{width}}  {f.why}" for f in self.findings]
        verdict = "passed" if self.passed else "failed"
        return "\n".join([f"{self.kind} {self.id}", *lines, f"{verdict}"])


class Findings:
    """Collects findings while a checker runs."""

    def __init__(self) -> None:
        self.found: list[Finding] = []

    def judge(self, name: str, problems: list[str], fine: str, **values: Any) -> None:
        """A pass with ``fine`` where there are no problems, else a fail that names them all."""
        result, why = ("fail", "; ".join(problems)) if problems else ("pass", fine)
        self.found.append(Finding(name=name, result=result, why=why, values=values))

    def skip(self, why: str, *names: str) -> None:
        """The named checks could not be made."""
        self.found += [Finding(name=name, result="skip", why=why) for name in names]
