"""An installed plugin's tasks exist in the workers of every engine, without its source tree or a line of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from leakybench.store import Store
from tests.helpers.cli import SEARCH_PATH, environment

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
    info = folder / "leaky_plug-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "leaky_plug.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky-plug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[leakybench.tasks]\nplug = leaky_plug:tasks\n\n[leakybench.baselines]\nplug = leaky_plug:baselines\n"
    )
    (folder / "stranger.py").write_text(STRANGER)
    info = folder / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[leakybench.tasks]\nstranger = stranger:tasks\n")
    return folder


@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=pytest.mark.slow)])
def test_a_plugin_is_found_by_workers_and_another_one_is_not_imported_there(
    site: Path, tmp_path: Path, engine: str
) -> None:
    if engine == "dask":
        pytest.importorskip("distributed")
    results = tmp_path / "runs"
    grid = ["run", "--task", "plug/*", "--baseline", "plug/*", "--seeds", "0:2", "--results", str(results)]
    done = subprocess.run(
        [sys.executable, "-m", "leakybench", *grid, "--engine", engine, "--workers", "1"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{site}:{SEARCH_PATH}"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [record.status for record in Store(results)] == ["ok", "ok"]
    (imported,) = (site / "imported").read_text().splitlines()
    assert not imported.split()[1:], "imported in a worker, and not in the sweep alone"
