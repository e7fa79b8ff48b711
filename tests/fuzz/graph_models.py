"""Small graphs of every kind, to begin with: variables of both kinds, a Saver, functions, a loop, a table, assets."""

from __future__ import annotations

from tfsaver import schemas
from tfsaver.framework import dtypes
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.node_builder import (
    int32_const,
    int32s_const,
    node,
    of_int,
    of_shape,
    of_string,
    of_strings,
    of_type,
    of_types,
    string_const,
    zeros_const,
)
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.variables import find_variables

FLOAT, RESOURCE, STRING, INT64 = schemas.DT_FLOAT, schemas.DT_RESOURCE, schemas.DT_STRING, schemas.DT_INT64


def reference_variables() -> schemas.MetaGraphDef:
    """y = x w + b, w a reference variable in two parts, with a Saver and the collections that name it."""
    nodes = [
        node("Placeholder", "x", (), {"dtype": of_type(FLOAT), "shape": of_shape([-1, 2])}),
        zeros_const("zeros", [2, 2], dtypes.from_data_type(FLOAT)),
    ]
    meta_graph = schemas.MetaGraphDef()
    for part in ("w/part_0", "w/part_1"):
        attrs = {"dtype": of_type(FLOAT), "shape": of_shape([2, 2]), "_class": of_strings([b"loc:@w/part_0"])}
        nodes += [
            node("VariableV2", part, (), attrs, device="/job:ps/task:1"),
            node("Assign", f"{part}/Assign", [part, "zeros"], {"T": of_type(FLOAT)}),
            node("Identity", f"{part}/read", [part], {"T": of_type(FLOAT)}),
        ]
        definition = schemas.VariableDef(
            variable_name=f"{part}:0",
            initializer_name=f"{part}/Assign",
            snapshot_name=f"{part}/read:0",
            save_slice_info_def=schemas.SaveSliceInfoDef(
                full_name="w", full_shape=[4, 2], var_offset=[2 * (part[-1] == "1"), 0], var_shape=[2, 2]
            ),
        )
        for collection in ("variables", "trainable_variables"):
            meta_graph.collection_def[collection].bytes_list.value.append(definition.SerializeToString())
    nodes += [
        node("MatMul", "xw", ["x", "w/part_0/read"], {"T": of_type(FLOAT)}),
        node("AddV2", "y", ["xw:0", "w/part_1/read", "^x"], {"T": of_type(FLOAT)}),
        node("ApplyAdam", "train", ["w/part_0", "w/part_1", "zeros"], {"T": of_type(FLOAT)}),
        node("NoOp", "init", ["^w/part_0/Assign", "^w/part_1/Assign"]),
    ]
    meta_graph.graph_def.node.extend(nodes)
    meta_graph.meta_info_def.tags.append("serve")
    meta_graph.collection_def["saved_model_main_op"].node_list.value.append("init")
    signature = meta_graph.signature_def["serving_default"]
    signature.inputs["x"].CopyFrom(schemas.TensorInfo(name="x:0", dtype=FLOAT))
    signature.outputs["y"].CopyFrom(schemas.TensorInfo(name="y:0", dtype=FLOAT))
    return with_saver(meta_graph, find_variables(meta_graph), sharded=True)


