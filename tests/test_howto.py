"""The examples of the documentation's front page and how-tos run, and print what the pages say they print."""

from __future__ import annotations

import pathlib
import re
import shutil

import numpy as np
import pytest

import tfsaver
from tests.document_blocks import blocks, run_blocks
from tests.saved_model.graphs import FLOAT, node, of_shape
from tfsaver import schemas
from tfsaver.compat.v1 import train

_DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
_PAGES = sorted((_DOCS / "howto").glob("*.md"))
# What is in a page's code, and the programs that it needs.
_PROGRAMS = {
    r"import tensorflow|saved-model run": ["tensorflow"],
    r"import keras": ["tensorflow", "keras"],
    r"import torch": ["torch"],
    r"--to hf": ["safetensors"],
}


def _graph() -> schemas.MetaGraphDef:
    """softmax = softmax(images @ kernel + bias)."""
    graph = schemas.GraphDef(
        versions=schemas.VersionDef(producer=134),
        node=[
            node("Placeholder", "images", dtype=FLOAT, shape=of_shape(-1, 3)),
            node("VariableV2", "dense/kernel", dtype=FLOAT, shape=of_shape(3, 2)),
            node("VariableV2", "dense/bias", dtype=FLOAT, shape=of_shape(2)),
            node("MatMul", "dense/MatMul", ["images", "dense/kernel"], T=FLOAT),
            node("AddV2", "dense/logits", ["dense/MatMul", "dense/bias"], T=FLOAT),
            node("Softmax", "softmax", ["dense/logits"], T=FLOAT),
        ],
    )
    return schemas.MetaGraphDef(graph_def=graph)


def _gpt2() -> dict[str, np.ndarray]:
    shapes = {"wte": (5, 4), "wpe": (3, 4), "ln_f/g": (4,), "ln_f/b": (4,)}
    for word, inputs, outputs in (("attn/c_attn", 4, 12), ("attn/c_proj", 4, 4), ("mlp/c_fc", 4, 16), ("mlp/c_proj", 16, 4)):
        shapes |= {f"h0/{word}/w": (1, inputs, outputs), f"h0/{word}/b": (outputs,)}
    for norm in ("ln_1", "ln_2"):
        shapes |= {f"h0/{norm}/g": (4,), f"h0/{norm}/b": (4,)}
    return {f"model/{name}": np.ones(shape, np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The files that the pages speak of: a checkpoint with its .meta, a directory of checkpoints, a SavedModel."""
    directory = tmp_path_factory.mktemp("files") / "written"
    run = directory / "run"
    for step in (800, 900, 1000):
        values = {
            "dense/kernel": np.full((3, 2), step / 1000, np.float32),
            "dense/bias": np.zeros(2, np.float32),
            "dense/kernel/Adam": np.zeros((3, 2), np.float32),
            "dense/kernel/Adam_1": np.zeros((3, 2), np.float32),
            "dense/bias/Adam": np.zeros(2, np.float32),
            "dense/bias/Adam_1": np.zeros(2, np.float32),
            "beta1_power": np.float32(0.9**step),
            "beta2_power": np.float32(0.999**step),
            "global_step": np.int64(step),
        }
        tfsaver.save_checkpoint(values, run / f"model.ckpt-{step}", durable=False)
        (run / f"model.ckpt-{step}.meta").write_bytes(_graph().SerializeToString(deterministic=True))
    train.update_checkpoint_state(
        str(run), str(run / "model.ckpt-1000"), [str(run / f"model.ckpt-{step}") for step in (800, 900, 1000)]
    )
    tfsaver.save_checkpoint(_gpt2(), directory / "gpt2" / "model.ckpt", durable=False)
    for path in run.glob("model.ckpt-1000.*"):
        shutil.copy(path, directory)
    tfsaver.export_saved_model(str(run / "model.ckpt-1000"), str(directory / "export"), outputs=["softmax"], durable=False)
    # The state file has absolute paths, and nothing is there any more.
    return directory.rename(directory.with_name("moved"))


@pytest.mark.parametrize("page", [*_PAGES, _DOCS / "index.md"], ids=lambda page: page.stem)
def test_examples_of_the_page_run(page, example_files, tmp_path, monkeypatch, capsys):
    code = "".join(text for language, text in blocks(page) if language in ("python", "sh"))
    for pattern, programs in _PROGRAMS.items():
        if re.search(pattern, code):
            for program in programs:
                pytest.importorskip(program)
    shutil.copytree(example_files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    assert run_blocks(page, lambda: capsys.readouterr().out) >= 1


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_page_answers_its_question_in_ten_lines(page):
    lines = page.read_text("utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert any(line.startswith("```") for line in lines[1:10])
