"""The source version of a run: a hash of all code outside Python that decides its result."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leakybench.provenance.content import Content, is_importable
from leakybench.provenance.data_files import data_files, digest_of
from leakybench.provenance.files import STATED, code_of, file_of, folders_of, forget, is_local, release_of, stamp_of
from leakybench.provenance.host import version_of
from leakybench.provenance.syntax import PACKAGE, Code
from leakybench.registry import baselines, tasks
from leakybench.specs import ID_PATTERN, TUNE, Spec, canonical_json, modules_in
from leakybench.tuning.tuned import is_tuned

RESULT_MODULES = tuple(f"{PACKAGE}.{name}" for name in ("task", "baseline", "seeding", "evaluation", "measures"))
"""Modules of the framework whose code decides what a record says."""

OWN_ROOMS = frozenset({f"{PACKAGE}.tasks", f"{PACKAGE}.baselines"})
"""Code of the package that a plugin may build upon."""

TUNING = f"{PACKAGE}.tuning.tuned"
"""Module whose code, with what it imports of its room, decides the result of a tuned run."""

_KNOWN: dict[tuple[Any, ...], tuple[str, dict[tuple[Path, str], Code], dict[Path, tuple[int, int]]]] = {}
"""Versions by what was asked, with the code and the data files that they were made of."""


def source_of(task: Spec, baseline: Spec, *, modules: Iterable[str] = ()) -> str:
    """Return the source version of one pair of specs, with the overrides of the run merged into their kwargs.

    Besides the modules behind both entry points, code that a setting names (``regressor="my_models:Forest"``) counts:
    by its syntax tree where it is local, by the version of its distribution where it is installed. Of a spec that is
    not the package's own, the name of the class and the registered settings count as well, since nobody checks that
    they stay the same under one id.

    Args:
        task: spec of the task.
        baseline: spec of the baseline.
        modules: further modules whose code counts.
    """
    if TUNE in baseline.kwargs and baseline.id in baselines and is_tuned(baselines.spec(baseline.id), baseline.kwargs):
        modules = (*modules, TUNING)
    entries = set(modules) | {spec.entry_point.split(":")[0] for spec in (task, baseline)}
    named = {name for spec in (task, baseline) for name in modules_in(spec.kwargs)}
    registered = tuple(sorted(filter(None, map(_registration, (task, baseline)))))
    return source_version(*sorted(entries), named=tuple(sorted(named - entries)), also=registered)


def _registration(spec: Spec) -> str:
    """What a spec outside the package says of an id: the name in its entry point and the registered settings."""
    module, attribute = spec.entry_point.split(":")
    registry: Any = tasks if spec.kind == "task" else baselines
    registered = registry.spec(spec.id) if spec.id in registry else None
    if registered is not None and registered.plugin == PACKAGE:
        return ""
    kwargs = {} if registered is None else registered.kwargs
    code = getattr(sys.modules.get(module), attribute, None) if file_of(module) is None else None
    # a class of a notebook lies in no file
    content = "" if code is None or is_importable(code) else Content().digest(code, f"the code of {spec.id}")
    return f"{spec.kind} {attribute} {canonical_json(kwargs)} {content}"


def source_version(*entry_modules: str, named: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> str:
    """Return the version of the code behind a result: that of the distribution and a hash of the modules involved.

    These are the framework's result modules (``RESULT_MODULES``) and the entry modules with all that they import,
    directly or not: the modules of their own package with the ``__init__`` of each folder on the way, and local code
    beside it. The hash is made of syntax trees: comments, docstrings and layout do not count, nor do the names of
    files and of own modules. An import counts as what it brings (the code of the module and the name), so that a
    result keeps its version when code only moves. Compiled modules count by their bytes.

    Of code outside the package, these count besides: what it builds upon in ``leakybench.tasks`` and
    ``leakybench.baselines``, also by a registered id; the version of each installed library that it imports, other
    than ``STATED``; and the data files that it names and reads beside itself (``data_files``). What it reads from
    elsewhere, from the environment, or by a name that is put together when it runs, cannot be seen.

    Args:
        entry_modules: the modules that hold the task and the baseline, as in ``leakybench.baselines.leaky_resnet``.
        named: modules that settings name.
        also: further texts that count.

    Returns:
        ``<version of the distribution>+<12 hexadecimal digits>``.
    """
    key = entry_modules, named, also
    if (known := _KNOWN.get(key)) is not None and _is_current(*known[1:]):
        return known[0]
    files = {path: name for name in RESULT_MODULES for path in _package(name)}
    installed, foreign = [], _Reach()
    for name in (*entry_modules, *named):
        if name in named and (release := release_of(name)):
            installed.append(release)
        else:
            files = {**_closure(name, foreign), **files}
    digests = sorted(filter(None, (_digest(path, files) for path in files)))
    lines = [*digests, *installed, *foreign.lines(), *also]
    hasher = hashlib.sha256("\n".join(lines).encode())
    version = f"{version_of(PACKAGE) or '0'}+{hasher.hexdigest()[:12]}"
    codes = {(path, name): code_of(path, name) for path, name in files.items()}
    _KNOWN[key] = version, codes, {path: stamp_of(path) for path in foreign.data.values()}
    return version


def _is_current(codes: Mapping[tuple[Path, str], Code], data: Mapping[Path, tuple[int, int]]) -> bool:
    """Whether code and data files are still those that a version was made of."""
    same_code = all(code_of(path, name) is code for (path, name), code in codes.items())
    return same_code and all(stamp_of(path) == stamp for path, stamp in data.items())


def forget_sources() -> None:
    """Forget what was read of files, so that the next version is that of their present content."""
    _KNOWN.clear()
    forget()


@dataclass
class _Reach:
    """What code outside the package stands on, beside its own files.

    Attributes:
        releases: ``name==version`` of the installed libraries that it imports.
        data: path of each data file that it names.
    """

    releases: set[str] = field(default_factory=set)
    data: dict[str, Path] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What of this counts for the version, in a fixed order."""
        return [*sorted(self.releases), *(f"{name} {digest_of(path)}" for name, path in sorted(self.data.items()))]


