"""Add the reference figures, which lie outside the docs folder, and the notebooks to the site.

A notebook becomes a page of its cells and their stored outputs; nothing is executed. nbconvert is not used because its
pages fetch scripts from other servers when they are read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
FOLDERS = ("figures", "validity")
"""Folders of the reference whose pictures the pages show, under the same name on the site."""
OUTSIDE = "../results/reference/"


def on_files(files: Any, config: Any) -> Any:
    """Add every figure as a file of ``docs/figures``, and every notebook as a page with its images."""
    for path in [path for folder in FOLDERS for path in sorted((REFERENCE / folder).glob("*.svg"))]:
        files.append(File.generated(config, f"{path.parent.name}/{path.name}", content=path.read_bytes()))
    for path in sorted(Path(config["docs_dir"]).glob("*.ipynb")):
        page, images = as_page(path)
        files.append(File.generated(config, f"{path.stem}.md", content=page))
        for name, content in images.items():
            files.append(File.generated(config, name, content=content))
    return files


def as_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return the Markdown of a notebook, and its images by file name."""
    parts, images = [], {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for kind, content in _outputs(cell):
            if kind == "image/png":
                name = f"{path.stem}_{len(images) + 1}.png"
                images[name] = base64.b64decode(content)
                parts.append(f"![Figure drawn by this cell]({name})")
            else:
                parts.append(content if kind == "text/markdown" else f"```text\n{content.rstrip()}\n```")
    return "\n\n".join([*parts, f"[This page as a notebook]({path.name})", ""]), images


def _outputs(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield kind and content of each output of a cell, in the richest form that a page can show."""
    for output in cell.get("outputs", ()):
        shown = output.get("data") or {"text/plain": output.get("text", "")}
        for kind in ("image/png", "text/markdown", "text/plain"):
            if kind in shown:
                yield kind, "".join(shown[kind])
                break


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Replace links to files of the repository by links to the figures and the notebooks' pages of the site."""
    own = page.file.src_uri.replace(".md", ".ipynb")
    links = [path.name for path in Path(__file__).parent.glob("*.ipynb") if path.name != own]
    for name in links:
        markdown = markdown.replace(f"({name})", f"({name.replace('.ipynb', '.md')})")
    for folder in FOLDERS:
        markdown = markdown.replace(f"{OUTSIDE}{folder}/", f"{folder}/")
    return markdown
