"""Validate a pack: each check has a name, and each objection has a reason."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from leakybench.analysis.scores import OUTCOMES
from leakybench.engines.environment import has_card
from leakybench.errors import LeakybenchError
from leakybench.packs.pack import MEMBER, Pack, PackError
from leakybench.record import Record, RunSpec, structure_found
from leakybench.registry import baselines, tasks
from leakybench.specs import canonical_json, device_kind, digest, modules_in
from leakybench.store import DamagedError, decode, intact, load_arrays

CHECKS = ("damaged", "forged", "duplicated", "incomplete", "provenance", "implausible", "rerun")
REQUIRED_PROVENANCE = ("created", "processor", "cores", "system", "python", "torch", "numpy")
MAX_SETTINGS = 1_000_000
"""Values in the settings of all runs of a pack, which are held in memory."""
ERROR_TOLERANCE = 0.10
"""Relative difference of a test error that a rerun may show, since another processor rounds differently and training
amplifies round-off."""
ERROR_FLOOR = 1e-3
"""Absolute difference of a test error that is always accepted, in units of the targets' variance."""


@dataclass(frozen=True, kw_only=True)
class Objection:
    """One reason to refuse a pack.

    Attributes:
        check: one of ``CHECKS``.
        where: the file or run concerned.
        reason: one line.
    """

    check: str
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """The result of a validation. The pack is valid if there are no objections.

    Attributes:
        objections: the reasons to refuse the pack.
        notes: remarks that do not affect validity.
        records: the runs that could be read.
        rerun: ids of the runs that were computed again.
    """

    objections: list[Objection]
    notes: list[str]
    records: list[Record]
    rerun: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether there are no objections."""
        return not self.objections


Rerun = Callable[[RunSpec], Record]


def rerun_here(run: RunSpec, *, timeout: float = 1800.0, memory: int = 4 * 2**30) -> Record:
    """Compute a run again with the code installed here, from its ids, overrides and seed only.

    The run has its own process with hard limits, since the overrides of an unknown submitter may be arbitrarily
    expensive.

    Args:
        run: the identity of the run; its source version is replaced by the present one.
        timeout: time limit in seconds.
        memory: memory limit in bytes.
    """
    from leakybench.engines import Job, make_engine
    from leakybench.engines.limits import Limits
    from leakybench.provenance import source_of

    task, baseline = tasks.spec(run.task), baselines.spec(run.baseline)
    built = task.with_overrides(run.task_overrides), baseline.with_overrides(run.baseline_overrides)
    here = dataclasses.replace(run, source=source_of(*built))
    job = Job(run=here, task_spec=task, baseline_spec=baseline)
    with make_engine("local", workers=1, limits=Limits(timeout=timeout, memory=memory)) as engine:
        return next(iter(engine.map(iter([job])))).record


def validate(
    pack: Pack, *, required_tasks: Sequence[str], seeds: Sequence[int], sample: int = 1,
    random_state: int | None = None, rerun: Rerun = rerun_here,
) -> ValidationReport:  # fmt: skip
    """Check a pack: bytes, hashes, records, completeness, provenance, and a rerun of a random sample.

    The records of the report hold what the checks look at, without training, measures and evidence.

    Args:
        pack: from ``leakybench.packs.pack.read_pack``.
        required_tasks: task ids; every baseline of the pack needs a finished run (ok, collapsed or diverged) on each.
        seeds: the seeds required on each of these tasks.
        sample: number of ok runs to compute again; 0 for none. There is no rerun if there is any other objection.
        random_state: seed of the sample; None draws one, so that a submitter cannot predict it.
        rerun: function that computes a run again.

    Raises:
        PackError: the pack would take too much memory.
    """
    objections: list[Objection] = []
    notes: list[str] = []
    _check_files(pack, objections)
    records = _read_records(pack, objections)
    _check_duplicates(records, objections)
    _check_complete(records, list(required_tasks), list(seeds), objections)
    for record in records:
        _check_provenance(record, objections)
        _check_plausible(record, objections)
    if dirty := sum(str(record.provenance.get("commit") or "").endswith("-dirty") for record in records):
        notes.append(f"{dirty} runs come from a checkout with uncommitted changes")
    again: list[str] = []
    if sample and not objections:
        again = _check_rerun(records, sample, random_state, rerun, objections, notes)
    return ValidationReport(objections=objections, notes=notes, records=records, rerun=again)


def _check_files(pack: Pack, objections: list[Objection]) -> None:
    for name, reason in pack.rejected:
        check = "duplicated" if "twice" in reason else "damaged"
        objections.append(Objection(check=check, where=name[:80], reason=reason))
    content = {key: value for key, value in pack.manifest.items() if key != "digest"}
    try:
        expected = digest(content, length=64)
    except (TypeError, ValueError, RecursionError):  # nan in the manifest, or nesting that is too deep
        expected = None
    if pack.manifest.get("digest") != expected:
        objections.append(
            Objection(check="forged", where="manifest.json", reason="its digest is not the hash of its content")
        )
    listed = pack.manifest.get("files")
    if not isinstance(listed, dict):
        objections.append(Objection(check="damaged", where="manifest.json", reason="lists no files"))
        return
    for name in sorted(listed.keys() | pack.files.keys()):
        where = str(name)[:80]
        if name not in pack.files:
            objections.append(Objection(check="damaged", where=where, reason="is in the manifest but not in the pack"))
        elif name not in listed:
            objections.append(Objection(check="forged", where=where, reason="is in the pack but not in the manifest"))
        else:
            entry = listed[name] if isinstance(listed[name], dict) else {}
            try:
                found = hashlib.sha256(pack.files[name]).hexdigest()
            except PackError as error:
                objections.append(Objection(check="damaged", where=where, reason=str(error)))
                continue
            if entry.get("sha256") != found:
                reason = "its SHA-256 differs from the manifest: changed after hashing"
                objections.append(Objection(check="forged", where=where, reason=reason))


def _read_records(pack: Pack, objections: list[Objection]) -> list[Record]:
    records = []
    held = 0
    for name in sorted(pack.files):
        match = MEMBER.fullmatch(name)
        if match is None or match["kind"] != "json":
            continue
        try:
            record = decode(pack.files[name])
        except LeakybenchError as error:
            objections.append(Objection(check="damaged", where=name, reason=str(error)))
            continue
        held += _values(record.run)
        if held > MAX_SETTINGS:
            raise PackError(f"the settings of its runs hold more than {MAX_SETTINGS} values")
        records.append(_needed(record))
        if record.run_id != match["run_id"]:
            objections.append(Objection(check="forged", where=name, reason=f"holds the run {record.run_id}"))
        _check_integrity(record, name, pack, objections)
    have = {record.run_id for record in records}
    for name in pack.files:
        match = MEMBER.fullmatch(name)
        if match is not None and match["kind"] == "npz" and match["run_id"] not in have:
            objections.append(Objection(check="damaged", where=name, reason="arrays without a record"))
    return records


def _needed(record: Record) -> Record:
    """Return the record without what no later check looks at, since a pack holds many."""
    origin = {name: value for name, value in record.provenance.items() if name in (*REQUIRED_PROVENANCE, "commit")}
    clock = {name: value for name, value in record.wall_clock.items() if name == "fit"}
    return dataclasses.replace(record, training={}, measures={}, rank_evidence={}, provenance=origin, wall_clock=clock)


def _values(run: RunSpec) -> int:
    text = canonical_json([run.task_overrides, run.baseline_overrides])
    return text.count(",") + text.count("{") + text.count("[")


def _check_integrity(record: Record, name: str, pack: Pack, objections: list[Objection]) -> None:
    """Compare the content of the pack with the hashes that the store wrote when the run ended."""
    integrity = record.provenance.get("integrity")
    if not isinstance(integrity, dict):
        objections.append(Objection(check="provenance", where=name, reason="the record has no hash of its content"))
        return
    if not intact(record):
        reason = "its content differs from the hash made when the run ended: changed after hashing"
        objections.append(Objection(check="forged", where=name, reason=reason))
    try:
        arrays = pack.files.get(name.removesuffix("json") + "npz")
    except PackError:  # which the check of the files has named
        return
    present = None if arrays is None else hashlib.sha256(arrays).hexdigest()
    if integrity.get("arrays") != present:
        check, reason = "forged", "its arrays differ from the hash made when the run ended"
        if arrays is None:
            check, reason = "damaged", "its arrays are missing"
        objections.append(Objection(check=check, where=name, reason=reason))
    elif arrays is not None:
        try:
            load_arrays(io.BytesIO(arrays), keep=False)
        except DamagedError as error:
            objections.append(Objection(check="damaged", where=name.removesuffix("json") + "npz", reason=str(error)))


def _check_duplicates(records: list[Record], objections: list[Objection]) -> None:
    seen: dict[tuple[Any, ...], str] = {}
    for record in records:
        run = record.run
        key = (run.task_label, run.baseline_label, run.preset, run.seed)
        if key in seen:
            reason = f"the same task, baseline, preset and seed as {seen[key]} (source versions differ)"
            objections.append(Objection(check="duplicated", where=record.run_id, reason=reason))
        seen.setdefault(key, record.run_id)


def _check_complete(records: list[Record], names: list[str], seeds: list[int], objections: list[Objection]) -> None:
    if not records:
        objections.append(Objection(check="incomplete", where="pack", reason="contains no readable run"))
    ended = {
        (r.run.baseline_label, r.run.preset, r.run.task_label, r.run.seed) for r in records if r.status in OUTCOMES
    }
    for baseline, preset in sorted({(r.run.baseline_label, r.run.preset) for r in records}):
        for task in names:
            missing = [seed for seed in seeds if (baseline, preset, task, seed) not in ended]
            if missing:
                shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
                reason = f"{task} has no finished run of seed {shown} at preset {preset}"
                objections.append(Objection(check="incomplete", where=baseline, reason=reason))


def _check_provenance(record: Record, objections: list[Objection]) -> None:
    missing = [name for name in REQUIRED_PROVENANCE if record.provenance.get(name) in (None, "")]
    if missing:
        reason = f"does not state: {', '.join(missing)}"
        objections.append(Objection(check="provenance", where=record.run_id, reason=reason))


def _check_plausible(record: Record, objections: list[Objection]) -> None:
    """Object to contradictions that no method can produce."""
    reasons = []
    if record.status == "ok" and record.test_error is None:
        reasons.append("status ok without a test error")
    if record.test_error is not None and record.test_error < 0:
        reasons.append(f"test error {record.test_error} is negative")
    if record.code_alignment is not None and record.code_alignment > 1.0 + 1e-9:
        reasons.append(f"code alignment {record.code_alignment} is above 1")
    if record.code_leak is not None and not 0.0 <= record.code_leak <= 1.0 + 1e-9:
        reasons.append(f"code leak {record.code_leak} is outside [0, 1]")
    rank, truth = record.bottleneck_rank, record.true_rank
    expected = structure_found(rank, truth, alignment=record.code_alignment, test_error=record.test_error)
    if record.rank_recovered is not expected:
        reasons.append(
            f"states rank_recovered {record.rank_recovered} with rank {rank}, true rank {truth}, alignment "
            f"{record.code_alignment} and test error {record.test_error}"
        )
    run = record.run
    if run.task in tasks and not run.task_overrides:
        declared = tasks.spec(run.task).true_rank
        if declared is not None and truth != declared:
            reasons.append(f"states true rank {truth}, but {run.task} has {declared}")
    fit = record.wall_clock.get("fit")
    if record.status == "ok" and not (isinstance(fit, int | float) and fit > 0):
        reasons.append("status ok without a fit time")
    objections += [Objection(check="implausible", where=record.run_id, reason=reason) for reason in reasons]


def _check_rerun(
    records: list[Record],
    sample: int,
    random_state: int | None,
    rerun: Rerun,
    objections: list[Objection],
    notes: list[str],
) -> list[str]:
    known = [r for r in records if r.status == "ok" and r.run.task in tasks and r.run.baseline in baselines]
    if loading := sorted({r.run.baseline_label for r in known if names_code(r.run)}):
        # an unknown submitter must not choose what is imported and called here
        notes.append(f"not rerun, since their settings name code to load: {', '.join(loading)[:200]}")
        known = [r for r in known if not names_code(r.run)]
    if (on_card := [r for r in known if _computes_on(r.run) == "cuda"]) and not has_card():
        labels = ", ".join(sorted({r.run.baseline_label for r in on_card}))
        notes.append(f"not rerun, since there is no GPU here: {labels[:200]}")
        known = [r for r in known if r not in on_card]
    unknown = sorted({r.run.baseline for r in records if r.run.baseline not in baselines})
    if unknown:
        notes.append(f"not rerun, since no installed package provides it: {', '.join(unknown)}")
    if not known:
        objections.append(Objection(check="rerun", where="pack", reason="no run can be computed again here"))
        return []
    chosen = random.Random(random_state).sample(known, min(sample, len(known)))
    for record in chosen:
        where = f"{record.run_id} ({record.run.task_label} x {record.run.baseline_label}, seed {record.run.seed})"
        try:
            again = rerun(record.run)
        except LeakybenchError as error:
            objections.append(Objection(check="rerun", where=where, reason=f"cannot be computed again: {error}"))
            continue
        if again.status in ("timeout", "oom"):
            reason = f"reached its limit ({again.message or again.status}): allow more with --timeout and --memory"
            objections.append(Objection(check="rerun", where=where, reason=reason))
            continue
        if again.run.source != record.run.source:
            notes.append(f"{record.run_id} was computed by source {record.run.source}, rerun by {again.run.source}")
        objections += [Objection(check="rerun", where=where, reason=reason) for reason in disagreements(record, again)]
    return [record.run_id for record in chosen]


def _computes_on(run: RunSpec) -> str:
    """``cpu`` or ``cuda``, by the setting ``device`` of a registered baseline."""
    return device_kind({**baselines.spec(run.baseline).kwargs, **run.baseline_overrides}.get("device", "cpu"))


def names_code(run: RunSpec) -> bool:
    """Whether an override contains, at any depth, a text of the form ``package.module:Name``.

    A task or baseline may import and call the code that such a text names.
    """
    return any(True for _ in modules_in([run.task_overrides, run.baseline_overrides]))


def disagreements(claimed: Record, rerun: Record) -> list[str]:
    """List where a rerun disagrees with a record: status, rank, or test error beyond the tolerance."""
    if claimed.status != rerun.status:
        why = f": {rerun.message}" if rerun.message else ""
        return [f"claims status {claimed.status}, rerun gives {rerun.status}{why}"]
    reasons = []
    if claimed.bottleneck_rank != rerun.bottleneck_rank:
        reasons.append(f"claims rank {claimed.bottleneck_rank}, rerun gives {rerun.bottleneck_rank}")
    a, b = claimed.test_error, rerun.test_error
    if a is not None and b is not None:
        allowed = max(ERROR_TOLERANCE * max(abs(a), abs(b)), ERROR_FLOOR)
        if not math.isclose(a, b, rel_tol=0.0, abs_tol=allowed):
            reasons.append(f"claims test error {a:.4g}, rerun gives {b:.4g} (allowed difference {allowed:.2g})")
    return reasons
