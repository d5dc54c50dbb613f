"""Where a result comes from: the version of the code that decides it, and the machine that computed it."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from leakybench.specs import ENTRY_POINT_PATTERN, Spec

PACKAGE = "leakybench"

RESULT_MODULES = tuple(f"{PACKAGE}.{name}" for name in ("task", "baseline", "seeding", "evaluation", "measures"))
"""Modules of the framework whose code decides what a record says."""

PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
"""Names of the folders of installed packages, of whatever environment."""


def source_of(task: Spec, baseline: Spec) -> str:
    """Return the source version of one pair of specs, with the overrides of the run merged into their kwargs.

    Besides the modules behind both entry points, code that a setting names (``regressor="my_models:Forest"``) counts:
    by its syntax tree where it is local, by the version of its distribution where it is installed.
    """
    entries = {spec.entry_point.split(":")[0] for spec in (task, baseline)}
    named = {name for spec in (task, baseline) for name in modules_in(spec.kwargs)}
    return source_version(*sorted(entries), named=tuple(sorted(named - entries)))


@cache
def source_version(*entry_modules: str, named: tuple[str, ...] = ()) -> str:
    """Return the version of the code behind a result: that of the distribution and a hash of the modules involved.

    These are the framework's result modules (``RESULT_MODULES``) and the entry modules with all that they import,
    directly or not: the modules of their own package with the ``__init__`` of each folder on the way, and local code
    beside it. The hash is made of syntax trees: comments, docstrings and layout do not count, nor do the names of
    files and of own modules. An import counts as what it brings (the code of the module and the name), so that a
    result keeps its version when code only moves.

    Args:
        entry_modules: the modules that hold the task and the baseline, as in ``leakybench.baselines.leaky_resnet``.
        named: modules that settings name.

    Returns:
        ``<version of the distribution>+<12 hexadecimal digits>``.
    """
    files = {path: name for name in RESULT_MODULES for path in _package(name)}
    installed = []
    for name in (*entry_modules, *named):
        if name in named and (release := _release(name)):
            installed.append(release)
        else:
            files = {**_closure(name), **files}
    digests = sorted(filter(None, (_digest(path, files) for path in files)))
    hasher = hashlib.sha256("\n".join([*digests, *installed]).encode())
    return f"{_version(PACKAGE) or '0'}+{hasher.hexdigest()[:12]}"


def modules_in(value: Any) -> Iterator[str]:
    """Modules that a setting names at any depth, by texts of the form ``package.module:Name``."""
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            yield from modules_in(item)
    elif isinstance(value, str) and ENTRY_POINT_PATTERN.fullmatch(value.strip()):
        yield value.strip().split(":")[0]


@dataclass(frozen=True, order=True)
class _Import:
    """One name that a file imports.

    Attributes:
        module: absolute name of the module.
        name: of what is imported from it; empty for ``import module``.
        alias: the name that it is bound to, where that is another one.
        late: whether it stands inside a function, so that loading the file does not run it.
    """

    module: str
    name: str = ""
    alias: str = ""
    late: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        """Modules that it may load, the most special first: ``from a import b`` may mean the module ``a.b``."""
        return (f"{self.module}.{self.name}", self.module) if self.name else (self.module,)


def _closure(module: str) -> dict[Path, str]:
    """The files of a module and of all that it imports, as far as ``_follows`` goes, with the module of each."""
    files: dict[Path, str] = {}
    seen: set[tuple[str, bool]] = set()
    waiting = [(module, True)]
    while waiting:
        name, called = waiting.pop()
        if (name, called) in seen:
            continue
        seen.add((name, called))
        origin = _file(name)
        if origin is not None:
            files.setdefault(origin, name)
            for found in _parse(origin, files[origin])[1]:
                if called or not found.late:
                    waiting += [(target, True) for target in found.targets if _follows(target, module)]
        if (parent := name.rpartition(".")[0]) and _follows(parent, module):
            waiting.append((parent, False))  # importing a module runs the __init__ of its packages
    return files


def _follows(name: str, entry: str) -> bool:
    """Whether the code of module ``name`` counts for a run whose entry module is ``entry``."""
    home = _home(entry)
    if name == home or name.startswith(f"{home}."):
        return True
    top = name.split(".")[0]
    return top not in (PACKAGE, home.split(".")[0]) and _is_local(top)


def _home(module: str) -> str:
    """The package whose modules belong together: the top-level one, or a room of the framework's own."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == PACKAGE else parts[0]


@cache
def _is_local(top: str) -> bool:
    """Whether a top-level module is a source file that is neither Python's own nor installed."""
    if top in sys.stdlib_module_names:
        return False
    origin = _file(top) or next(iter(_folders(top)), None)
    if origin is None:
        return False
    return not _is_installed(top, origin.resolve())


def _is_installed(top: str, origin: Path) -> bool:
    """Whether a file lies where packages are installed.

    That is a folder of this environment; one of the environment below it, the user or the system, which are known by
    their name; or any folder that holds the metadata of the module's distribution, as ``pip install --target`` leaves
    it. An editable install keeps its metadata apart from the code, so the code is local.
    """
    here = [Path(path).resolve() for path in {sysconfig.get_path(key) for key in ("purelib", "platlib")}]
    if any(origin.is_relative_to(folder) for folder in here) or not PACKAGE_FOLDERS.isdisjoint(origin.parts):
        return True
    folder = origin.parent.parent if origin.name == "__init__.py" else origin.parent
    for record in folder.glob("*.dist-info/RECORD"):
        text = f"\n{record.read_text(encoding='utf-8', errors='replace')}"
        if f"\n{top}/" in text or f"\n{top}.py," in text:
            return True
    return False


