"""Variables are matched with a checkpoint's tensors before anything is read."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint, save_checkpoint, schemas
from tfsaver.compat import _matching
from tfsaver.compat._variables import to_bindings
from tfsaver.errors import DataLossError, InvalidArgumentError, NotFoundError


@pytest.fixture
def variables(tf: Any, graph: Any) -> dict[str, Any]:
    v1 = tf.compat.v1
    return {
        "kernel": v1.get_variable("kernel", [3, 4], tf.float32),
        "bias": v1.get_variable("bias", [4], tf.float32),
        "step": v1.get_variable("step", [], tf.int64),
    }


TENSORS = {"kernel": np.ones((3, 4), np.float32), "bias": np.zeros(4, np.float32), "step": np.int64(9)}


def match(variables: dict[str, Any], tensors: dict[str, Any], directory: pathlib.Path) -> list[_matching.Match]:
    with load_checkpoint(save_checkpoint(tensors, directory / "model")) as reader:
        return _matching.match(to_bindings(variables), reader)


def test_all_that_fits_is_matched_in_order_of_names(variables: dict[str, Any], tmp_path: pathlib.Path) -> None:
    matches = match(variables, TENSORS | {"unused": np.ones(2)}, tmp_path)
    assert [(each.key, each.shape, each.num_bytes) for each in matches] == [
        ("bias", (4,), 16), ("kernel", (3, 4), 48), ("step", (), 8)
    ]  # fmt: skip


def test_every_mismatch_is_in_one_error(variables: dict[str, Any], tmp_path: pathlib.Path) -> None:
    wrong = {"kernel": np.ones((4, 3), np.float32), "bias": np.zeros(4), "step": np.int64(9)}
    with pytest.raises(InvalidArgumentError) as caught:
        match(variables, wrong, tmp_path)
    first, *lines = str(caught.value).split("\n")
    assert first.endswith("2 of 3 tensors do not fit:")
    assert lines == [
        "  tensor_name = bias; expected dtype float does not equal original dtype double",
        "  tensor_name = kernel; Assign requires shapes of both tensors to match. lhs shape= [3,4] rhs shape= [4,3]"
        " (variable, checkpoint)",
    ]


def objects(full_names: dict[str, str]) -> bytes:
    """A TrackableObjectGraph that says what the variables of some keys were called."""
    graph = schemas.TrackableObjectGraph()
    for key, full_name in full_names.items():
        graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name=full_name, checkpoint_key=key)
    return bytes(graph.SerializeToString())


def test_object_based_tensors_are_found_by_what_their_variables_were_called(
    variables: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    keys = {f"net/{name}/.ATTRIBUTES/VARIABLE_VALUE": value for name, value in TENSORS.items()}
    graph = objects({key: key.split("/")[1] for key in keys})
    matches = match(variables, keys | {_matching.OBJECT_GRAPH_NAME: graph}, tmp_path)
    assert [each.key.split("/")[1] for each in matches] == ["bias", "kernel", "step"]


def test_object_based_tensors_are_all_found_or_none(variables: dict[str, Any], tmp_path: pathlib.Path) -> None:
    tensors = {
        "k": TENSORS["kernel"],
        "b": TENSORS["bias"],
        _matching.OBJECT_GRAPH_NAME: objects({"k": "kernel", "b": "beta"}),
    }
    with pytest.raises(NotFoundError) as caught:
        match(variables, tensors, tmp_path)
    said = str(caught.value)
    assert "3 of 3 tensors are missing" in said
    assert "Existing variables not in the checkpoint: bias, step" in said
    assert "which don't exist now: beta" in said
    assert "(1 variable name(s) did match)" in said


@pytest.mark.parametrize("damaged", [b"\xff\xff", np.ones(3, np.float32)], ids=["bytes", "numbers"])
def test_damaged_object_graph_is_data_loss(variables: dict[str, Any], tmp_path: pathlib.Path, damaged: Any) -> None:
    with pytest.raises(DataLossError, match=_matching.OBJECT_GRAPH_NAME):
        match(variables, {_matching.OBJECT_GRAPH_NAME: damaged}, tmp_path)
