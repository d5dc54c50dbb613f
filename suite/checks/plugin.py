"""``check_plugin``: check everything that an installed distribution registers."""

from __future__ import annotations

from collections.abc import Iterator

from leakybench.checks.baseline import check_baseline
from leakybench.checks.report import CheckReport, Finding
from leakybench.checks.task import check_task
from leakybench.errors import UsageError
from leakybench.registry import baselines, tasks


def check_plugin(name: str, *, timeout: float = 60.0) -> Iterator[CheckReport]:
    """Check whether the entry points of a distribution load, then each of its tasks and baselines.

    Args:
        name: name of the distribution, as in ``leakybench baselines``.
        timeout: seconds for each process.

    Yields:
        A report on the entry points, then one per task and baseline.

    Raises:
        UsageError: no installed distribution of that name registers anything.
    """
    registered = [(registry, [spec for spec in registry if spec.plugin == name]) for registry in (tasks, baselines)]
    failures = [f"{registry.kind}s: {why}" for registry, _ in registered if (why := registry.failures.get(name))]
    if not failures and not any(specs for _, specs in registered):
        known = sorted({spec.plugin for registry in (tasks, baselines) for spec in registry if spec.plugin})
        raise UsageError(f"no plugin {name!r} is installed; the plugins are: {', '.join(known)}")
    count = sum(len(specs) for _, specs in registered)
    result, why = ("fail", "; ".join(failures)) if failures else ("pass", f"{count} ids registered")
    yield CheckReport(kind="plugin", id=name, findings=(Finding(name="entry points", result=result, why=why),))
    for task_spec in registered[0][1]:
        yield check_task(task_spec.id, timeout=timeout)
    for baseline_spec in registered[1][1]:
        yield check_baseline(baseline_spec.id, timeout=timeout)
