"""Every notebook runs, and prints what its committed outputs say.

A notebook is committed with its outputs, so that it can be read where nothing runs. They are true only as long as they are
what the code prints: each notebook is run by this interpreter, in a kernel of its own and an empty directory, without the
user's Jupyter settings. Text must be the same; of a picture only that there is one, since fonts and matplotlib differ.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import pathlib
import re
import sys
import tempfile
from typing import Any

import pytest

import tfsaver

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_NOTEBOOKS = sorted((_ROOT / "notebooks").glob("*.ipynb"))
_MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|tmp|private|var|usr|opt|mnt|work)/[^\s\"]*")

Notebook = Any

# Those that every run of the tests executes: what most people begin with.
_FIRST = ("from_tf_saver_to_tfsaver", "read_a_checkpoint_without_tensorflow")

every_notebook = pytest.mark.parametrize("path", _NOTEBOOKS, ids=[path.stem for path in _NOTEBOOKS])


def load(path: pathlib.Path) -> Notebook:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Notebook) -> list[Notebook]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: Notebook) -> str:
    """What a cell wrote to standard output, and the value it ended with."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif output.output_type == "execute_result":
            texts.append(output.data["text/plain"] + "\n")
    return "".join(texts)


def num_pictures(cell: Notebook) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


def machine_paths(notebook: Notebook) -> list[str]:
    """Paths in a notebook's text that only the machine it ran on has."""
    copy = nbformat.from_dict(notebook)
    for cell in code_cells(copy):
        for output in cell.outputs:
            # Base64 may spell anything.
            output.get("data", {}).pop("image/png", None)
    text = nbformat.writes(copy)
    here = [place for place in (tempfile.gettempdir(), str(pathlib.Path.home()), sys.prefix) if place + "/" in text]
    return here + _MACHINE_PATH.findall(text)


@pytest.fixture
def run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a notebook as on a machine that has never run one, and returns it with its new outputs."""
    # The kernel is this interpreter, whatever python3 is in the user's list of kernels.
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    # The kernel chooses how pictures are shown only where nothing else does.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(tfsaver.__file__).parents[1]))
    working_directory = tmp_path / "working"
    working_directory.mkdir()

    def execute(path: pathlib.Path) -> Notebook:
        notebook = load(path)
        for cell in code_cells(notebook):
            cell.outputs, cell.execution_count = [], None
        resources = {"metadata": {"path": str(working_directory)}}
        client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources)
        executed = client.execute()
        assert list(working_directory.iterdir()) == [], "the notebook leaves files where it was started"
        return executed

    return execute


def test_there_are_notebooks():
    assert {path.stem for path in _NOTEBOOKS} > set(_FIRST)


def skip_what_is_missing(notebook: Notebook) -> None:
    source = "\n".join(cell.source for cell in code_cells(notebook))
    for module in ("tensorflow", "torch", "safetensors"):
        if re.search(rf"^\s*import {module}", source, re.MULTILINE) and importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: pip install 'tfsaver[{module}]'")
    # Asked for its version without being imported: that would bring TensorFlow into this process.
    if re.search(r"^\s*import keras", source, re.MULTILINE) and int(importlib.metadata.version("keras").partition(".")[0]) < 3:
        pytest.skip("needs keras: pip install --upgrade keras")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem in _FIRST else pytest.mark.exhaustive)
        for path in _NOTEBOOKS
    ],
)
def test_notebook_prints_what_is_committed(path, run):
    committed = load(path)
    skip_what_is_missing(committed)
    executed = run(path)
    for old, new in zip(code_cells(committed), code_cells(executed), strict=True):
        assert printed(new) == printed(old), f"cell {old.id!r}"
        assert num_pictures(new) == num_pictures(old), f"cell {old.id!r}"


@every_notebook
def test_committed_notebook_was_run_once_from_top_to_bottom(path):
    notebook = load(path)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(num_pictures(cell) for cell in cells)
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type in ("stream", "execute_result", "display_data"), f"cell {cell.id!r}"
            assert output.get("name") != "stderr", f"cell {cell.id!r}: {output.text}"


@every_notebook
def test_committed_notebook_says_nothing_of_the_machine_it_ran_on(path):
    notebook = load(path)
    assert machine_paths(notebook) == []
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert [cell.metadata for cell in notebook.cells] == [{}] * len(notebook.cells)


def test_machine_path_in_an_output_is_found():
    output = nbformat.v4.new_output("stream", name="stdout", text="saved /home/someone/model.index\n")
    cell = nbformat.v4.new_code_cell("print(path)", outputs=[output])
    assert "/home/someone/model.index" in machine_paths(nbformat.v4.new_notebook(cells=[cell]))[0]


def test_changed_output_is_noticed(tmp_path, run):
    output = nbformat.v4.new_output("stream", name="stdout", text="1\n")
    cell = nbformat.v4.new_code_cell("print(2)\n3", outputs=[output], execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "stale.ipynb")
    assert [printed(cell) for cell in code_cells(run(tmp_path / "stale.ipynb"))] == ["2\n3\n"]


def test_cell_that_raises_fails_the_run(tmp_path, run):
    cell = nbformat.v4.new_code_cell("1 / 0")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "broken.ipynb")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        run(tmp_path / "broken.ipynb")
