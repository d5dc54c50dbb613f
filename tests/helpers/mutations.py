"""Hypothesis strategies of hostile files: a sound record, .npz file or pack with one thing changed.

A ``Mutation`` says what was changed and puts the changed file in its place. ``make_store`` writes the sound files that
it is changed from, so that a test sees one bad file beside good ones::

    @given(mutations())
    def test_a_command(mutation):
        folder = make_store(tmp / "runs")
        mutation.apply(folder)  # changes a file of one run; those of the others stay sound
        main(["table", "--results", str(folder)])

    @given(mutated_packs())
    def test_validation(mutation):
        mutation.place(tmp / "pack.zip")
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import warnings
import zipfile
from collections.abc import Sequence
from functools import cache

from hypothesis import strategies as st

from leakybench.packs.pack import MANIFEST, make_manifest
from leakybench.specs import digest
from tests.helpers.hostile import HEADERS, MEMBER_NAMES, VALUES, npy
from tests.helpers.mutated_files import (
    SEEDS,
    VICTIM,
    Mutation,
    at,
    changed_bytes,
    changed_values,
    dump,
    make_store,
    paths,
    sound_files,
    special_files,
)
from tests.helpers.records import record

__all__ = ["Mutation", "make_store", "mutated_arrays", "mutated_packs", "mutated_records", "mutations", "sound_pack"]


def mutations() -> st.SearchStrategy[Mutation]:
    """A changed record or a changed .npz file of a stored run."""
    return mutated_records() | mutated_arrays()


def mutated_records() -> st.SearchStrategy[Mutation]:
    """A record with a value, a name, its structure or its bytes changed, its hashes made to fit or not."""
    sound = sound_files()["json"]
    return st.one_of(changed_values(), changed_values(), changed_bytes("json", sound), special_files("json"))


# -- arrays ----------------------------------------------------------------------------------------------------------


def mutated_arrays() -> st.SearchStrategy[Mutation]:
    """An .npz file with a header, a member or its bytes changed, or something else in its place."""
    return st.one_of(
        _changed_members(), _changed_zips("npz"), changed_bytes("npz", sound_files()["npz"]), special_files("npz")
    )


@st.composite
def _changed_members(draw: st.DrawFn) -> Mutation:
    header = draw(st.sampled_from(sorted(HEADERS)))
    if draw(st.integers(0, 5)) == 0:
        return Mutation(f"an .npy in its place, {header}", "npz", HEADERS[header])
    name = draw(st.sampled_from(MEMBER_NAMES))
    packed = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2]))
    return Mutation(f"member {name[:40]!r}, {header}", "npz", _zip({name: HEADERS[header]}, packed))


def _zip(members: dict[str, bytes] | list[tuple[str, bytes]], packed: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    pairs = list(members.items()) if isinstance(members, dict) else members
    with zipfile.ZipFile(buffer, "w", compression=packed) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, data in pairs:
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data, packed)
    return buffer.getvalue()


@cache
def _bomb(name: str) -> bytes:
    """A zip file whose one member unpacks to 400 MiB of zeros, written piece by piece."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        member.write(npy(descr="'|u1'", shape=f"({400 * 2**20},)", body=b""))
        for _ in range(400):
            member.write(bytes(2**20))
    return buffer.getvalue()


@st.composite
def _changed_zips(draw: st.DrawFn, kind: str) -> Mutation:
    """A zip file whose directory lies, or that unpacks to much."""
    if kind == "zip":
        members = {MANIFEST: _manifest(_pack_files()), **_pack_files()}
        first = f"records/{record(VICTIM).run_id}.json"
    else:
        members, first = {"spectra.npy": npy(), "rho.npy": npy()}, "spectra.npy"
    sound = _zip(members, zipfile.ZIP_DEFLATED)
    local, entry = sound.find(b"PK\x03\x04"), sound.find(b"PK\x01\x02")
    size = draw(st.sampled_from([0, 1, 2**20, 2**30, 2**32 - 2, 2**32 - 1]))
    flag, method = draw(st.sampled_from([0x1, 0x8, 0x20, 0x40])), draw(st.integers(0, 255))
    changed = {
        "flag": _patched(sound, {local + 6: [flag], entry + 8: [flag]}),
        "method": _patched(sound, {local + 8: [method], entry + 10: [method]}),
        "crc": _patched(sound, {entry + 16: [0xFF]}),
        "size": _patched(sound, {entry + draw(st.sampled_from([20, 24, 42])): struct.pack("<I", size)}),
        "link": _patched(sound, {entry + 38: struct.pack("<I", 0o120777 << 16)}),
        "deflate": _patched(sound, {local + 30 + len(members) + 20: [0xFF] * 12}),
        "comment": sound[:-2] + struct.pack("<H", 60_000) + b"x" * 60_000,
        "twice": _zip([*members.items(), *members.items()], zipfile.ZIP_DEFLATED),
        "bomb": _bomb(first),
        "many": _many(),
    }
    name = draw(st.sampled_from(sorted(changed)))
    return Mutation(f"zip {name}", kind, changed[name])


