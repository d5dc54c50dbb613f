"""A Dask cluster that strangers cannot use, and workers and schedulers that stop answering, named in time."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from leakybench.engines import EngineError, make_engine
from leakybench.engines import cluster as cluster_module
from leakybench.engines.limits import Limits
from tests.helpers import cli, dummies
from tests.helpers.records import jobs

pytest.importorskip("distributed")
# sockets and event loops of Dask's own are left for the collector at shutdown
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The address and the process of a scheduler without workers."""
    file = tmp_path / "scheduler.json"
    command = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--scheduler-file", str(file)],
        env=cli.environment(),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60.0
    while not file.exists() or '"address"' not in file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield file.read_text().split('"address": "')[1].split('"')[0], psutil.Process(process.pid)
    process.kill()
    process.wait()


def listening() -> list[tuple[str, int]]:
    """Where this process and its descendants listen."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    found = [item for process in processes for item in process.net_connections() if item.status == "LISTEN"]
    return [(item.laddr.ip, item.laddr.port) for item in found]


def speaks_tls(place: tuple[str, int]) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(place, timeout=5.0) as plain, context.wrap_socket(plain):
            return True
    except (ssl.SSLError, OSError) as error:
        # a server that wants a certificate of the client ends the handshake with a message of TLS
        return "CERTIFICATE_REQUIRED" in str(error) or "HANDSHAKE_FAILURE" in str(error)


def test_an_own_cluster_listens_on_loopback_under_tls_only_and_opens_no_page() -> None:
    from distributed import Client

    before = set(listening())
    with make_engine("dask", workers=1) as engine:
        places = set(listening()) - before
        assert len(places) >= 2, "a scheduler and a worker listen"
        assert {host for host, _ in places} == {"127.0.0.1"}
        assert 8787 not in {port for _, port in places}
        assert all(speaks_tls(place) for place in places)
        address = engine._cluster.scheduler_address
        # a stranger, with and without TLS, but without the certificate
        for stranger in (address, address.replace("tls://", "tcp://")):
            with pytest.raises((OSError, TypeError, RuntimeError)):
                Client(stranger, timeout=2.0)


def test_a_stopped_worker_is_named_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "GRACE_SECONDS", 2.0)
    dummies.register()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with make_engine("dask", workers=1, limits=Limits(timeout=4.0)) as engine:
        list(engine.map(iter(jobs(1))))
        workers = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
        for process in workers:
            if "spawn_main" in " ".join(process.cmdline()):
                process.suspend()
        start = time.monotonic()
        (outcome,) = engine.map(iter(jobs([5])))
        passed = time.monotonic() - start
    assert outcome.record.status == "timeout"
    assert outcome.record.message == "the Dask worker did not answer within the limit of 4 s and 2 s more"
    # limit, grace, and two looks
    assert 6.0 <= passed < 6.0 + 2 * cluster_module.CHECK_SECONDS + 1.0
    # the guardian of a worker that was stopped ends when it notices that its connection has closed
    _, left = psutil.wait_procs(workers, timeout=15.0)
    assert not [process for process in left if process.is_running() and process.status() != "zombie"]


def test_a_cluster_without_workers_is_named(
    scheduler: tuple[str, psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "IDLE_SECONDS", 1.0)
    dummies.register()
    address, _ = scheduler
    with (
        make_engine("dask", workers=1, scheduler=address) as engine,
        pytest.raises(
            EngineError, match=rf"scheduler {address} has had no worker for 1 s: start one with 'dask worker'"
        ),
    ):
        list(engine.map(iter(jobs(1))))


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGSTOP, "has not answered for 2 s"), (signal.SIGKILL, "was lost|has not answered")]
)
def test_a_scheduler_that_is_stopped_or_dead_is_named(
    scheduler: tuple[str, psutil.Process], monkeypatch: pytest.MonkeyPatch, number: signal.Signals, words: str
) -> None:
    monkeypatch.setattr(cluster_module, "SILENT_SECONDS", 2.0)
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 3.0)
    dummies.register()
    address, process = scheduler
    start = time.monotonic()
    with make_engine("dask", workers=1, scheduler=address) as engine:
        os.kill(process.pid, number)
        start = time.monotonic()
        with pytest.raises(EngineError, match=words):
            list(engine.map(iter(jobs(1))))
    # until it is named, and until the client has said farewell in vain
    assert time.monotonic() - start < 15.0
