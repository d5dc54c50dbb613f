"""The example plugin, installed by pip into a fresh environment, checked, swept on two engines, and removed again."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from leakybench.store import Store
from tests.helpers.cli import ROOT

EXAMPLE = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that sees the packages of this one, so that nothing is downloaded."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    interpreter = folder / "bin" / "python"
    where = subprocess.run(
        [interpreter, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (Path(where) / "base.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{ROOT / 'src'}\n")
    return interpreter


def call(python: Path, *arguments: str, cwd: Path, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, *arguments],
        cwd=cwd,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_install_check_sweep_and_remove(python: Path, tmp_path: Path) -> None:
    source = tmp_path / "plugin"
    subprocess.run(["cp", "-r", EXAMPLE, source], check=True)
    pip = ("-m", "pip", "--disable-pip-version-check")
    call(python, *pip, "install", "--quiet", "--no-deps", "--no-build-isolation", str(source), cwd=tmp_path)
    listed = call(python, "-m", "leakybench", "tasks", "ring/*", cwd=tmp_path)
    assert "ring/Ring-v0" in listed
    assert "leaky-ring" in listed
    reports = call(python, "-m", "leakybench", "check", "plugin", "leaky-ring", cwd=tmp_path)
    assert reports.count("\npassed") == 3, reports
    for engine in ("local", "dask"):
        folder = tmp_path / engine
        grid = ["run", "--task", "ring/*", "--baseline", "ring/*,Ridge-v0", "--seeds", "0:2", "--preset", "smoke"]
        call(
            python,
            "-m",
            "leakybench",
            *grid,
            "--engine",
            engine,
            "--workers",
            "1",
            "--results",
            str(folder),
            cwd=tmp_path,
        )
        assert [record.status for record in Store(folder)] == ["ok"] * 4
    call(python, *pip, "uninstall", "--quiet", "--yes", "leaky-ring", cwd=tmp_path)
    gone = call(python, "-m", "leakybench", "check", "task", "ring/Ring-v0", cwd=tmp_path, code=2)
    assert "no installed plugin provides the namespace 'ring'" in gone
    assert len(gone.splitlines()) == 1


def test_it_is_small() -> None:
    code = [
        line
        for path in sorted((EXAMPLE / "leaky_ring").glob("*.py"))
        for line in path.read_text().splitlines()
        if line.strip() and not line.strip().startswith(("#", '"""'))
    ]
    assert len(code) < 60
