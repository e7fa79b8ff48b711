"""Decoders before the inputs of an export, for clients that send files and JSON instead of arrays.

    image            a string of JPEG, PNG, GIF or BMP bytes for each example -> pixels from 0 to 255 in the input's shape
    image/255        the same, divided by 255: from 0 to 1
    image/127.5-1    the same, from -1 to 1
    json             a tf.train.Example as JSON -> the same, serialized, for a graph that parses Examples

A model only gives right numbers for pixels as it was trained on: nothing is guessed. An image of another size is resized by
ResizeBilinear with half_pixel_centers, as tf.image.resize does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import numpy as np

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, NotFoundError, nearest_names
from tfsaver.framework import dtypes
from tfsaver.graph import node_builder
from tfsaver.graph.node_builder import of_bool, of_int, of_type, of_types
from tfsaver.graph.tensor_names import FreeNames, is_control, node_of, normalized
from tfsaver.saved_model.graph_tensors import PLACEHOLDER_OPS, GraphTensors
from tfsaver.saved_model.tensor_requests import placeholder

Decoding: TypeAlias = Literal["image", "image/255", "image/127.5-1", "json"]
_SCALES: dict[str, tuple[float, float]] = {"image": (1.0, 0.0), "image/255": (255.0, 0.0), "image/127.5-1": (127.5, 1.0)}
_CHANNELS = (1, 3, 4)


def add_decoders(
    meta_graph: schemas.MetaGraphDef, signatures: Mapping[str, schemas.SignatureDef], decode: Mapping[str, Decoding]
) -> None:
    """Puts a decoder before each named input of the signatures; graph and signatures are changed in place.

    Raises:
        NotFoundError: No signature has an input of a key.
        InvalidArgumentError: There is no such decoder, or the input is not what it gives.
    """
    for key, kind in decode.items():
        if kind not in get_args(Decoding):
            raise InvalidArgumentError(f"decode={{{key!r}: {kind!r}}}; known are {', '.join(map(repr, get_args(Decoding)))}")
        infos = [signature.inputs[key] for signature in signatures.values() if key in signature.inputs]
        if not infos:
            keys = {each for signature in signatures.values() for each in signature.inputs}
            near = ", ".join(map(repr, nearest_names(key, keys) or sorted(keys)))
            raise NotFoundError(f"decode: no signature has an input {key!r}: there is {near or 'none'}")
        for name in dict.fromkeys(info.name for info in infos):
            _add_decoder(meta_graph, key, kind, name, [info for info in infos if info.name == name])


def _add_decoder(
    meta_graph: schemas.MetaGraphDef, key: str, kind: str, name: str, infos: list[schemas.TensorInfo]
) -> None:
    graph = GraphTensors(meta_graph)
    if not name or graph.node(name).op not in PLACEHOLDER_OPS:
        raise InvalidArgumentError(f"decode: input {key!r} is no placeholder, before which a decoder could stand")
    tensor = graph.tensor(name)
    nodes = meta_graph.graph_def.node
    names = FreeNames(graph.nodes)
    encoded = names.take(f"{node_of(name)}_encoded")
    if kind == "json":
        if tensor.data_type != schemas.DT_STRING:
            raise InvalidArgumentError(f"decode: input {key!r} takes no strings, which serialized Examples are")
        shape = tensor.shape
        decoded = node_builder.node("DecodeJSONExample", names.take(f"{node_of(name)}_decoded"), [encoded], {})
    else:
        function = _image_function(meta_graph, key, kind, tensor.data_type, tensor.shape)
        shape = (None,)
        size = [] if tensor.shape is None else [size or -1 for size in tensor.shape[1:]]
        attrs = {
            "Targuments": of_types([schemas.DT_STRING]),
            "Tcaptured": of_types([]),
            "output_types": of_types([tensor.data_type]),
            "output_shapes": schemas.AttrValue(
                list=schemas.AttrValue.ListValue(shape=[node_builder.of_shape(size).shape])
            ),
            "f": schemas.AttrValue(func=schemas.NameAttrList(name=function)),
        }
        decoded = node_builder.node("MapDefun", names.take(f"{node_of(name)}_decoded"), [encoded], attrs)
    for node in nodes:
        for position, reference in enumerate(node.input):
            if not is_control(reference) and normalized(reference) == node_of(name):
                node.input[position] = decoded.name
    nodes.extend([placeholder(encoded, schemas.DT_STRING, shape), decoded])
    for info in infos:
        info.name, info.dtype = f"{encoded}:0", schemas.DT_STRING
        info.tensor_shape.CopyFrom(_signature_shape(shape))


def _signature_shape(shape: tuple[int | None, ...] | None) -> schemas.TensorShapeProto:
    """A shape as signatures have it."""
    sizes = None if shape is None else [-1 if size is None else size for size in shape]
    return node_builder.of_shape(sizes).shape


def _image_function(
    meta_graph: schemas.MetaGraphDef, key: str, kind: str, data_type: int, shape: tuple[int | None, ...] | None
) -> str:
    """Adds the function that decodes one image; returns its name."""
    is_float = data_type in (schemas.DT_FLOAT, schemas.DT_HALF, schemas.DT_BFLOAT16, schemas.DT_DOUBLE)
    if not is_float and not (data_type == schemas.DT_UINT8 and kind == "image"):
        types = "uint8 or a floating-point type" if kind == "image" else "a floating-point type"
        found = dtypes.from_data_type(data_type).name
        raise InvalidArgumentError(f"decode={kind!r}: input {key!r} must be {types}, not {found}")
    if shape is None or len(shape) != 4 or None in shape[1:] or shape[3] not in _CHANNELS or shape[0] not in (None, 1):
        there = "unknown" if shape is None else ["?" if size is None else size for size in shape]
        raise InvalidArgumentError(
            f"decode={kind!r}: input {key!r} must have the shape [?, height, width, 1, 3 or 4], not {there}"
        )
    divisor, subtracted = _SCALES[kind]
    float_type, target = of_type(schemas.DT_FLOAT), of_type(data_type)
    constants = {
        "axis": (np.array(0, np.int32), schemas.DT_INT32),
        "size": (np.array(shape[1:3], np.int32), schemas.DT_INT32),
        "divisor": (np.array(divisor, np.float32), schemas.DT_FLOAT),
        "subtracted": (np.array(subtracted, np.float32), schemas.DT_FLOAT),
    }
    channels = of_int(shape[3] or 0)
    nodes = [
        node_builder.array_const(name, array, dtypes.from_data_type(number)) for name, (array, number) in constants.items()
    ]
    nodes += [
        node_builder.node("DecodePng", "image", ["bytes"], {"channels": channels, "dtype": of_type(schemas.DT_UINT8)}),
        node_builder.node(
            "ExpandDims", "batch", ["image:image:0", "axis:output:0"],
            {"T": of_type(schemas.DT_UINT8), "Tdim": of_type(schemas.DT_INT32)},
        ),
        node_builder.node(
            "ResizeBilinear", "resized", ["batch:output:0", "size:output:0"],
            {"T": of_type(schemas.DT_UINT8), "align_corners": of_bool(False), "half_pixel_centers": of_bool(True)},
        ),
        node_builder.node(
            "Squeeze", "pixels", ["resized:resized_images:0"],
            {"T": float_type, "squeeze_dims": schemas.AttrValue(list=schemas.AttrValue.ListValue(i=[0]))},
        ),
    ]  # fmt: skip
    last = "pixels:output:0"
    if data_type == schemas.DT_UINT8:
        nodes.append(node_builder.node("Round", "rounded", [last], {"T": float_type}))
        last = "rounded:y:0"
    else:
        nodes.append(node_builder.node("RealDiv", "divided", [last, "divisor:output:0"], {"T": float_type}))
        nodes.append(node_builder.node("Sub", "moved", ["divided:z:0", "subtracted:output:0"], {"T": float_type}))
        last = "moved:z:0"
    nodes.append(node_builder.node("Cast", "cast", [last], {"SrcT": float_type, "DstT": target}))
    library = meta_graph.graph_def.library
    names = FreeNames(function.signature.name for function in library.function)
    function = library.function.add(node_def=nodes, ret={"pixels": "cast:y:0"})
    function.signature.name = names.take("decode_image")
    function.signature.input_arg.add(name="bytes", type=schemas.DT_STRING)
    function.signature.output_arg.add(name="pixels", type=data_type)
    return str(function.signature.name)
