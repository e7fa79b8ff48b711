"""Whatever bytes a graph is made of, only tfsaver's errors come out, and the linter and the scanner none at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.graph.test_lint import FLOAT32, model
from tests.plugins.exhaustive import sample_size
from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.graph.default_attrs import strip_default_attrs
from tfsaver.graph.devices import clear_devices
from tfsaver.graph.freezing import freeze_graph
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.lint import lint
from tfsaver.graph.node_builder import node, of_int, of_shape, of_type, of_types
from tfsaver.graph.op_risks import scan
from tfsaver.graph.pruning import prune_meta_graph
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.unfreezing import unfreeze_graph
from tfsaver.graph.variables import find_variables


def whole_model() -> Any:
    """A model with a bit of everything: functions, loops, collections, assets, parts of a variable."""
    float_type = of_type(schemas.DT_FLOAT)
    call = node("PartitionedCall", "call", ["v", "x"], {"Tin": of_types([20, 1]), "Tout": of_types([1])})
    call.attr["f"].func.name = "f"
    meta_graph = model(
        call,
        node("VariableV2", "p/part_0", (), {"dtype": float_type, "shape": of_shape([2])}),
        node("Identity", "p/part_0/read", ["p/part_0"], {"T": float_type}),
        node("HashTableV2", "table", (), {"key_dtype": of_type(7), "value_dtype": of_type(9)}),
        node("InitializeTableFromTextFileV2", "fill", ["table", "x"], {"key_index": of_int(-2), "value_index": of_int(-1)}),
        node("ReadFile", "file", ["x"]),
    )
    function = meta_graph.graph_def.library.function.add(ret={"y": "sum:z:0"})
    function.signature.name = "f"
    function.signature.input_arg.add(name="h", type=schemas.DT_RESOURCE)
    function.signature.input_arg.add(name="x", type=schemas.DT_FLOAT)
    function.signature.output_arg.add(name="y", type=schemas.DT_FLOAT)
    function.node_def.append(node("ReadVariableOp", "read", ["h"], {"dtype": float_type}))
    function.node_def.append(node("AddV2", "sum", ["read:value:0", "x"], {"T": float_type}))
    meta_graph.signature_def["serving_default"].outputs["z"].name = "call:0"
    definition = schemas.VariableDef(variable_name="p/part_0:0", snapshot_name="p/part_0/read:0")
    info = definition.save_slice_info_def
    info.full_name = "p"
    for numbers, value in ((info.full_shape, 4), (info.var_offset, 0), (info.var_shape, 2)):
        numbers.append(value)
    meta_graph.collection_def["variables"].bytes_list.value.append(definition.SerializeToString())
    context = schemas.WhileContextDef(context_name="w", pivot_name="x", loop_exit_names=["y"])
    meta_graph.collection_def["while_context"].bytes_list.value.append(context.SerializeToString())
    meta_graph.collection_def["saved_model_main_op"].node_list.value.append("fill")
    asset = schemas.AssetFileDef(filename="words")
    asset.tensor_info.name = "x:0"
    packed = meta_graph.collection_def["saved_model_assets"].any_list.value.add()
    packed.type_url, packed.value = "type.googleapis.com/tensorflow.AssetFileDef", asset.SerializeToString()
    part = GraphVariable("p", "p/part_0", FLOAT32, (2,), False, (4,), TensorSlice(((0, 2),)))
    return with_saver(meta_graph, [find_variables(meta_graph)[0], part], sharded=True)


WHOLE = whole_model().SerializeToString(deterministic=True)
VALUES = {"v": np.zeros(2, np.float32), "p": np.zeros(4, np.float32)}

CHANGES = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4)


def change(meta_graph: Any) -> Iterable[Callable[[], Any]]:
    yield lambda: find_variables(meta_graph)
    yield lambda: with_saver(meta_graph, find_variables(meta_graph), sharded=True, reshape=True)
    yield lambda: prune_meta_graph(meta_graph)
    yield lambda: prune_meta_graph(meta_graph, ["y"], keep_initializers=False)
    yield lambda: strip_default_attrs(meta_graph, portable=True)
    yield lambda: clear_devices(meta_graph.graph_def)
    yield lambda: freeze_graph(meta_graph, VALUES)
    yield lambda: unfreeze_graph(meta_graph, min_size=0)


def test_the_sound_model_can_be_changed_in_every_way() -> None:
    meta_graph = schemas.MetaGraphDef.FromString(WHOLE)
    # A float takes the place of every file's name.
    assert [each.code for each in lint(meta_graph)] == ["wrong-input-type", "wrong-input-type"]
    for function in change(meta_graph):
        function()


@settings(max_examples=sample_size(150) or 400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=CHANGES)
def test_changed_bytes_are_a_graph_or_an_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for position, value in changes:
        data[position] = value
    try:
        meta_graph = schemas.MetaGraphDef.FromString(bytes(data))
    except DecodeError:
        return
    values = {name: (FLOAT32, value.shape) for name, value in VALUES.items()}
    lint(meta_graph, values=values, asset_names=["words"])
    scan(meta_graph)
    for function in change(meta_graph):
        with contextlib.suppress(SaverError):
            function()
