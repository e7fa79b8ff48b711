"""Building, checking and reading signatures."""

from __future__ import annotations

import pytest

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError
from tfsaver.saved_model import signature_def
from tfsaver.saved_model.signature_def import (
    check_method,
    check_signatures,
    dense_tensor_info,
    read_signature_tensor,
    sparse_tensor_info,
)

FLOAT, STRING = schemas.DT_FLOAT, schemas.DT_STRING
TEXT = dense_tensor_info("examples:0", STRING, [None])
NUMBER = dense_tensor_info("y:0", FLOAT, [None, 3])


def signature(method: str = "", inputs: object = None, outputs: object = None) -> schemas.SignatureDef:
    return schemas.SignatureDef(method_name=method, inputs=inputs or {}, outputs=outputs or {})


@pytest.mark.parametrize("shape", [None, (), (3,), (None, 3), (0, None)])
def test_shapes_go_both_ways(shape: tuple[int | None, ...] | None) -> None:
    assert signature_def.open_shape_from_proto(signature_def.open_shape_to_proto(shape)) == shape


def test_a_sparse_tensor_is_three_tensors() -> None:
    info = sparse_tensor_info("v:0", "i:0", "s:0", FLOAT, [None, 4])
    assert read_signature_tensor(info) == ("sparse", ("v:0", "i:0", "s:0"), "float32", (None, 4))
    assert str(read_signature_tensor(info)) == "sparse float32 [?, 4] v:0 i:0 s:0"


def test_a_ragged_tensor_is_its_components() -> None:
    info = schemas.TensorInfo()
    info.composite_tensor.type_spec.type_spec_class_name = "tf.RaggedTensorSpec"
    info.composite_tensor.components.extend([NUMBER, dense_tensor_info("splits:0", schemas.DT_INT64, [None])])
    read = read_signature_tensor(info)
    assert (read.kind, read.names, read.dtype, read.shape) == ("RaggedTensorSpec", ("y:0", "splits:0"), None, None)
    check_signatures({"s": signature(outputs={"y": info})})


def test_strange_types_have_names() -> None:
    assert signature_def.data_type_name(101) == "float32_ref"
    assert signature_def.data_type_name(77) == "type 77"
    assert signature_def.data_type_name(0) is None


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["output_10", "output_9", "a", "output_1", "10", "9", "output"]
    assert signature_def.natural_order(names) == ["a", "output", "output_1", "output_9", "output_10", "9", "10"]


def test_a_sound_signature_passes() -> None:
    sound = {
        "serving_default": signature("tensorflow/serving/predict", {"x": NUMBER}, {"y": NUMBER}),
        "regress": signature("tensorflow/serving/regress", {"inputs": TEXT}, {"outputs": NUMBER}),
        "classify": signature("tensorflow/serving/classify", {"inputs": TEXT}, {"scores": NUMBER}),
        "empty": signature(),
    }
    check_signatures(sound)
    for key, each in sound.items():
        check_method(key, each)


@pytest.mark.parametrize(
    ("key", "bad", "message"),
    [
        ("", signature(), "must not be empty"),
        ("__saved_model_init_op", signature(), "reserved"),
        ("s", signature(inputs={"x": schemas.TensorInfo(dtype=1)}), "input 'x' of signature 's' names no tensor"),
        ("s", signature(outputs={"y": schemas.TensorInfo(name="y:0")}), "output 'y' .* no dtype"),
        ("s", signature(outputs={"y": sparse_tensor_info("v:0", "", "s:0", FLOAT)}), "names no tensor"),
        ("s", signature("tensorflow/serving/regress", {"inputs": TEXT}, {"y": NUMBER}), r"outputs \(float32\); they are .* y \(float32\)"),
        ("s", signature("tensorflow/serving/regress", {"inputs": NUMBER}, {"outputs": NUMBER}), r"inputs \(string\)"),
        ("s", signature("tensorflow/serving/classify", {"inputs": TEXT}, {}), "and none"),
    ],
)
def test_an_unsound_one_is_refused(key: str, bad: schemas.SignatureDef, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_signatures({key: bad})
        check_method(key, bad)
