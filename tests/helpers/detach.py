"""Ten ways in which a run detaches a process, and what four ends of its sweep leave of it.

``python -m tests.helpers.detach`` measures all forty and prints how many leave nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from leakybench.baseline import FitReport
from leakybench.registry import baselines
from leakybench.specs import BaselineSpec
from leakybench.store import Store
from leakybench.task import Split
from tests.helpers import cli, dummies

PREFIX = "tests.helpers.detach"
ID = "dummy/Detach-v0"
ENDS = ("timeout", "memory", "interrupt", "kill")
START_SECONDS = 90.0
"""Ten workers start at once, on a machine that is busy with other things."""
MEMORY = 700
"""MiB of a detached process that eats, more than the limit below, which a worker with its libraries stays within."""
MEMORY_LIMIT = "450M"
PAYLOAD = f"""
import os, sys, time
folder, way, eat = sys.argv[1:]
open(f"{{folder}}/{{way}}.{{os.getpid()}}", "w").close()
kept = []
while True:
    if eat == "eat" and len(kept) < {MEMORY}:
        kept.append(b"x" * 2**20)
    time.sleep(0.001 if len(kept) < {MEMORY} else 0.1)
"""
NESTED = """
import os, subprocess, sys
payload, level, *rest = sys.argv[1:]
if level == "0":
    os.execv(sys.executable, [sys.executable, "-c", payload, *rest])
