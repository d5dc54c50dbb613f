"""What an output of each format must not hold: characters that a terminal obeys, forged rows, markup, formulas."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

from tests.helpers.nasty import unprintable


def _forged(out: str) -> list[str]:
    """Lines that a text has made: none may begin as a row, a note, a command or an error does."""
    return re.findall(r"(?m)^(?:\| forged|note: forged|\\input).*", out)


def check_terminal(out: str) -> None:
    assert unprintable(out) == []
    forged = _forged(out)
    assert not forged, forged


def check_github(out: str) -> None:
    check_terminal(out)
    tables = [
        list(rows) for is_row, rows in itertools.groupby(out.splitlines(), lambda line: line[:1] == "|") if is_row
    ]
    for rows in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1, rows
    assert tables
    assert re.findall(r"<(?!!-- -->)", out) == []
    assert re.findall(r"[@#](?=octocat|1\b)", out) == []


def check_latex(out: str) -> None:
    check_terminal(out)
    allowed = {"begin", "end", "toprule", "midrule", "bottomrule", "textbackslash", "textasciitilde", "ensuremath"}
    table = [line for line in out.splitlines() if not line.startswith("%")]
    assert set(re.findall(r"\\([a-zA-Z]+)", "\n".join(table))) <= allowed
    assert sum("&" in line for line in table) >= 2
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in table if "&" in line}) == 1


def check_csv(out: str) -> None:
    assert unprintable(out) == []
    header, *rows = csv.reader(io.StringIO(out))
    assert rows
    assert {len(row) for row in rows} == {len(header)}
    for cell in itertools.chain(header, *rows):
        computed = cell[:1] in ("=", "+", "-", "@", "\t", "\r") and cell != "-"
        assert not computed or _is_number(cell), cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def check_json(out: str) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads(out, parse_constant=refuse)
    json.dumps(content, ensure_ascii=False).encode()  # no half characters
    assert unprintable(out) == []


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] += 1
        assert not any(name.startswith("on") for name, _ in attrs), attrs


def tags(page: str) -> Counter[str]:
    parser = _Tags()
    parser.feed(page)
    return parser.counts


def check_html(out: str) -> None:
    assert tags(out)["script"] == 3
    assert "</script><b>" not in out
    assert unprintable(out) == []


def check_svg(out: str) -> None:
    assert {element.tag.rpartition("}")[2] for element in ET.fromstring(out).iter()} <= {
        "svg", "rect", "text", "line", "g", "circle", "path",
    }  # fmt: skip
    assert unprintable(out) == []


CHECKS: dict[str, Callable[[str], None]] = {
    "terminal": check_terminal, "github": check_github, "latex": check_latex, "csv": check_csv, "json": check_json,
    "html": check_html, "svg": check_svg,
}  # fmt: skip
