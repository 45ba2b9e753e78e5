"""The notebooks run from a clean clone with few paths, and are stored without outputs."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_with_few_paths(path, tmp_path, monkeypatch):
    monkeypatch.setenv("GREEKS_NOTEBOOK_PATHS", "2048")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "agg")
    script = (
        "import sys, nbformat, nbclient\n"
        "notebook = nbformat.read(sys.argv[1], 4)\n"
        "resources = {'metadata': {'path': sys.argv[2]}}\n"
        "nbclient.NotebookClient(notebook, timeout=300, kernel_name='python3', resources=resources).execute()\n"
    )
    command = [sys.executable, "-c", script, str(path), str(path.parent)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_uses_public_names_only(path):
    source = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
    for grid_point in ast.walk(ast.parse(source)):
        if (
            isinstance(grid_point, ast.ImportFrom)
            and grid_point.module
            and grid_point.module.split(".")[0] in ("greeks", "pricers")
        ):
            assert grid_point.module in ("greeks", "greeks.expectation", "pricers"), grid_point.module
            assert not [name.name for name in grid_point.names if name.name.startswith("_")]
