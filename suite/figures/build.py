"""Build the files of one figure from stored runs: data, summary and drawing, each from the files before it."""

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
from leakybench.figures.style import SETTINGS, encode_figure
from leakybench.store import Store
from leakybench.sweeps.grid import Grid, Setting


@dataclass(frozen=True, kw_only=True)
class Built:
    """The result of building a figure.

    Attributes:
        name: name of the figure.
        files: paths of the files written.
        runs: number of runs behind it.
        missing: number of runs that it needs and that the store does not hold.
    """

    name: str
    files: Sequence[str]
    runs: int
    missing: int


def adapted(grid: Grid, *, preset: str | None = None, settings: Iterable[Setting] = ()) -> Grid:
    """Return the grid with another preset, and with ``settings`` replacing its baseline settings of the same name."""
    replacements = list(settings)
    names = {setting.name for setting in replacements}
    others = [setting for setting in grid.baseline_settings if setting.name not in names]
    return dataclasses.replace(grid, preset=preset or grid.preset, baseline_settings=[*others, *replacements])


def jobs_of(
    figure: Figure, seeds: Sequence[int], *, preset: str | None = None, settings: Iterable[Setting] = ()
) -> list[Job]:
    """All runs that a figure needs, each of them once."""
    chosen = list(settings)
    jobs: dict[str, Job] = {}
    for grid in figure.grids(seeds):
        jobs.update((job.run.run_id, job) for job in adapted(grid, preset=preset, settings=chosen).jobs())
    return list(jobs.values())


def build_figure(
    figure: Figure, jobs: Sequence[Job], store: Store, out: Path, formats: Sequence[str], *, any_source: bool = False
) -> Built:
    """Write ``<name>.csv``, ``<name>.summary.csv``, further tables and one file per format; nothing without runs.

    Data that are costly to collect are not collected again if they come from the same runs.
    """
    runs = Runs(store, jobs, any_source=any_source)
    path, summary_path = out / f"{figure.name}.csv", out / f"{figure.name}.summary.csv"
    if not (figure.costly and _same_runs(path, runs)):
        data = figure.collect(runs)
        if data.empty:
            return Built(name=figure.name, files=[], runs=len(runs), missing=runs.missing)
        write_csv(path, data)
    # the next steps start from the files, so that the figure shows what was written
    written = read_csv(path)
    write_csv(summary_path, figure.summary_of(written))
    further = {out / f"{figure.name}.{name}.csv": table for name, table in figure.further.items()}
    for further_path, table in further.items():
        write_csv(further_path, table(written))
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
            write_atomic(files[-1], encode_figure(canvas, kind))
    return files


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table with six significant digits.

    That is more than a measurement has, and equal on machines whose last digits differ by rounding.
    """
    write_atomic(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table that ``write_csv`` wrote.

    Raises:
        UsageError: the file does not exist, or holds no table.
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
        table = read_csv(path)
    except UsageError:
        return False
    return len(runs) > 0 and "run_id" in table and set(table["run_id"]) == {run.record.run_id for run in runs if run.ok}
