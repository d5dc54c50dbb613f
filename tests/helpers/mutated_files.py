"""Hypothesis strategies of hostile files, in their common parts: what a ``Mutation`` is, changed records and bytes."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from leakybench.record import RunSpec
from leakybench.specs import digest
from leakybench.store import Store, encode_arrays, seal
from tests.helpers.hostile import RAW, TEXTS, VALUES
from tests.helpers.records import record

VICTIM = 1
"""Seed of the run whose files are changed."""

SEEDS = (0, VICTIM, 2)


@dataclass(frozen=True)
class Mutation:
    """A changed file.

    Attributes:
        name: what was changed.
        kind: ``json`` or ``npz`` (files of a run), or ``zip`` (a pack).
        data: bytes of the changed file; None for what is no regular file, see ``SPECIAL``.
    """

    name: str
    kind: str
    data: bytes | None

    def __repr__(self) -> str:
        return f"Mutation({self.kind}: {self.name[:200]})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # for hypothesis, which would print all bytes

    def place(self, path: Path) -> None:
        """Put the changed file at ``path``, in place of what is there."""
        _remove(path)
        if self.data is None:
            SPECIAL[self.name](path)
        else:
            path.write_bytes(self.data)

    def apply(self, folder: Path, seed: int = VICTIM) -> Path:
        """Put the changed file in the place of that of one run in a store, and return its path."""
        path = Store(folder).path(record(seed).run_id, self.kind)
        self.place(path)
        return path


def make_store(folder: Path) -> Path:
    """Write three sound runs with arrays into ``folder``, where they are not yet, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS:
        for kind, data in sound_files(seed).items():
            path = folder / f"{record(seed).run_id}.{kind}"
            _remove(path)
            path.write_bytes(data)
    return folder


@cache
def sound_files(seed: int = VICTIM) -> dict[str, bytes]:
    """The two files of a sound run, by kind."""
    arrays = encode_arrays({"spectra": np.arange(12.0).reshape(3, 4), "rho": np.ones(4, dtype=np.float32)})
    provenance = dict.fromkeys(("created", "processor", "system", "python", "torch", "numpy"), "Test")
    whole = record(seed, provenance=provenance | {"cores": 2, "commit": "0" * 40})
    return {"json": seal(whole, arrays).to_json().encode(), "npz": arrays}


# -- records ---------------------------------------------------------------------------------------------------------


@st.composite
def changed_values(draw: st.DrawFn) -> Mutation:
    """A record with one value replaced, removed, added or copied to another place."""
    data = json.loads(sound_files()["json"])
    name = draw(st.sampled_from(["replace", "replace", "remove", "add", "swap"]))
    path = draw(st.sampled_from(paths(data)))
    parent, key = at(data, path[:-1]), path[-1]
    what = f"{name} {'.'.join(map(str, path))}"
    if name == "remove":
        del parent[key]
    elif name == "swap":
        other = draw(st.sampled_from(paths(data)))
        parent[key] = json.loads(json.dumps(at(data, other)))
        what += f" with {'.'.join(map(str, other))}"
    else:
        value = draw(VALUES)
        what += f" := {str(value)[:60]!r}"
        if name == "add" and isinstance(parent, dict):
            parent[draw(st.sampled_from(TEXTS) | st.text(max_size=10))] = value
        else:
            parent[key] = value
    fits = draw(st.booleans())
    text = dump(_sealed(data) if fits else data)
    if draw(st.integers(0, 9)) == 0:
        text = text[:-1] + ', "test_error": 0.0' + text[-1:]
        what += " and test_error twice"
    return Mutation(f"{what}{', hashes fit' if fits else ''}", "json", text.encode("utf-8", "surrogatepass"))


def paths(data: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in JSON data."""
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(data, dict):
        items = sorted(data.items())
    elif isinstance(data, list):
        items = list(enumerate(data))
    return [path for key, value in items for path in [(*prefix, key), *paths(value, (*prefix, key))]]


def at(data: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        data = data[key]
    return data


def _sealed(data: dict[str, Any]) -> dict[str, Any]:
    """The data with run id and hash made anew, as somebody would who changes a record on purpose."""
    try:
        data["run_id"] = RunSpec.from_dict(data["run"]).run_id
        data["provenance"].pop("integrity", None)
        arrays = json.loads(sound_files()["json"])["provenance"]["integrity"]["arrays"]
        data["provenance"]["integrity"] = {"record": digest(data, length=64), "arrays": arrays}
    except Exception:  # what cannot be sealed stays unsealed
        pass
    return data


def dump(data: Any) -> str:
    """JSON, with texts that begin with ``RAW`` written as they are."""
    text = json.dumps(data)
    while (start := text.find(f'"{RAW}')) >= 0:
        literal, end = json.JSONDecoder().raw_decode(text, start)
        text = text[:start] + literal.removeprefix(RAW) + text[end:]
    return text


# -- bytes and files of any kind -------------------------------------------------------------------------------------


@st.composite
def changed_bytes(draw: st.DrawFn, kind: str, sound: bytes) -> Mutation:
    """Bytes cut, overwritten, packed or replaced as a whole."""
    place = draw(st.integers(0, len(sound) - 1))
    some = draw(st.binary(min_size=1, max_size=12))
    changed = {
        "cut": sound[:place],
        "overwritten": sound[:place] + some + sound[place + len(some) :],
        "inserted": sound[:place] + some + sound[place:],
        "bit": sound[:place] + bytes([sound[place] ^ 1 << draw(st.integers(0, 7))]) + sound[place + 1 :],
        "removed": sound[:place] + sound[place + len(some) :],
        "twice": sound + sound,
        "empty": b"",
        "zeros": bytes(len(sound)),
        "anything": draw(st.binary(max_size=200)),
        "utf-16": sound.decode("latin-1").encode("utf-16"),
        "byte-order mark": b"\xef\xbb\xbf" + sound,
        "gzip": gzip.compress(sound),
        "conflict markers": b"<<<<<<< HEAD\n" + sound + b"=======\n" + sound + b">>>>>>> other\n",
        "padded": b" " * 2**20 + sound,
        "deep": b"[" * 100_000,
        "the record": sound_files()["json"],
        "the arrays": sound_files()["npz"],
    }
    name = draw(st.sampled_from(sorted(changed)))
    return Mutation(f"bytes {name} at {place}", kind, changed[name])


def special_files(kind: str) -> st.SearchStrategy[Mutation]:
    """What is no plain file, and a sparse one."""
    return st.sampled_from(sorted(SPECIAL)).map(lambda name: Mutation(name, kind, None))


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**32 + 1)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "FIFO": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to the parent": lambda path: path.symlink_to("."),
    "sparse 4 GiB": _sparse,
}
"""Makers of what stands in the place of a file."""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
