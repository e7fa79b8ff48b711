"""Graphs of several exports in one SavedModel over one checkpoint: every loader finds each by its tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop_saved_model.comparison import assert_close
from tests.interop_saved_model.exports import Exports, Signature, Values
from tests.interop_saved_model.runtime_process import RuntimeProcess
from tfsaver.compat.export import export_saved_model
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.merging import merge_saved_models

# The key of a signature of the models, and the tags of the graph that serves it.
GRAPHS = {"serving_default": ["serve"], "features": ["embed", "serve"]}

both_makers = pytest.mark.parametrize("maker", ["tensorflow_1", "tensorflow_2"])
both_kinds = pytest.mark.parametrize("model", ["reference", "resource"])


def merged(path: str, directory: Path) -> str:
    """A SavedModel with a graph for each signature of the one at `path`."""
    parts = []
    with load_saved_model(path) as model:
        for key, tags in GRAPHS.items():
            signatures = {key: model.meta_graphs[0].proto.signature_def[key]}
            parts.append(export_saved_model(model, directory / key, signatures=signatures, tags=tags, durable=False))
    return merge_saved_models(parts, directory / "merged", durable=False)


def in_session(runtime: RuntimeProcess, verb: str, path: str, tags: list[str], signature: Signature) -> Values:
    values = runtime.ask(verb, path=path, tags=tags, feeds=signature.fed_tensors, fetches=signature.fetched_tensors)
    return dict(zip(signature.fetches, values, strict=True))


@both_makers
@both_kinds
def test_every_loader_finds_every_graph(
    request: pytest.FixtureRequest, exports: Exports, tmp_path: Path, maker: str, model: str
) -> None:
    exported = exports(maker, model)
    path = merged(exported.paths["prefix"], tmp_path)
    loaders = {"tensorflow_1": "run_v1", "c_loader_1": "run", "tensorflow_2": "run_v1", "c_loader_2": "run"}
    for key, tags in GRAPHS.items():
        signature = exported.signatures[key]
        for loader, verb in loaders.items():
            runtime = request.getfixturevalue(loader)
            assert_close(in_session(runtime, verb, path, tags, signature), signature.expected)
        tensorflow_2 = request.getfixturevalue("tensorflow_2")
        loaded = tensorflow_2.ask("run_v2", path=path, tags=tags, key=key, inputs=signature.inputs)
        assert_close(loaded["outputs"], signature.expected)


def test_each_graph_restores_only_its_own_variables(exports: Exports, tmp_path: Path) -> None:
    path = merged(exports("tensorflow_2", "resource").paths["prefix"], tmp_path)
    with load_saved_model(path) as model:
        assert list(model.variables) == ["hidden/bias", "hidden/kernel", "out/bias", "out/kernel"]
        handles = [
            sorted(node.name for node in graph.graph_def.node if node.op == "VarHandleOp") for graph in model.meta_graphs
        ]
    assert handles == [["hidden/bias", "hidden/kernel", "out/bias", "out/kernel"], ["hidden/bias", "hidden/kernel"]]
