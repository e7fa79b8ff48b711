"""What is wanted is compared with what is there: all of it, in one report."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint, save_checkpoint, schemas
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.checkpoint.restoring.matching import match_tensors
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.errors import DataLossError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.tensor_bundle.writer import BundleWriter

F4, F8, I8 = (dtypes.from_name(name) for name in ("float32", "float64", "int64"))
WANTED = [WantedTensor("bias", F4, (4,)), WantedTensor("kernel", F4, (3, 4)), WantedTensor("step", I8, ())]
TENSORS: Mapping[str, Any] = {
    "kernel": np.ones((3, 4), np.float32),
    "bias": np.zeros(4, np.float32),
    "step": np.int64(9),
}


def match(
    tensors: Mapping[str, Any], directory: pathlib.Path, *wanted: WantedTensor, reshape: bool = False, format: str = "V2"
) -> MatchReport:
    path = save_checkpoint(dict(tensors), directory / "model", format=format)
    with load_checkpoint(path) as reader:
        return match_tensors(wanted or WANTED, reader, reshape=reshape)


def test_all_that_fits_is_matched(tmp_path: pathlib.Path) -> None:
    report = match({**TENSORS, "unused": np.ones(2)}, tmp_path)
    assert report.ok and report.unexpected == ("unused",)
    assert [(item.key, item.shape, item.num_bytes) for item in report.matched] == [
        ("bias", (4,), 16), ("kernel", (3, 4), 48), ("step", (), 8)
    ]  # fmt: skip
    assert (report.num_bytes, report.num_wanted) == (72, 3)
    assert str(report) == f"{tmp_path}/model: 3 of 3 tensors fit, 1 unexpected"


def test_report_says_all_that_is_wrong_and_what_may_help(tmp_path: pathlib.Path) -> None:
    there = {"dense/weights": TENSORS["kernel"], "bias": np.zeros(4), "step": np.int64([1]), "gamma": np.float32(0)}
    wanted = [WantedTensor("dense/kernel", F4, (3, 4)), *WANTED[::2], WantedTensor("w0rd", I8)]
    report = match(there, tmp_path, *wanted)
    assert not report.ok and not report.matched
    assert str(report).split("\n") == [
        f"{tmp_path}/model: 0 of 4 tensors fit, 2 missing, 2 mismatched, 2 unexpected",
        f"  Key dense/kernel not found in checkpoint {tmp_path}/model; did you mean 'dense/weights'?",
        f"  Key w0rd not found in checkpoint {tmp_path}/model",
        "  tensor_name = bias; expected dtype float does not equal original dtype double",
        "  tensor_name = step; Assign requires shapes of both tensors to match. lhs shape= [] rhs shape= [1] "
        "(variable, checkpoint)",
        "Not wanted, but in the checkpoint (2):",
        "  dense/weights",
        "  gamma",
        "These would fit (name in the checkpoint: name here); mapping= takes this as it stands:",
        "{",
        "    'dense/weights': 'dense/kernel',",
        "}",
    ]


def test_tensor_that_is_likely_comes_first_among_three_that_are_near(tmp_path: pathlib.Path) -> None:
    there = {f"dense/kernel{end}": np.zeros(1) for end in ("s", "_1", "_2")} | {"dense/weights": np.zeros((3, 4), np.float32)}
    report = match(there, tmp_path, WantedTensor("dense/kernel", F4, (3, 4)))
    [missing] = report.missing
    assert missing.near[0] == "dense/weights" and len(missing.near) == len(set(missing.near)) == 3
    assert report.mapping == {"dense/weights": "dense/kernel"}


def test_mapping_has_only_what_fits(tmp_path: pathlib.Path) -> None:
    there = {"dense/weights": np.ones((4, 3), np.float32), "dense/biases": np.ones(4), "dense/w": TENSORS["kernel"]}
    wanted = [WantedTensor("dense/kernel", F4, (None, 4)), WantedTensor("dense/bias", F4, (4,))]
    assert match(there, tmp_path, *wanted).mapping == {"dense/w": "dense/kernel"}


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (None, True),
        ((3, 4), True),
        ((None, 4), True),
        ((None, None), True),
        ((3,), False),
        ((4, 3), False),
        ((None, 3), False),
    ],
)
def test_shape_must_fit_as_far_as_it_is_known(tmp_path: pathlib.Path, wanted: Any, fits: bool) -> None:
    assert match(TENSORS, tmp_path, WantedTensor("kernel", F4, wanted)).ok is fits


@pytest.mark.parametrize(
    ("wanted", "fits"), [((12,), True), ((2, 6), True), ((2, 5), False), ((None, 4), True), ((5, None), False)]
)
def test_reshaping_counts_elements_where_the_shape_is_known(tmp_path: pathlib.Path, wanted: Any, fits: bool) -> None:
    report = match(TENSORS, tmp_path, WantedTensor("kernel", F4, wanted), reshape=True)
    assert report.ok is fits
    if wanted == (2, 5):
        assert "Input to reshape is a tensor with 12 values, but the requested shape has 10" in str(report)


def test_part_of_a_tensor_needs_the_full_shape(tmp_path: pathlib.Path) -> None:
    part = TensorSlice(((0, 2), (0, 4)))
    report = match(TENSORS, tmp_path, WantedTensor("kernel", F4, (2, 4), (3, 4), part))
    assert report.ok and report.matched[0].shape == (2, 4) and report.num_bytes == 32
    report = match(TENSORS, tmp_path, WantedTensor("kernel", F4, (2, 4), (5, 4), part))
    assert "shape in shape_and_slice spec [5,4] does not match the shape stored in checkpoint: [3,4]" in str(report)


def test_tensor_of_which_slices_are_missing_does_not_fit(tmp_path: pathlib.Path) -> None:
    with BundleWriter(tmp_path / "model") as writer:
        writer.add_slice("w", (6, 2), TensorSlice(((0, 4), (0, 2))), np.ones((4, 2), np.float32))
    with load_checkpoint(tmp_path / "model") as reader:
        inside = WantedTensor("w", F4, (2, 2), (6, 2), TensorSlice(((1, 2), (0, 2))))
        assert match_tensors([inside], reader).ok
        for wanted in (WantedTensor("w", F4), WantedTensor("w", F4, (3, 2), (6, 2), TensorSlice(((3, 3), (0, 2))))):
            report = match_tensors([wanted], reader)
            assert not report.ok and "Does not have sufficient slices for partitioned tensor" in str(report)
            assert report.mismatched[0].found == "0,4:0,2"


def test_group_is_matched_whole_or_not_at_all(tmp_path: pathlib.Path) -> None:
    wanted = [
        WantedTensor("bias", F4, group="table"),
        WantedTensor("lost", F4, group="table"),
        WantedTensor("step", I8, group="other"),
    ]
    report = match(TENSORS, tmp_path, *wanted)
    assert [item.name for item in report.matched] == ["step"]
    assert report.withheld == ("bias",) and report.num_wanted == 3
    assert "  bias fits, and is not restored without what belongs to it" in str(report).split("\n")


def test_v1_checkpoint_is_spoken_of_as_tensorflow_does(tmp_path: pathlib.Path) -> None:
    report = match(TENSORS, tmp_path, WantedTensor("other", F4), format="V1")
    assert f'Tensor name "other" not found in checkpoint files {tmp_path}/model' in str(report)


def objects(full_names: Mapping[str, str]) -> bytes:
    """A TrackableObjectGraph that says what the variables of some keys were called."""
    graph = schemas.TrackableObjectGraph()
    for key, full_name in full_names.items():
        graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name=full_name, checkpoint_key=key)
    return bytes(graph.SerializeToString())


def test_object_based_tensors_are_found_by_what_their_variables_were_called(tmp_path: pathlib.Path) -> None:
    keys = {f"net/{name}/.ATTRIBUTES/VARIABLE_VALUE": value for name, value in TENSORS.items()}
    graph = objects({key: key.split("/")[1] for key in keys})
    report = match({**keys, OBJECT_GRAPH_KEY: graph}, tmp_path)
    assert report.ok and report.unexpected == ()
    assert [item.key.split("/")[1] for item in report.matched] == ["bias", "kernel", "step"]


def test_object_based_names_that_are_missing_are_told_in_three_parts(tmp_path: pathlib.Path) -> None:
    tensors = {"k": TENSORS["kernel"], "b": TENSORS["bias"], OBJECT_GRAPH_KEY: objects({"k": "kernel", "b": "beta"})}
    report = match(tensors, tmp_path)
    assert [item.name for item in report.matched] == ["kernel"]
    said = str(report)
    assert "Existing variables not in the checkpoint: bias, step\n" in said
    assert "which don't exist now: beta\n" in said
    assert "(1 variable name(s) did match)\n" in said
    assert "  b (beta)" in said.split("\n")
    assert OBJECT_GRAPH_KEY not in said


def test_name_of_an_object_without_a_tensor_of_its_own_is_missing(tmp_path: pathlib.Path) -> None:
    report = match({"t-keys": np.ones(2), OBJECT_GRAPH_KEY: objects({"t": "table"})}, tmp_path, WantedTensor("table", F8))
    assert [item.name for item in report.missing] == ["table"]


def test_damaged_object_graph_is_data_loss(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataLossError, match=OBJECT_GRAPH_KEY):
        match({OBJECT_GRAPH_KEY: b"\xff\xff"}, tmp_path)
    assert match({**TENSORS, OBJECT_GRAPH_KEY: b"\xff\xff"}, tmp_path).ok


def test_thousands_of_missing_names_are_reported_without_hints(tmp_path: pathlib.Path) -> None:
    wanted = [WantedTensor(f"layer_{index}/kernel", F8, (1,)) for index in range(3000)]
    report = match({f"block_{index}/kernel": np.ones(1) for index in range(3000)}, tmp_path, *wanted)
    assert len(report.missing) == 3000 and report.missing[0].near and not report.missing[-1].near
