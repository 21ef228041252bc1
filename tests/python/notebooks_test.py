"""The notebooks run, and show what a run gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

# What these print is the same on every run and machine.
REPEATABLE = {"02-partitioning"}

# In a process of its own, for the sockets that nbclient leaves open. The kernel listens on no port.
RUN = """
import sys
import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
kernel = KernelManager(kernel_name="python3", transport="ipc")
NotebookClient(notebook, timeout=240, km=kernel).execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest) -> tuple[str, Any]:
    path: Path = request.param
    return path.stem, nbformat.read(path, as_version=4)


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) >= 2


def test_a_notebook_is_kept_as_it_ran_from_top_to_bottom(kept: tuple[str, Any]) -> None:
    _, notebook = kept
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error", output
            assert output.get("name") != "stderr", output


def test_a_notebook_runs(kept: tuple[str, Any], tmp_path: Path) -> None:
    name, notebook = kept
    before = texts(notebook)
    path = tmp_path / "notebook.ipynb"
    nbformat.write(notebook, path)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    after = nbformat.read(path, as_version=4)
    assert [output.text for output in outputs(after) if output.get("name") == "stderr"] == []
    if name in REPEATABLE:
        assert texts(after) == before


def outputs(notebook: Any) -> list[Any]:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output for cell in cells for output in cell.outputs]


def texts(notebook: Any) -> list[str]:
    """What the cells printed and returned, without the pictures."""
    return [
        output.get("text") or output.data["text/plain"]
        for output in outputs(notebook)
        if output.output_type == "stream" or "image/png" not in output.data
    ]
