"""Waves, Hierarchical, PowerLaw, Nuisance: what each formula implies, and the labels open and opaque of every task."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakybench
from leakybench.checks.report import Findings
from leakybench.checks.task import judge_shortcuts
from leakybench.cli import main
from leakybench.measures.certificate import jacobian, jacobian_ranks
from leakybench.measures.shortcuts import finds, shortcuts
from leakybench.registry import tasks
from leakybench.tasks.balance import active_subspace
from leakybench.tasks.teachers import equal_frame, waves

LABELLED = [spec for spec in tasks if spec.entry_point.startswith("leakybench.tasks.") and spec.true_rank is not None]
OPAQUE = [spec for spec in LABELLED if spec.opaque]
OPEN = [spec for spec in LABELLED if spec.opaque is False]


def rng(seed=0):
    return np.random.default_rng(seed)


def small(id, seed=0, **overrides):
    return leakybench.make(id, seed=seed, n_train=10, n_test=10, **overrides)


# -- frames and waves --------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(columns=st.integers(1, 10), extra=st.integers(10, 30), decay=st.floats(0.0, 2.0), seed=st.integers(0, 2**32 - 1))
def test_equal_frames_have_unit_rows_and_the_shares_asked_for(columns, extra, decay, seed):
    shares = np.arange(1.0, columns + 1) ** -decay
    shares /= shares.sum()
    frame = equal_frame(rng(seed), columns + extra, columns, shares)
    np.testing.assert_allclose(np.linalg.norm(frame, axis=1), 1.0, rtol=1e-12)
    # the rows are exact after the last step; alternating projections leave this much on the columns
    np.testing.assert_allclose(frame.T @ frame / (columns + extra), np.diag(shares), atol=2e-3)


def test_waves_are_their_formula():
    decode = waves(rng(2), 3, 7, frequency=1.5, even=False)
    generator = rng(2)
    directions = 1.5 * equal_frame(generator, 7, 3)
    phases = 2 * np.pi * (np.arange(7) + generator.uniform()) / 7
    z = rng(1).standard_normal((5, 3))
    np.testing.assert_allclose(decode(z), np.cos(z @ directions.T + phases), rtol=1e-12, atol=1e-14)


def test_even_waves_share_their_slopes_among_the_directions_in_closed_form():
    decode = waves(rng(), 4, 30, frequency=1.3, even=True)
    slopes = jacobian(decode, rng(1).standard_normal((4000, 4)))
    mean = np.einsum("noi,noj->ij", slopes, slopes) / 4000
    exact = 30 * 1.3**2 / 4 * (1 - np.exp(-2 * 1.3**2)) / 2
    # 4000 codes leave 2%, relative to the diagonal
    np.testing.assert_allclose(mean / exact, np.eye(4), atol=0.05)


def test_the_code_of_waves_is_linear_or_a_network():
    linear, network = (small("EvenWaves-k3-n300-v0", code_depth=depth) for depth in (0, 1))
    x = rng().standard_normal((40, 30))
    np.testing.assert_allclose(linear.code(2 * x), 2 * linear.code(x), rtol=1e-12)
    directions = jacobian(linear.code, x[:1])[0]
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-7)  # central differences
    slopes = jacobian(network.code, x)
    assert np.abs(slopes - slopes[0]).max() > 0.1


EVEN = [
    "EvenWaves-k3-n300-v0",
    "EvenWaves-k2-d100-v0",
    "Hierarchical-k1-v0",
    "Hierarchical-k3-v0",
    "PowerLaw-k5-n200-v0",
    "Nuisance-k3-n500-v0",
]


@pytest.mark.parametrize("id", EVEN)
def test_even_targets_have_no_linear_part(id):
    task = small(id)
    x = task.sample_inputs(20, rng())
    np.testing.assert_allclose(task.teacher(-x), task.teacher(x), rtol=0, atol=1e-12)
    assert np.abs(task.teacher(2 * x) - task.teacher(x)).max() > 0.1


@pytest.mark.parametrize("id", ["Waves-k3-v0", "EvenWaves-code-k3-v0"])
def test_the_others_are_not_even(id):
    task = small(id)
    x = task.sample_inputs(20, rng())
    assert np.abs(task.teacher(-x) - task.teacher(x)).max() > 0.1


# -- hierarchical ------------------------------------------------------------------------------------------------------


def test_the_hierarchical_code_is_a_sum_of_polynomials_of_few_projections():
    task = small("Hierarchical-k3-v0")
    x = task.sample_inputs(2000, rng())
    # second derivatives of a quadratic form are its matrix: m = 6 directions in all, k = 3 combinations of them
    step = np.eye(30)
    at = np.zeros((1, 30))
    hessians = np.stack(
        [[task.code(at + a + b) - task.code(at + a) - task.code(at + b) + task.code(at) for b in step] for a in step]
    )[:, :, 0]
    span = np.linalg.svd(np.hstack([hessians[:, :, i] for i in range(3)]), compute_uv=False)
    assert span[5] > 0.1
    assert span[6] < 1e-10
    for i, j in itertools.combinations_with_replacement(range(3), 2):
        # A has orthonormal rows, and the second derivative of H_2 is sqrt(2)
        assert np.sum(hessians[:, :, i] * hessians[:, :, j]) == pytest.approx(2.0 * (i == j), abs=1e-10)
    form = 0.5 * np.einsum("na,abi,nb->ni", x, hessians, x) + task.code(at)
    np.testing.assert_allclose(task.code(x), form, atol=1e-10)


def test_the_hierarchical_code_is_white_exactly():
    codes = small("Hierarchical-k3-v0").code(rng().standard_normal((200000, 30)))
    # H_2 of a normal has fourth moment 15: variances of 200000 samples have deviation sqrt(14 / 200000) = 0.008
    np.testing.assert_allclose(codes.mean(axis=0), 0.0, atol=4.5 / np.sqrt(200000))
    np.testing.assert_allclose(np.cov(codes.T), np.eye(3), atol=0.035)


# -- ill-conditioned ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_shares_of_the_power_law_are_certified_and_span_a_decade(seed):
    task = small("PowerLaw-k5-n200-v0", seed=seed)
    shares, directions = active_subspace(task.decode, rng(seed).standard_normal((8000, 5)))
    weights = np.arange(1.0, 6.0) ** -1.5
    np.testing.assert_allclose(task.shares, weights / weights.sum(), rtol=1e-12)
    assert task.shares[0] > 10 * task.shares[-1]
    # a mean over 8000 codes leaves 1% of the largest share, and 30 waves are not quite in balance at any one code
    np.testing.assert_allclose(shares, task.shares, atol=0.01)
    # each direction of the active subspace is a coordinate, but for neighbours with nearly equal shares
    assert np.abs(directions[0, 0]) > 0.99
    assert np.abs(directions[1, 1]) > 0.95


def test_a_flat_power_law_is_balanced():
    shares, _ = active_subspace(small("PowerLaw-k5-n200-v0", decay=0.0).decode, rng().standard_normal((4000, 5)))
    assert shares[-1] > 0.9 / 5


# -- nuisance ----------------------------------------------------------------------------------------------------------


def test_nuisance_inputs_are_loud_where_nothing_depends_on_them():
    task = small("Nuisance-k3-n500-v0")
    x = task.sample_inputs(20000, rng())
    values, vectors = np.linalg.eigh(np.cov(x.T))
    # eigenvalues of 30 dimensions and 20000 samples spread by 2 sqrt(30 / 20000) = 8%
    np.testing.assert_allclose(values[:22], 1.0, atol=0.1)
    np.testing.assert_allclose(values[22:], 9.0, atol=0.9)
    loud = vectors[:, 22:].T
    directions = jacobian(task.code, x[:1])[0]
    # directions of 20000 samples are off by sqrt(30 / 20000) times 3 / 8
    assert np.abs(directions @ loud.T).max() < 0.06
    # standard normal, as if there were no nuisance
    np.testing.assert_allclose(np.cov(task.code(x).T), np.eye(3), atol=0.05)


def test_nuisance_frames_belong_to_the_seed_and_not_to_the_draw():
    first, again, other = (small("Nuisance-k3-n500-v0", seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.sample_inputs(5, rng()), again.sample_inputs(5, rng()))
    assert not np.allclose(first.sample_inputs(5, rng()), other.sample_inputs(5, rng()))


@pytest.mark.parametrize(
    ("id", "bad", "match"),
    [
        ("Nuisance-k3-n500-v0", {"loud": 28}, "k must be an integer from 1 to 2 .the code lies outside the loud"),
        ("Hierarchical-k3-v0", {"features": 2}, "features must be an integer from 3 to 30"),
        ("Waves-k3-v0", {"width": 5}, "width must be an integer at least 6"),
        ("Waves-k3-v0", {"even": "yes"}, "even must be true or false, got 'yes'"),
        ("PowerLaw-k5-n200-v0", {"decay": -1}, "decay must be a finite number at least 0, at most 10, got -1"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(id, bad, match):
    with pytest.raises(leakybench.UsageError, match=match):
        leakybench.make(id, **bad)


# derandomised, as for the other families
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data(), k=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_any_allowed_settings_are_certified(data, k, seed):
    id = data.draw(st.sampled_from(["Waves-k3-v0", "Hierarchical-k3-v0", "PowerLaw-k5-n200-v0", "Nuisance-k3-n500-v0"]))
    own = {"Waves-k3-v0": {"even": data.draw(st.booleans())}, "Hierarchical-k3-v0": {"features": k + 2}}
    own["Nuisance-k3-n500-v0"] = {"loud": data.draw(st.integers(0, 3))}
    common = {"k": k, "d": data.draw(st.integers(k + 3, 14)), "width": data.draw(st.integers(2 * k, 30))}
    task = small(id, seed=seed, frequency=data.draw(st.floats(0.3, 3.0)), **common, **own.get(id, {}))
    ranks = jacobian_ranks(task.teacher, task.sample_inputs(30, rng(seed)))
    assert ranks.max() == k == task.true_rank


# -- labels ------------------------------------------------------------------------------------------------------------


def found_by(id, k, seeds, n_train):
    """Names of the shortcuts that find the rank k of a task, with the number of right answers of each."""
    answers = {}
    for seed in seeds:
        train = leakybench.make(id, seed=seed, n_train=n_train, n_test=2).train
        for name, rank in shortcuts(train.inputs, train.targets).ranks.items():
            answers.setdefault(name, []).append(rank)
    return {name: ranks.count(k) for name, ranks in answers.items() if finds(ranks, k)}


def test_every_task_of_known_rank_has_a_label_and_no_other():
    assert len(OPAQUE) >= 9
    assert len({spec.entry_point for spec in OPAQUE}) >= 4
    assert {spec.true_rank for spec in OPAQUE} >= {1, 2, 3, 5, 10}
    assert {spec.opaque for spec in LABELLED} == {True, False}
    assert all(spec.opaque is None for spec in tasks if spec.true_rank is None)


@pytest.mark.parametrize("spec", OPAQUE, ids=lambda spec: spec.id)
def test_no_shortcut_finds_the_rank_of_an_opaque_task(spec):
    # also with 100,000 samples and more seeds, in tests/convergence/test_opaque_tasks.py
    for n_train in {1000, spec.kwargs.get("n_train", 1000)}:
        assert found_by(spec.id, spec.true_rank, range(7), n_train) == {}, n_train


@pytest.mark.parametrize("spec", OPEN, ids=lambda spec: spec.id)
def test_a_shortcut_finds_the_rank_of_an_open_task(spec):
    assert found_by(spec.id, spec.true_rank, range(7), 1000) != {}


@pytest.mark.parametrize(
    ("opaque", "rank", "match"),
    [
        ("yes", 3, "opaque of mine/A-v0 must be True, False or None, got 'yes'"),
        (1, 3, "opaque of mine/A-v0 must be True, False or None, got 1"),
        (True, None, "opaque of mine/A-v0 must be None, because it declares no true_rank"),
    ],
)
def test_bad_labels_are_refused(opaque, rank, match):
    with pytest.raises(leakybench.RegistrationError, match=match):
        leakybench.TaskSpec(id="mine/A-v0", entry_point="a:B", true_rank=rank, opaque=opaque)


def test_a_label_goes_through_json_and_is_no_part_of_the_identity():
    spec, plain = (leakybench.TaskSpec(id="mine/A-v0", entry_point="a:B", true_rank=3, opaque=o) for o in (True, None))
    assert leakybench.TaskSpec.from_json(spec.to_json()) == spec
    assert spec.digest == plain.digest


def test_the_listing_shows_the_label(capsys):
    assert main(["tasks", "EvenWaves-k3-*", "LowRank-k3-v0", "Real-linnerud-v0"]) == 0
    rows = {line.split()[0]: line.split()[1:3] for line in capsys.readouterr().out.splitlines()}
    assert rows == {
        "task": ["rank", "label"],
        "EvenWaves-k3-n300-v0": ["3", "opaque"],
        "LowRank-k3-v0": ["3", "open"],
        "Real-linnerud-v0": ["-", "-"],
    }
    assert main(["tasks", "--json", "EvenWaves-k3-*", "LowRank-k3-v0", "Real-linnerud-v0"]) == 0
    assert [spec["opaque"] for spec in json.loads(capsys.readouterr().out)] == [True, False, None]


# -- the check ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def mislabelled():
    """A task whose rank every linear map shows, registered as opaque."""
    yield leakybench.register(
        "mislabelled/Linear-v0",
        entry_point="leakybench.tasks.linear:Linear",
        kwargs={"k": 2, "d": 6, "n_train": 100, "n_test": 20},
        true_rank=2,
        opaque=True,
    )
    tasks.unregister("mislabelled/Linear-v0")


@pytest.mark.slow
def test_a_false_label_fails_the_check(mislabelled):
    report = leakybench.check_task(mislabelled)
    assert [finding.name for finding in report.failures] == ["shortcuts"]
    expected = "registered as opaque, but of 7 seeds, the rank 2 is found by targets at 7, ridge at 7, canonical at 7"
    assert report.finding("shortcuts").why == expected


ANSWERS = {"inputs": [30] * 7, "ridge": [3, 3, None, 3, 5, 3, 3]}


@pytest.mark.parametrize(
    ("facts", "opaque", "result", "why"),
    [
        ({"true_rank": None}, None, "skip", "it declares no rank (true_rank is None)"),
        ({"true_rank": 3}, True, "skip", "not reached"),
        ({"true_rank": 3, "shortcut_ranks": {}}, True, "skip", "it takes too long to build at several seeds"),
        (
            {"true_rank": 3, "shortcut_ranks": ANSWERS},
            False,
            "pass",
            "open: of 7 seeds, the rank 3 is found by ridge at 5",
        ),
        (
            {"true_rank": 3, "shortcut_ranks": ANSWERS},
            None,
            "pass",
            "open: of 7 seeds, the rank 3 is found by ridge at 5",
        ),
        (
            {"true_rank": 3, "shortcut_ranks": ANSWERS},
            True,
            "fail",
            "registered as opaque, but of 7 seeds, the rank 3 is found by ridge at 5",
        ),
        ({"true_rank": 5, "shortcut_ranks": ANSWERS}, True, "pass", "opaque: no shortcut finds the rank"),
        (
            {"true_rank": 5, "shortcut_ranks": ANSWERS},
            False,
            "pass",
            "opaque: no shortcut finds the rank, although the task is registered as open",
        ),
    ],
)
def test_what_the_check_says(facts, opaque, result, why):
    findings = Findings()
    judge_shortcuts(findings, facts, opaque)
    finding = findings.report("task", "A-v0").finding("shortcuts")
    assert (finding.result, finding.why) == (result, why)
