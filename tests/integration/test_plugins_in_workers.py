"""An installed plugin's tasks exist in the workers of every engine, without its source tree or a line of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakybench.store import Store
from tests.helpers.cli import call_installed
from tests.helpers.distributions import leave_distribution

MODULE = """
from tests.helpers.dummies import Tiny, TinyTask


def tasks():
    from leakybench import register
    register("plug/Task-v0", entry_point="leaky_plug:TinyTask", kwargs={"d": 6}, true_rank=2, summary="from a plugin")


def baselines():
    from leakybench import register_baseline
    register_baseline("plug/Fit-v0", entry_point="leaky_plug:Tiny")
"""

STRANGER = """
import os
from pathlib import Path

with (Path(__file__).parent / "imported").open("a") as file:
    file.write(f"{os.getpid()} {os.environ.get('LEAKYBENCH_FAMILY', '')}\\n")


def tasks():
    pass
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an installed distribution, as pip leaves one."""
    folder = tmp_path / "site"
    points = "[leakybench.tasks]\nplug = leaky_plug:tasks\n\n[leakybench.baselines]\nplug = leaky_plug:baselines\n"
    leave_distribution(folder, "leaky-plug", points)
    (folder / "leaky_plug.py").write_text(MODULE)
    leave_distribution(folder, "stranger", "[leakybench.tasks]\nstranger = stranger:tasks\n")
    (folder / "stranger.py").write_text(STRANGER)
    return folder


@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=pytest.mark.slow)])
def test_a_plugin_is_found_by_workers_and_another_one_is_not_imported_there(
    site: Path, tmp_path: Path, engine: str
) -> None:
    if engine == "dask":
        pytest.importorskip("distributed")
    results = tmp_path / "runs"
    grid = ["run", "--task", "plug/*", "--baseline", "plug/*", "--seeds", "0:2", "--results", str(results)]
    done = call_installed(site, *grid, "--engine", engine, "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [record.status for record in Store(results)] == ["ok", "ok"]
    (imported,) = (site / "imported").read_text().splitlines()
    assert not imported.split()[1:], "imported in a worker, and not in the sweep alone"
