"""Packs of real runs: an honest one is computed again and agrees; one with every hash rewritten is still found out."""

from __future__ import annotations

import dataclasses

import pytest

import leakybench
from leakybench.cli import main
from leakybench.packs.pack import write_pack
from leakybench.store import Store

REQUIRED = ["--tasks", "LowRank-k3-v0", "--seeds", "0:2"]


@pytest.fixture(scope="module")
def records():
    return [
        leakybench.evaluate(
            leakybench.make_baseline("Ridge-v0"), leakybench.make("LowRank-k3-v0", seed=seed), seed=seed, preset="smoke"
        )
        for seed in range(2)
    ]


def _pack(folder, records):
    store = Store(folder / "runs")
    store.prepare()
    for record in records:
        store.write(record)
    write_pack(store, list(store), folder / "pack.zip")
    return str(folder / "pack.zip")


def test_honest_pack_is_rerun_and_valid(tmp_path, records, capsys):
    assert main(["validate", _pack(tmp_path, records), "--sample", "2", *REQUIRED]) == 0
    assert "2 rerun with the same result" in capsys.readouterr().out


def test_flattered_pack_with_every_hash_rewritten_is_refused(tmp_path, records, capsys):
    better = [dataclasses.replace(record, test_error=record.test_error / 2) for record in records]
    assert main(["validate", _pack(tmp_path, better), *REQUIRED]) == 1
    assert "refused: rerun: " in capsys.readouterr().out
