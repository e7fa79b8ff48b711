"""The constants of frozen graphs as weights, for every verb, and back as variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

import tfsaver
from tests.saved_model.graphs import node
from tfsaver import schemas
from tfsaver.errors import DataLossError, TensorNotFoundError
from tfsaver.framework import dtypes
from tfsaver.graph.node_builder import array_const
from tfsaver.saved_model.graph_constants import GraphConstants, open_graph_constants

WEIGHTS: dict[str, Any] = {
    "dense/kernel": np.arange(12, dtype=np.float32).reshape(4, 3),
    "dense/bias": np.array([1.5], np.float32),
    "dense/gamma": np.full(8, 0.5, np.float64),
    "step": np.array(7, np.int64),
    "ids": np.arange(300, dtype=np.int32),
    "scalar": np.array(2.5, np.float32),
}
OTHERS: dict[str, Any] = {"shape": np.array([-1, 4], np.int32), "axis": np.array(1, np.int32), "epsilon": np.array(1e-3, np.float32)}


def frozen() -> schemas.GraphDef:
    graph = schemas.GraphDef(node=[node("Placeholder", "x")], versions={"producer": 1882})
    for name, value in {**WEIGHTS, **OTHERS}.items():
        graph.node.append(array_const(name, value, dtypes.from_numpy(value.dtype)))
    graph.node.append(node("Identity", "step/read", ["step"]))
    graph.node.append(node("Identity", "scalar/read", ["scalar"]))
    graph.node.append(node("MatMul", "y", ["x", "dense/kernel"]))
    return graph


def test_all_weights_are_there_whatever_their_size() -> None:
    source = GraphConstants(frozen(), "g.pb")
    assert source.names == sorted(WEIGHTS)
    for name, value in WEIGHTS.items():
        assert np.array_equal(source[name], value) and source[name].dtype == value.dtype
        assert source.info(name)[:4] == (name, dtypes.from_numpy(value.dtype), value.shape, value.nbytes)
    with pytest.raises(TensorNotFoundError, match="kernel"):
        source.read("dense/kernl")


@pytest.mark.parametrize("name", ["frozen.pb", "frozen.pbtxt", "weights", "saved_model.pb"])
def test_verbs_take_a_frozen_graph_for_a_checkpoint(tmp_path: Path, name: str) -> None:
    text = text_format.MessageToString(frozen(), descriptor_pool=schemas.DESCRIPTOR_POOL).encode()
    (tmp_path / name).write_bytes(text if name.endswith("txt") else frozen().SerializeToString())
    tfsaver.convert(tmp_path / name, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert sorted(arrays) == sorted(WEIGHTS)
        assert all(np.array_equal(arrays[key], value) for key, value in WEIGHTS.items())
    assert tfsaver.diff(tmp_path / name, WEIGHTS).equal
    tfsaver.strip(tmp_path / name, tmp_path / "stripped")
    assert "dense/bias" in tfsaver.load_checkpoint(tmp_path / "stripped")


def test_a_graph_without_weights_says_where_they_are(tmp_path: Path) -> None:
    graph = schemas.GraphDef(node=[node("Placeholder", "x"), node("Identity", "y", ["x"])])
    (tmp_path / "g.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(DataLossError, match=r"without constants that are weights.*saved-model show"):
        tfsaver.convert(tmp_path / "g.pb", tmp_path / "out.npz")
    assert open_graph_constants(str(tmp_path / "gone.pb")) is None


def test_a_constant_that_claims_more_than_a_graph_holds_is_refused() -> None:
    graph = frozen()
    tensor = graph.node[1].attr["value"].tensor
    tensor.CopyFrom(schemas.TensorProto(dtype=schemas.DT_FLOAT, tensor_shape={"dim": [{"size": 1 << 40}]}, float_val=[1.0]))
    with pytest.raises(DataLossError, match="claims more bytes"):
        GraphConstants(graph, "g.pb").read("dense/kernel")