def resource_variables() -> schemas.MetaGraphDef:
    """A handle that goes through calls, a loop and a branch; a table with a vocabulary among the assets."""
    handle = {"dtype": of_type(FLOAT), "shape": of_shape([2]), "shared_name": of_string("v")}
    func = schemas.AttrValue(func=schemas.NameAttrList(name="read"))
    pass_on = schemas.AttrValue(func=schemas.NameAttrList(name="pass"))
    call = {"Tin": of_types([RESOURCE]), "Tout": of_types([FLOAT]), "f": func}
    loop = {"T": of_types([RESOURCE]), "cond": func, "body": pass_on}
    nodes = [
        node("VarHandleOp", "v", (), handle),
        node("ReadVariableOp", "v/Read/ReadVariableOp", ["v"], {"dtype": of_type(FLOAT)}),
        node("StatefulPartitionedCall", "call", ["v"], call),
        node("While", "loop", ["v"], loop),
        node("StatefulPartitionedCall", "after", ["loop"], call),
        node("AddV2", "sum", ["call", "after"], {"T": of_type(FLOAT)}),
        int32_const("index", 1),
        node("ResourceGather", "gather", ["v", "index"], {"dtype": of_type(FLOAT), "Tindices": of_type(schemas.DT_INT32)}),
        string_const("vocabulary", "vocab.txt"),
        node("HashTableV2", "table", (), {"key_dtype": of_type(STRING), "value_dtype": of_type(INT64)}),
        node("InitializeTableFromTextFileV2", "fill", ["table", "vocabulary"], {"key_index": of_int(0)}),
        node("ReadFile", "read_file", ["vocabulary"]),
        int32s_const("large", range(8)),
    ]
    meta_graph = schemas.MetaGraphDef()
    meta_graph.graph_def.node.extend(nodes)
    library = meta_graph.graph_def.library
    read = library.function.add(ret={"out": "r:value:0"})
    read.signature.CopyFrom(_signature("read", FLOAT))
    read.node_def.append(node("ReadVariableOp", "r", ["a"], {"dtype": of_type(FLOAT)}))
    passing = library.function.add(ret={"out": "i:output:0"})
    passing.signature.CopyFrom(_signature("pass", RESOURCE))
    passing.node_def.append(node("Identity", "i", ["a"], {"T": of_type(RESOURCE)}))
    library.gradient.add(function_name="read", gradient_func="pass")
    meta_graph.asset_file_def.add(filename="vocab.txt", tensor_info=schemas.TensorInfo(name="vocabulary:0"))
    meta_graph.collection_def["table_initializer"].node_list.value.append("fill")
    meta_graph.signature_def["sum"].outputs["sum"].CopyFrom(schemas.TensorInfo(name="sum:0", dtype=FLOAT))
    op_def = meta_graph.meta_info_def.stripped_op_list.op.add(name="ReadFile")
    op_def.input_arg.add(name="filename", type=STRING)
    op_def.output_arg.add(name="contents", type=STRING)
    variables: list[GraphVariable] = find_variables(meta_graph)
    return with_saver(meta_graph, variables, flavour="2.21")


def function_calls() -> schemas.MetaGraphDef:
    """The calls of a model with resources, and the functions that they call."""
    model = without_saver(resource_variables())
    for name in ("fill", "table", "vocabulary", "read_file", "large", "gather", "index"):
        del model.graph_def.node[[node.name for node in model.graph_def.node].index(name)]
    del model.asset_file_def[:]
    model.collection_def.clear()
    return model


def without_saver(model: schemas.MetaGraphDef) -> schemas.MetaGraphDef:
    """A copy of a graph without what restores its variables."""
    small = schemas.MetaGraphDef()
    small.CopyFrom(model)
    small.ClearField("saver_def")
    for index in reversed(range(len(small.graph_def.node))):
        if small.graph_def.node[index].name.startswith("save/"):
            del small.graph_def.node[index]
    return small


def _signature(name: str, output: int) -> schemas.OpDef:
    argument, result = schemas.OpDef.ArgDef(name="a", type=RESOURCE), schemas.OpDef.ArgDef(name="out", type=output)
    return schemas.OpDef(name=name, input_arg=[argument], output_arg=[result])


def object_model() -> schemas.SavedModel:
    """A model of TensorFlow 2: objects, a variable and its slot, a function, a layer with metadata."""
    model = schemas.SavedModel(saved_model_schema_version=1)
    meta_graph = model.meta_graphs.add()
    meta_graph.CopyFrom(resource_variables())
    objects = meta_graph.object_graph_def
    root = objects.nodes.add(user_object=schemas.SavedUserObject(identifier="_tf_keras_network", metadata='{"a": 1}'))
    for number, name in enumerate(("kernel", "opt", "fn"), 1):
        root.children.add(node_id=number, local_name=name)
    shape = schemas.TensorShapeProto(dim=[schemas.TensorShapeProto.Dim(size=2)])
    objects.nodes.add(variable=schemas.SavedVariable(dtype=FLOAT, shape=shape, name="dense/kernel", trainable=True))
    optimizer = objects.nodes.add(user_object=schemas.SavedUserObject(identifier="optimizer"))
    optimizer.slot_variables.add(original_variable_node_id=1, slot_name="m", slot_variable_node_id=4)
    objects.nodes.add(function=schemas.SavedFunction(concrete_functions=["__inference_read_12"]))
    objects.nodes.add(variable=schemas.SavedVariable(dtype=FLOAT, shape=shape, name="dense/kernel/m"))
    objects.concrete_functions["__inference_read_12"].bound_inputs.append(1)
    meta_graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "fill"
    return model