def _release(module: str) -> str | None:
    """``name==version`` of the installed distribution that provides a module; None where it is local code."""
    top = module.split(".")[0]
    if top in sys.stdlib_module_names:
        return f"python=={sys.version_info.major}.{sys.version_info.minor}"
    if _is_local(top):
        return None
    return next((f"{name}=={_version(name)}" for name in _distributions().get(top, ())), None)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _folders(top: str) -> list[Path]:
    """Where the modules of a top-level package lie; none for a plain module."""
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    return [Path(folder) for folder in (found.submodule_search_locations or ())] if found is not None else []


@cache
def _file(module: str) -> Path | None:
    """The .py file of a module; None where there is none (a notebook, a compiled module, a name inside a module)."""
    top, *below = module.split(".")
    if module == "__main__":
        script = getattr(sys.modules["__main__"], "__file__", None)
        return Path(script).resolve() if script is not None and script.endswith(".py") else None
    if not below:
        try:
            found = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            return None
        origin = None if found is None else found.origin
        return Path(origin).resolve() if origin is not None and origin.endswith(".py") else None
    # find_spec of a submodule imports what is above it, torch and all; its file can be found without
    for folder in _folders(top):
        base = Path(folder, *below)
        for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if path.is_file():
                return path.resolve()
    return None


def _package(module: str) -> list[Path]:
    """The file of a module, or all those of a package."""
    origin = _file(module)
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
    code, imports = _parse(path, files[path])
    lines = []
    for found in imports:
        target = next((file for name in found.targets if (file := _file(name)) is not None), None)
        if target is not None and target in files:
            whole = found.name and _file(found.targets[0]) == target
            bare = hashlib.sha256(_parse(target, files[target])[0].encode()).hexdigest()
            lines.append(f"{bare} {'' if whole else found.name} {found.alias}")
        else:
            place = "" if found.module.split(".")[0] == PACKAGE else found.module
            lines.append(f"{place} {found.name} {found.alias}")
    if not code and not lines:
        return ""
    return hashlib.sha256("\n".join([code, *sorted(set(lines))]).encode()).hexdigest()


@cache
def _parse(path: Path, module: str) -> tuple[str, tuple[_Import, ...]]:
    """The code of a file without imports and docstrings, and its imports outside ``if TYPE_CHECKING`` blocks.

    A file that this Python cannot parse, which a module may try to import, counts by its bytes.
    """
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports: list[_Import] = []
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return hashlib.sha256(content).hexdigest(), ()
    code = _canonical(tree.body, package, imports, late=False)
    return code, tuple(imports)


def _canonical(node: Any, package: str, imports: list[_Import], *, late: bool) -> str:
    """A syntax tree as text, the same on all versions of Python: fields that are empty or hold no code are left out.

    Import statements go to ``imports``; docstrings, and blocks for type checkers only, are dropped.
    """
    if isinstance(node, list):
        return "".join(_canonical(item, package, imports, late=late) for item in node)
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.extend(_imports_of(node, package, late))
        return ""
    if isinstance(node, ast.If) and getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING":
        return _canonical(node.orelse, package, imports, late=late)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return ""  # a docstring, or the text behind an attribute
    late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    fields = []
    for name, value in ast.iter_fields(node):
        if value is None or value == [] or name in ("ctx", "kind", "type_comment"):
            continue
        if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some f-strings with an empty part, others do not
            value = [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
        text = _canonical(value, package, imports, late=late)
        fields.append(f"{name}={text}")
    return f"{type(node).__name__}({','.join(fields)})"


def _imports_of(node: ast.Import | ast.ImportFrom, package: str, late: bool) -> Iterator[_Import]:
    """The names of one statement, with relative modules made absolute; ``from __future__`` brings none."""
    if isinstance(node, ast.Import):
        yield from (_Import(alias.name, "", alias.asname or "", late) for alias in node.names)
        return
    module = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - (node.level - 1)]
        module = ".".join([*above, *([module] if module else [])])
    if module != "__future__":
        yield from (_Import(module, alias.name, alias.asname or "", late) for alias in node.names)


@cache
def commit() -> str | None:
    """Return the git commit of the checkout, with ``-dirty`` appended if tracked files differ; None outside one."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    try:
        head = _git(here, "rev-parse", "HEAD")
        dirty = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}-dirty" if dirty else head


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(where), *arguments], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


@cache
def machine() -> dict[str, Any]:
    """Return processor, cores and the versions of the numerical libraries; no host name and no path."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cores": cores,
        "system": platform.system(),
        "python": ".".join(map(str, sys.version_info[:3])),
        **{name: _version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def provenance() -> dict[str, Any]:
    """Return commit, machine, versions and the time (UTC) for one record."""
    return {"commit": commit(), "created": datetime.now(UTC).isoformat(timespec="seconds"), **machine()}
