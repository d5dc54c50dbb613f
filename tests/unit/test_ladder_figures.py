"""Figures of ladders: what they draw, that equal data give equal files, and that no label covers another."""

from __future__ import annotations

import numpy as np
import pytest

from leakybench.analysis.ladders import Goal, parse_goals
from leakybench.errors import UsageError
from leakybench.figures.ladder import draw, method_looks, method_name
from leakybench.figures.ladder_depth import depth_lines, draw_depths
from leakybench.figures.ladder_growth import draw_growths
from leakybench.figures.style import BLACK, GREY, encode_figure
from tests.helpers.climbed import climbed

GOALS = parse_goals([])
ERROR = GOALS[0]
DEPTHS = (1.0, 3.0, 5.0, 7.0, 10.0, 15.0, 18.0)
LABELS = (
    "ResNet-v0",
    *(f"LeakyResNet-v0[effective_depth={depth}]" for depth in DEPTHS),
    "FullyConnected-v0",
)
OTHERS = ("KernelRidge-v0", "Ridge-v0", "RecursiveFeatureMachine-v0", "DirectionalRegression-v0")


def _many(tasks=("Curved-k2-v0", "LowRank-k3-v0")):
    """Thirteen methods; the deeper, the earlier; the last of the others never arrives."""
    ladders = []
    for task in tasks:
        ladders += [climbed(task, label, at=400 / (1 + index)) for index, label in enumerate(LABELS)]
        ladders += [climbed(task, label, at=100 * (1 + index), steps="-") for index, label in enumerate(OTHERS[:3])]
        ladders.append(climbed(task, OTHERS[3], [0.95] * 6, steps="-"))
    return ladders


def _boxes(canvas, labels):
    """Boxes of the texts that are not empty, pixels."""
    renderer = canvas.canvas.get_renderer()
    return [label.get_window_extent(renderer) for label in labels if label.get_text()]


def _apart(boxes):
    return not any(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])


