"""Text of numbers and names, the same in every table, page and terminal, and the escaping for each way out.

Names, messages and notes come from records that anybody may have written. They stay as they are inside the package, and
are made harmless where they leave it: by ``escape`` for terminals, Markdown and LaTeX, by ``html``, ``csv_text`` and
``to_json``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from html import escape as escape_html
from typing import Any

MISSING = "-"
DOUBT = " ?"
"""Behind a number that must not be trusted; ``DOUBT_NOTE`` says why."""
LARGEST = 1e6
"""Largest size of a number in a table that is shown without a mark: errors, ranks, alignments and ratios beyond it come
from a model that blew up, or from nowhere."""
MAX_SECONDS = 1e9
"""Largest time that is shown without a mark, 30 years."""
LARGEST_SHOWN = 1e15
"""Largest size without a mark of a measure of any unit."""
CHANGED = "changed after it was written: its hash does not fit its content"
DOUBT_NOTE = (
    "? marks a number not to be trusted: of a record that was changed after it was written, or too large to have been "
    "measured."
)
LONGEST = 400
"""Largest number of characters of a cell; the middle of a longer one is left out."""
LONGEST_NOTE = 4000
"""Largest number of characters of a note or of a text on the page."""


def doubtful(value: float, largest: float = LARGEST) -> str:
    """The mark of a number that is beyond ``largest`` or infinite; empty for others."""
    return DOUBT if abs(value) > largest else ""


def marked(shown: str, doubt: bool) -> str:
    """The text of a number with the mark, once, where there is doubt."""
    return shown + DOUBT if doubt and not shown.endswith(DOUBT) else shown


def doubt_notes(body: str) -> list[str]:
    """What the mark means, where a text shows one; empty elsewhere."""
    return [DOUBT_NOTE] if DOUBT in body else []


def error_text(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """``0.231 (0.204-0.258)``: three significant digits of the value, the ends to the same place; ``-`` without one."""
    if value is None or math.isnan(value):
        return MISSING
    if mark := doubtful(value):
        return f"{value:.2e}{mark}"
    places = 3 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    if places > 5 or value >= 1e4:
        return f"{value:.2e}" + ("" if low is None or high is None else f" ({low:.1e} to {high:.1e})")
    text = f"{value:.{places}f}"
    return text if low is None or high is None else f"{text} ({low:.{places}f}-{high:.{places}f})"


def signed_text(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """``-0.012 (-0.020 to -0.004)``: a difference, always with its sign, ends to the place of the first digit of the
    width."""
    if value is None or math.isnan(value):
        return MISSING
    if mark := doubtful(value):
        return f"{value:+.2e}{mark}"
    size = max(abs(x) for x in (value, low, high) if x is not None and math.isfinite(x))
    places = 3 if size == 0 else min(max(0, 2 - math.floor(math.log10(size))), 8)
    text = f"{value:+.{places}f}"
    return text if low is None or high is None else f"{text} ({low:+.{places}f} to {high:+.{places}f})"


def share_text(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """``0.764 (0.741-0.787)``: three decimals, for numbers up to 1; ``to`` between ends of which one is negative."""
    if value is None or math.isnan(value):
        return MISSING
    if low is None or high is None or abs(value) >= 1e4:
        return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.2e}{doubtful(value)}"
    return f"{value:.3f} ({low:.3f}{' to ' if low < 0 else '-'}{high:.3f})"


def seconds_text(value: float | None) -> str:
    """Seconds with three significant digits: ``0.0123``, ``12.3``, ``1230``."""
    if value is None or math.isnan(value):
        return MISSING
    if mark := doubtful(value, MAX_SECONDS):
        return f"{value:.2e}{mark}"
    return (
        f"{value:#.3g}".rstrip(".") if 1e-3 <= abs(value) < 1000 else f"{value:.0f}" if value >= 1 else f"{value:.1g}"
    )


def rank_text(rank: int | None, low: int | None, high: int | None) -> str:
    """``3`` where all runs agree, ``3 (2-4)`` otherwise, ``-`` where no run has a rank."""
    if rank is None:
        return MISSING
    mark = doubtful(max(rank, high or 0))
    return (str(rank) if low == high else f"{rank} ({low}-{high})") + mark


def whole_text(value: int | None) -> str:
    """``3``, or ``-`` without a value."""
    return MISSING if value is None else f"{value}{doubtful(value)}"


def count_text(counts: dict[str, int]) -> str:
    """``5 ok`` or ``4 ok, 1 collapsed``."""
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or MISSING


def clean(text: object, limit: int | None = None) -> str:
    """A text as one line of characters that print and can be encoded.

    Control, direction-changing and invisible characters and lone surrogates, which could forge a row, hide one, drive a
    terminal or end a command, become escapes such as ``\\x1b``.

    Args:
        text: a text, or a value that is shown as one.
        limit: largest number of characters; None for any number.
    """
    line = str(text)
    if limit is not None:
        line = shorten(line, limit)
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else _escaped(char) for char in line)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def markdown(text: object) -> str:
    """Escape a text so that GitHub's Markdown and the HTML within it show it unchanged, and notify nobody."""
    line = clean(text)
    for mark in "\\`*_{}[]|~$#":
        if mark == "*" and line.endswith("*") and line.count("*") == 1:
            continue  # the mark of an imputed mean
        line = line.replace(mark, f"\\{mark}")
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # mentions, and references to issues, are found in the rendered text, where an escape no longer shows
    line = re.sub(r"@(?=[\w/-])", "@<!-- -->", line)
    return re.sub(r"#(?=\d)", "#<!-- -->", line)


