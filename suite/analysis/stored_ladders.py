"""Ladders of stored runs, whichever command made them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from leakybench.analysis.ladders import Ladder, axis_values, is_easier, ladders, linear_parameters
from leakybench.analysis.scores import keep_intact, latest, score_frame
from leakybench.record import Record
from leakybench.registry import build, tasks
from leakybench.settings import complete


def stored_ladders(
    records: Sequence[Record],
    axis: str = "n_train",
    *,
    preset: str | None = None,
    include_changed: bool = False,
    sizes: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
) -> list[Ladder]:
    """Return the ladders of records that have two values of the axis or more.

    Args:
        records: runs; those of tasks without the setting are left out. A run without an override has the default.
        axis: numeric setting of the tasks.
        preset: preset of the runs; None for ladders of every preset.
        include_changed: whether runs count whose records were changed after they were written.
        sizes: build each task once to fill ``Ladder.parameters``, where the axis is the number of samples.
        tell: called with a sentence on the records that were left out since they were changed, if there are any.
    """
    chosen = [record for record in records if preset in (None, record.run.preset)]
    if not chosen:
        return []
    whole, notes = keep_intact(score_frame(chosen), include_changed=include_changed)
    for sentence in notes:
        tell(sentence)
    frame, _ = latest(whole)
    settings = {}
    for record in chosen:
        id, overrides = record.run.task, record.run.task_overrides
        settings[record.run_id] = complete(tasks.spec(id), overrides) if id in tasks else overrides
    found = [ladder for ladder in ladders(frame, axis, axis_values(settings.items(), axis)) if len(ladder.rungs) > 1]
    if not sizes or not is_easier(axis):
        return found
    return _with_sizes(found, chosen, axis)


def _with_sizes(found: Sequence[Ladder], records: Sequence[Record], axis: str) -> list[Ladder]:
    """The ladders with the linear parameters of their tasks; None where a task cannot be built here."""
    runs = {}
    for record in records:
        rest = {name: value for name, value in record.run.task_overrides.items() if name != axis}
        runs[dataclasses.replace(record.run, task_overrides=rest).task_label] = record.run
    counts: dict[str, int | None] = {}
    for label in {ladder.task for ladder in found}:
        run = runs.get(label)
        known = run is not None and run.task in tasks
        counts[label] = (
            linear_parameters(build(tasks.spec(run.task), run.task_overrides, seed=0)) if run and known else None
        )
    return [dataclasses.replace(ladder, parameters=counts[ladder.task]) for ladder in found]
