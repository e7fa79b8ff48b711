"""SavedModels with one thing wrong, made of sound ones: each by a change that happens to files and graphs in practice."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from tfsaver import schemas

# What a change is given: the directory, the message in it, and what chooses. It returns whether it could be made.
Change = Callable[[Path, schemas.SavedModel, random.Random], bool]

_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
_MAX_BYTES = 3 << 20


def make_mutants(models: Mapping[str, Path], target: Path, count: int, seed: int) -> dict[str, Path]:
    """Copies of models, each with one change; the kinds of change and the models take turns."""
    random_source = random.Random(seed)
    names = [name for name, path in sorted(models.items()) if _is_readable(path)]
    made: dict[str, Path] = {}
    number = 0
    while len(made) < count and number < 20 * count:
        change = CHANGES[number % len(CHANGES)]
        name = random_source.choice(names)
        number += 1
        path = target / f"{len(made):03}"
        shutil.copytree(models[name], path)
        proto = _read(path)
        if change(path, proto, random_source):
            if _file(path).exists():
                _write(path, proto)
            made[f"{len(made):03} {change.__name__} of {name}"] = path
        else:
            shutil.rmtree(path)
    return made


def _file(path: Path) -> Path:
    binary = path / "saved_model.pb"
    return path / "saved_model.pbtxt" if not binary.exists() and (path / "saved_model.pbtxt").exists() else binary


def _is_readable(path: Path) -> bool:
    if sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) > _MAX_BYTES:
        return False
    try:
        return bool(_read(path).meta_graphs)
    except (DecodeError, text_format.ParseError, UnicodeDecodeError, OSError):
        return False


def _read(path: Path) -> schemas.SavedModel:
    proto = schemas.SavedModel()
    file = _file(path)
    if file.suffix == ".pbtxt":
        text_format.Parse(file.read_text(), proto, allow_unknown_field=True, descriptor_pool=schemas.DESCRIPTOR_POOL)
    else:
        proto.ParseFromString(file.read_bytes())
    return proto


def _write(path: Path, proto: schemas.SavedModel) -> None:
    file = _file(path)
    file.unlink(missing_ok=True)
    (path / "saved_model.pb").write_bytes(proto.SerializeToString())


def _nodes(proto: schemas.SavedModel) -> list[Any]:
    return list(proto.meta_graphs[0].graph_def.node)


def _function_nodes(proto: schemas.SavedModel) -> list[Any]:
    return [node for function in proto.meta_graphs[0].graph_def.library.function for node in function.node_def]


def _infos(proto: schemas.SavedModel) -> Iterator[Any]:
    for _, signature in sorted(proto.meta_graphs[0].signature_def.items()):
        yield from (info for _, info in sorted(signature.inputs.items()))
        yield from (info for _, info in sorted(signature.outputs.items()))


def _one(choices: list[Any], random_source: random.Random) -> Any:
    return random_source.choice(choices) if choices else None


def file_dropped(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    files = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("saved_model.pb"))
    file = _one(files, random_source)
    if file is None:
        return False
    file.unlink()
    return True


def pointer_for_data(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    file = _one(sorted(path.glob("variables/*")), random_source)
    if file is None:
        return False
    file.chmod(0o644)
    file.write_bytes(_LFS)
    return True


def type_broken(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    nodes = [node for node in _nodes(proto) for key in ("T", "dtype", "DstT") if key in node.attr]
    node = _one(nodes, random_source)
    if node is None:
        return False
    key = next(key for key in ("T", "dtype", "DstT") if key in node.attr)
    others = [each for each in (schemas.DT_FLOAT, schemas.DT_INT32, schemas.DT_STRING) if each != node.attr[key].type]
    node.attr[key].type = random_source.choice(others)
    return True


def type_broken_in_function(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    nodes = [node for node in _function_nodes(proto) if "T" in node.attr and node.attr["T"].type]
    node = _one(nodes, random_source)
    if node is None:
        return False
    node.attr["T"].type = schemas.DT_INT32 if node.attr["T"].type != schemas.DT_INT32 else schemas.DT_FLOAT
    return True


def type_of_signature_broken(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    info = _one([each for each in _infos(proto) if each.name], random_source)
    if info is None:
        return False
    info.dtype = schemas.DT_INT32 if info.dtype != schemas.DT_INT32 else schemas.DT_FLOAT
    return True


def operation_renamed(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one(_nodes(proto), random_source)
    if node is None:
        return False
    node.op += "Renamed"
    return True


def operation_renamed_in_function(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one(_function_nodes(proto), random_source)
    if node is None:
        return False
    node.op += "Renamed"
    return True


def node_renamed(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one(_nodes(proto), random_source)
    if node is None:
        return False
    node.name += "_renamed"
    return True


def node_dropped(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    nodes = proto.meta_graphs[0].graph_def.node
    if not nodes:
        return False
    del nodes[random_source.randrange(len(nodes))]
    return True


def node_doubled(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    nodes = proto.meta_graphs[0].graph_def.node
    if not nodes:
        return False
    chosen = random_source.choice(list(nodes))
    nodes.add().CopyFrom(chosen)
    return True


def device_on_node(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one(_nodes(proto), random_source)
    if node is None:
        return False
    node.device = random_source.choice(["/device:GPU:0", "/job:worker/task:1", "/job:ps/replica:0/task:0/cpu:0"])
    return True


def device_in_function(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one(_function_nodes(proto), random_source)
    if node is None:
        return False
    node.device = random_source.choice(["/device:GPU:0", "/job:worker/task:3/device:GPU:1"])
    return True


def input_key_doubled(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    signatures = [each for _, each in sorted(proto.meta_graphs[0].signature_def.items()) if each.inputs]
    signature = _one(signatures, random_source)
    if signature is None:
        return False
    key = min(signature.inputs)
    signature.inputs[key + "_again"].CopyFrom(signature.inputs[key])
    return True


def output_gone(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    info = _one([each for each in _infos(proto) if each.name], random_source)
    if info is None:
        return False
    info.name = "gone:0" if random_source.random() < 0.5 else info.name.partition(":")[0] + ":7"
    return True


def asset_doubled(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    graph = proto.meta_graphs[0]
    if not graph.asset_file_def:
        return False
    graph.asset_file_def.add().CopyFrom(graph.asset_file_def[0])
    return True


def asset_renamed(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    graph = proto.meta_graphs[0]
    if not graph.asset_file_def:
        return False
    graph.asset_file_def[0].filename += ".old"
    return True


def graph_doubled(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    proto.meta_graphs.add().CopyFrom(proto.meta_graphs[0])
    return True


def attribute_dropped(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one([node for node in _nodes(proto) if node.attr], random_source)
    if node is None:
        return False
    del node.attr[random_source.choice(sorted(node.attr))]
    return True


def attribute_dropped_in_function(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one([node for node in _function_nodes(proto) if node.attr], random_source)
    if node is None:
        return False
    del node.attr[random_source.choice(sorted(node.attr))]
    return True


def attribute_added(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one(_nodes(proto), random_source)
    if node is None:
        return False
    node.attr["of_a_newer_release"].b = True
    return True


def input_dropped(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one([node for node in _nodes(proto) if node.input], random_source)
    if node is None:
        return False
    del node.input[random_source.randrange(len(node.input))]
    return True


def input_dropped_in_function(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one([node for node in _function_nodes(proto) if node.input], random_source)
    if node is None:
        return False
    del node.input[random_source.randrange(len(node.input))]
    return True


def input_swapped(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    nodes = _nodes(proto)
    node = _one([node for node in nodes if node.input and not node.input[0].startswith("^")], random_source)
    if node is None:
        return False
    others = [each.name for each in nodes if each.name != node.name and each.op in ("Const", "Placeholder", "Identity")]
    if not others:
        return False
    node.input[0] = random_source.choice(others)
    return True


def shape_of_variable_changed(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one([node for node in _nodes(proto) if node.op in ("VarHandleOp", "VariableV2", "Variable")], random_source)
    if node is None:
        return False
    node.attr["shape"].shape.dim.add(size=3)
    return True


def output_shapes_changed(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one([node for node in _nodes(proto) if "_output_shapes" in node.attr and node.attr["_output_shapes"].list.shape], random_source)
    if node is None:
        return False
    node.attr["_output_shapes"].list.shape[0].dim.add(size=3)
    return True


def constant_shape_changed(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    node = _one([node for node in _nodes(proto) if node.op == "Const" and node.attr["value"].tensor.dtype != 7], random_source)
    if node is None:
        return False
    node.attr["value"].tensor.tensor_shape.dim.add(size=3)
    return True


def init_op_gone(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    graph = proto.meta_graphs[0]
    if "__saved_model_init_op" in graph.signature_def:
        graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "gone"
        return True
    for key in ("saved_model_main_op", "legacy_init_op"):
        if key in graph.collection_def:
            graph.collection_def[key].node_list.value[:] = ["gone"]
            return True
    return False


def saver_broken(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    saver = proto.meta_graphs[0].saver_def
    fields = [each for each in ("filename_tensor_name", "save_tensor_name", "restore_op_name") if getattr(saver, each)]
    field = _one(fields, random_source)
    if field is None:
        return False
    setattr(saver, field, random_source.choice(["", "gone"]))
    return True


def collection_broken(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    graph = proto.meta_graphs[0]
    key = _one(sorted(graph.collection_def), random_source)
    if key is None:
        return False
    kind = graph.collection_def[key].WhichOneof("kind")
    if kind == "bytes_list":
        graph.collection_def[key].bytes_list.value.append(b"\xff\xff\xff")
    else:
        graph.collection_def[key].node_list.value.append("gone:0")
    return True


def function_dropped(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    functions = proto.meta_graphs[0].graph_def.library.function
    if not functions:
        return False
    del functions[random_source.randrange(len(functions))]
    return True


def object_dropped(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    nodes = proto.meta_graphs[0].object_graph_def.nodes
    if len(nodes) < 2:
        return False
    del nodes[random_source.randrange(1, len(nodes))]
    return True


def slots_added(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    nodes = proto.meta_graphs[0].object_graph_def.nodes
    variables = [number for number, node in enumerate(nodes) if node.WhichOneof("kind") == "variable"]
    owners = [number for number, node in enumerate(nodes) if node.WhichOneof("kind") == "user_object"]
    if not variables or not owners:
        return False
    slot = nodes[random_source.choice(owners)].slot_variables.add(slot_name="momentum")
    slot.original_variable_node_id, slot.slot_variable_node_id = variables[0], variables[-1]
    return True


def file_cut(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    files = sorted(each for each in path.glob("variables/*") if each.stat().st_size > 8)
    file = _one(files, random_source)
    if file is None:
        return False
    data = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(data[: len(data) // 2])
    return True


def tags_changed(path: Path, proto: schemas.SavedModel, random_source: random.Random) -> bool:
    del proto.meta_graphs[0].meta_info_def.tags[:]
    return True


CHANGES: tuple[Change, ...] = (
    file_dropped,
    type_broken,
    operation_renamed,
    device_in_function,
    input_key_doubled,
    pointer_for_data,
    type_broken_in_function,
    type_of_signature_broken,
    operation_renamed_in_function,
    node_renamed,
    node_dropped,
    node_doubled,
    device_on_node,
    output_gone,
    asset_doubled,
    asset_renamed,
    graph_doubled,
    attribute_dropped,
    attribute_dropped_in_function,
    attribute_added,
    input_dropped,
    input_dropped_in_function,
    input_swapped,
    shape_of_variable_changed,
    output_shapes_changed,
    constant_shape_changed,
    init_op_gone,
    saver_broken,
    collection_broken,
    function_dropped,
    object_dropped,
    slots_added,
    file_cut,
    tags_changed,
)
