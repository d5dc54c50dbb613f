"""Settings read from the labels of tasks and baselines."""

from __future__ import annotations

import pytest

from leakybench.analysis.labels import DEEPEST, configuration, effective_depth, split_label, task_setting, without
from leakybench.record import label


def test_commas_within_lists_and_quotes_separate_nothing():
    overrides = {"spectrum": [1, 2, 3], "name": "a,b[c", "n_train": 100, "d": 5, "map": {"x": 1, "y": 2}}
    shown = label("Task-v0", overrides)
    assert set(split_label(shown)[1]) == set(overrides)
    rest = {name: value for name, value in overrides.items() if name != "n_train"}
    assert without(shown, "n_train") == label("Task-v0", rest)


@pytest.mark.parametrize(
    ("label", "depth"),
    [
        ("ResNet-v0", 0.0),
        ("LeakyResNet-v0", 7.0),
        ("LeakyResNet-v0[depth=9,effective_depth=3.0]", 3.0),
        ("FullyConnected-v0[width=50]", DEEPEST),
        ("KernelRidge-v0", None),
        ("mine/Strange-v3", None),
        ("LeakyResNet-v0[effective_depth=auto]", None),
    ],
)
def test_the_effective_depth_is_read_from_a_label_or_from_the_default_of_its_id(label, depth):
    assert effective_depth(label) == depth


def test_ids_of_one_configuration_are_one_method():
    same = [
        "LeakyResNet-Lt15-v0",
        "LeakyResNet-v0[effective_depth=15.0]",
        "LeakyResNet-v0[depth=20,effective_depth=15.0]",
    ]
    assert len({configuration(label) for label in same}) == 1
    others = ["LeakyResNet-v0", "ResNet-v0", "LeakyResNet-Lt15-v0[depth=30]", "LeakyResNet-Lt15-v0[penalty=0.1]"]
    assert len({configuration(label) for label in [same[0], *others]}) == 5
    assert configuration("mine/Unknown-v0") is None


def test_settings_of_a_label_can_be_read_and_left_out():
    label = "LowRank-k3-v0[d=50,noise=0.5]"
    assert split_label(label) == ("LowRank-k3-v0", {"d": "50", "noise": "0.5"})
    assert without(label, "d") == "LowRank-k3-v0[noise=0.5]"
    assert without(label, "d", "noise") == without("LowRank-k3-v0") == "LowRank-k3-v0"
    assert task_setting(label, "d") == 50.0
    assert task_setting("LowRank-k3-v0", "k") == 3.0  # the default of the id
    assert task_setting("LowRank-k3-v0", "nonsense") is task_setting("mine/Unknown-v0", "d") is None