def escape(line: object, format: str) -> str:
    """Escape a line or a cell for ``terminal``, ``github`` or ``latex``; the special characters of LaTeX are escaped by
    ``tabulate``, which lays the table out, and its comments have none."""
    return markdown(line) if format == "github" else clean(line)


def html(line: object) -> str:
    """Escape a text for HTML and SVG, within an element or a quoted attribute."""
    return escape_html(clean(line))


def csv_text(value: object) -> object:
    """Make a cell of a CSV file harmless; values other than text are returned as they are.

    A text that a spreadsheet would compute (it begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return, also
    after blanks) gets an apostrophe in front, which spreadsheets take for "this is text"; a lone ``-`` is none. Line
    breaks stay, since they are quoted; other characters that do not print become escapes.
    """
    if not isinstance(value, str):
        return value
    begins = value.lstrip()[:1]
    formula = value != MISSING and (
        value[:1] in ("\t", "\r") or (begins != "" and begins in "=+-@\uff1d\uff0b\uff0d\uff20")
    )
    lines = [clean(line) for line in value.split("\n")]
    return "'" * formula + "\n".join(lines)


def encodable(value: Any) -> Any:
    """Plain JSON values in which every text can be encoded and every number is finite.

    Lone surrogates become escapes, and nan and infinity, which JSON lacks, None.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {encodable(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    return value


def to_json(value: Any, **options: Any) -> str:
    """JSON that every strict reader accepts; ``options`` are those of ``json.dumps``.

    Keys that are None or numbers become text, as ``json.dumps`` makes them.
    """
    return json.dumps(encodable(value), allow_nan=False, **options)


def shorten(text: str, width: int = 60) -> str:
    """At most ``width`` characters, the middle left out, since ids differ at their ends."""
    if len(text) <= width:
        return text
    head = (width - 3) // 2
    return f"{text[:head]}...{text[-(width - 3 - head) :]}"


def natural_text(text: str) -> str:
    """Pad the numbers in a text, so that plain comparison gives the order of ``leakybench.specs.natural_key``."""
    return re.sub(r"\d+", lambda match: match[0].zfill(12), str(text))
