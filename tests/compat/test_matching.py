"""Variables are matched with a checkpoint's tensors before anything is read."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.compat import _restore
from tfsaver.compat._var_list import resolve
from tfsaver.errors import InvalidArgumentError, NotFoundError

TENSORS = {"kernel": np.ones((3, 4), np.float32), "bias": np.zeros(4, np.float32), "step": np.int64(9)}


@pytest.fixture
def variables(tf: Any, graph: Any) -> dict[str, Any]:
    v1 = tf.compat.v1
    return {
        "kernel": v1.get_variable("kernel", [3, 4], tf.float32),
        "bias": v1.get_variable("bias", [4], tf.float32),
        "step": v1.get_variable("step", [], tf.int64),
    }


def match(variables: dict[str, Any], tensors: dict[str, Any], directory: pathlib.Path) -> list[_restore.Match]:
    with load_checkpoint(save_checkpoint(tensors, directory / "model")) as reader:
        matches, report = _restore.match(resolve(variables).bindings, reader)
    _restore.raise_unless_ok(report)
    return matches


def test_each_variable_has_its_tensor_in_order_of_names(variables: dict[str, Any], tmp_path: pathlib.Path) -> None:
    matches = match(variables, TENSORS | {"unused": np.ones(2)}, tmp_path)
    assert [(item.binding.name, item.tensor.key, item.tensor.shape) for item in matches] == [
        ("bias", "bias", (4,)), ("kernel", "kernel", (3, 4)), ("step", "step", ())
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
        "These would fit (name in the checkpoint: name here); mapping= takes this as it stands:",
        "{",
        "    'kernel': {'to': 'kernel', 'transpose': [1, 0]},",
        "}",
    ]


def test_missing_tensors_come_with_everything_else_that_is_wrong(variables: dict[str, Any], tmp_path: pathlib.Path) -> None:
    there = {"kernal": np.ones((3, 4), np.float32), "bias": np.zeros(4), "unused": np.ones(2)}
    with pytest.raises(NotFoundError) as caught:
        match(variables, there, tmp_path)
    said = str(caught.value)
    assert said.split("\n")[0].endswith("is missing from the checkpoint. 2 of 3 tensors are missing:")
    for fragment in (
        f"Key kernel not found in checkpoint {tmp_path}/model; did you mean 'kernal'?",
        f"Key step not found in checkpoint {tmp_path}/model\n",
        "tensor_name = bias; expected dtype float",
        "Not wanted, but in the checkpoint (2):\n  kernal\n  unused",
        "'kernal': 'kernel'",
    ):
        assert fragment in said
