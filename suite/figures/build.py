"""From stored runs to files: data, summary and drawing of one figure, each from the files of the step before."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from leakybench.atomic import write_atomic
from leakybench.engines.job import Job
from leakybench.errors import UsageError
from leakybench.figures.figure import Figure, Runs
from leakybench.figures.style import SETTINGS, encode
from leakybench.store import Store
from leakybench.sweeps.grid import Grid, Setting


@dataclass(frozen=True, kw_only=True)
class Built:
    """What came of a figure: its files, the runs behind it, and how many of those wanted are not there."""

    name: str
    files: Sequence[str]
    runs: int
    missing: int


def adapted(grid: Grid, *, preset: str | None = None, settings: Iterable[Setting] = ()) -> Grid:
    """A grid at another preset, with other settings of the baselines in place of its own of the same name."""
    given = list(settings)
    names = {setting.name for setting in given}
    kept = [setting for setting in grid.baseline_settings if setting.name not in names]
    return dataclasses.replace(grid, preset=preset or grid.preset, baseline_settings=[*kept, *given])


def jobs_of(
    figure: Figure, seeds: Sequence[int], *, preset: str | None = None, settings: Iterable[Setting] = ()
) -> list[Job]:
    """Every run that a figure needs, once."""
    chosen = list(settings)
    jobs: dict[str, Job] = {}
    for grid in figure.grids(seeds):
        jobs.update((job.run.run_id, job) for job in adapted(grid, preset=preset, settings=chosen).jobs())
    return list(jobs.values())


def build(
    figure: Figure, jobs: Sequence[Job], store: Store, out: Path, formats: Sequence[str], *, any_source: bool = False
) -> Built:
    """Write ``<name>.csv``, ``<name>.summary.csv``, further tables and a file a format; nothing where no run is there.

    Data whose collection is costly are kept where they are of the same runs.
    """
    runs = Runs(store, jobs, any_source=any_source)
    path, summary_path = out / f"{figure.name}.csv", out / f"{figure.name}.summary.csv"
    if not (figure.costly and _same_runs(path, runs)):
        data = figure.collect(runs)
        if data.empty:
            return Built(name=figure.name, files=[], runs=len(runs), missing=runs.missing)
        write_csv(path, data)
    # what is drawn is what was written: the next steps start from the files
    held = read_csv(path)
    write_csv(summary_path, figure.summarise(held))
    further = {out / f"{figure.name}.{name}.csv": table for name, table in figure.further.items()}
    for further_path, table in further.items():
        write_csv(further_path, table(held))
    files = [path, summary_path, *further, *draw_files(figure, out, formats)]
    return Built(name=figure.name, files=[str(file) for file in files], runs=len(runs), missing=runs.missing)


def draw_files(figure: Figure, out: Path, formats: Sequence[str]) -> list[Path]:
    """Draw a figure from its two CSV files; the paths written."""
    import matplotlib

    data, summary = (read_csv(out / f"{figure.name}{end}") for end in (".csv", ".summary.csv"))
    files = []
    with matplotlib.rc_context(SETTINGS):
        canvas = figure.draw(data, summary)
        for kind in formats:
            files.append(out / f"{figure.name}.{kind}")
            write_atomic(files[-1], encode(canvas, kind))
    return files


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Six significant digits: more than a measurement has, and equal on machines that round differently at the end."""
    write_atomic(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())


def read_csv(path: Path) -> pd.DataFrame:
    """Inverse of :func:`write_csv`.

    Raises:
        UsageError: no such file, or no table in it.
    """
    try:
        # labels such as 1e-2 stay text
        return pd.read_csv(io.BytesIO(path.read_bytes()), dtype={"g0": str, "run_id": str})
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None


def _same_runs(path: Path, runs: Runs) -> bool:
    """Whether the CSV file holds exactly these runs."""
    if not path.exists():
        return False
    try:
        held = read_csv(path)
    except UsageError:
        return False
    return len(runs) > 0 and "run_id" in held and set(held["run_id"]) == {run.record.run_id for run in runs if run.ok}
