"""``check_baseline``: observe a baseline and judge the observations."""

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
"""Maximum test error on the probe task; the mean predictor has 1, so a larger error means harmful training."""


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
    """Check a baseline by four fits in two separate processes.

    - ``contract``: ``fit`` returns a model whose predictions are finite, have the shape of the targets and depend on
      their own row only; the report is plain JSON; the shapes of its path, if it has one, are consistent.
    - ``determinism``: equal seeds give equal predictions within a process and in another process with another hash
      seed and other states of the global generators.
    - ``leakage``: a fit in the presence of a false test set gives the same predictions; no task is looked up.
    - ``purity``: training arrays, global state and standard output are untouched.
    - ``scale``: predictions have the order of magnitude of the targets.
    - ``learnability``: the test error is no worse than that of the mean predictor.
    - ``cost``: the fits end within the time limit.

    Args:
        baseline: an id, a spec, or an object. An object without a registered spec is observed in this process, without
            a time limit and without the comparison across processes.
        task: the task to fit on; None for a small task of rank 2.
        task_overrides: settings of the task.
        seed: seed of the task and the fits.
        preset: preset of the fits.
        timeout: seconds for each process, not counting the import of torch and scikit-learn.
        overrides: settings, as for ``leakybench.make_baseline``.

    Returns:
        One finding for each of ``CHECKS``.

    Raises:
        UsageError: the id or preset is unknown, or the argument is not a baseline.
    """
    check_preset(preset)
    task_spec = (tasks.spec(task) if isinstance(task, str) else task or PROBE).with_overrides(task_overrides or {})
    check_seed(seed)
    spec = _registered_spec(baseline)
    if spec is None:
        if overrides:
            raise UsageError(f"settings require an id or a spec: {', '.join(sorted(overrides))}")
        id = f"{type(baseline).__name__} (not registered)"
        return _in_this_process(id, baseline, task_spec, seed, preset)
    spec = spec.with_overrides(overrides)
    request = {"kind": "baseline", "spec": spec.to_json(), "task": task_spec.to_json(), "seed": seed, "preset": preset}
    first = observe({**request, "scramble": 11, "decoy": False}, timeout=timeout, hash_seed=1)
    findings = Findings()
    if "predictions" not in first.facts:
        _judge_failed_fit(findings, first)
    else:
        second = observe({**request, "scramble": 22, "decoy": True}, timeout=timeout, hash_seed=2)
        _judge_fits(findings, first, second)
    return findings.report("baseline", spec.id)


def _registered_spec(baseline: object) -> BaselineSpec | None:
    """Return the spec from which another process can build the baseline, or None."""
    if isinstance(baseline, str):
        return baselines.spec(baseline)
    if isinstance(baseline, BaselineSpec):
        return baseline
    if isinstance(baseline, type) or not callable(getattr(baseline, "fit", None)):
        raise UsageError(f"check_baseline takes an id, a spec or an object with fit, got {baseline!r}"[:200])
    spec = getattr(baseline, "spec", None)
    return spec if isinstance(spec, BaselineSpec) and spec.id in baselines else None


def _in_this_process(id: str, baseline: Any, task: TaskSpec, seed: int, preset: str) -> CheckReport:
    findings, observations = Findings(), []
    for decoy in (False, True):
        journal = Journal()
        try:
            observe_in_process(baseline, task, seed, preset, decoy, journal)
        except Exception as error:
            journal["failure"] = f"{journal.get('doing', 'starting')} raised {describe_with_place(error)}"
        observations.append(Observation(facts=journal, failure=str(journal.get("failure", ""))))
    if "predictions" in observations[0].facts:
        _judge_fits(findings, observations[0], observations[1], one_process=True)
    else:
        _judge_failed_fit(findings, observations[0])
    return findings.report("baseline", id)


def observe_in_process(baseline: Any, task: TaskSpec, seed: int, preset: str, decoy: bool, journal: Journal) -> None:
    """Observe a baseline object in this process, because no other process can build it."""
    from leakybench.checks.observe_baseline import observe_baseline

    observe_baseline(
        lambda: baseline,
        lambda: build(task, {}, seed=seed),
        seed=seed,
        preset=preset,
        decoy=decoy,
        journal=journal,
    )