code = open("/proc/self/cmdline", "rb").read().split(b"\\0")[2].decode()
subprocess.Popen([sys.executable, "-c", code, payload, str(int(level) - 1), *rest], start_new_session=True)
"""


def _payload(*words: str) -> None:
    """Become the detached process, in a fork that has come from a run."""
    sys.argv = ["-c", *words]
    try:
        exec(PAYLOAD, {})
    finally:
        os._exit(1)


def _fork(*words: str) -> None:
    if os.fork() == 0:
        _payload(*words)


def _double_fork(*words: str) -> None:
    child = os.fork()
    if child == 0:
        _fork(*words)
        os._exit(0)
    os.waitpid(child, 0)


def _setsid(*words: str) -> None:
    child = os.fork()
    if child == 0:
        os.setsid()
        _fork(*words)
        os._exit(0)
    os.waitpid(child, 0)


def _process_group(*words: str) -> None:
    if os.fork() == 0:
        os.setpgid(0, 0)
        _payload(*words)


def _joblib(*words: str) -> None:
    import joblib

    call = joblib.delayed(subprocess.call)([sys.executable, "-c", PAYLOAD, *words], start_new_session=True)
    threading.Thread(target=joblib.Parallel(n_jobs=2), args=([call, call],), daemon=True).start()


def _new_session(*words: str) -> None:
    subprocess.Popen([sys.executable, "-c", PAYLOAD, *words], start_new_session=True)


def _daemon(*words: str) -> None:
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        os.umask(0)
        os.closerange(0, 256)
        os.open(os.devnull, os.O_RDWR)
        os.dup2(0, 1)
        os.dup2(0, 2)
        _payload(*words)
    os.waitpid(child, 0)


def _nohup(*words: str) -> None:
    command = [sys.executable, "-c", PAYLOAD, *words]
    subprocess.run(["sh", "-c", 'nohup "$@" >/dev/null 2>&1 &', "sh", *command], check=True)


def _nested(*words: str) -> None:
    subprocess.Popen([sys.executable, "-c", NESTED, PAYLOAD, "3", *words], start_new_session=True)


def _at_exit(*words: str) -> None:
    """A thread and a child that wait for the end of the worker, and then start another process."""
    far, near = os.pipe()  # the worker alone holds ``near``, so the child reads its end when the worker dies
    _new_session(*words)
    if os.fork() == 0:
        os.close(near)
        os.setsid()
        os.read(far, 1)
        _setsid(*words)
        os._exit(0)
    main = threading.main_thread()
    threading.Thread(target=lambda: (main.join(), _setsid(*words))).start()


WAYS: dict[str, Callable[..., None]] = {
    "fork": _fork,
    "double fork": _double_fork,
    "setsid": _setsid,
    "process group": _process_group,
    "joblib": _joblib,
    "new session": _new_session,
    "daemon": _daemon,
    "nohup": _nohup,
    "nested": _nested,
    "at exit": _at_exit,
}


@dataclass(frozen=True, kw_only=True)
class Detach:
    """A baseline that detaches a process and then waits, or ends normally with ``hang`` false."""

    spec: BaselineSpec | None = None
    folder: str = ""
    way: str = "fork"
    eat: bool = False
    hang: bool = True

    def fit(self, train: Split, *, seed: int, preset: str) -> Detach:
        WAYS[self.way](self.folder, self.way, "eat" if self.eat else "rest")
        while not started(Path(self.folder), self.way):
            time.sleep(0.01)
        while self.hang:
            time.sleep(1.0)
        return self

    @property
    def report(self) -> FitReport:
        return FitReport()

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.zeros((len(inputs), 2), dtype=np.float32)


def register() -> None:
    """Register the task of the dummies and the baseline."""
    dummies.register()
    if ID not in baselines:
        baselines.register(ID, f"{PREFIX}:Detach")


def started(folder: Path, way: str) -> list[int]:
    """The detached processes that have run, by their numbers."""
    return [int(path.suffix[1:]) for path in folder.glob(f"{way}.*")]


def left(folder: Path, way: str, seconds: float = 5.0) -> list[int]:
    """The detached processes that still run after a few seconds."""
    deadline = time.monotonic() + seconds
    while running := [pid for pid in started(folder, way) if _runs(pid)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return running


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def measure(end: str, folder: Path) -> dict[str, str]:
    """Sweep over all ways at once, end the sweep or its runs, and return by way what is left; empty for nothing."""
    limits = {"timeout": ["--timeout", "20"], "memory": ["--memory", MEMORY_LIMIT]}.get(end, [])
    settings = [word for way in WAYS for word in ("--set", f"way={way}")]
    settings += ["--set", f"folder={folder}", "--set", f"eat={str(end == 'memory').lower()}"]
    how = ["--results", str(folder / "runs"), "--workers", str(len(WAYS)), "--oversubscribe", *limits]
    process = subprocess.Popen(
        [sys.executable, "-m", PREFIX, *cli.GRID, ID, *settings, *how],
        cwd=cli.ROOT,
        env=cli.environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if end in ("interrupt", "kill") and all(started(folder, way) for way in WAYS):
            os.killpg(process.pid, signal.SIGINT) if end == "interrupt" else process.kill()
            break
        time.sleep(0.05)
    try:
        process.wait(timeout=30.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    seen: dict[str, str] = {}
    if end in ("timeout", "memory"):
        runs = ((record.run, record.status) for record in Store(folder / "runs"))
        # the way that is the default is no override
        status = {run.baseline_overrides.get("way", Detach.way): ended for run, ended in runs}
        expected = {"timeout": "timeout", "memory": "oom"}[end]
        seen = {way: f"status {status.get(way)}" for way in WAYS if status.get(way) != expected}
    for way in WAYS:
        running = left(folder, way)
        for pid in running:
            os.kill(pid, signal.SIGKILL)
        if running or not started(folder, way):
            seen[way] = f"{len(running)} left" if running else "never started"
    return {way: seen.get(way, "") for way in WAYS}


def main() -> int:
    """Print the table of all ways and ends."""
    nothing = 0
    for end in ENDS:
        with tempfile.TemporaryDirectory() as name:
            for way, what in measure(end, Path(name)).items():
                nothing += not what
                print(f"{end:<10} {way:<14} {what or 'nothing left'}", flush=True)
    print(f"{nothing} of {len(ENDS) * len(WAYS)} leave nothing")
    return nothing != len(ENDS) * len(WAYS)


if __name__ == "__main__":
    sys.modules.setdefault(PREFIX, sys.modules["__main__"])
    if sys.argv[1:]:
        register()
        from leakybench.cli import main as command

        sys.exit(command())
    sys.exit(main())
