"""The source version: it sees a change of code anywhere behind a run, and no change of wording or of place."""

from __future__ import annotations

import importlib
import importlib.machinery
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from leakybench import provenance
from leakybench.provenance import files as reading
from leakybench.provenance import source, syntax
from leakybench.registry import baselines
from leakybench.specs import BaselineSpec, TaskSpec

FILES = {
    "__init__.py": "from sourcepkg.entry import run\nclass Inside:\n    x = 3\n",
    "entry.py": '"""Doc."""\n\ndef run():\n    from sourcepkg import near\n    return near.x\n',
    "near.py": "from .deep import y\nx = y\n",
    "deep.py": "y = 1  # one\n",
    "sub/__init__.py": "flag = 0\n",
    "sub/model.py": "from ..deep import y as z\nfrom . import helper\n\n\nclass Mine:\n    w = helper.factor * z\n",
    "sub/helper.py": "factor = 2\n",
    "apart.py": "z = 1\n",
    "typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sourcepkg import apart\nv = 1\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of several modules, and two loose modules beside it."""
    root = tmp_path / "sourcepkg"
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text)
    (tmp_path / "loose_script.py").write_text("import loose_helper\n\n\nclass Mine:\n    f = loose_helper.factor\n")
    (tmp_path / "loose_helper.py").write_text("factor = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    # the framework's own modules are the same throughout: one of them is enough, and quick
    monkeypatch.setattr(source, "RESULT_MODULES", ("leakybench.errors",))
    yield root
    for name in [name for name in sys.modules if name.split(".")[0] in ("sourcepkg", "loose_script", "loose_helper")]:
        del sys.modules[name]


def version(*entries, named=()):
    provenance.forget_sources()
    return provenance.source_version(*(entries or ("sourcepkg.entry",)), named=tuple(named))


def change(path: Path) -> None:
    path.write_text(f"{path.read_text()}added = 2\n")


@pytest.mark.parametrize("name", ["entry.py", "near.py", "deep.py", "__init__.py"])
def test_code_that_the_run_reaches_counts(package, name):
    before = version()
    change(package / name)
    assert version() != before


@pytest.mark.parametrize("name", ["sub/model.py", "sub/helper.py", "sub/__init__.py", "deep.py", "__init__.py"])
def test_relative_imports_and_the_init_of_each_folder_count(package, name):
    before = version("sourcepkg.sub.model")
    change(package / name)
    assert version("sourcepkg.sub.model") != before


def test_a_class_in_the_init_of_its_package_counts(package):
    before = version("sourcepkg")
    text = (package / "__init__.py").read_text()
    (package / "__init__.py").write_text(text.replace("x = 3", "x = 4"))
    assert version("sourcepkg") != before


@pytest.mark.parametrize("name", ["loose_script.py", "loose_helper.py"])
def test_local_modules_beside_the_entry_count(package, name):
    before = version("loose_script")
    change(package.parent / name)
    assert version("loose_script") != before


RECORD = "loose_helper-1.0.dist-info/RECORD"


@pytest.mark.parametrize(
    ("folder", "record", "counts"),
    [
        ("vendor", None, True),
        ("vendor", "other_name/__init__.py,,\nnot_loose_helper.py,,\n", True),
        ("vendor", "loose_helper.py,,\n", False),
        ("lib/python3/site-packages", None, False),
        ("lib/python3/dist-packages", None, False),
    ],
)
def test_installed_modules_are_not_followed_wherever_they_lie(package, monkeypatch, folder, record, counts):
    """Packages of the user, of the system or of ``pip install --target`` lie outside this environment's own folder."""
    place = package.parent / folder
    place.mkdir(parents=True)
    helper = shutil.move(package.parent / "loose_helper.py", place / "loose_helper.py")
    if record is not None:
        (place / RECORD).parent.mkdir()
        (place / RECORD).write_text(record)
    monkeypatch.syspath_prepend(place)
    before = version("loose_script")
    change(Path(helper))
    assert (version("loose_script") != before) is counts


def test_what_type_checkers_alone_see_does_not_count(package):
    before = version("sourcepkg.typed")
    change(package / "apart.py")
    assert version("sourcepkg.typed") == before


def test_what_only_a_type_checker_skips_counts(package):
    (package / "typed.py").write_text(FILES["typed.py"].replace("if TYPE", "if not TYPE"))
    before = version("sourcepkg.typed")
    change(package / "apart.py")
    assert version("sourcepkg.typed") != before


@pytest.mark.parametrize("damage", [b"print 'of another Python'\n", b"\xff\xfe\x00", b"# coding: nonsense\n"])
def test_a_file_that_cannot_be_parsed_counts_by_its_bytes(package, damage):
    (package / "deep.py").write_bytes(damage)
    before = version()
    (package / "deep.py").write_bytes(damage + b"\n")
    assert version() != before


def test_the_version_does_not_depend_on_what_was_asked_before(package):
    first = version("sourcepkg.sub.model")
    provenance.forget_sources()
    provenance.source_version("sourcepkg.entry")
    assert provenance.source_version("sourcepkg.sub.model") == first


def test_code_that_it_does_not_reach_and_wording_do_not_count(package):
    before = version()
    (package / "apart.py").write_text("z = 2\n")
    (package / "deep.py").write_text('"""Now with words."""\n\n# and a comment\ny = (1)\n"""Behind an attribute."""\n')
    assert version() == before


def test_a_module_that_moves_keeps_the_version(package):
    before = version("sourcepkg.sub.model")
    (package / "rooms").mkdir()
    (package / "rooms" / "__init__.py").write_text('"""A room."""\n')
    shutil.move(package / "deep.py", package / "rooms" / "bottom.py")
    near = (package / "near.py").read_text()
    (package / "near.py").write_text(near.replace("from .deep", "from sourcepkg.rooms.bottom"))
    model = (package / "sub" / "model.py").read_text()
    (package / "sub" / "model.py").write_text(model.replace("..deep", "..rooms.bottom"))
    assert version("sourcepkg.sub.model") == before


def test_the_same_name_from_another_module_is_another_version(package):
    # both modules count in both cases: only the import line tells which value is used
    (package / "other.py").write_text("y = 2\n")
    (package / "near.py").write_text("from sourcepkg import deep, other\nfrom sourcepkg.deep import y\nx = y\n")
    before = version()
    (package / "near.py").write_text("from sourcepkg import deep, other\nfrom sourcepkg.other import y\nx = y\n")
    assert version() != before


def specs(regressor):
    task = TaskSpec(id="a/T-v0", entry_point="sourcepkg.near:x")
    return task, BaselineSpec(id="a/B-v0", entry_point="sourcepkg.near:x", kwargs={"deep": [{"r": regressor}]})


def test_code_that_a_setting_names_counts(package):
    def source():
        version()
        return provenance.source_of(*specs("sourcepkg.sub.model:Mine"))

    before = source()
    change(package / "sub" / "helper.py")
    assert source() != before
    # the setting itself is in the spec; the source is that of its code
    assert provenance.source_of(*specs("plain text: no code")) == provenance.source_of(*specs("another text"))


def test_installed_code_that_a_setting_names_counts_by_its_release(package, monkeypatch):
    def source():
        version()
        return provenance.source_of(*specs("sklearn.neighbors:KNeighborsRegressor"))

    before = source()
    real = reading.version_of
    monkeypatch.setattr(reading, "version_of", lambda name: "9.9" if name == "scikit-learn" else real(name))
    assert source() != before


def test_a_module_that_is_no_file_is_passed_over(package):
    assert version("no_such_module_anywhere").startswith("0.1.0+")


def test_the_networks_code_counts_for_networks_and_not_for_ridge_regression():
    files = {path.name for path in source._closure("leakybench.baselines.leaky_resnet")}
    assert {"leaky_resnet.py", "network_baseline.py", "training.py", "recursion.py", "quasi_newton.py"} <= files
    assert "ridge.py" not in files
    assert "catalogue.py" not in files  # a new id leaves the stored runs of the others as they are
    files = {path.name for path in source._closure("leakybench.baselines.ridge")}
    assert files == {"ridge.py", "fitted.py", "optional.py", "__init__.py"}


def answers(python) -> bool:
    return subprocess.run([str(python), "-c", ""], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("minor", [12, 13])
def test_other_versions_of_python_see_the_same_code(minor):
    """The tree's own fields differ between versions of Python; its canonical text does not."""
    candidates = [shutil.which(f"python3.{minor}"), *Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")]
    other = next((path for path in candidates if path is not None and answers(path)), None)
    if other is None:
        pytest.skip(f"no Python 3.{minor} here")
    place = Path(syntax.__file__).resolve()
    script = (
        "import sys, types, hashlib, pathlib\n"
        "module = types.ModuleType('syntax'); sys.modules['syntax'] = module\n"
        f"exec(compile(open({str(place)!r}).read(), 'syntax', 'exec'), module.__dict__)\n"
        f"for path in sorted(pathlib.Path({str(place.parent.parent)!r}).rglob('*.py')):\n"
        "    code = module.read_code(path.read_bytes(), 'leakybench.x')\n"
        "    print(path.name, hashlib.sha256(code.text.encode()).hexdigest(), len(code.imports))\n"
    )
    texts = [
        subprocess.run([str(python), "-c", script], capture_output=True, text=True, check=True).stdout
        for python in (sys.executable, other)
    ]
    assert texts[0].splitlines() == texts[1].splitlines()


def test_provenance_names_no_host_and_no_path():
    found = provenance.provenance()
    assert {"commit", "created", "processor", "cores", "python", "torch"} <= found.keys()
    assert not any("/" in str(value) for key, value in found.items() if key not in ("processor",))


READS = "import json\nfrom pathlib import Path\n\nx = json.loads(Path(__file__).with_name('near.json').read_text())\n"
RESOURCES = "from importlib import resources\n\nx = (files('sourcepkg') / 'weights' / 'deep.csv').read_text()\n"


@pytest.mark.parametrize(
    ("code", "file", "counts"),
    [
        (READS, "near.json", True),
        (READS, "another.json", False),
        (RESOURCES, "weights/deep.csv", True),
        ("import pkgutil\n\nx = pkgutil.get_data('sourcepkg', 'weights/deep.csv')\n", "weights/deep.csv", True),
        ("from pathlib import Path\n\nx = list(Path(__file__).parent.glob('*.csv'))\n", "table.csv", True),
        ("from pathlib import Path\n\nx = Path(__file__).parent / '../apart.json'\n", "../apart.json", False),
        ("x = open('near.json').read()\n", "near.json", False),  # from the working directory, wherever that is
    ],
)
def test_data_files_that_code_names_beside_itself_count(package, code, file, counts):
    (package / "near.py").write_text(code)
    (package / file).parent.mkdir(exist_ok=True)
    (package / file).write_text("1")
    before = version("sourcepkg.near")
    (package / file).write_text("2")
    assert (version("sourcepkg.near") != before) is counts


@pytest.mark.parametrize(
    "text",
    [
        "from .deep import *\n",
        "import importlib\n\ndeep = importlib.import_module('sourcepkg.deep')\n",
        "import importlib\n\ndeep = importlib.import_module('.deep', __package__)\n",
        "try:\n    from ._fast import y\nexcept ImportError:\n    from .deep import y\n",
        "import sys\n\nif sys.platform == 'none':\n    import x\nelse:\n    from . import deep\n",
        "def later():\n    from . import deep\n",
    ],
)
def test_every_way_to_import_counts(package, text):
    (package / "near.py").write_text(text)
    before = version("sourcepkg.near")
    change(package / "deep.py")
    assert version("sourcepkg.near") != before


def test_a_compiled_module_counts_by_its_bytes(package):
    (package / "near.py").write_text("from . import _fast\n")
    compiled = package / f"_fast{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    compiled.write_bytes(b"\x7fELF one")
    before = version("sourcepkg.near")
    compiled.write_bytes(b"\x7fELF two")
    assert version("sourcepkg.near") != before


def test_packages_without_an_init_and_links_count(package, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "part.py").write_text("z = 1\n")
    (tmp_path / "loosespace").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (package / "near.py").write_text("from loosespace.part import z\n")
    before = version("sourcepkg.near")
    change(tmp_path / "elsewhere" / "part.py")
    assert version("sourcepkg.near") != before


def test_code_in_a_zip_archive_counts(package, tmp_path, monkeypatch):
    def pack(factor):
        with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
            archive.writestr("zipped/__init__.py", "from .inner import factor\n")
            archive.writestr("zipped/inner.py", f"factor = {factor}\n")

    pack(1)
    monkeypatch.syspath_prepend(tmp_path / "code.zip")
    before = version("zipped")
    assert len(source._closure("zipped")) == 2
    pack(2)
    assert version("zipped") != before


def test_code_that_is_edited_while_it_is_loaded_counts_from_its_next_import(package):
    entry = importlib.import_module("sourcepkg.near")
    before = version("sourcepkg.near")
    change(package / "near.py")
    assert provenance.source_version("sourcepkg.near") == before  # the process still runs the old code
    importlib.invalidate_caches()
    importlib.reload(entry)
    assert provenance.source_version("sourcepkg.near") != before


@pytest.mark.slow
@pytest.mark.parametrize(("library", "counts"), [("sklearn", True), ("numpy", False), ("torch", False)])
def test_the_versions_of_the_libraries_of_a_local_baseline_count(package, monkeypatch, library, counts):
    (package / "near.py").write_text(f"import {library}\n")
    before = version("sourcepkg.near")
    monkeypatch.setattr(reading, "version_of", lambda name: "9.9")
    assert (version("sourcepkg.near") != before) is counts


def test_the_versions_of_libraries_are_not_in_the_ids_of_the_package(monkeypatch):
    before = version("leakybench.baselines.sklearn_baseline")
    monkeypatch.setattr(reading, "version_of", lambda name: "9.9")
    assert version("leakybench.baselines.sklearn_baseline") == before


@pytest.mark.parametrize(
    "text",
    [
        "from leakybench.baselines.ridge import Ridge\n",
        "import leakybench\n\nb = leakybench.make_baseline('Ridge-v0')\n",
    ],
)
def test_what_a_plugin_builds_upon_counts(package, text):
    (package / "near.py").write_text(text)
    assert "ridge.py" in {path.name for path in source._closure("sourcepkg.near")}


def test_the_class_and_the_registered_settings_of_an_id_outside_the_package_count(package):
    task = TaskSpec(id="a/T-v0", entry_point="sourcepkg.near:x")

    def registered(entry_point, kwargs):
        spec = baselines.register("a/Registered-v0", entry_point, kwargs)
        try:
            return provenance.source_of(task, spec)
        finally:
            baselines.unregister("a/Registered-v0")

    found = [registered(f"sourcepkg.near:{name}", kwargs) for name in "xy" for kwargs in ({"a": 1}, {"a": 2}, {"a": 1})]
    assert len(set(found)) == 4