def _judge_failed_fit(findings: Findings, seen: Observation) -> None:
    """Judge a baseline that gave no predictions."""
    facts = seen.facts
    if seen.timed_out:
        findings.time_out(seen.failure, "no fit ended", CHECKS)
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


def _judge_fits(findings: Findings, first: Observation, second: Observation, *, one_process: bool = False) -> None:
    facts = first.facts
    _judge_model(findings, first)
    deterministic = _judge_repeated_fits(findings, first, second, one_process=one_process)
    _judge_fit_leakage(findings, first, second, deterministic=deterministic)
    problems = purity_problems(facts, "the fit")
    if not facts.get("train_untouched", True):
        problems.append("the fit changes its training arrays")
    findings.judge("purity", problems, "training arrays, global state and standard output are untouched")
    size, error = facts.get("largest", float("nan")), facts.get("test_error", float("inf"))
    ratio = f"the largest prediction is {size:.2g} times the largest target"
    # small predictions are fine if the error is: those of the mean predictor are small and correct
    in_scale = 1e-6 <= size <= 1e2 or facts.get("test_error", 0.0) <= NO_WORSE_THAN_MEAN
    findings.judge("scale", [] if in_scale else [ratio], ratio, largest=size)
    harm = (
        [] if error <= NO_WORSE_THAN_MEAN else [f"test error {error:.3g}: worse than the mean predictor, which has 1"]
    )
    remark = "" if error < 0.98 else ": no better than the mean predictor"
    findings.judge("learnability", harm, f"test error {error:.3g}{remark}", test_error=error)
    late = [second.failure] if second.timed_out else []
    findings.judge("cost", late, f"{facts['seconds']:.2g} s per fit", seconds=facts["seconds"])


def _judge_repeated_fits(findings: Findings, first: Observation, second: Observation, *, one_process: bool) -> bool:
    """Judge determinism, and return whether it passed."""
    here = np.array(first.facts["predictions"])
    again, elsewhere = first.facts.get("predictions_again"), second.facts.get("predictions_again")
    problems = []
    if again is None:
        problems.append(f"the second fit: {first.failure or first.facts.get('ended', 'no predictions')}")
    elif (gap := _relative_gap(here, again)) > 0.0:
        problems.append(f"two fits with the same seed differ, in one process, by {gap:.2g} of the largest prediction")
    elif elsewhere is None:
        problems.append(f"in another process: {second.failure or 'no predictions'}")
    elif (gap := _relative_gap(here, elsewhere)) > 0.0:
        problems.append(f"another process gives different predictions for the same seed, by {gap:.2g} of the largest")
    fine = "equal within and across processes"
    if one_process:
        fine = "equal within this process; no other process can build it"
    findings.judge("determinism", problems, fine)
    return not problems


def _relative_gap(first: Any, second: Any) -> float:
    """Return the largest difference divided by the largest value of the first."""
    left, right = np.asarray(first), np.asarray(second)
    return float(np.abs(left - right).max() / max(float(np.abs(left).max()), 1e-300))


def _judge_model(findings: Findings, first: Observation) -> None:
    """Judge the contract of the model that ``fit`` returned."""
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


def _judge_fit_leakage(findings: Findings, first: Observation, second: Observation, *, deterministic: bool) -> None:
    """Judge whether the fit sees the test set: in the second process it is a false one, the decoy."""
    looked_up = sorted({*first.facts.get("looked_up", []), *second.facts.get("looked_up", [])})
    problems = [f"the fit itself looks up tasks ({', '.join(looked_up)[:100]})"] if looked_up else []
    with_decoy = second.facts.get("predictions")
    if not problems and not deterministic:
        findings.skip("cannot be judged, because repeated fits differ", "leakage")
        return
    if with_decoy is None:
        if not problems:
            findings.skip(second.failure or "the fit with a false test set gave no predictions", "leakage")
            return
    elif deterministic and (gap := _relative_gap(first.facts["predictions"], with_decoy)) > 0.0:
        problems.append(f"a false test set changes the predictions, by {gap:.2g} of the largest: it saw the test set")
    findings.judge("leakage", problems, "the same predictions with a false test set")