@pytest.fixture
def on_canvas():
    """Give a figure a canvas that can measure texts, and lay it out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def lay_out(figure):
        FigureCanvasAgg(figure).draw()
        return figure

    return lay_out


def test_thirteen_methods_on_two_tasks_have_names_that_cover_nothing(on_canvas):
    figure = on_canvas(draw(_many(), GOALS))
    curves, strips = figure.axes[:2], figure.axes[2:]
    assert [axes.get_title() for axes in curves] == ["Curved-k2-v0", "LowRank-k3-v0"]
    names = [label.get_text() for label in strips[0].get_yticklabels()]
    assert names[0] == "ResNet, Lt = 0"
    assert names[8:10] == ["FullyConnected", "DirectionalRegression"]
    assert len(names) == 13
    for axes in figure.axes:
        assert _apart(_boxes(figure, axes.get_xticklabels()))
        assert _apart(_boxes(figure, axes.get_yticklabels()))
    titles = _boxes(figure, [axes.title for axes in curves] + [axes._left_title for axes in strips])
    assert _apart(titles)
    assert strips[0].get_xlim() == curves[0].get_xlim()  # a threshold stands below its crossing


def test_the_strip_marks_each_threshold_and_the_ladders_that_end_before(on_canvas):
    ladders = [
        climbed(at=100),
        climbed(method="Never-v0", errors=[0.95] * 6),
        climbed(method="Soon-v0", errors=[0.1] * 6),
    ]
    strip = draw(ladders, [ERROR]).axes[1]
    marks = {line.get_marker(): float(line.get_xdata()[0]) for line in strip.lines}
    assert marks["o"] == pytest.approx(100, rel=1e-6)
    assert (marks[">"], marks["<"]) == (800, 25)


def test_one_task_has_a_panel_for_each_metric_that_was_measured():
    assert len(draw([climbed(at=100)], GOALS).axes) == 6
    assert len(draw([climbed(at=100, metrics=("error",))], GOALS).axes) == 2
    assert len(draw([climbed(at=100, metrics=("error",))], GOALS[1:]).axes) == 2  # an empty panel, no crash


def test_equal_ladders_give_equal_files():
    single = climbed(at=100, spread=np.zeros(1))  # runs without an interval
    once, twice = (encode_figure(draw([single], [ERROR]), "svg") for _ in range(2))
    assert once == twice


def test_an_axis_that_begins_at_zero_is_not_logarithmic():
    values, errors = (0, 0.5, 1.0, 2.0), [0.1, 0.3, 0.6, 0.9]
    noisy = climbed(method="ResNet-v0", errors=errors, values=values, axis="noise")
    curves, strip = draw([noisy], [ERROR]).axes
    assert curves.get_xscale() == "linear"
    assert strip.get_xlabel() == "noise"
    assert "noise up to which the error is at most 0.5" in strip._left_title.get_text()
    assert draw_depths([noisy], [ERROR]).axes[0].get_yscale() == "linear"


def test_networks_darken_with_effective_depth_and_others_are_grey():
    looks = method_looks(_many(["LowRank-k3-v0"]))
    names = list(looks)
    assert [name for name, _ in names[:9]] == list(LABELS)
    light = [sum(looks[name].colour[:3]) for name in names[:8]]
    assert light == sorted(light, reverse=True)
    assert looks["FullyConnected-v0", "uniform"].colour == BLACK
    assert all(looks[name].colour == GREY for name in names[9:])
    assert len({(looks[name].marker, looks[name].line) for name in names[9:]}) == 4
    twice = [climbed(at=100), climbed(steps="adaptive", at=90), climbed(method="LeakyResNet-v0[depth=9]", at=80)]
    looks = list(method_looks(twice).values())
    assert len({(look.marker, look.line) for look in looks}) == 3
    assert {look.name for look in looks} == {
        "LeakyResNet, Lt = 7 uniform", "LeakyResNet, Lt = 7 adaptive", "LeakyResNet, Lt = 7, depth = 9 uniform",
    }  # fmt: skip
    assert method_name("mine/Own-v3[width=5]") == "Own, width = 5"


def test_thresholds_over_effective_depth_have_a_line_a_task(on_canvas):
    figure = on_canvas(draw_depths(_many(), GOALS[:2]))
    assert [axes.get_title() for axes in figure.axes] == ["error at most 0.5", "alignment at least 0.5"]
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["0", "1", "3", "5", "7", "10", "15", "18", "fully\nconnected"]
    assert _apart(_boxes(figure, figure.axes[0].get_xticklabels()))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Curved-k2-v0", "LowRank-k3-v0", "outside the ladder"]
    with pytest.raises(UsageError, match="effective depth needs ladders of"):
        draw_depths([climbed(method="Ridge-v0", steps="-", at=100)], GOALS)
    with pytest.raises(UsageError, match="effective depth needs ladders of"):
        draw_depths([climbed(at=100)], GOALS, in_parameters=True)  # of an unknown rank


def test_thresholds_in_linear_parameters_are_divided_by_them():
    sized = [climbed(method=label, at=200, parameters=50) for label in LABELS]
    axes = draw_depths(sized, [ERROR], in_parameters=True).axes[0]
    assert axes.get_ylabel() == "training samples N / k(d_in + d_out - k)"
    heights = [float(line.get_ydata()[0]) for line in axes.lines if len(line.get_ydata()) == 1]
    assert heights == pytest.approx([4.0] * len(LABELS), rel=1e-6)


def test_networks_with_other_settings_have_lines_of_their_own():
    tried = [climbed(at=100), climbed(method="LeakyResNet-v0[depth=9,effective_depth=3.0]", at=150)]
    tried += [climbed(at=100, steps="adaptive"), climbed(method="FullyConnected-v0", at=90)]
    assert [(line.name, list(line.ladders)) for line in depth_lines(tried)] == [
        ("LowRank-k3-v0", [7.0, float("inf")]),
        ("LowRank-k3-v0, adaptive", [7.0]),
        ("LowRank-k3-v0, depth=9", [3.0]),
    ]


def test_growth_shows_the_exponent_and_the_known_rates(on_canvas):
    grown = [climbed(f"LowRank-k3-v0[d={d}]", at=5 * d, parameters=3 * (2 * d - 3)) for d in (10, 20, 40)]
    grown.append(climbed("LowRank-k3-v0[d=160]", errors=[0.95] * 6, parameters=3 * 317))
    figure = on_canvas(draw_growths(grown, "d", Goal(metric="error")))
    (axes,) = figure.axes
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown[0].startswith("LeakyResNet, Lt = 7: 1.00 (")
    assert shown[1] == "known rate: 1"
    assert shown[2].startswith("linear parameters: 1.0")
    assert [float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "^"] == pytest.approx([800.0])
    assert _apart([axes.get_legend().get_window_extent(), *_boxes(figure, [axes.xaxis.label])])
    with pytest.raises(UsageError, match="growth with 'k' needs ladders"):
        draw_growths(grown, "k", Goal(metric="error"))
