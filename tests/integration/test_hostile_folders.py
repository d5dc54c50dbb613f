"""1,000 generated mutations of records, arrays and packs through every reading command.

Many changed files lie in one folder, and each command reads the folder once: no traceback, no changed value shown
without a mark, no command over 10 s or 300 MB.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from leakybench.cli import main
from leakybench.record import RunSpec
from leakybench.specs import digest
from leakybench.store import Store
from tests.helpers.mutated_files import VICTIM, sound_files
from tests.helpers.mutations import Mutation, mutated_arrays, mutated_packs, mutated_records
from tests.helpers.outputs import CHECKS, check_terminal
from tests.helpers.records import record, run_spec

RECORDS, ARRAYS, PACKS = 500, 200, 300
FOLDERS = 4
MAX_SECONDS, MAX_MEGABYTES = 10.0, 300.0
FIT = ", hashes fit"
"""How the name of a mutation ends that a forger has sealed anew."""
SHOWN = ("test_error", "train_error", "bottleneck_rank", "true_rank", "rank_recovered", "fit_seconds", "message")


def drawn(strategy: st.SearchStrategy[Mutation], count: int) -> list[Mutation]:
    """``count`` mutations, the same in every run."""
    found: list[Mutation] = []

    @settings(
        max_examples=count, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def collect(mutation: Mutation) -> None:
        found.append(mutation)

    while len(found) < count:  # a strategy may give fewer examples than asked for
        collect()
    return found[:count]


@dataclass
class Measured:
    """The largest time and memory of each command."""

    seconds: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    codes: Counter[tuple[str, int]] = field(default_factory=Counter)

    def call(self, capture: pytest.CaptureFixture[bytes], *words: object) -> tuple[int, str, str]:
        """Call a command and check its lines; exit code, output and errors."""
        Path("/proc/self/clear_refs").write_text("5")  # the peak of the memory starts anew
        before, start = _memory("VmRSS"), time.perf_counter()
        code = main([str(word) for word in words])
        seconds, megabytes = time.perf_counter() - start, max(_memory("VmHWM") - before, 0.0)
        captured = capture.readouterr()
        out, err = captured.out.decode(), captured.err.decode()
        assert "Traceback" not in out + err, (words, err[-3000:])
        check_terminal(err)
        name = str(words[0])
        self.seconds[name] = max(seconds, self.seconds.get(name, 0.0))
        self.megabytes[name] = max(megabytes, self.megabytes.get(name, 0.0))
        self.codes[name, code] += 1
        return code, out, err

    def report(self) -> str:
        """A line for each command."""
        return "\n".join(
            f"{name:<12}{self.seconds[name]:8.2f} s {self.megabytes[name]:8.1f} MB  "
            + ", ".join(f"{count} x exit {code}" for (what, code), count in sorted(self.codes.items()) if what == name)
            for name in self.seconds
        )

    def check(self) -> None:
        """Every command stayed within the limits."""
        print(f"\n{self.report()}")
        assert max(self.seconds.values()) < MAX_SECONDS, self.report()
        assert max(self.megabytes.values()) < MAX_MEGABYTES, self.report()


def _memory(name: str) -> float:
    """A number of this process's memory, MB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def place(mutation: Mutation, folder: Path, seed: int) -> None:
    """Put a changed file into a folder as that of a run of its own; the other file of the run is sound."""
    run_id, victim = record(seed).run_id, record(VICTIM).run_id
    if mutation.kind == "npz":
        (folder / f"{run_id}.json").write_bytes(sound_files(seed)["json"])
        mutation.place(folder / f"{run_id}.npz")
        return
    (folder / f"{run_id}.npz").write_bytes(sound_files(seed)["npz"])
    if mutation.data is None:
        mutation.place(folder / f"{run_id}.json")
        return
    own = re.sub(rb'"seed": %d\b' % VICTIM, b'"seed": %d' % seed, mutation.data)
    own = own.replace(victim.encode(), run_id.encode())
    (folder / f"{_named(own) or run_id}.json").write_bytes(_resealed(own, mutation, seed))


def _named(data: bytes) -> str | None:
    """The run id that the run of a record has; None where it cannot be told."""
    try:
        return RunSpec.from_dict(json.loads(data)["run"]).run_id
    except Exception:  # whatever is wrong, the file keeps the name of the sound run
        return None


def _resealed(data: bytes, mutation: Mutation, seed: int) -> bytes:
    """The record with the hash of its new seed: of the sound content, or of its own where the mutation sealed it."""
    sealed = re.compile(rb'("record": ")[0-9a-f]{64}')
    if not mutation.name.removesuffix(" and test_error twice").endswith(FIT):
        sound = json.loads(sound_files(seed)["json"])["provenance"]["integrity"]["record"]
        return sealed.sub(rb"\g<1>" + sound.encode(), data)
    try:
        content = json.loads(data)
        name = _named(data)
        data = data.replace(str(content["run_id"]).encode(), name.encode()) if name else data
        content = json.loads(data)
        content["provenance"].pop("integrity", None)
        return sealed.sub(rb"\g<1>" + digest(content, length=64).encode(), data)
    except Exception:  # what cannot be sealed stays unsealed
        return data


