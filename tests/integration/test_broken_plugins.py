"""Ten broken plugins side by side: the checker or the sweep names each with its reason, and the rest is unharmed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leakybench.store import Store
from tests.helpers.broken_plugins import PLUGINS, install
from tests.helpers.cli import SEARCH_PATH, environment

REASONS = {
    "bad-id": ("entry points", "malformed id 'bad id!'"),
    "bad-shapes": ("contract", "predictions have shape (60, 1), the targets (60, 4)"),
    "bad-import": ("entry points", "OSError: no licence file"),
    "bad-fit": ("contract", "the first fit raised ZeroDivisionError: one over nothing (bad_fit.py:"),
    "bad-dice": ("determinism", "two fits with the same seed differ, in one process"),
    "bad-peek": ("leakage", "it saw the test set"),
    "bad-rank": ("certified rank", "declared 3, but the teacher's Jacobian never exceeds rank 2"),
    "bad-clock": ("cost", "the first fit did not end within 20 s"),
    "bad-mouth": ("purity", "prints to standard output ('epoch 1"),
    "bad-seeds": ("purity", "the fit changes the global generator of numpy"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    return folder


def call(site: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "leakybench", *arguments],
        cwd=cwd,
        env=environment(PYTHONPATH=f"{site}:{SEARCH_PATH}"),
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )


@pytest.fixture(scope="module")
def reports(site: Path) -> dict[str, list[dict[str, Any]]]:
    """What the checker says of each plugin."""
    done = call(site, "check", "plugin", *PLUGINS, "--timeout", "20s", "--json", cwd=site)
    assert done.returncode == 1, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for report in json.loads(done.stdout):
        name = report["id"] if report["kind"] == "plugin" else report["id"].split("/")[0].replace("_", "-")
        found.setdefault(name, []).append(report)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PLUGINS if name != "healthy"])
def test_the_checker_names_it_with_its_reason(name: str, reports: dict[str, list[dict[str, Any]]]) -> None:
    check, reason = REASONS[name]
    failed = [f for report in reports[name] for f in report["findings"] if f["result"] == "fail"]
    assert [f["name"] for f in failed] == [check], failed
    assert reason in failed[0]["why"]
    assert "\n" not in failed[0]["why"]


@pytest.mark.slow
def test_the_healthy_one_passes(reports: dict[str, list[dict[str, Any]]]) -> None:
    assert len(reports["healthy"]) == 3
    assert all(report["passed"] for report in reports["healthy"]), reports["healthy"]


def test_a_listing_names_what_failed_to_load_and_lists_the_rest(site: Path, tmp_path: Path) -> None:
    done = call(site, "tasks", cwd=tmp_path)
    assert done.returncode == 0
    assert "healthy/Fine-v0" in done.stdout
    assert "LowRank-k3-v0" in done.stdout
    assert "plugin bad-id failed to load its tasks: RegistrationError: malformed id 'bad id!'" in done.stderr
    assert "plugin bad-import failed to load its tasks: OSError: no licence file" in done.stderr


def test_a_glob_of_a_plugin_that_failed_to_load_says_so(site: Path, tmp_path: Path) -> None:
    done = call(site, "run", "--task", "bad_import/*", "--baseline", "Mean-v0", cwd=tmp_path)
    assert done.returncode == 2
    assert "no task id matches 'bad_import/*'" in done.stderr
    assert "bad-import (OSError: no licence file)" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_sweep_over_all_of_them_leaves_the_others_unharmed(site: Path, tmp_path: Path) -> None:
    baselines = "healthy/*,bad_shapes/*,bad_fit/*,bad_dice/*,bad_peek/*,bad_clock/*,bad_mouth/*,bad_seeds/*,Mean-v0"
    done = call(
        site,
        *("run", "--task", "healthy/*", "--baseline", baselines, "--seeds", "0:1", "--preset", "smoke"),
        *("--workers", "1", "--timeout", "40s", "--results", str(tmp_path / "runs"), "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 3, done.stderr
    for reason in ("error: ZeroDivisionError: one over nothing", "timeout: ", "predictions have shape (30, 1)"):
        assert sum(reason in line for line in done.stderr.splitlines()) == 1, done.stderr
    json.loads(done.stdout)  # what a plugin prints is not in the JSON
    found: dict[str, list[tuple[str, str]]] = {}
    for record in Store(tmp_path / "runs"):
        found.setdefault(record.run.baseline.split("/")[0], []).append((record.status, record.message))
    assert {name: {status for status, _ in runs} for name, runs in found.items()} == {
        **{key: {"ok"} for key in ("healthy", "bad_dice", "bad_mouth", "bad_seeds", "bad_peek", "Mean-v0")},
        **{key: {"error"} for key in ("bad_shapes", "bad_fit")},
        "bad_clock": {"timeout"},
    }
    assert all(len(runs) == 1 for runs in found.values())
    assert found["bad_fit"][0][1] == "ZeroDivisionError: one over nothing"
    assert "predictions have shape (30, 1), the targets (30, 4)" in found["bad_shapes"][0][1]
