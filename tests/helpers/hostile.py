"""Values, headers and names that programs stumble over, for ``tests.helpers.mutations``."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

RAW = "raw:"
"""Prefix of a text that stands for JSON which ``json.dumps`` would not write."""

TEXTS = (
    "",
    "\ud800",
    "a\udfffb",
    "\x00",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "a\nb",
    "a\r\nb",
    "\u2028",
    "=1+1",
    "@SUM(A1)",
    "-1",
    "+1",
    "| a | b |",
    "<script>alert(1)</script>",
    "\\input{x}",
    "&amp;",
    "../../etc/passwd",
    "os:system",
    "nan",
    "e\u0301" * 50,
    "x" * 100_000,
    "\U0001f600",
    "%s%n",
    "{0}",
    "'\"`$(id)",
    "1e999",
)

NUMBERS = (
    f"{RAW}1{'0' * 400}",
    f"{RAW}-1{'0' * 400}",
    f"{RAW}1{'0' * 5000}",
    f"{RAW}Infinity",
    f"{RAW}-Infinity",
    f"{RAW}NaN",
    f"{RAW}1e999",
    1e308,
    -1e308,
    1e200,
    5e-324,
    -0.0,
    0,
    -5,
    -5.0,
    1.5,
    10**9,
    2**31,
    2**63,
    2**64,
    -(2**63) - 1,
    10**25,
)

SHAPES = (
    f"{RAW}{'[' * 500}{']' * 500}",
    f"{RAW}{'[' * 100_000}{']' * 100_000}",
    RAW + '{"a":' * 500 + "1" + "}" * 500,
    f"{RAW}[{','.join(['0'] * 50_000)}]",
    {str(n): n for n in range(2000)},
    [],
    {},
    [[]],
    [None],
    {"": None},
    None,
    True,
    False,
    [1, "a", None, {}],
    {"device": []},
    {"\ud800": 1},
)

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.sampled_from(SHAPES),
    st.text(max_size=20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
)


def npy(descr: str = "'<f8'", shape: str = "(2,)", body: bytes = bytes(16), version: int = 1, more: str = "") -> bytes:
    """The bytes of an .npy file with any header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {more}}}".encode("latin-1", "replace")
    length = struct.pack("<H" if version == 1 else "<I", len(header) & (0xFFFF if version == 1 else 0xFFFFFFFF))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + body


HEADERS = {
    "shape 10**25": npy(shape="(" + "1" + "0" * 25 + ",)"),
    "shape 10**400": npy(shape="(" + "1" + "0" * 400 + ",)"),
    "shape 2**40": npy(shape="(1099511627776,)"),
    "shape 2**28": npy(shape="(268435456,)"),
    "shape (2**32, 2**32)": npy(shape="(4294967296, 4294967296)"),
    "negative shape": npy(shape="(-2,)"),
    "shape with 0 and 10**25": npy(shape="(0, 10000000000000000000000000)"),
    "shape of floats": npy(shape="(2.0,)"),
    "shape of booleans": npy(shape="(True, 2)"),
    "shape a number": npy(shape="2"),
    "70 axes": npy(shape="(" + "1," * 70 + ")", body=bytes(8)),
    "objects": npy(descr="'|O'", body=b"cos\nmkdir\n(Vunpickled\ntR."),
    "text": npy(descr="'<U2'"),
    "wide text": npy(descr="'<U99999999'"),
    "bytes": npy(descr="'|S8'"),
    "void": npy(descr="'|V8'"),
    "dates": npy(descr="'<M8[ns]'"),
    "records": npy(descr="[('a', '<f8')]"),
    "records of objects": npy(descr="[('a', '|O')]"),
    "shaped items": npy(descr="('<f8', (1000000, 1000000))"),
    "complex": npy(descr="'<c16'", shape="(1,)"),
    "big-endian": npy(descr="'>f8'"),
    "half": npy(descr="'<f2'", shape="(8,)"),
    "nonsense dtype": npy(descr="'zz'"),
    "a call": npy(shape="__import__('os').getcwd()"),
    "nested header": npy(shape="(" * 300 + ")" * 300),
    "more in the header": npy(more="'more': 1, "),
    "version 2": npy(version=2),
    "version 3": npy(version=3),
    "version 9": npy(version=9),
    "long header": npy(version=2, more="'more': '" + "x" * 100_000 + "', "),
    "too little data": npy(body=bytes(8)),
    "too much data": npy(body=bytes(64)),
    "not finite": npy(body=struct.pack("<2d", float("nan"), float("inf"))),
    "no header": b"\x93NUMPY\x01\x00",
    "no array": b"not an array",
    "empty": b"",
}

MEMBER_NAMES = (
    "spectra.npy",
    "rho.npy",
    "../x.npy",
    "/etc/x.npy",
    "",
    ".npy",
    "x.txt",
    "a/b.npy",
    "a" * 60_000 + ".npy",
    "\x1b[2J.npy",
    "\u202ex.npy",
    "x\n.npy",
    "con.npy",
    "spectra",
    "file.npy",
    "allow_pickle.npy",
)
