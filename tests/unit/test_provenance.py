"""The source version: it sees a change of code anywhere behind a run, and no change of wording."""

import sys

import pytest

from leakybench import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose entry module imports one neighbour, inside a function, and not another."""
    root = tmp_path / "sourcepkg"
    root.mkdir()
    (root / "__init__.py").write_text("NAMES = ['entry']\n")
    (root / "entry.py").write_text('"""Doc."""\n\ndef run():\n    from sourcepkg import near\n    return near.x\n')
    (root / "near.py").write_text("from sourcepkg.deep import y\nx = y\n")
    (root / "deep.py").write_text("y = 1  # one\n")
    (root / "apart.py").write_text("z = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield root
    for name in [name for name in sys.modules if name.startswith("sourcepkg")]:
        del sys.modules[name]


def version():
    for cached in (provenance.source_version, provenance._code, provenance._imports):
        cached.cache_clear()
    return provenance.source_version("sourcepkg.entry")


@pytest.mark.parametrize("name", ["entry.py", "near.py", "deep.py"])
def test_code_that_the_run_reaches_counts(package, name):
    before = version()
    with (package / name).open("a") as file:
        file.write("added = 2\n")
    assert version() != before


def test_code_that_it_does_not_reach_and_wording_do_not_count(package):
    before = version()
    (package / "apart.py").write_text("z = 2\n")
    (package / "__init__.py").write_text("NAMES = ['entry', 'more']\n")
    (package / "deep.py").write_text('"""Now with words."""\n\n# and a comment\ny = (1)\n')
    assert version() == before


def test_a_module_that_is_no_file_is_passed_over(package):
    assert provenance.source_version("no_such_module_anywhere").startswith("0.1.0+")


def test_the_networks_code_counts_for_networks_and_not_for_references():
    files = {path.name for path in provenance._closure("leakybench.baselines.leaky_resnet")}
    assert {"leaky_resnet.py", "family.py", "training.py", "network.py", "quasi_newton.py", "steps.py"} <= files
    assert "references.py" not in files
    assert {path.name for path in provenance._closure("leakybench.baselines.references")} == {"references.py"}


def test_provenance_names_no_host_and_no_path():
    found = provenance.provenance()
    assert {"commit", "created", "processor", "cores", "python", "torch"} <= found.keys()
    assert not any("/" in str(value) for key, value in found.items() if key not in ("processor",))
