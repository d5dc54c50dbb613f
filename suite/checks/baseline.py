"""``check_baseline``: what the observations of a baseline amount to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from leakybench.baseline import Baseline, check_preset
from leakybench.checks.journal import Journal, describe_with_place
from leakybench.checks.launch import Observation, observe
from leakybench.checks.probe_task import SPEC as PROBE
from leakybench.checks.report import CheckReport, Findings
from leakybench.checks.watch import purity_problems
from leakybench.errors import UsageError
from leakybench.registry import baselines, build, tasks
from leakybench.seeding import check_seed
from leakybench.specs import BaselineSpec, TaskSpec

CHECKS = ("contract", "determinism", "leakage", "purity", "scale", "learnability", "cost")

NO_WORSE_THAN_MEAN = 1.1
"""Test error on the probe task above which a baseline has learnt something harmful; the mean predictor has 1."""


def check_baseline(
    baseline: str | BaselineSpec | Baseline,
    *,
    task: str | TaskSpec | None = None,
    task_overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    preset: str = "smoke",
    timeout: float = 60.0,
    **overrides: Any,
) -> CheckReport:
    """Check a baseline by four fits in two processes of its own.

    - ``contract``: ``fit`` returns a model whose predictions have the targets' shape and are finite, each row by
      itself; the report is plain JSON; a path that it shows obeys its own shapes.
    - ``determinism``: equal predictions for equal seeds within a process and in another one with another hash seed and
      other global generators.
    - ``leakage``: a fit beside a false test set predicts the same as beside the true one; no task is looked up.
    - ``purity``: training arrays, global state and standard output are untouched.
    - ``scale``: predictions of the targets' order of magnitude.
    - ``learnability``: a test error no worse than the mean predictor's.
    - ``cost``: it ends within the time limit.

    Args:
        baseline: an id, a spec, or an object. An object without a registered spec is observed in this process, without
            time limit and without the comparison across processes.
        task: what to fit on; a small task of rank 2 where none is named.
        task_overrides: settings of the task.
        seed: of task and fits. preset: of the fits.
        timeout: seconds for each process, beyond the loading of torch and scikit-learn.
        overrides: settings, as for :func:`leakybench.make_baseline`.

    Raises:
        UsageError: an unknown id or preset, or an argument that is not a baseline.
    """
    check_preset(preset)
    task_spec = (tasks.spec(task) if isinstance(task, str) else task or PROBE).with_overrides(task_overrides or {})
    check_seed(seed)
    spec = _spec_of(baseline)
    if spec is None:
        if overrides:
            raise UsageError(f"settings need an id or a spec: {', '.join(sorted(overrides))}")
        id = f"{type(baseline).__name__} (not registered)"
        return _in_this_process(id, baseline, task_spec, seed, preset)
    spec = spec.with_overrides(overrides)
    request = {"kind": "baseline", "spec": spec.to_json(), "task": task_spec.to_json(), "seed": seed, "preset": preset}
    first = observe({**request, "scramble": 11, "decoy": False}, timeout=timeout, hash_seed=1)
    findings = Findings()
    if "predictions" not in first.facts:
        _broken(findings, first)
    else:
        second = observe({**request, "scramble": 22, "decoy": True}, timeout=timeout, hash_seed=2)
        _judge(findings, first, second)
    return CheckReport(kind="baseline", id=spec.id, findings=tuple(findings.found))


def _spec_of(baseline: object) -> BaselineSpec | None:
    if isinstance(baseline, str):
        return baselines.spec(baseline)
    if isinstance(baseline, BaselineSpec):
        return baseline
    if isinstance(baseline, type) or not callable(getattr(baseline, "fit", None)):
        raise UsageError(f"check_baseline takes an id, a spec or an object with fit, got {baseline!r}"[:200])
    spec = getattr(baseline, "spec", None)
    return spec if isinstance(spec, BaselineSpec) and spec.id in baselines else None


def _in_this_process(id: str, baseline: Any, task: TaskSpec, seed: int, preset: str) -> CheckReport:
    findings, observed = Findings(), []
    for decoy in (False, True):
        journal = Journal()
        try:
            observe_in_process(baseline, task, seed, preset, decoy, journal)
        except Exception as error:
            journal["failure"] = f"{journal.get('doing', 'starting')} raised {describe_with_place(error)}"
        observed.append(Observation(facts=journal, failure=str(journal.get("failure", ""))))
    if "predictions" in observed[0].facts:
        _judge(findings, observed[0], observed[1], one_process=True)
    else:
        _broken(findings, observed[0])
    return CheckReport(kind="baseline", id=id, findings=tuple(findings.found))


def observe_in_process(baseline: Any, task: TaskSpec, seed: int, preset: str, decoy: bool, journal: Journal) -> None:
    """Observe an object that no other process can build."""
    from leakybench.checks.observe_baseline import observe_baseline

    observe_baseline(
        lambda: baseline,
        lambda: build(task, {}, seed=seed),
        seed=seed,
        preset=preset,
        decoy=decoy,
        journal=journal,
    )


def _broken(findings: Findings, seen: Observation) -> None:
    """There is no prediction to judge."""
    facts = seen.facts
    if seen.timed_out:
        findings.skip("no fit ended", *CHECKS[:-1])
        findings.judge("cost", [seen.failure], "")
        return
    problem = seen.failure or facts.get("prediction_problem") or facts.get("ended") or ""
    if facts.get("fits") is False:
        problem = "it has no method fit(train, *, seed, preset)"
    findings.judge("contract", [problem or "it cannot be built"], "")
    findings.skip("there are no predictions", *CHECKS[1:3])
    if facts.get("changed") or facts.get("printed"):
        findings.judge("purity", purity_problems(facts, "the fit"), "")
    else:
        findings.skip("there are no predictions", "purity")
    findings.skip("there are no predictions", *CHECKS[4:])


def _judge(findings: Findings, first: Observation, second: Observation, *, one_process: bool = False) -> None:
    facts = first.facts
    _contract(findings, first)
    here = np.array(facts["predictions"])
    again = facts.get("predictions_again")
    elsewhere = second.facts.get("predictions_again")
    problems = []
    if again is None:
        problems.append(f"the second fit: {first.failure or facts.get('ended', 'no predictions')}")
    elif (apart := _apart(here, again)) > 0.0:
        problems.append(f"two fits with the same seed differ, in one process, by {apart:.2g} of the largest prediction")
    elif elsewhere is None:
        problems.append(f"in another process: {second.failure or 'no predictions'}")
    elif (apart := _apart(here, elsewhere)) > 0.0:
        problems.append(f"another process gives other predictions for the same seed, by {apart:.2g} of the largest")
    fine = "equal within this process; others cannot build it" if one_process else "equal within and across processes"
    findings.judge("determinism", problems, fine)
    _leakage(findings, first, second, deterministic=not problems)
    spoilt = purity_problems(facts, "the fit")
    if not facts.get("train_untouched", True):
        spoilt.append("the fit changes its training arrays")
    findings.judge("purity", spoilt, "training arrays, global state and standard output are untouched")
    size = facts.get("largest", float("nan"))
    wild = [] if 1e-6 <= size <= 1e2 else [f"the largest prediction is {size:.2g} times the largest target"]
    if facts.get("test_error", 0.0) <= NO_WORSE_THAN_MEAN:
        wild = []  # the mean predictor is small and right
    findings.judge("scale", wild, f"the largest prediction is {size:.2g} times the largest target", largest=size)
    error = facts.get("test_error", float("inf"))
    bad = [] if error <= NO_WORSE_THAN_MEAN else [f"test error {error:.3g}: worse than the mean predictor, which has 1"]
    remark = "" if error < 0.98 else ": no better than the mean predictor"
    findings.judge("learnability", bad, f"test error {error:.3g}{remark}", test_error=error)
    late = [second.failure] if second.timed_out else []
    findings.judge("cost", late, f"{facts['seconds']:.2g} s a fit", seconds=facts["seconds"])


def _apart(first: Any, second: Any) -> float:
    """The largest difference, over the largest value."""
    left, right = np.asarray(first), np.asarray(second)
    return float(np.abs(left - right).max() / max(float(np.abs(left).max()), 1e-300))


def _contract(findings: Findings, first: Observation) -> None:
    facts, problems = first.facts, []
    if facts.get("report"):
        problems.append(facts["report"])
    if facts.get("prediction_problem"):
        problems.append(facts["prediction_problem"])
    for name, amount in (facts.get("depends_on") or {}).items():
        problems.append(f"a row's prediction changes by {amount:.2g} of the largest with {name}")
    if facts.get("path_problem"):
        problems.append(f"representations: {facts['path_problem']}")
    if first.failure and not first.timed_out and "second fit" not in first.failure:
        problems.append(first.failure)
    path = f", a path of {facts['path'][0] - 1} layers" if "path" in facts else ", no path"
    findings.judge("contract", problems, f"status {facts.get('status', 'ok')}, finite predictions{path}")


def _leakage(findings: Findings, first: Observation, second: Observation, *, deterministic: bool) -> None:
    looked = sorted({*first.facts.get("looked_up", []), *second.facts.get("looked_up", [])})
    problems = [f"the fit looks up tasks itself ({', '.join(looked)[:100]})"] if looked else []
    beside_decoy = second.facts.get("predictions")
    if not problems and not deterministic:
        findings.skip("fits that differ by themselves cannot be compared", "leakage")
        return
    if beside_decoy is None:
        if not problems:
            findings.skip(second.failure or "the fit beside a false test set gave no predictions", "leakage")
            return
    elif deterministic and (apart := _apart(first.facts["predictions"], beside_decoy)) > 0.0:
        problems.append(
            f"beside another test set it predicts otherwise, by {apart:.2g} of the largest: it saw the test set"
        )
    findings.judge("leakage", problems, "the same predictions beside a false test set")
