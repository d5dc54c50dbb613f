"""No process that a run starts outlives the run, however it detaches and however run or sweep ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from leakybench.engines import Job, guardian, make_engine
from leakybench.engines.family import MARK, Family, describe
from leakybench.engines.limits import Limits
from leakybench.engines.supervisor import LEFT_BEHIND
from leakybench.store import Store
from leakybench.sweeps.grid import Setting
from leakybench.sweeps.plan import make_plan
from leakybench.sweeps.sweep import sweep
from tests.helpers import detach
from tests.helpers.records import jobs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="child subreapers and /proc are of Linux")


@pytest.fixture(scope="module", params=detach.ENDS)
def ends(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one of the ends leaves of each way to detach, measured once."""
    return detach.measure(request.param, tmp_path_factory.mktemp("ends"))


@pytest.mark.slow
@pytest.mark.parametrize("way", detach.WAYS)
def test_nothing_is_left_of_a_run_that_detaches_a_process(ends: dict[str, str], way: str) -> None:
    assert ends[way] == ""


def detaching(folder: Path, way: str, *, seeds: int = 1, **settings: Any) -> list[Job]:
    """Runs that detach a process."""
    detach.register()
    chosen = {"folder": str(folder), "way": way, **settings}
    return jobs(seeds, detach.ID, baseline_settings=[Setting(name, value) for name, value in chosen.items()])


def test_a_daemon_ends_with_its_run_at_the_timeout(tmp_path: Path) -> None:
    planned = [*detaching(tmp_path, "setsid"), *jobs(1)]
    with make_engine("local", workers=1, limits=Limits(timeout=2.0)) as engine:
        outcomes = list(engine.map(iter(planned)))
    assert [outcome.record.status for outcome in outcomes] == ["timeout", "ok"]
    assert detach.started(tmp_path, "setsid")
    assert detach.left(tmp_path, "setsid", 0.0) == []


def test_what_finished_runs_left_running_is_ended_before_the_next_run_and_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    store.prepare()
    plan = make_plan([*detaching(tmp_path, "daemon", seeds=2, hang=False), *jobs(1)], store)
    running: list[int] = []
    with make_engine("local", workers=1) as engine:
        progress = sweep(plan, store, engine, notify=lambda _: running.extend(detach.left(tmp_path, "daemon", 0.0)))
    assert progress.counts == {"ok": 3}
    assert progress.notes == [f"runs of {detach.ID} {LEFT_BEHIND}python"]
    assert running == []
    assert len(detach.started(tmp_path, "daemon")) == 2
    notes = {record.run.baseline: record.provenance.get("surroundings", []) for record in store}
    assert notes == {detach.ID: [f"{LEFT_BEHIND}python"], "dummy/Fit-v0": []}


SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def start(code: str, *words: str, **settings: Any) -> Family:
    """A family whose command runs ``code``."""
    return Family([sys.executable, "-S", "-c", code, *words], env=dict(os.environ), **settings)


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return value


def gone(pids: list[int]) -> bool:
    return all(not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE for pid in pids)


SPAWN = "import subprocess, sys, time\nsubprocess.Popen(sys.argv[1:], start_new_session=True)\n"


@pytest.mark.parametrize(
    ("code", "expected"), [("raise SystemExit(5)", 5), ("import os; os.kill(os.getpid(), 9)", -9), ("", 0)]
)
def test_the_end_of_the_command_is_reported(code: str, expected: int) -> None:
    family = start(code, stderr=subprocess.DEVNULL)
    assert family.wait(10.0) == expected
    assert family.end()


def test_a_command_that_does_not_exist_ends_at_once(tmp_path: Path) -> None:
    with (tmp_path / "errors").open("wb") as errors:
        family = Family(["/no/such/program"], env={}, stderr=errors)
        assert family.wait(10.0) == 127
        assert family.end()
    assert "/no/such/program cannot be started" in (tmp_path / "errors").read_text()


def test_orphans_are_found_described_and_ended_after_the_command() -> None:
    family = start(SPAWN, *SLEEP)
    assert family.wait(10.0) == 0
    (orphan,) = wait_for(family.strays)
    assert describe([orphan, 2**22 + 1]) == "python"
    assert family.end()
    assert gone([orphan])


def test_a_process_that_is_not_a_descendant_is_left_alone() -> None:
    other = subprocess.Popen(SLEEP)
    try:
        guardian.send(other.pid, signal.SIGKILL, {1})
        family = start("import time; time.sleep(60)")
        assert wait_for(lambda: family.pid)
        assert family.end()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_paused_command_is_ended_too() -> None:
    family = start("import time; time.sleep(60)")
    pid = wait_for(lambda: family.pid)
    family.pause()
    assert wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    family.resume()
    assert wait_for(lambda: psutil.Process(pid).status() != psutil.STATUS_STOPPED)
    family.pause()
    assert family.end()
    assert gone([pid])


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_command_that_attacks_its_guardian_ends_with_its_children(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakybench.engines.family.GUARDIAN_SECONDS", 0.3)
    family = start(SPAWN + "time.sleep(60)", *SLEEP)
    (child,) = wait_for(family.strays)
    pid = family.pid
    assert pid is not None
    above = guardian.parent_of(pid)
    assert above not in (None, os.getpid())
    os.kill(above, number)
    assert family.end()
    assert gone([pid, child])


def test_pages_that_forks_share_count_once() -> None:
    hundred = 100 * 2**20
    # four forks of a process with 100 MiB: 500 MiB resident in sum, little more than 100 MiB of memory
    code = f"import os, time\nkept = b'x' * {hundred}\nfor _ in range(4):\n    if os.fork() == 0: break\ntime.sleep(60)"
    family = start(code)
    try:
        assert wait_for(lambda: family.memory() > 4.5 * hundred)
        assert hundred < family.memory(2 * hundred) < 1.5 * hundred
    finally:
        family.end()


def test_the_death_of_the_parent_ends_the_family(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom leakybench.engines.family import Family\n"
        "family = Family([sys.executable, '-S', '-c', *sys.argv[1:]], env=dict(os.environ))\n"
        "while not family.strays(): time.sleep(0.01)\nprint(*family.strays(), family.pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, SPAWN + "time.sleep(60)", *SLEEP], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert not gone(pids)
    assert MARK.encode() in Path(f"/proc/{pids[0]}/environ").read_bytes()
    parent.kill()
    parent.communicate()
    assert wait_for(lambda: gone(pids))