def hostile_folder(folder: Path, mutations: list[Mutation], first: int) -> Path:
    """A folder of changed runs, each beside sound ones of another baseline with the same seed."""
    store = Store(folder)
    store.prepare()
    for seed, mutation in enumerate(mutations, first):
        place(mutation, folder, seed)
        store.write(record(seed, run=run_spec(seed, baseline="dummy/Other-v0"), test_error=0.5))
    return folder


def check_exported(content: list[dict[str, object]], mutations: list[Mutation], first: int) -> int:
    """No changed value without a mark: rows that are said to be intact hold the sound values, or were sealed anew.

    Returns:
        Number of the marked rows.
    """
    sound = {name: json.loads(sound_files()["json"]).get(name) for name in SHOWN} | {"fit_seconds": 2.0}
    for row in content:
        if row["baseline"] == "dummy/Other-v0" or row["intact"] is not True:
            continue
        place = int(str(row["seed"])) - first
        forged = not 0 <= place < len(mutations) or FIT in mutations[place].name
        assert forged or {name: row[name] for name in SHOWN} == sound, (row, mutations[place])
    return sum(row["intact"] is False for row in content)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_changed_records_and_arrays_through_every_reading_command(tmp_path, capsysbinary):
    measured = Measured()
    each, few = RECORDS // FOLDERS, ARRAYS // FOLDERS
    records, arrays = drawn(mutated_records(), RECORDS), drawn(mutated_arrays(), ARRAYS)
    marked = 0
    for number in range(FOLDERS):
        mutations = records[number * each : (number + 1) * each] + arrays[number * few : (number + 1) * few]
        first = 1000 * (number + 1)
        folder = hostile_folder(tmp_path / f"runs{number}", mutations, first)
        source = ("--results", folder)
        code, out, _ = measured.call(capsysbinary, "export", "-", *source, "--format", "json")
        assert code == 0
        CHECKS["json"](out)
        changed = check_exported(json.loads(out), mutations, first)
        marked += changed
        runs = len(json.loads(out))
        assert runs > len(mutations)  # one bad record never makes the others unreadable
        measured.call(capsysbinary, "export", tmp_path / f"runs{number}.csv", *source)
        CHECKS["csv"]((tmp_path / f"runs{number}.csv").read_text())
        for format in ("terminal", "github", "latex", "csv", "json"):
            code, out, _ = measured.call(capsysbinary, "table", *source, "--format", format)
            assert code == 0
            CHECKS[format](out)
        assert sum(row["changed"] for row in json.loads(out)["rows"]) == changed
        for format in ("terminal", "github", "json", "html"):
            code, out, _ = measured.call(capsysbinary, "leaderboard", *source, "--format", format, "--preset", "smoke")
            assert code == 0
            CHECKS[format](out)
        for format in ("terminal", "json", "svg"):
            code, out, _ = measured.call(capsysbinary, "audit", *source, "--format", format, "--preset", "smoke")
            assert code in (0, 3)
            CHECKS[format](out) if code == 0 else None
        for sides in (("dummy/Fit-v0", "dummy/Other-v0"), (folder, folder)):
            code, out, _ = measured.call(capsysbinary, "compare", *sides, *source, "--preset", "smoke")
            assert code == 0
            CHECKS["terminal"](out)
        for path in sorted(folder.glob("*.json"))[:: 1 + number]:
            _, out, _ = measured.call(capsysbinary, "show", path.stem, *source)
            CHECKS["terminal"](out)
        code, out, _ = measured.call(capsysbinary, "verify", *source)
        assert code == 1
        CHECKS["terminal"](out)
        for words in (["submit", folder, "--out", tmp_path / "p.zip"], ["validate", folder, "--sample", "0"]):
            code, out, err = measured.call(capsysbinary, *words)
            assert code in (1, 2), err
            CHECKS["terminal"](out)
    assert marked > 20  # the mark is seen
    measured.check()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_changed_packs_are_refused_or_valid_in_a_line_each(tmp_path, capsysbinary):
    measured = Measured()
    path = tmp_path / "pack.zip"
    for mutation in drawn(mutated_packs(), PACKS):
        mutation.place(path)
        code, out, _ = measured.call(
            capsysbinary, "validate", path, "--sample", "0", "--tasks", "LowRank-k3-v0", "--seeds", "0"
        )
        assert code in (0, 1, 2), mutation
        CHECKS["terminal"](out)
    measured.check()
