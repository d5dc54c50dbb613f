"""``check_task``: observe a task and judge the observations."""

from __future__ import annotations

from typing import Any

from leakybench.checks.launch import Observation, observe
from leakybench.checks.observe_task import WORTH_LEARNING
from leakybench.checks.report import CheckReport, Findings
from leakybench.checks.watch import purity_problems
from leakybench.errors import UsageError
from leakybench.measures.shortcuts import finds
from leakybench.registry import tasks
from leakybench.seeding import check_seed
from leakybench.specs import TaskSpec
from leakybench.task import Task

CHECKS = (
    "contract",
    "determinism",
    "leakage",
    "purity",
    "scale",
    "certified rank",
    "shortcuts",
    "learnability",
    "cost",
)

MAX_SECONDS = 10.0
MAX_BYTES = 2**28
FULL_SHARE = 0.25
"""Minimum share of the points at which the Jacobian has the declared rank, so that the rank is not a coincidence."""


def check_task(task: str | TaskSpec | Task, *, seed: int = 0, timeout: float = 120.0, **overrides: Any) -> CheckReport:
    """Check a task in two separate processes.

    - ``contract``: the task builds; its halves are ``leakybench.Split`` of matching shapes; rank and seed are as
      declared.
    - ``determinism``: the same seed gives the same data in another process with another hash seed and other states of
      the global generators; another seed gives different data.
    - ``leakage``: training data depend neither on the number of test rows nor on their draws; no row is in both halves.
    - ``purity``: no global state changes and nothing is printed.
    - ``scale``: training inputs and targets are of order 1 and not constant.
    - ``certified rank``: the Jacobian of ``task.teacher`` reaches the declared rank and never exceeds it.
    - ``shortcuts``: says whether a shortcut finds the declared rank (``leakybench.measures.shortcuts``); fails if one
      does and the task is registered as opaque.
    - ``learnability``: a cheap learner beats the mean predictor, on the task's own rows or on more of them.
    - ``cost``: at most 10 s and 256 MB.

    Args:
        task: an id, a spec, or a task from ``leakybench.make``, which is rebuilt from its spec.
        seed: seed of the task; ignored if a built task is given.
        timeout: seconds for each process.
        overrides: settings, as for ``leakybench.make``.

    Returns:
        One finding for each of ``CHECKS``.

    Raises:
        UsageError: the id is unknown, or the argument is not a task.
    """
    spec, seed = _spec_and_seed(task, check_seed(seed))
    spec = spec.with_overrides(overrides)
    findings = Findings()
    request = {"kind": "task", "spec": spec.to_json(), "seed": seed}
    first = observe({**request, "scramble": 11, "thorough": True}, timeout=timeout, hash_seed=1)
    facts = first.facts
    if "fingerprint" not in facts:
        _judge_failed_build(findings, first)
        return findings.report("task", spec.id)
    second = observe({**request, "scramble": 22, "thorough": False}, timeout=timeout, hash_seed=2)
    _judge_data(findings, spec, seed, first)
    _judge_repeated_builds(findings, facts, second)
    _judge_data_leakage(findings, facts)
    findings.judge("purity", purity_problems(facts, "building it"), "global state and standard output are untouched")
    _judge_scale(findings, facts)
    _judge_rank(findings, facts)
    judge_shortcuts(findings, facts, spec.opaque if spec == _registered(spec) else None)
    _judge_learnability(findings, facts)
    _judge_cost(findings, facts)
    return findings.report("task", spec.id)


def _spec_and_seed(task: object, seed: int) -> tuple[TaskSpec, int]:
    if isinstance(task, str):
        return tasks.spec(task), seed
    if isinstance(task, TaskSpec):
        return task, seed
    spec = getattr(task, "spec", None)
    if not isinstance(spec, TaskSpec):
        raise UsageError(f"check_task takes an id, a spec or a task, got {type(task).__name__}")
    return spec, check_seed(getattr(task, "seed", seed))


def _judge_failed_build(findings: Findings, seen: Observation) -> None:
    """Judge a task that could not be built; all checks but one are skipped."""
    facts = seen.facts
    if seen.timed_out:
        findings.time_out(seen.failure, "it was never built", CHECKS)
        return
    problem = seen.failure
    if facts.get("missing"):
        problem = f"it has no {', '.join(facts['missing'])}"
    elif isinstance(facts.get("splits"), list):
        problem = f"train and test must be leakybench.Split, got {' and '.join(facts['splits'])}"
    findings.judge("contract", [problem or "it cannot be built"], "")
    findings.skip("it was never built", *CHECKS[1:])


