"""Plugins that pollute their process run first, in one worker, and every other record equals that of its lone run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leakybench.record import Record
from leakybench.store import Store
from tests.helpers.cli import call_installed
from tests.helpers.distributions import leave_distribution
from tests.helpers.polluters import INVISIBLE, WAYS, write_polluters

BASELINES = ("Mean-v0", "Ridge-v0", "KernelRidge-v0", "LeakyResNet-v0", "ResNet-v0", "Yardstick-v0")
SETTINGS = (
    "--task", "Linear-k3-v0", "--set-task", "d=6", "--set-task", "n_train=60", "--set-task", "n_test=40",
    "--preset", "smoke", "--seeds", "0",
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed distribution that registers the polluters; their ids come first."""
    folder = tmp_path_factory.mktemp("site")
    entry_points = write_polluters(folder)
    ids = [f"AAA/{way.title().replace('_', '')}-v0" for way in WAYS]
    calls = "\n".join(
        f"    register_baseline({id!r}, entry_point={entry!r})" for id, entry in zip(ids, entry_points, strict=True)
    )
    (folder / "polluters_plugin.py").write_text(
        f"def baselines():\n    from leakybench import register_baseline\n{calls}\n", encoding="utf-8"
    )
    leave_distribution(folder, "polluters", "[leakybench.baselines]\npolluters = polluters_plugin:baselines\n")
    return folder


def sweep(site: Path, folder: Path, baselines: str, *options: str) -> dict[str, Record]:
    """Run a sweep in processes of its own; return its records by baseline."""
    words = ("run", *SETTINGS, "--baseline", baselines, "--results", str(folder), *options)
    done = call_installed(site, *words, cwd=folder.parent, timeout=500.0)
    assert done.returncode == 0, done.stderr
    assert "goodbye" not in done.stdout  # the handler at exit of a polluter
    return {record.run.baseline: record for record in Store(folder)}


@pytest.fixture(scope="module")
def lone(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each baseline gives in a worker of its own."""
    folder = tmp_path_factory.mktemp("lone")
    found: dict[str, dict[str, Any]] = {}
    for baseline in BASELINES:
        records = sweep(site, folder / baseline, baseline, "--workers", "1")
        found[baseline] = records[baseline].comparable()
    return found


@pytest.mark.parametrize("options", [("--workers", "1"), ("--workers", "0"), ("--engine", "dask", "--workers", "1")])
def test_every_record_equals_that_of_its_lone_run(site, lone, tmp_path, options):
    if "dask" in options:
        pytest.importorskip("distributed")
    records = sweep(site, tmp_path / "runs", ",".join(["AAA/*", *BASELINES]), *options)
    assert len(records) == len(WAYS) + len(BASELINES)
    for baseline in BASELINES:
        assert records[baseline].comparable() == lone[baseline], baseline
        assert "surroundings" not in records[baseline].provenance, records[baseline].provenance["surroundings"]
    polluters = [record for baseline, record in records.items() if baseline.startswith("AAA/")]
    named = {record.run.baseline: record.provenance.get("surroundings", []) for record in polluters}
    silent = {id.removeprefix("AAA/").removesuffix("-v0").lower() for id, texts in named.items() if not texts}
    assert silent == set(INVISIBLE)
    assert {record.status for record in polluters} == {"ok"}
