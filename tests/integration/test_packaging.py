"""Wheel and source distribution of the last commit: built from a clone, complete, and usable without the repository."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
from collections import namedtuple
from pathlib import Path

import pytest

from tests.helpers import distributions
from tests.helpers.cli import ROOT

pytestmark = pytest.mark.slow  # two builds and an environment

Built = namedtuple("Built", "clone wheel sdist wheel_of_sdist")

FACTS = """
import importlib.metadata, json
import leakybench
from leakybench.registry import baselines, tasks

groups = ("leakybench.tasks", "leakybench.baselines")
print(json.dumps({
    "file": leakybench.__file__,
    "distributions": [d.name for d in importlib.metadata.distributions() if d.name == "leakybench"],
    "entry_points": [len(importlib.metadata.entry_points(group=group)) for group in groups],
    "plugins": len(importlib.metadata.entry_points(group="pytest11", name="leakybench")),
    "ids": [len(tasks), len(baselines)],
    "failures": {**tasks.failures, **baselines.failures},
}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git repository: there is no commit to build from")
    pytest.importorskip("setuptools", reason="no setuptools: a build without a network needs it installed")
    folder = tmp_path_factory.mktemp("built")
    clone = distributions.clone(folder / "clone")
    wheel = distributions.build_wheel(clone, folder / "wheel")
    sdist = distributions.build_sdist(clone, folder / "sdist")
    source = distributions.unpack(sdist, folder / "unpacked")
    return Built(clone, wheel, sdist, distributions.build_wheel(source, folder / "wheel_of_sdist"))


@pytest.fixture(scope="module")
def commands(built, tmp_path_factory) -> Path:
    return distributions.fresh_environment(built.wheel, tmp_path_factory.mktemp("fresh"))


def test_the_wheel_installs_one_name(built):
    top = {name.split("/")[0] for name in distributions.contents(built.wheel)}
    info = {name for name in top if re.fullmatch(r"leakybench-[^/]+\.dist-info", name)}
    assert len(info) == 1
    assert top - info == {"leakybench"}


def test_the_wheel_holds_every_committed_file_of_the_package(built):
    names = {name for name in distributions.contents(built.wheel) if ".dist-info/" not in name}
    assert names == distributions.packaged_files(built.clone)
    assert {
        "leakybench/py.typed",
        "leakybench/tasks/low_rank.py",
        "leakybench/baselines/leaky_resnet.py",
        "leakybench/baselines/networks/recursion.py",
        *(f"leakybench/report/page.{suffix}" for suffix in ("css", "js", "html.j2")),
    } <= names
    assert not [name for name in names if re.search(r"(^|/)(tests?/|test_|conftest)", name)]


def test_the_source_distribution_has_files_in_place_of_links(built):
    with tarfile.open(built.sdist) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)
    names = {member.name.split("/", 1)[-1] for member in members}
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names
    assert {f"src/{name}" for name in distributions.packaged_files(built.clone)} <= names


def test_the_source_distribution_builds_the_same_wheel(built):
    assert built.wheel_of_sdist.name == built.wheel.name
    assert distributions.contents(built.wheel_of_sdist) == distributions.contents(built.wheel)


def test_the_installed_wheel_is_found_once(commands, tmp_path):
    facts = json.loads(distributions.execute(commands / Path(sys.executable).name, "-c", FACTS, cwd=tmp_path))
    assert Path(facts["file"]).is_relative_to(commands.parent)
    assert not Path(facts["file"]).resolve().is_relative_to(ROOT)
    assert facts["distributions"] == ["leakybench"]
    assert facts["entry_points"] == [1, 1]
    assert facts["plugins"] == 1
    assert facts["failures"] == {}
    listed = json.loads(distributions.execute(commands / "leakybench", "tasks", "--json", cwd=tmp_path))
    assert facts["ids"][0] == len(listed) >= 10
    assert facts["ids"][1] >= 8


def test_the_first_example_of_the_readme_runs(built, commands, tmp_path):
    readme = (built.clone / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", readme, re.S)[1]
    (tmp_path / "example.py").write_text(example)
    printed = distributions.execute(commands / Path(sys.executable).name, "example.py", cwd=tmp_path)
    assert printed.startswith("ok 0.")
