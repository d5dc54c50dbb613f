"""The escaping of each way out, over random texts, read back by independent readers."""

from __future__ import annotations

import csv
import html
import io
import json
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tabulate import tabulate

from leakybench.analysis.frame import number_or_none
from leakybench.commands.export import encode_frame
from leakybench.report import text
from leakybench.report.layout import layout_cells, layout_notes
from leakybench.specs import natural_key
from tests.helpers.hostile import TEXTS
from tests.helpers.nasty import NASTY

ODD = st.text(st.characters(), max_size=30) | st.sampled_from([line[:200] for line in (*TEXTS, *NASTY)])
MARKS = st.text(st.sampled_from("\\`*_{}[]<>|#~$&@!-=+.:/()^%\"' ab1\n\t\r"), max_size=12)


@given(ODD)
def test_clean_text_prints_and_stays_clean(line):
    shown = text.clean(line)
    assert shown.isprintable()
    assert text.clean(shown) == shown
    shown.encode()
    if line.isprintable():
        assert shown == line


@given(ODD, st.integers(5, 50))
def test_a_limit_cuts_before_escaping(line, limit):
    assert len(text.clean(line, limit)) <= 10 * limit  # an escape has at most 10 characters


@given(ODD | MARKS)
def test_markdown_shows_the_text_as_text(line):
    markdown_it = pytest.importorskip("markdown_it")
    shown = text.markdown(line)
    rendered = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"]).renderInline(shown)
    assert re.findall(r"<(?!!-- -->)[^>]*>", rendered) == []
    read = html.unescape(rendered.replace("<!-- -->", ""))
    assert read.strip() == text.clean(line).strip()
    assert not re.search(r"@[A-Za-z0-9]|#\d", shown)


@given(st.lists(ODD | MARKS, min_size=2, max_size=2))
def test_markdown_keeps_a_cell_in_its_column(cells):
    markdown_it = pytest.importorskip("markdown_it")
    table = layout_cells(["a", "b"], [[text.escape(cell, "github") for cell in cells]], "github")
    rendered = markdown_it.MarkdownIt("commonmark").enable("table").render(table)
    assert rendered.count("<td>") == 2
    assert rendered.count("<tr>") == 2


@given(ODD | MARKS)
def test_latex_has_no_command_but_those_of_the_table(line):
    table = layout_cells(["x"], [[text.escape(line, "latex")]], "latex")
    allowed = {"begin", "end", "toprule", "midrule", "bottomrule", "textbackslash", "textasciitilde", "ensuremath"}
    assert set(re.findall(r"\\([a-zA-Z]+)", table)) <= allowed
    assert len(table.splitlines()) == len(tabulate([["x"]], headers=["x"], tablefmt="latex_booktabs").splitlines())
    body = table.splitlines()[4].removesuffix("\\\\")
    assert not re.search(r"(?<!\\)[%&$#_]", body)
    for note in layout_notes([line, "end"], "latex").strip("\n").split("\n"):
        assert note.startswith("% ")


@given(ODD | MARKS)
def test_a_csv_cell_is_read_back_and_never_computed(line):
    frame = pd.DataFrame({"x": pd.Series([line], dtype=object), "y": [-1.5]})
    header, row = csv.reader(io.StringIO(encode_frame(frame, "csv").decode(), newline=""))
    assert header == ["x", "y"]
    assert row[1] == "-1.5"  # numbers stay numbers
    assert row[0] == "-" or row[0].lstrip()[:1] not in tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
    if line.isprintable():
        assert row[0] in (line, f"'{line}")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1", "'=1"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"), ("\t=1", "'\\t=1"), ("\r1", "'\\r1"),
        (" =1", "' =1"), ("\uff1d1", "'\uff1d1"), ("-", "-"), ("", ""), ("a=1", "a=1"), ("a\nb", "a\nb"),
        ("\x1b", "\\x1b"), (-1, -1), (None, None),
    ],
)  # fmt: skip
def test_csv_text(value, written):
    assert text.csv_text(value) == written


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_json_is_strict(value):
    def refuse(constant):
        raise AssertionError(constant)

    read = json.loads(text.to_json(value), parse_constant=refuse)
    json.dumps(read, ensure_ascii=False).encode()


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.floats() | ODD | st.none(), min_size=1, max_size=4))
def test_a_frame_of_anything_can_be_exported(row):
    frame = pd.DataFrame({str(name): pd.Series([value, None], dtype=object) for name, value in row.items()})
    for form in ("csv", "json"):
        encode_frame(frame, form).decode()


@given(ODD)
def test_html_is_text_in_an_element_and_an_attribute(line):
    shown = text.html(line)
    assert not set(shown) & set("<>\"'")
    assert html.unescape(shown) == text.clean(line)


@given(st.floats(min_value=0, allow_nan=False))
def test_a_number_beyond_measure_has_a_mark(value):
    for shown in (text.error_text(value), text.signed_text(value), text.share_text(value)):
        assert shown.endswith(text.DOUBT) == (value > text.LARGEST)
    assert text.seconds_text(value).endswith(text.DOUBT) == (value > text.MAX_SECONDS)


def test_infinity_is_marked_and_nan_is_missing():
    for show in (text.error_text, text.signed_text, text.share_text, text.seconds_text):
        assert show(float("inf")).endswith("inf ?")
        assert show(float("-inf")).endswith("inf ?")
        assert show(float("nan")) == text.MISSING
    assert text.rank_text(2 * 10**9, 1, 2 * 10**9).endswith(" ?")
    assert text.whole_text(10**400).endswith(" ?")


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf"), True, "1", None, [1]])
def test_what_is_no_finite_number_is_missing(value):
    assert number_or_none(value) is None


@given(st.lists(st.text(st.sampled_from("ab01234-"), max_size=8), max_size=6))
def test_labels_sort_as_their_numbers_do(labels):
    def key(label):
        return [
            (part.isdecimal(), int(part) if part.isdecimal() else part) for part in re.split(r"(\d+)", label) if part
        ]

    assert list(map(key, sorted(labels, key=natural_key))) == sorted(map(key, labels))


def test_labels_of_many_digits_sort():
    assert sorted(["x" + "9" * 5000, "x10", "x9"], key=natural_key) == ["x9", "x10", "x" + "9" * 5000]