def _judge_data(findings: Findings, spec: TaskSpec, seed: int, first: Observation) -> None:
    """Judge the contract: shapes, spec, seed and rank of the task."""
    facts, problems = first.facts, []
    (n, d_in), (_, d_out), (_, test_in), (_, test_out) = facts["shapes"]
    if (d_in, d_out) != (test_in, test_out):
        problems.append(f"training data map {d_in} -> {d_out}, test data {test_in} -> {test_out}")
    if facts["spec_id"] != spec.id:
        problems.append(f"its spec has the id {facts['spec_id']}")
    if facts["seed"] != seed:
        problems.append(f"built with seed {seed}, its seed is {facts['seed']}")
    rank = facts["true_rank"]
    if rank is not None and (isinstance(rank, bool | str) or rank < 1):
        problems.append(f"true_rank must be a positive integer or None, got {rank}")
    elif rank is not None and rank > min(d_in, d_out):
        problems.append(f"true_rank {rank} exceeds the dimensions {d_in} -> {d_out}")
    elif spec.true_rank is not None and rank != spec.true_rank and spec == _registered(spec):
        problems.append(f"registered with true_rank {spec.true_rank}, built with {rank}")
    if not facts["drawn_once"]:
        problems.append("train and test are redrawn at each access")
    if first.failure:
        problems.append(first.failure)
    fine = f"{n} training rows, {d_in} -> {d_out}, true_rank {rank}"
    findings.judge("contract", problems, fine, shapes=facts["shapes"])


def _registered(spec: TaskSpec) -> TaskSpec | None:
    return tasks.spec(spec.id) if spec.id in tasks else spec


def _judge_repeated_builds(findings: Findings, facts: dict[str, Any], second: Observation) -> None:
    """Judge determinism."""
    problems, here = [], facts["fingerprint"]
    if facts.get("again", here) != here:
        problems.append("two builds in one process give different data")
    elif "fingerprint" not in second.facts:
        problems.append(f"in another process: {second.failure or 'it could not be built'}")
    elif second.facts["fingerprint"] != here:
        problems.append("another process gives different data for the same seed")
    if facts.get("other_seed") == here:
        problems.append("another seed gives the same data")
    findings.judge("determinism", problems, "equal within and across processes, different at another seed")


def _judge_data_leakage(findings: Findings, facts: dict[str, Any]) -> None:
    """Judge whether the training half depends on the test half, or shares rows with it."""
    if "shared_rows" not in facts:
        findings.skip("not reached", "leakage")
        return
    problems, here = [], facts["fingerprint"]
    if facts["shared_rows"]:
        problems.append(f"{facts['shared_rows']} test rows are training rows")
    if facts.get("train_at_fewer_test_rows", here[:2]) != here[:2]:
        problems.append("the training data change with the number of test rows (n_test)")
    if (moved := facts.get("other_test_draws")) is not None and moved[:2] != here[:2]:
        problems.append("the training data change with the draws of the test half")
    passed = ["no shared rows"]
    passed += ["independent of n_test"] if "train_at_fewer_test_rows" in facts else ["no setting n_test to vary"]
    passed += ["independent of the test draws"] if "other_test_draws" in facts else ["no seeded test draws to vary"]
    findings.judge("leakage", problems, ", ".join(passed), shared_rows=facts["shared_rows"])


def _judge_scale(findings: Findings, facts: dict[str, Any]) -> None:
    if "test_targets" not in facts:
        findings.skip("not reached", "scale")
        return
    problems = []
    for name in ("train_inputs", "train_targets", "test_inputs", "test_targets"):
        size, label = facts[name], name.replace("train_", "training ").replace("_", " ")
        if size["spread"] == 0.0:
            problems.append(f"{label} are constant")
        elif name.startswith("train") and not 0.1 <= size["rms"] <= 10.0:
            problems.append(f"{label} have the root mean square {size['rms']:.3g}, which should be about 1")
        elif name.startswith("train") and size["mean"] > 0.5 * size["rms"]:
            problems.append(f"{label} are not centred: a column has the mean {size['mean']:.3g}")
        elif size["largest"] > 1e3 * size["rms"]:
            problems.append(f"{label} contain {size['largest']:.3g}, with a root mean square of {size['rms']:.3g}")
    sizes = {name: facts[name]["rms"] for name in ("train_inputs", "train_targets", "test_inputs", "test_targets")}
    findings.judge("scale", problems, "inputs and targets are centred and of order 1", **sizes)


