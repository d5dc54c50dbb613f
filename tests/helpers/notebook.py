"""Run a notebook: ``python -m tests.helpers.notebook docs/NAME.ipynb`` writes its outputs into it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.helpers.cli import SEARCH_PATH

TIMEOUT = 600
"""Seconds that one cell may take."""


def execute(path: Path, folder: Path) -> Any:
    """The notebook with the outputs of a fresh kernel that works in ``folder``; progress on stderr is left out.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:
        # in the file system instead of ports, in a folder whose name is short enough for a socket
        config = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})
        place = {"metadata": {"path": str(folder)}}
        client = NotebookClient(notebook, timeout=TIMEOUT, record_timing=False, resources=place, config=config)
        client.execute(env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": SEARCH_PATH})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    return notebook


def main(arguments: list[str]) -> None:
    """Execute in a folder that is thrown away, and write the outputs back."""
    import nbformat

    path = Path(arguments[0])
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(execute(path, Path(folder)), path)


if __name__ == "__main__":
    main(sys.argv[1:])
