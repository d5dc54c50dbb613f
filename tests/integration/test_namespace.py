"""In a project that has its own tasks.py, suite.py, baselines/, results.py and tests/, leakybench works.

The processes under test have no PYTHONPATH: they find the installed package, beside the project's modules.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

import leakybench
from leakybench.registry import baselines, tasks
from leakybench.store import Store
from tests.helpers.decoys import NAMES, Project, environment

TINY = {"d": 6, "n_train": 60, "n_test": 40}
SMALL_NETWORK = {"width": 16, "depth": 8}

SCRIPT = f"""
import json
import leakybench
from leakybench.registry import baselines, tasks

task = leakybench.make("LowRank-k2-v0", seed=0, **{TINY})
rivals = [leakybench.make_baseline("Ridge-v0"), leakybench.make_baseline("LeakyResNet-v0", **{SMALL_NETWORK})]
records = [leakybench.evaluate(rival, task, seed=0, preset="smoke") for rival in rivals]
facts = {{
    "file": leakybench.__file__,
    "tasks": [spec.id for spec in tasks],
    "baselines": [spec.id for spec in baselines],
    "failures": {{**tasks.failures, **baselines.failures}},
    "statuses": [record.status for record in records],
}}
print(json.dumps(facts))
"""

TRIVIAL_TEST = """
import pathlib


def test_trivial(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("leakybench")
    assert pytestconfig.rootpath == pathlib.Path(__file__).parent


def test_fixture(leakybench_gate):
    assert leakybench_gate.folder.parent == pathlib.Path(__file__).parent
"""

SWEEP = (
    *("run", "--task", "LowRank-k2-v0", "--baseline", "LeakyResNet-v0", "--seeds", "0:2", "--preset", "smoke"),
    *(word for name, value in TINY.items() for word in ("--set-task", f"{name}={value}")),
    *(word for name, value in SMALL_NETWORK.items() for word in ("--set", f"{name}={value}")),
)


def built_in(registry) -> list[str]:
    return [spec.id for spec in registry if spec.plugin == "leakybench"]


@pytest.fixture(scope="module", autouse=True)
def installation() -> None:
    try:
        importlib.metadata.distribution("leakybench")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("leakybench is not installed in this environment")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def check_facts(text: str) -> None:
    """Facts that ``SCRIPT`` printed: the same package as here, every built-in id, and two runs that ended well."""
    facts = json.loads(text)
    assert facts["failures"] == {}
    assert Path(facts["file"]).resolve() == Path(leakybench.__file__).resolve()
    assert set(built_in(tasks)) <= set(facts["tasks"])
    assert set(built_in(baselines)) <= set(facts["baselines"])
    assert facts["statuses"] == ["ok", "ok"]


def test_built_in_ids_are_known_here():
    """What the tests below compare with is not empty."""
    assert len(built_in(tasks)) >= 10
    assert len(built_in(baselines)) >= 8


def test_decoys_notice_an_import(project):
    done = project.run(sys.executable, "-c", f"import {', '.join(NAMES)}")
    assert done.returncode == 0, done.stderr
    assert project.imported() == list(NAMES)


def test_a_script_sees_every_id_and_trains(project):
    (project.folder / "script.py").write_text(SCRIPT)
    done = project.run(sys.executable, "script.py")
    assert done.returncode == 0, done.stderr
    check_facts(done.stdout)
    assert project.imported() == []


@pytest.mark.parametrize("module", ["leakybench", "leakybench.cli"])
def test_the_command_as_a_module_lists_every_task(project, module):
    done = project.run(sys.executable, "-m", module, "tasks", "--json")
    assert done.returncode == 0, done.stderr
    assert set(built_in(tasks)) <= {row["id"] for row in json.loads(done.stdout)}
    failing = project.run(sys.executable, "-m", module, "tasks", "--no-such-flag")
    assert failing.returncode == 2
    assert project.imported() == []


def test_pytest_runs_with_the_plugin(project):
    (project.folder / "test_trivial.py").write_text(TRIVIAL_TEST)
    done = project.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    # pytest itself may look into a package tests/ of the project while it collects; nobody else does
    assert set(project.imported()) <= {"tests"}


@pytest.mark.slow  # a kernel, or a cluster, and several imports of torch each
def test_a_notebook_kernel_sees_every_id_and_trains(project):
    pytest.importorskip("ipykernel", reason="no ipykernel: the extra 'notebook' is not installed")
    nbclient = pytest.importorskip("nbclient", reason="no nbclient: the extra 'notebook' is not installed")
    nbformat = pytest.importorskip("nbformat", reason="no nbformat: the extra 'notebook' is not installed")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SCRIPT)])
    place = {"metadata": {"path": str(project.folder)}}
    client = nbclient.NotebookClient(notebook, timeout=180, resources=place, kernel_name="python3")
    client.execute(env=environment())
    (cell,) = notebook.cells
    check_facts("".join(output["text"] for output in cell["outputs"] if output.get("name") == "stdout"))
    assert project.imported() == []


@pytest.mark.parametrize("engine", [("local", 2), ("dask", 1)], ids=lambda engine: engine[0])
@pytest.mark.slow
def test_a_sweep_with_workers_finishes(project, engine):
    name, workers = engine
    if name == "dask":
        pytest.importorskip("distributed", reason="no distributed: the extra 'dask' is not installed")
    done = project.run(
        *(sys.executable, "-m", "leakybench", *SWEEP, "--results", "runs"), *("--engine", name, "--workers", workers)
    )
    assert done.returncode == 0, done.stderr
    records = list(Store(project.folder / "runs"))
    assert [record.status for record in records] == ["ok", "ok"]
    assert project.imported() == []