def _judge_rank(findings: Findings, facts: dict[str, Any]) -> None:
    declared, name = facts["true_rank"], "certified rank"
    if declared is None:
        findings.skip("it declares no rank (true_rank is None)", name)
        return
    if "target_span" not in facts:
        findings.skip("not reached", name)
        return
    problems = []
    if facts["target_span"] < declared:
        span = facts["target_span"]
        problems.append(f"declared {declared}, but the targets span {span} dimensions, so the rank is at most {span}")
    ranks = facts.get("jacobian_ranks")
    if "teacher_failure" in facts:
        problems.append(f"the teacher cannot be differentiated: {facts['teacher_failure']}")
    elif ranks is None and not problems:
        findings.skip("it has no teacher and sample_inputs, so the declared rank cannot be certified", name)
        return
    elif ranks is not None:
        share = sum(rank == declared for rank in ranks) / len(ranks)
        if max(ranks) > declared:
            problems.append(
                f"declared {declared}, but the teacher's Jacobian has rank {max(ranks)}: the true rank is at least that"
            )
        elif max(ranks) < declared:
            problems.append(f"declared {declared}, but the teacher's Jacobian never exceeds rank {max(ranks)}")
        elif share < FULL_SHARE:
            problems.append(f"declared {declared}, but the Jacobian reaches it at only {share:.0%} of the points")
    reached, total = sum(rank == declared for rank in ranks or []), len(ranks or [])
    fine = f"the teacher's Jacobian has rank {declared} at {reached} of {total} points, and never more"
    findings.judge(name, problems, fine)


def judge_shortcuts(findings: Findings, facts: dict[str, Any], opaque: bool | None) -> None:
    """Judge the label of a task.

    Args:
        findings: receives the finding.
        facts: ``true_rank``, and ``shortcut_ranks``, the answers at several seeds by the name of the shortcut.
        opaque: the label: opaque, open (False) or none.
    """
    declared, name, answers = facts["true_rank"], "shortcuts", facts.get("shortcut_ranks")
    if declared is None:
        findings.skip("it declares no rank (true_rank is None)", name)
        return
    if answers is None:
        findings.skip("not reached", name)
        return
    if not answers:
        findings.skip("it takes too long to build at several seeds", name)
        return
    found = {which: ranks.count(declared) for which, ranks in answers.items() if finds(ranks, declared)}
    seeds = len(next(iter(answers.values())))
    shown = ", ".join(f"{which} at {right}" for which, right in found.items())
    fine = (
        f"open: of {seeds} seeds, the rank {declared} is found by {shown}"
        if found
        else "opaque: no shortcut finds the rank"
    )
    if opaque is False and not found:
        fine += ", although the task is registered as open"
    problems = (
        [f"registered as opaque, but of {seeds} seeds, the rank {declared} is found by {shown}"]
        if opaque and found
        else []
    )
    findings.judge(name, problems, fine, **answers)


def _judge_learnability(findings: Findings, facts: dict[str, Any]) -> None:
    errors = facts.get("errors")
    if not errors:
        findings.skip("not reached", "learnability")
        return
    best = min(errors, key=lambda name: errors[name])
    problems = []
    if not errors[best] < WORTH_LEARNING:
        problems.append(
            f"the best of {len(errors)} cheap learners, {best}, has test error {errors[best]:.2f}; the mean has 1"
        )
    findings.judge("learnability", problems, f"{best} reaches test error {errors[best]:.3g}; the mean has 1", **errors)


def _judge_cost(findings: Findings, facts: dict[str, Any]) -> None:
    seconds, size = facts["seconds"], facts["bytes"]
    problems = [f"it takes {seconds:.1f} s to build, more than {MAX_SECONDS:g} s"] if seconds > MAX_SECONDS else []
    if size > MAX_BYTES:
        problems.append(f"its data take {size / 2**20:.0f} MB, more than {MAX_BYTES / 2**20:.0f} MB")
    findings.judge("cost", problems, f"{seconds:.2g} s, {size / 2**20:.2g} MB", seconds=seconds, bytes=size)
