"""What tfsaver exports, TensorFlow Lite and ONNX are made of, with the same numbers but for rounding.

What a converter cannot convert, it cannot convert either where TensorFlow's own builder has exported it.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import tfsaver
from tests.interop.guest_process import GuestError
from tests.interop_saved_model.comparison import assert_close
from tests.interop_saved_model.exports import TABLE_MODELS, TAGS, Exports, Signature, Values
from tests.interop_saved_model.runtime_process import RuntimeProcess

DEFAULT = "serving_default"
DENSE = (
    ("reference", DEFAULT),
    ("reference", "features"),
    ("resource", DEFAULT),
    ("partitioned_reference", "projected"),
    ("partitioned_resource", "projected"),
    ("control_flow_v1", DEFAULT),
    ("control_flow_v2", DEFAULT),
)
EMBEDDINGS = (("partitioned_reference", DEFAULT), ("partitioned_resource", DEFAULT))
# Local variables, whose initializers a program must name to the builder.
NOT_STARTED = ("path_in_a_variable", "local_variables")
MAKERS = ("tensorflow_1", "tensorflow_2")

every_maker = pytest.mark.parametrize("maker", MAKERS)


def converted_to_lite(tensorflow_2: RuntimeProcess, path: str, key: str, signature: Signature) -> Values:
    outputs: Values = tensorflow_2.ask("run_tflite", path=path, tags=TAGS, key=key, inputs=signature.inputs)
    return outputs


def converted_to_onnx(onnx: RuntimeProcess, path: str, key: str, signature: Signature, output: Path) -> Values:
    outputs = onnx.ask("run", path=path, tags=TAGS, key=key, inputs=signature.inputs, output=str(output))
    return dict(outputs)


@every_maker
@pytest.mark.parametrize(("model", "key"), DENSE)
def test_tensorflow_lite(exports: Exports, tensorflow_2: RuntimeProcess, maker: str, model: str, key: str) -> None:
    exported = exports(maker, model)
    signature = exported.signatures[key]
    assert_close(converted_to_lite(tensorflow_2, exported.paths["prefix"], key, signature), signature.expected)


@pytest.mark.parametrize("model", [*TABLE_MODELS, "sparse", "ragged"])
def test_tensorflow_lite_takes_ours_where_it_takes_the_builders(
    exports: Exports, tensorflow_2: RuntimeProcess, model: str
) -> None:
    exported = exports("tensorflow_2", model)

    def convert(kind: str) -> Values:
        return converted_to_lite(tensorflow_2, exported.paths[kind], DEFAULT, exported.signatures[DEFAULT])

    assert_same_outcome(convert, exported.signatures[DEFAULT].expected, is_whole=model not in NOT_STARTED)


@every_maker
@pytest.mark.parametrize(("model", "key"), [*DENSE, *EMBEDDINGS])
def test_onnx(exports: Exports, onnx: RuntimeProcess, tmp_path: Path, maker: str, model: str, key: str) -> None:
    exported = exports(maker, model)
    signature = exported.signatures[key]
    computed = converted_to_onnx(onnx, exported.paths["prefix"], key, signature, tmp_path / "model.onnx")
    assert_close(computed, signature.expected)


def test_onnx_of_a_ragged_tensor(exports: Exports, onnx: RuntimeProcess, tmp_path: Path) -> None:
    exported = exports("tensorflow_2", "ragged")
    signature = exported.signatures[DEFAULT]
    outputs = {}
    for kind in ("prefix", "builder"):
        outputs[kind] = converted_to_onnx(onnx, exported.paths[kind], DEFAULT, signature, tmp_path / "model.onnx")
    found = tfsaver.identify(tmp_path / "model.onnx")
    assert found.kind == "onnx"
    subprocess.run([onnx.python, *shlex.split(found.command)[1:]], capture_output=True, check=True)
    assert outputs["prefix"] == outputs["builder"]
    assert_close(dict(zip(signature.expected, outputs["prefix"].values(), strict=True)), signature.expected)


@pytest.mark.parametrize("model", [*TABLE_MODELS, "sparse"])
def test_onnx_takes_ours_where_it_takes_the_builders(
    exports: Exports, onnx: RuntimeProcess, tmp_path: Path, model: str
) -> None:
    exported = exports("tensorflow_2", model)

    def convert(kind: str) -> Values:
        return converted_to_onnx(onnx, exported.paths[kind], DEFAULT, exported.signatures[DEFAULT], tmp_path / "model.onnx")

    assert_same_outcome(convert, exported.signatures[DEFAULT].expected, is_whole=model not in NOT_STARTED)


def assert_same_outcome(convert: Callable[[str], Values], expected: Values, *, is_whole: bool) -> None:
    """Our export gives the right numbers if TensorFlow's own does; else it is refused as that is.

    Args:
        is_whole: Whether the builder's export has what starts the model; of one that has not, only ours may be converted.
    """
    outcomes: list[Values | str] = []
    for kind in ("builder", "prefix"):
        try:
            outcomes.append(convert(kind))
        except GuestError as error:
            outcomes.append(type_of(error))
    builders, ours = outcomes
    if isinstance(ours, str):
        assert isinstance(builders, str) and (builders == ours or not is_whole)
        return
    assert_close(ours, expected)
    if is_whole:
        assert not isinstance(builders, str)
        assert_close(builders, expected)


def type_of(error: GuestError) -> str:
    """The verb and the type of what was raised."""
    return ":".join(str(error).split(":")[:2])