def _closure(module: str, foreign: _Reach | None = None) -> dict[Path, str]:
    """The files of a module and of all that it imports, as far as ``_follows`` goes, with the module of each."""
    files: dict[Path, str] = {}
    seen: set[tuple[str, bool]] = set()
    waiting = [(module, True)]
    while waiting:
        name, called = waiting.pop()
        if (name, called) in seen:
            continue
        seen.add((name, called))
        origin = file_of(name)
        if origin is not None:
            files.setdefault(origin, name)
            code = code_of(origin, files[origin])
            imported = [target for found in code.imports if called or not found.late for target in found.targets]
            if name.split(".")[0] != PACKAGE:
                imported += _built_upon(code)
                if foreign is not None:
                    _note(name, origin, imported, foreign)
            waiting += [(target, True) for target in imported if _follows(target, module)]
        if (parent := name.rpartition(".")[0]) and _follows(parent, module):
            waiting.append((parent, False))  # importing a module runs the __init__ of its packages
    return files


def _note(name: str, origin: Path, imported: list[str], foreign: _Reach) -> None:
    """Add the libraries and data files of one module outside the package."""
    top = name.split(".")[0]
    for library in {target.split(".")[0] for target in imported} - STATED - sys.stdlib_module_names - {PACKAGE, top}:
        if (release := release_of(library)) is not None:
            foreign.releases.add(release)
    folder = next(iter(folders_of(top)), None) if top != "__main__" else None
    for text, path in data_files(origin, code_of(origin, name), folder):
        foreign.data[f"{name} {text}"] = path


def _built_upon(code: Code) -> Iterator[str]:
    """Modules of the registered ids that a code names, as in ``make_baseline("LeakyResNet-v0")``."""
    for word in code.words:
        if ID_PATTERN.fullmatch(word):
            for registry in (tasks, baselines):
                if word in registry:
                    yield registry.spec(word).entry_point.split(":")[0]


def _follows(name: str, entry: str) -> bool:
    """Whether the code of module ``name`` counts for a run whose entry module is ``entry``."""
    home = _home(entry)
    if name == home or name.startswith(f"{home}."):
        return True
    top = name.split(".")[0]
    if top == PACKAGE:
        return home.split(".")[0] != PACKAGE and _home(name) in OWN_ROOMS and name != _home(name)
    return top != home.split(".")[0] and is_local(top)


def _home(module: str) -> str:
    """The package whose modules belong together: the top-level one, or a room of the framework's own."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == PACKAGE else parts[0]


def _package(name: str) -> list[Path]:
    """The file of a module, or all those of a package."""
    origin = file_of(name)
    if origin is None:
        return []
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def _digest(path: Path, files: Mapping[Path, str]) -> str:
    """Hash of a file's code and imports; empty for a file without any.

    An import of a counted file is named by that file's code, one of the framework by its name alone, any other as it
    is written.

    Args:
        path: one of ``files``.
        files: the module of each file that counts.
    """
    code = code_of(path, files[path])
    lines = []
    for found in code.imports:
        target = next((file for name in found.targets if (file := file_of(name)) is not None), None)
        if target is not None and target in files:
            whole = found.name and file_of(found.targets[0]) == target
            bare = hashlib.sha256(code_of(target, files[target]).text.encode()).hexdigest()
            lines.append(f"{bare} {'' if whole else found.name} {found.alias}")
        else:
            place = "" if found.module.split(".")[0] == PACKAGE else found.module
            lines.append(f"{place} {found.name} {found.alias}")
    if not code.text and not lines:
        return ""
    return hashlib.sha256("\n".join([code.text, *sorted(set(lines))]).encode()).hexdigest()
