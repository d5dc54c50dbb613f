"""Ticks and plots of the page."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from suite.report.plots import Point, Profile, log_ticks, pareto_svg, profile_svg


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
    heights = [float(e.get("y", "0")) for e in ElementTree.fromstring(svg).iter() if e.get("class") == "name"]
    assert min(abs(a - b) for i, a in enumerate(heights) for b in heights[:i]) >= 13


def test_points_that_a_logarithm_cannot_show_are_left_out():
    assert pareto_svg([_point(0.0, 0.5)], "x", "y") == ""
    assert pareto_svg([], "x", "y") == ""


def test_profile_svg_has_a_line_and_a_band_each():
    profiles = [Profile(name=f"m{i}", share=[0, 0.5, 1], low=[0, 0.3, 0.8], high=[0.2, 0.7, 1]) for i in range(2)]
    root = ElementTree.fromstring(profile_svg(profiles, [0.1, 0.2, 0.4], "x", "y"))
    assert sum(element.tag == "path" for element in root.iter()) == 4
    assert profile_svg([], [0.1, 0.2], "x", "y") == ""
