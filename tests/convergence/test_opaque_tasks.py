"""The certificate of the label opaque: no shortcut finds the rank, from few samples or many; and its reverse."""

import pytest

import leakybench
from leakybench.measures.shortcuts import finds, shortcuts
from leakybench.registry import tasks

SEEDS = range(21)
LABELLED = [spec for spec in tasks if spec.entry_point.startswith("leakybench.tasks.") and spec.opaque is not None]
OPAQUE = [spec.id for spec in LABELLED if spec.opaque]
OPEN = [spec.id for spec in LABELLED if not spec.opaque]


def found_by(id, n_train):
    """The number of right answers, of 21, of each shortcut that finds the rank of a task."""
    answers = {}
    for seed in SEEDS:
        task = leakybench.make(id, seed=seed, n_train=n_train, n_test=2)
        for name, rank in shortcuts(task.train.inputs, task.train.targets).ranks.items():
            answers.setdefault(name, []).append(rank)
    assert set(map(len, answers.values())) == {len(SEEDS)}
    return {name: ranks.count(task.true_rank) for name, ranks in answers.items() if finds(ranks, task.true_rank)}


@pytest.mark.slow
@pytest.mark.parametrize("n_train", [1000, 100_000])
@pytest.mark.parametrize("id", OPAQUE)
def test_no_shortcut_finds_the_rank_of_an_opaque_task(id, n_train):
    assert found_by(id, n_train) == {}


@pytest.mark.slow
@pytest.mark.parametrize("id", OPEN)
def test_a_shortcut_finds_the_rank_of_an_open_task(id):
    assert found_by(id, 1000) != {}


@pytest.mark.slow
@pytest.mark.parametrize("n_train", [1000, 100_000])
def test_the_certificate_fails_on_the_main_task_of_the_paper(n_train):
    # ridge regression has the rank at every seed, although its error is 0.4
    assert found_by("LowRank-k3-v0", n_train)["ridge"] == 21
