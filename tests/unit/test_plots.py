"""Ticks and plots of the page."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from leakybench.report.plots import (
    BUILT_IN_LOOKS,
    CORNERS,
    FURTHER_LOOKS,
    MAX_BANDS,
    WIDTH,
    Point,
    ProfileLine,
    log_ticks,
    marker,
    pareto_svg,
    profile_svg,
    step_looks,
)


@pytest.mark.parametrize(
    ("low", "high"), [(0.17, 0.34), (8.0, 15.0), (0.001, 10.0), (1e-9, 1e6), (0.0999, 0.1001), (2.0, 2.6), (1.0, 99.0)]
)
def test_ticks_are_few_round_and_inside(low, high):
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 10
    assert ticks == sorted(set(ticks))
    assert low <= ticks[0]
    assert ticks[-1] <= high
    assert all(len(f"{tick:g}") <= 7 for tick in ticks)


def _point(x, y, name="m", front=False):
    return Point(x=x, y=y, low=y / 2, high=y * 2, name=name, front=front)


def test_pareto_svg_is_well_formed_whatever_the_names():
    evil = "<b>&\"'\x00"
    svg = pareto_svg(
        [_point(1, 0.5, evil, True), _point(2, 0.1, evil, True), _point(3, 0.4)], "cost <s>", "error & more"
    )
    root = ElementTree.fromstring(svg)
    assert sum(element.tag == "circle" for element in root.iter()) == 3
    assert "<b>" not in svg


def test_names_on_the_front_do_not_overlap():
    svg = pareto_svg([_point(1 + 0.001 * i, 0.5 - 0.001 * i, f"name-{i}", True) for i in range(4)], "x", "y")
    boxes = []
    for e in ElementTree.fromstring(svg).iter():
        if e.get("class") == "name":
            start = float(e.get("x")) - (6.5 * len(e.text) if e.get("text-anchor") == "end" else 0)
            boxes.append((start, start + 6.5 * len(e.text), float(e.get("y"))))
    assert len(boxes) == 4
    for i, (start, end, y) in enumerate(boxes):
        assert start >= 0
        assert end <= WIDTH
        assert all(abs(y - other) >= 13 or end <= left or right <= start for left, right, other in boxes[:i])


def test_the_front_is_drawn_on_top():
    svg = pareto_svg([_point(1.0, 0.5, "a", True), _point(1.0, 0.501, "b")], "x", "y")
    assert svg.index(">b: ") < svg.index(">a: ")


def test_a_crowd_of_points_leaves_out_names_rather_than_overlap():
    svg = pareto_svg([_point(1 + 1e-4 * i, 0.5 - 1e-4 * i, f"name-{i}", True) for i in range(60)], "x", "y")
    root = ElementTree.fromstring(svg)
    assert 4 <= sum(e.get("class") == "name" for e in root.iter()) < 60
    assert sum(e.tag == "circle" for e in root.iter()) == 60


@pytest.mark.parametrize("shape", ["circle", *CORNERS])
def test_markers_are_about_as_large_in_every_shape(shape):
    root = ElementTree.fromstring(f"<svg>{marker(shape, 100, 50, 10)}</svg>")[0]
    if shape == "circle":
        assert (root.get("cx"), root.get("cy"), root.get("r")) == ("100.0", "50.0", "10")
        return
    corners = np.array([[float(v) for v in part.split()] for part in root.get("d")[1:-1].split("L")])
    x, y = corners.T
    area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    assert 0.75 <= area / (np.pi * 100) <= 1.25


def test_every_step_rule_has_a_look_of_its_own():
    rules = ["uniform", "irregular", "adaptive", "mine", "yours", "third", "fourth"]
    looks = step_looks(rules)
    assert list(looks) == rules
    assert len({look.shape for look in looks.values()}) == len({look.dash for look in looks.values()}) == len(rules)
    assert {look.shape for look in looks.values()} <= set(CORNERS)  # never the circle of methods without layers


def test_built_in_step_rules_keep_their_looks_whatever_else_appears():
    looks = step_looks(["mine", "adaptive", "-", "mine", "uniform"])
    assert list(looks) == ["-", "uniform", "adaptive", "mine"]
    assert all(looks[rule] == BUILT_IN_LOOKS[rule] for rule in ("-", "uniform", "adaptive"))
    assert looks["mine"] == FURTHER_LOOKS[0]
    assert len(step_looks([f"rule-{i}" for i in range(20)])) == 20


def test_bands_are_drawn_while_they_can_be_told_apart():
    def bands(n):
        profiles = [ProfileLine(name="m", share=[0, 1], low=[0, 0.8], high=[0.2, 1], dash="2 3")] * n
        return profile_svg(profiles, [0.1, 0.4], "x", "y").count('class="band')

    assert (bands(MAX_BANDS), bands(MAX_BANDS + 1)) == (MAX_BANDS, 0)


def test_points_that_a_logarithm_cannot_show_are_left_out():
    assert pareto_svg([_point(0.0, 0.5)], "x", "y") == ""
    assert pareto_svg([], "x", "y") == ""


def test_profile_svg_has_a_line_and_a_band_each():
    profiles = [ProfileLine(name=f"m{i}", share=[0, 0.5, 1], low=[0, 0.3, 0.8], high=[0.2, 0.7, 1]) for i in range(2)]
    root = ElementTree.fromstring(profile_svg(profiles, [0.1, 0.2, 0.4], "x", "y"))
    assert sum(element.tag == "path" for element in root.iter()) == 4
    assert profile_svg([], [0.1, 0.2], "x", "y") == ""
