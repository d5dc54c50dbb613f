"""An id as a side of ``leakybench compare`` means its defaults, beside tuned runs of the same id."""

from __future__ import annotations

import leakybench
from leakybench.cli import main
from leakybench.store import Store


def test_an_id_beside_tuned_runs_is_the_default(tmp_path, capsys):
    store = Store(tmp_path)
    store.prepare()
    for seed in range(2):
        task = leakybench.make("LowRank-k3-v0", seed=seed, n_train=40, n_test=40)
        for settings in ({}, {"penalty": 1000.0}):
            baseline = leakybench.make_baseline("Ridge-v0", **settings)
            store.write(leakybench.evaluate(baseline, task, seed=seed, preset="smoke"))
    assert main(["compare", "Ridge-v0[penalty=1000.0]", "Ridge-v0", "--results", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "Ridge-v0[penalty=1000.0]" in shown.out
    assert "several" not in shown.err
