"""Models connected in one graph, partly frozen, with decoders and warmup requests: TensorFlow serves the numbers of the parts."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.saved_model.graphs import BIAS, FLOAT, KERNEL, VALUES, dense, node, of_shape
from tests.saved_model.serving import ServingProcess, serve_everywhere
from tfsaver import schemas
from tfsaver.compat.export import export_saved_model
from tfsaver.errors import InvalidArgumentError, NotFoundError, ShapeMismatchError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.graph.node_builder import array_const, of_type, string_const
from tfsaver.saved_model.examples import encode_example, example_features
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.merging import merge_saved_models

X = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]], np.float32)
HEAD_KERNEL = np.array([[2.0, 0.5, 1.0], [-1.0, 4.0, 0.25]], np.float32)
STRING = of_type(schemas.DT_STRING)


def value(array: np.ndarray[Any, Any]) -> list[Any]:
    return [array.dtype.name, list(array.shape), array.reshape(-1).tolist()]


def strings(*items: bytes) -> list[Any]:
    return ["string", [len(items)], [item.decode("latin-1") for item in items]]


def head() -> schemas.GraphDef:
    """scores = z @ kernel, with a variable of a name that the other model has too."""
    return schemas.GraphDef(
        versions=schemas.VersionDef(producer=134),
        node=[
            node("Placeholder", "x", dtype=FLOAT, shape=of_shape(-1, 2)),
            node("VarHandleOp", "kernel", dtype=FLOAT, shape=of_shape(2, 3), shared_name=schemas.AttrValue(s=b"kernel")),
            node("ReadVariableOp", "kernel/read", ["kernel"], dtype=FLOAT),
            node("MatMul", "scores", ["x", "kernel/read"], T=FLOAT),
        ],
    )


@pytest.fixture
def parts(tmp_path: Path) -> list[str]:
    encoder = export_saved_model(
        dense(), tmp_path / "encoder", variables=VALUES, inputs=["x"], outputs={"features": "layer/y"}, durable=False
    )
    classifier = export_saved_model(
        head(), tmp_path / "head", variables={"kernel": HEAD_KERNEL}, inputs={"z": "x"}, outputs=["scores"], durable=False
    )
    return [encoder, classifier]


def test_a_chain_computes_what_its_parts_compute(guest: ServingProcess, parts: list[str], tmp_path: Path) -> None:
    path = merge_saved_models(
        parts, tmp_path / "chain", prefixes=["encoder", "head"], connect={"head:z": "encoder:features"}, durable=False
    )
    expected = (X @ KERNEL + BIAS) @ HEAD_KERNEL
    serve_everywhere(guest, path, {"x": value(X)}, [value(expected)])
    serve_everywhere(guest, path, {"x": value(X)}, [value(X @ KERNEL + BIAS)], key="encoder_serving_default")
    with load_saved_model(path) as model:
        assert list(model.variables) == ["encoder/bias", "encoder/kernel", "head/kernel"]
        assert list(model.signatures) == ["encoder_serving_default", "serving_default"]


def test_models_side_by_side_keep_their_signatures(tensorflow_2: ServingProcess, parts: list[str], tmp_path: Path) -> None:
    path = merge_saved_models(parts, tmp_path / "both", prefixes=["a", "b"], connect={}, durable=False)
    serve_everywhere(tensorflow_2, path, {"x": value(X)}, [value(X @ KERNEL + BIAS)], key="a_serving_default")
    z = np.array([[1.0, 2.0]], np.float32)
    serve_everywhere(tensorflow_2, path, {"z": value(z)}, [value(z @ HEAD_KERNEL)], key="b_serving_default")


def test_models_with_tables_and_objects_can_be_joined(
    tensorflow_2: ServingProcess, cases: Path, parts: list[str], tmp_path: Path
) -> None:
    table = cases / "sm_tf_StaticHashTableModule"
    path = merge_saved_models([table, parts[0]], tmp_path / "both", prefixes=["words", "b"], connect={}, durable=False)
    with load_saved_model(table) as model:
        (key,) = model.signatures["serving_default"].inputs
    words = {key: ["string", [], ["hello"]]}
    found = tensorflow_2.ask("run_v2", path=str(table), tags=["serve"], key="serving_default", inputs=words)
    expected = list(found["outputs"].values())
    serve_everywhere(tensorflow_2, path, words, expected, key="words_serving_default")


@pytest.mark.parametrize(
    ("connect", "error", "message"),
    [
        ({"head:z": "encoder:nothing"}, NotFoundError, "has no output 'nothing': there is 'features'"),
        ({"hed:z": "encoder:features"}, NotFoundError, "a model's name is its prefix: there is 'head'"),
        ({"encoder:x": "head:scores", "head:z": "encoder:features"}, InvalidArgumentError, "the connections go round"),
    ],
)
def test_a_connection_that_makes_no_sense_is_refused(
    parts: list[str], tmp_path: Path, connect: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        merge_saved_models(parts, tmp_path / "chain", prefixes=["encoder", "head"], connect=connect)
    assert not (tmp_path / "chain").exists()


def test_shapes_that_cannot_meet_are_refused(parts: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"b/product: a MatMul of \[\?, 2\], \[3, 2\]: the inner sizes differ: 2 and 3"):
        merge_saved_models(parts[:1] * 2, tmp_path / "m", prefixes=["a", "b"], connect={"b:x": "a:features"})


def test_a_merge_that_is_tried_writes_nothing(parts: list[str], tmp_path: Path) -> None:
    options: dict[str, Any] = {"prefixes": ["a", "b"], "dry_run": True}
    assert merge_saved_models(parts, tmp_path / "m", tags=[["serve"], ["serve", "b"]], **options) == str(tmp_path / "m")
    assert merge_saved_models(parts, tmp_path / "m", connect={"b:z": "a:features"}, **options) == str(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_some_variables_are_frozen(guest: ServingProcess, tmp_path: Path) -> None:
    path = export_saved_model(
        dense(), tmp_path / "export", variables=VALUES, inputs=["x"], outputs=["layer/y"], freeze="^kernel$", durable=False
    )
    with load_saved_model(path) as model:
        assert list(model.variables) == ["bias"]
        assert {each.op for each in model.meta_graphs[0].graph_def.node} >= {"VariableV2", "Const"}
    serve_everywhere(guest, path, {"x": value(X)}, [value(X @ KERNEL + BIAS)])


def test_reference_variables_become_resource_variables(guest: ServingProcess, tmp_path: Path) -> None:
    path = export_saved_model(
        dense(), tmp_path / "export", variables=VALUES, inputs=["x"], outputs=["layer/y", "bias"], repair="resources",
        durable=False,
    )  # fmt: skip
    with load_saved_model(path) as model:
        assert not {each.op for each in model.meta_graphs[0].graph_def.node} & {"VariableV2", "Assign"}
        assert model.signatures["serving_default"].outputs["bias"].names == ("bias/Read/ReadVariableOp:0",)
    serve_everywhere(guest, path, {"x": value(X)}, [value(BIAS), value(X @ KERNEL + BIAS)])
    writing = dense()
    writing.node.append(node("AssignAdd", "moved", ["bias", "bias"], T=FLOAT))
    with pytest.raises(UnimplementedError, match="AssignAdd 'moved' takes a reference to the variable 'bias'"):
        export_saved_model(
            writing, tmp_path / "writing", variables=VALUES, inputs=["x"], outputs=["moved"], repair="resources"
        )


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    height, width, channels = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("kind", "divisor", "moved"), [("image", 1, 0), ("image/255", 255, 0), ("image/127.5-1", 127.5, 1)])
def test_images_are_decoded_in_front_of_the_input(
    guest: ServingProcess, tmp_path: Path, kind: Any, divisor: float, moved: float
) -> None:
    graph = schemas.GraphDef(
        versions=schemas.VersionDef(producer=134),
        node=[
            node("Placeholder", "images", dtype=FLOAT, shape=of_shape(-1, 2, 3, 3)),
            node("Identity", "y", ["images"], T=FLOAT),
        ],
    )
    path = export_saved_model(graph, tmp_path / "export", outputs=["y"], decode={"images": kind}, durable=False)
    pixels = np.arange(36, dtype=np.uint8).reshape(2, 2, 3, 3) * 7
    large = np.repeat(np.repeat(pixels[1], 2, 0), 2, 1) * 0 + np.uint8(140)
    expected = np.stack([*(pixels / divisor - moved), np.full((2, 3, 3), 140 / divisor - moved)]).astype(np.float32)
    given = strings(png(pixels[0]), png(pixels[1]), png(large))
    serve_everywhere(guest, path, {"images": given}, [value(expected)])


def test_a_decoder_that_cannot_fit_is_refused(tmp_path: Path) -> None:
    for decode, message in (
        ({"x": "image"}, r"input 'x' must have the shape \[\?, height, width, 1, 3 or 4\], not \['\?', 3\]"),
        ({"x": "json"}, "input 'x' takes no strings"),
        ({"x": "jpeg"}, "known are 'image'"),
        ({"images": "image"}, "no signature has an input 'images': there is 'x'"),
    ):
        with pytest.raises((InvalidArgumentError, NotFoundError), match=message):
            export_saved_model(
                dense(), tmp_path / "export", variables=VALUES, inputs=["x"], outputs=["layer/y"], decode=decode
            )


def parsing() -> schemas.GraphDef:
    """y = age * 2 of serialized Examples; a word has a default."""
    empty = array_const("no_default", np.zeros(0, np.int64), dtypes.from_name("int64"))
    return schemas.GraphDef(
        versions=schemas.VersionDef(producer=134),
        node=[
            node("Placeholder", "examples", dtype=STRING, shape=of_shape(-1)),
            array_const("names", np.zeros(0, object), dtypes.STRING),
            string_const("age_key", "age"),
            string_const("word_key", "word"),
            string_const("tags_key", "tags"),
            empty,
            string_const("word_default", "none"),
            node(
                "ParseExample", "parse",
                ["examples", "names", "tags_key", "age_key", "word_key", "no_default", "word_default"],
                Nsparse=schemas.AttrValue(i=1), Ndense=schemas.AttrValue(i=2),
                sparse_types=schemas.AttrValue(list={"type": [schemas.DT_FLOAT]}),
                Tdense=schemas.AttrValue(list={"type": [schemas.DT_INT64, schemas.DT_STRING]}),
                dense_shapes=schemas.AttrValue(list={"shape": [schemas.TensorShapeProto()] * 2}),
            ),
            node("AddV2", "twice", ["parse:3", "parse:3"], T=of_type(schemas.DT_INT64)),
            node("Identity", "word", ["parse:4"], T=STRING),
        ],
    )  # fmt: skip


def test_examples_are_made_of_plain_values_and_of_json(guest: ServingProcess, tmp_path: Path) -> None:
    path = export_saved_model(parsing(), tmp_path / "export", outputs=["twice", "word"], durable=False)
    with load_saved_model(path) as model:
        features = example_features(model.meta_graphs[0].proto)
    assert sorted(map(str, features)) == ["age: fixed int64[]", "tags: sparse float32 (optional)", "word: fixed string[] (optional)"]
    encoded = [encode_example(row, features) for row in ({"age": -3, "word": "fox"}, {"age": 1 << 40, "tags": [1, 2.5]})]
    expected = [["int64", [2], [-6, 2 << 40]], ["string", [2], ["fox", "none"]]]
    serve_everywhere(guest, path, {"examples": strings(*encoded)}, expected)
    with pytest.raises(InvalidArgumentError, match=r"an Example must have age: fixed int64\[\]"):
        encode_example({"word": "fox"}, features)
    with pytest.raises(NotFoundError, match="reads no feature 'agee': there is 'age'"):
        encode_example({"agee": 1}, features)
    with pytest.raises(InvalidArgumentError, match="feature 'age' is int64, the value 'x' is not"):
        encode_example({"age": "x"}, features)

    decoded = export_saved_model(
        parsing(), tmp_path / "json", outputs=["twice", "word"], decode={"examples": "json"}, durable=False
    )
    row = b'{"features": {"feature": {"age": {"int64List": {"value": [4]}}}}}'
    serve_everywhere(guest, decoded, {"examples": strings(row)}, [["int64", [1], [8]], ["string", [1], ["none"]]])


def test_plain_inputs_take_the_place_of_examples(guest: ServingProcess, tmp_path: Path) -> None:
    inputs = {"age": "parse:3", "word": "parse:4"}
    path = export_saved_model(parsing(), tmp_path / "export", inputs=inputs, outputs=["twice"], durable=False)
    with load_saved_model(path) as model:
        assert "ParseExample" not in {each.op for each in model.meta_graphs[0].graph_def.node}


def prediction_log() -> Any:
    """The messages of TensorFlow Serving, as far as a Predict request goes."""
    file = descriptor_pb2.FileDescriptorProto(name="log.proto", package="t", syntax="proto3")

    def add(name: str, *fields: tuple[str, int, Any, bool]) -> None:
        message = file.message_type.add(name=name)
        for field, number, kind, is_repeated in fields:
            added = message.field.add(name=field, number=number, label=3 if is_repeated else 1)
            added.type = 11 if isinstance(kind, str) else kind
            if isinstance(kind, str):
                added.type_name = f".t.{kind}"

    add("Spec", ("name", 1, 9, False), ("signature_name", 3, 9, False))
    add("Entry", ("key", 1, 9, False), ("value", 2, 12, False))
    add("Request", ("spec", 1, "Spec", False), ("inputs", 2, "Entry", True))
    add("Predict", ("request", 1, "Request", False))
    add("Log", ("predict", 6, "Predict", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Log"))


def test_warmup_requests_are_made_of_values(tensorflow_2: ServingProcess, tmp_path: Path) -> None:
    options: dict[str, Any] = {"variables": VALUES, "inputs": ["x"], "outputs": ["layer/y"], "durable": False}
    path = export_saved_model(dense(), tmp_path / "export", warmup=[{"x": X}, {"x": [[1, 2, 3]]}], **options)
    found = tensorflow_2.ask("records", path=f"{path}/assets.extra/tf_serving_warmup_requests")
    log = prediction_log()
    requests = [log.FromString(record.encode("latin-1")).predict.request for record in found]
    assert [each.spec.signature_name for each in requests] == ["serving_default"] * 2
    tensors = [schemas.TensorProto.FromString(each.inputs[0].value) for each in requests]
    arrays = [np.frombuffer(each.tensor_content, np.float32).reshape([dim.size for dim in each.tensor_shape.dim]) for each in tensors]
    np.testing.assert_array_equal(arrays[0], X)
    np.testing.assert_array_equal(arrays[1], [[1, 2, 3]])
    assert [each.inputs[0].key for each in requests] == ["x", "x"]
    for request, error in (({"y": X}, NotFoundError), ({}, InvalidArgumentError), ({"x": X[0]}, ShapeMismatchError)):
        with pytest.raises(error, match="warmup request 0"):
            export_saved_model(dense(), tmp_path / "wrong", warmup=[request], **options)
    assert not (tmp_path / "wrong").exists()


def test_the_configuration_that_keras_wrote_is_read(cases: Path) -> None:
    with load_saved_model(cases / "sm_keras_simple_model_from_auto_compile") as model:
        config = model.keras_config
    assert config is None or config["class_name"]
