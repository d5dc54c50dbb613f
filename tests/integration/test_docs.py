"""The documentation pages: every block of code runs, and the site builds without a warning or a raw Sphinx role."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.cli import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
NOTEBOOK = DOCS / "from_make_to_hamiltonian.ipynb"
FENCE = re.compile(r"^```(?P<head>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
ALLOWED = {"leakybench", "pip"}
# mkdocs shows the role as text, and its backticks as code
RAW_ROLE = re.compile(r":(?:py:)?(?:attr|class|const|data|exc|func|meth|mod|obj|ref):(?:`|<code>)")

# a name that a page leaves to its reader
STANDS_FOR = {
    "gate.md": "def my_fit(train, *, seed, preset):\n    raise AssertionError('only named here')\n",
}


@dataclass(frozen=True)
class Block:
    language: str
    title: str | None
    code: str


def blocks(page: Path) -> Iterator[Block]:
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        head = match["head"]
        title = TITLE.search(head)
        yield Block(head.split()[0] if head else "", title[1] if title else None, match["code"])


def run(command: list[str], folder: Path, site: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{site}:{ROOT / 'src'}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shell(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[0] in ALLOWED, f"a page tells its readers to run {words[0]}"
    if words[0] == "leakybench":
        return [sys.executable, "-m", "leakybench", *words[1:]]
    assert words == ["pip", "install", "."]
    offline = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", "site"]
    return [sys.executable, "-m", "pip", "install", *offline, "."]


def test_every_block_names_its_language() -> None:
    assert {page.name for page in PAGES} >= {"index.md", "tutorial.md", "theory.md", "messages.md", "api.md"}
    for page in PAGES:
        for block in blocks(page):
            assert block.language in {"python", "bash", "toml", "yaml"}, f"{page.name}: {block.code[:60]}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    """Titled blocks are files; commands run one by one; the Python of a page is one program, run in its order."""
    code_blocks = list(blocks(page))
    if not code_blocks:
        pytest.skip("a page without code")
    site = tmp_path / "site"
    program, outputs = STANDS_FOR.get(page.name, ""), []
    for block in code_blocks:
        if block.title is not None:
            path = tmp_path / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
        elif block.language == "bash":
            outputs += [run(shell(line), tmp_path, site) for line in block.code.splitlines() if line.strip()]
        elif block.language == "python":
            program += f"{block.code}\n"
    if program:
        (tmp_path / "page.py").write_text(program, encoding="utf-8")
        run([sys.executable, "page.py"], tmp_path, site)
    for path in tmp_path.glob("test_*.py"):
        run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path.name], tmp_path, site)
    if page.name == "tutorial.md":
        check, _, board = outputs[1:]
        assert check.count("\npassed") == 3
        assert "shapes/Cubic-v0" in board
        own = [b.code for b in code_blocks if b.title and b.title.startswith("my_shapes/")]
        assert sum(bool(line.strip()) for code in own for line in code.splitlines()) < 60


def test_the_reference_covers_what_is_public() -> None:
    import leakybench
    import leakybench.measures
    import leakybench.stats
    from leakybench.registry import baselines

    page = (DOCS / "api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: (\S+)$", page, re.MULTILINE))
    ends = {name.rsplit(".", 1)[1] for name in shown}
    apart = {"PRESETS", "measures"}  # a tuple of names, and a module
    assert set(leakybench.__all__) - apart <= ends
    assert set(leakybench.measures.__all__) | set(leakybench.stats.__all__) <= ends
    # every built-in baseline
    entries = {spec.entry_point.replace(":", ".") for spec in baselines if spec.plugin in (None, "leakybench")}
    built_in = {entry for entry in entries if entry.startswith("leakybench.baselines.")}
    assert built_in
    assert built_in <= shown


def test_the_notebook_is_stored_with_its_outputs_and_without_a_trace_of_the_machine() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    # as one run from top to bottom leaves them
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data", "execute_result"}
    assert all(output.get("name", "stdout") == "stdout" for output in outputs)
    text = json.dumps([{**output, "data": {**output.get("data", {}), "image/png": ""}} for output in outputs])
    for place in (str(ROOT), str(Path.home()), tempfile.gettempdir()):
        assert place not in text
    assert not re.search(r'[\s"\'(]/\w+/\w+', text)


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_its_text_says(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    # in a process of its own, because asyncio and zmq raise warnings, which are errors in this one
    out = tmp_path / NOTEBOOK.name
    out.write_bytes(NOTEBOOK.read_bytes())
    subprocess.run([sys.executable, "-m", "tests.helpers.notebook", str(out)], cwd=ROOT, check=True, timeout=840)
    cells = [cell for cell in json.loads(out.read_text())["cells"] if cell["cell_type"] == "code"]
    texts = ["".join(output.get("text", "")) for output in cells[-1]["outputs"]]
    height, variation, cost = map(float, re.findall(r"-?\d+\.\d+", "".join(texts)))
    # flat inside, below the true rank of 3, and a cost of identity of 4: the theory page has 2.0, 0.01, 3.9
    assert 1.5 < height < 2.5
    assert variation < 0.05
    assert 3.5 < cost < 4.5
    kinds = [[output["output_type"] for output in cell["outputs"]] for cell in cells]
    stored = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert kinds == [[output["output_type"] for output in cell["outputs"]] for cell in stored]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_or_a_raw_role_and_needs_no_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600)
    pages = list((tmp_path / "site").glob("*.html"))
    assert len(pages) >= len(PAGES)
    drawn = (tmp_path / "site" / "from_make_to_hamiltonian.html").read_text(encoding="utf-8")
    assert drawn.count('src="from_make_to_hamiltonian_') == 2
    loaded = re.compile(r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]+)"')
    for page in pages:
        fetched = [url for url in loaded.findall(page.read_text(encoding="utf-8")) if "canonical" not in url]
        assert fetched == [], f"{page.name} fetches {fetched}"
    for page in pages:
        raw = RAW_ROLE.findall(page.read_text(encoding="utf-8"))
        assert raw == [], f"{page.name} shows {len(raw)} Sphinx roles: write plain double backticks in the docstrings"
    api = (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    shown = api[api.index('<h3 id="leakybench.evaluate"') :]
    # the function with its signature, not the module
    assert re.match(r'<h3 id="leakybench.evaluate".{,900}<span class="nf">evaluate</span>', shown, re.DOTALL)


@pytest.mark.parametrize("text", ["see :func:<code>make</code>", "see :class:`Split`", ":py:meth:<code>fit</code>"])
def test_a_raw_role_is_noticed(text: str) -> None:
    assert RAW_ROLE.search(text)
    assert not RAW_ROLE.search("a URL, http://host:80/, and a time, 12:30:<code>x</code>")
