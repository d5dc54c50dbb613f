"""Build the package as a release does, and install it where the repository cannot be seen."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

from tests.helpers.cli import ROOT
from tests.helpers.decoys import environment

PACKAGED = {"suite": "leakybench", "tasks": "leakybench/tasks", "baselines": "leakybench/baselines"}
"""Where the files of each folder of the repository belong in the package."""

LINK_MODE = "120000"


def execute(*command: object, cwd: Path) -> str:
    """Standard output of a command; its error output is in the message if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def leave_distribution(folder: Path, name: str, points: str) -> None:
    """Leave the metadata of an installed distribution in ``folder``, as pip does; ``points`` are its entry points."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


def clone(folder: Path) -> Path:
    """A clone of the repository's last commit."""
    execute("git", "clone", "--quiet", "--no-local", "--depth", "1", f"file://{ROOT}", folder, cwd=ROOT)
    return folder


def packaged_files(repository: Path) -> set[str]:
    """Names that a wheel gives to the committed files of the package; the links between the folders are left out."""
    names = set()
    for line in execute("git", "ls-files", "--stage", "-z", *PACKAGED, cwd=repository).split("\0"):
        if line and not line.startswith(LINK_MODE):
            folder, _, rest = line.split("\t", 1)[1].partition("/")
            names.add(f"{PACKAGED[folder]}/{rest}")
    return names


def build_wheel(source: Path, folder: Path) -> Path:
    """The wheel of a source tree, built with the setuptools that is installed and no network."""
    flags = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    execute(sys.executable, "-m", "pip", "wheel", *flags, "--wheel-dir", folder, ".", cwd=source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def build_sdist(source: Path, folder: Path) -> Path:
    """The source distribution of a source tree."""
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    execute(sys.executable, "-c", code, cwd=source)
    (sdist,) = folder.glob("*.tar.gz")
    return sdist


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack a source distribution; return its one folder."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return source


def contents(wheel: Path) -> dict[str, bytes]:
    """Name and bytes of every file in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def fresh_environment(wheel: Path, folder: Path) -> Path:
    """An environment with ``wheel`` and this environment's other packages, but not its leakybench.

    Returns:
        The folder of its commands.
    """
    place, others = folder / "environment", folder / "others"
    venv.create(place, with_pip=False)
    others.mkdir()
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        # path files are left out: one of them leads to the repository
        if "leakybench" not in package.name and package.suffix != ".pth":
            (others / package.name).symlink_to(package)
    commands = Path(sysconfig.get_path("scripts", vars={"base": str(place)}))
    python = commands / Path(sys.executable).name
    execute(
        *(sys.executable, "-m", "pip", "--python", python, "install"),
        *("--quiet", "--no-deps", "--no-index", wheel),
        cwd=folder,
    )
    (site,) = place.rglob("site-packages")
    (site / "others.pth").write_text(f"{others}\n")
    return commands