def _patched(data: bytes, patches: dict[int, Sequence[int]]) -> bytes:
    changed = bytearray(data)
    for offset, values in patches.items():
        changed[offset : offset + len(values)] = bytes(values)
    return bytes(changed)


@cache
def _many() -> bytes:
    return _zip({f"a{number}.npy": b"" for number in range(20_000)})


# -- packs -----------------------------------------------------------------------------------------------------------


@cache
def _pack_files() -> dict[str, bytes]:
    return {f"records/{record(seed).run_id}.{kind}": data for seed in SEEDS for kind, data in sound_files(seed).items()}


def _manifest(files: dict[str, bytes]) -> bytes:
    return json.dumps(make_manifest(files)).encode()


@cache
def sound_pack() -> bytes:
    """The bytes of a pack of the three sound runs."""
    return _zip({MANIFEST: _manifest(_pack_files()), **_pack_files()}, zipfile.ZIP_DEFLATED)


def mutated_packs() -> st.SearchStrategy[Mutation]:
    """A pack with its manifest, a member, the zip directory or its bytes changed, or something else in its place."""
    return st.one_of(
        _packs_with_a_changed_file(), _changed_manifests(), _changed_zips("zip"), changed_bytes("zip", sound_pack()),
        special_files("zip"), _packs_with_names(),
    )  # fmt: skip


@st.composite
def _packs_with_a_changed_file(draw: st.DrawFn) -> Mutation:
    """A pack whose manifest fits, while a record or its arrays are what the other strategies make of them."""
    inner = draw(changed_values() | _changed_members() | _changed_zips("npz"))
    assert inner.data is not None
    files = _pack_files() | {f"records/{record(VICTIM).run_id}.{inner.kind}": inner.data}
    return Mutation(
        f"with {inner.kind} {inner.name}",
        "zip",
        _zip({MANIFEST: _manifest(files), **files}, zipfile.ZIP_DEFLATED),
    )


@st.composite
def _changed_manifests(draw: st.DrawFn) -> Mutation:
    manifest = json.loads(_manifest(_pack_files()))
    path = draw(st.sampled_from(paths(manifest)))
    value = draw(VALUES)
    at(manifest, path[:-1])[path[-1]] = value
    if draw(st.booleans()):
        content = {key: item for key, item in manifest.items() if key != "digest"}
        with contextlib.suppress(ValueError, RecursionError):
            manifest["digest"] = digest(content, length=64)
    text = dump(manifest).encode("utf-8", "surrogatepass")
    name = f"manifest {'.'.join(path)[:60]} := {str(value)[:60]!r}"
    return Mutation(name, "zip", _zip({MANIFEST: text, **_pack_files()}, zipfile.ZIP_DEFLATED))


@st.composite
def _packs_with_names(draw: st.DrawFn) -> Mutation:
    name = draw(st.sampled_from([*MEMBER_NAMES[:-1], "records/", "records/../x.json", "records/" + "A" * 24 + ".json"]))
    files = _pack_files() | {name: b"{}"}
    if draw(st.booleans()):
        files.pop(draw(st.sampled_from(sorted(_pack_files()))))
    members = files if draw(st.integers(0, 4)) == 0 else {MANIFEST: _manifest(files), **files}
    return Mutation(f"with a member {name[:40]!r}", "zip", _zip(members, zipfile.ZIP_DEFLATED))
