"""What a mapping does to a tensor is what numpy does, and what it cannot do is an error that says why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names import changes
from tfsaver.checkpoint.names.changes import Change, Joined, Spec, Summed, as_axes, as_changes, as_sizes, as_when
from tfsaver.checkpoint.names.name_map import Renamed
from tfsaver.checkpoint.plan import Plan
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes

CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
F4 = dtypes.from_name("float32")
MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)


def plan_of(tensors: Mapping[str, Any], mapping: Any) -> Plan:
    return renamed(ArraySource(dict(tensors)), mapping).plan


def changed(array: Any, **options: Any) -> Any:
    return plan_of({"w": array}, {"w": {"to": "v", **options}})["v"]


def said(function: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        function(*arguments, **options)
    return str(caught.value)


CASES: list[tuple[np.ndarray[Any, Any], dict[str, Any], Any]] = [
    (MATRIX, {"transpose": True}, MATRIX.T),
    (CUBE, {"transpose": [2, 0, 1]}, CUBE.transpose(2, 0, 1)),
    (CUBE, {"reshape": [6, -1]}, CUBE.reshape(6, 4)),
    (CUBE, {"reshape": [4, 6]}, CUBE.reshape(4, 6)),
    (CUBE, {"reshape": -1}, CUBE.reshape(-1)),
    (np.zeros([0, 3], np.float32), {"reshape": [-1, 5]}, np.zeros([0, 5], np.float32)),
    (CUBE[:1], {"squeeze": 0}, CUBE[0]),
    (CUBE[:1, :1], {"squeeze": True}, CUBE[0, 0]),
    (CUBE[:1, :, :1], {"squeeze": [0, -1]}, CUBE[0, :, 0]),
    (CUBE, {"squeeze": False}, CUBE),
    (MATRIX, {"expand": 0}, MATRIX[np.newaxis]),
    (MATRIX, {"expand": [0, -1]}, MATRIX[np.newaxis, :, :, np.newaxis]),
    (MATRIX, {"expand": 2}, MATRIX[:, :, np.newaxis]),
    (CUBE, {"slice": "1:, :2"}, CUBE[1:, :2]),
    (CUBE, {"slice": "1"}, CUBE[1]),
    (CUBE, {"slice": "..., -1"}, CUBE[..., -1]),
    (CUBE, {"slice": ":, -2:, 1"}, CUBE[:, -2:, 1]),
    (CUBE, {"slice": np.s_[:, 1:3]}, CUBE[:, 1:3]),
    (CUBE, {"slice": np.s_[1:, ..., 2]}, CUBE[1:, ..., 2]),
    (CUBE, {"slice": slice(0, 1)}, CUBE[:1]),
    (CUBE, {"slice": slice(1, None, 1)}, CUBE[1:]),
    (CUBE, {"slice": 0}, CUBE[0]),
    (CUBE, {"slice": [1, slice(None, 2)]}, CUBE[1, :2]),
    (CUBE, {"part": {"axis": 2, "sizes": [1, 3], "index": 1}}, CUBE[:, :, 1:]),
    (CUBE, {"part": {"axis": -1, "sizes": 2, "index": 0}}, CUBE[:, :, :2]),
    (CUBE, {"part": {"axis": 1, "sizes": [0, 3], "index": 0}}, CUBE[:, :0]),
    (CUBE, {"crop": 1}, CUBE[:1]),
    (CUBE, {"crop": 0}, CUBE[:0]),
    (CUBE, {"crop": 2, "axis": -1}, CUBE[..., :2]),
    (CUBE, {"crop": {"rows": 2, "axis": 1}}, CUBE[:, :2]),
    (CUBE, {"crop": 3, "axis": 1}, CUBE),
    (MATRIX, {"pad": 3, "fill": 7}, np.vstack([MATRIX, np.full([1, 3], 7)])),
    (MATRIX, {"pad": 5, "fill": -1.5, "axis": 1}, np.hstack([MATRIX, np.full([2, 2], -1.5)])),
    (MATRIX, {"pad": {"rows": 4, "fill": 1, "axis": -1}}, np.hstack([MATRIX, np.ones([2, 1])])),
    (MATRIX, {"pad": 2, "fill": 0}, MATRIX),
    (MATRIX, {"scale": 0.1}, MATRIX * np.float32(0.1)),
    (MATRIX, {"scale": np.float64(-2)}, MATRIX * np.float32(-2)),
    (MATRIX * 1j, {"scale": 3}, MATRIX * np.complex64(3j)),
    (MATRIX, {"gates": "abc->cab"}, MATRIX[:, [2, 0, 1]]),
    (MATRIX, {"gates": "abc->abc"}, MATRIX),
    (MATRIX, {"gates": {"order": "ab->ba", "axis": 0}}, MATRIX[::-1]),
    (MATRIX, {"gates": {"order": "abc->cab", "add": {"a": 2, "c": -1}}}, MATRIX[:, [2, 0, 1]] + np.float32([-1, 2, 0])),
    (MATRIX, {"gates": {"order": "abc->abc", "add": {"b": 0.5, "a": 0, "c": 1}}}, MATRIX + np.float32([0, 0.5, 1])),
]


@pytest.mark.parametrize(("array", "options", "expected"), CASES)
def test_a_change_makes_what_numpy_makes(array: Any, options: dict[str, Any], expected: Any) -> None:
    made = changed(array, **options)
    assert made.shape == expected.shape and made.dtype == array.dtype
    np.testing.assert_array_equal(made, expected.astype(array.dtype))


def test_changes_are_made_in_the_order_in_which_they_are_written() -> None:
    np.testing.assert_array_equal(changed(CUBE, reshape=[6, 4], transpose=True), CUBE.reshape(6, 4).T)
    np.testing.assert_array_equal(changed(MATRIX, transpose=True, reshape=[2, 3]), MATRIX.T.reshape(2, 3))
    np.testing.assert_array_equal(changed(MATRIX, scale=0.5, cast="float16"), (MATRIX / 2).astype(np.float16))
    np.testing.assert_array_equal(changed(MATRIX, crop=1, transpose=True, axis=0), MATRIX[:1].T)


@pytest.mark.parametrize("cast", ["float16", np.float16, np.dtype("float16"), dtypes.from_name("float16")])
def test_a_type_is_given_by_its_name_or_as_one_of_numpy(cast: Any) -> None:
    made = changed(MATRIX, cast=cast)
    assert made.dtype == np.float16 and made.tolist() == MATRIX.tolist()


def test_a_cast_changes_the_type_of_numbers_and_counts_what_is_lost() -> None:
    assert changed(np.int32([1, -2]), cast="float64").tolist() == [1.0, -2.0]
    assert changed(MATRIX, cast="complex64").dtype == np.complex64
    assert changed(MATRIX * 1j, cast="complex128").dtype == np.complex128
    assert changed(MATRIX, cast="bfloat16").dtype == ml_dtypes.bfloat16
    assert "complex64 cannot be cast to float32" in said(changed, MATRIX * 1j, cast="float32")
    assert "string cannot be cast to float32" in said(changed, np.array([b"a"], object), cast="float32")
    for value, cast in ((np.int32([300]), "int8"), (np.float32([1e30]), "float16"), (np.float32([0.5]), "int32")):
        plan = plan_of({"w": value}, {"w": {"to": "w", "cast": cast}})
        assert plan["w"].dtype.name == cast
        [(name, losses)] = plan.losses()
        assert name == "w" and losses.is_refused and losses.num_refused == losses.num_elements == 1


@pytest.mark.parametrize(
    ("array", "options", "sentence"),
    [
        (MATRIX, {"transpose": [2, 0, 1]}, "shape [2, 3] does not have the 3 axes to be transposed"),
        (MATRIX, {"reshape": [4, -1]}, "shape [2, 3] of 6 elements cannot become [4, -1]"),
        (MATRIX, {"reshape": [5]}, "shape [2, 3] of 6 elements cannot become [5]"),
        (np.zeros([0, 3], np.float32), {"reshape": [0, -1]}, "shape [0, 3] of 0 elements cannot become [0, -1]"),
        (MATRIX, {"squeeze": 0}, "shape [2, 3] cannot be squeezed along [0]"),
        (MATRIX[:1], {"squeeze": [0, -2]}, "shape [1, 3] cannot be squeezed along [0, -2]"),
        (MATRIX, {"squeeze": 2}, "shape [2, 3] does not have axis 2"),
        (MATRIX, {"squeeze": -3}, "shape [2, 3] does not have axis -3"),
        (MATRIX, {"expand": [0, -4]}, "shape [2, 3] cannot be expanded by [0, -4]"),
        (MATRIX, {"expand": 3}, "shape [2, 3] does not have axis 3"),
        (MATRIX, {"part": {"axis": 1, "sizes": 2, "index": 0}}, "axis 1 cannot be split into 2 equal parts; give their sizes"),
        (MATRIX, {"part": {"axis": 1, "sizes": [1, 1], "index": 0}}, "shape [2, 3]: parts of [1, 1] are not all of axis 1"),
        (MATRIX, {"crop": 3}, "shape [2, 3] cannot be cropped to 3 along axis 0"),
        (MATRIX, {"crop": 4, "axis": -1}, "shape [2, 3] cannot be cropped to 4 along axis 1"),
        (MATRIX, {"pad": 1, "fill": 0}, "shape [2, 3] has more than 1 along axis 0: crop it"),
        (np.array([b"a"], object), {"pad": 2, "fill": 0}, "string cannot be padded: it is not a type of numbers"),
        (np.array([True]), {"pad": 2, "fill": 0}, "bool cannot be padded: it is not a type of numbers"),
        (np.int32([1]), {"pad": 2, "fill": 0.5}, "int32 does not have 0.5 to be filled with"),
        (np.int32([1]), {"pad": 2, "fill": {"normal": 1.0}}, "int32 cannot be filled with random numbers"),
        (np.int32([1]), {"scale": 2}, "int32 cannot be scaled: only float and complex types are; cast it before"),
        (MATRIX, {"gates": "ab->ba"}, "shape [2, 3]: axis 1 does not have the 2 gates ab of equal size"),
    ],
)
def test_a_change_that_does_not_fit_the_tensor_says_its_shape(array: Any, options: dict[str, Any], sentence: str) -> None:
    assert sentence in said(changed, array, **options)


def test_a_number_that_becomes_infinite_is_counted_as_lost() -> None:
    plan = plan_of({"w": np.float32([3e38, 1, np.inf])}, {"w": {"to": "w", "scale": 10}})
    assert plan["w"].tolist() == [np.inf, 10, np.inf]
    [(_, losses)] = plan.losses()
    assert (losses.num_elements, losses.num_overflowed, losses.is_refused) == (3, 1, True)
    assert next(iter(plan_of({"w": MATRIX}, {"w": {"to": "w", "scale": 10}}).losses()))[1].is_refused is False


def test_new_rows_are_random_as_their_seed_says() -> None:
    for fill, expected in (
        ({"normal": 0.02, "seed": 3}, np.random.default_rng(3).normal(0.0, 0.02, [2, 3])),
        ({"normal": 2}, np.random.default_rng(0).normal(0.0, 2, [2, 3])),
        ({"uniform": [-1, 4], "seed": 1}, np.random.default_rng(1).uniform(-1, 4, [2, 3])),
    ):
        made = changed(MATRIX, pad=4, fill=fill)
        np.testing.assert_array_equal(made, np.vstack([MATRIX, expected.astype(np.float32)]))


def test_new_rows_are_what_a_function_of_their_shape_makes() -> None:
    made = changed(MATRIX, pad=4, fill=lambda shape: np.arange(6).reshape(shape))
    np.testing.assert_array_equal(made, np.vstack([MATRIX, MATRIX]))
    assert "fill made an array of shape [3], must be [1, 3]" in said(changed, MATRIX, pad=3, fill=lambda shape: np.zeros(3))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"reshap": 3}, "unknown change 'reshap'; did you mean 'reshape'?"),
        ({"zzzzzz": 3}, "unknown change 'zzzzzz'; there are transpose, reshape, squeeze, expand, slice, part, crop, pad,"),
        ({"transpose": [1, 1]}, "transpose is [1, 1], must be true, or each axis once, as in [3, 2, 0, 1]"),
        ({"transpose": [1, 2]}, "transpose is [1, 2]"),
        ({"transpose": "10"}, "transpose is '10'"),
        ({"transpose": [True, False]}, "transpose is [True, False]"),
        ({"transpose": 1}, "transpose is 1,"),
        ({"reshape": [2, -2]}, "reshape is [2, -2], must be sizes, of which one may be -1"),
        ({"reshape": [-1, -1]}, "reshape is [-1, -1], must be sizes, of which one may be -1"),
        ({"reshape": [2.0]}, "reshape is [2.0], must be integers"),
        ({"reshape": True}, "reshape is True, must be integers"),
        ({"squeeze": "0"}, "squeeze is '0', must be integers"),
        ({"expand": [None]}, "expand is [None], must be integers"),
        ({"slice": "1:2:1"}, "slice is '1:2:1', must be as numpy writes it, as in '2:5, :'"),
        ({"slice": ""}, "slice is '', must be as numpy writes it"),
        ({"slice": np.s_[::2]}, "slice has slice(None, None, 2), must be integers and slices with steps of 1, as in '2:5, :'"),
        ({"slice": [1.5]}, "slice has 1.5"),
        ({"slice": True}, "slice has True"),
        ({"part": 3}, "part is 3, must be {axis = 0, sizes = [2, 3], index = 0}"),
        ({"part": {"axis": 0, "sizes": [1]}}, "must be {axis = 0, sizes = [2, 3], index = 0}"),
        ({"part": {"axis": "0", "sizes": [1], "index": 0}}, "must be {axis = 0, sizes = [2, 3], index = 0}"),
        ({"part": {"axis": 0, "sizes": [1], "index": 0.0}}, "must be {axis = 0, sizes = [2, 3], index = 0}"),
        ({"part": {"axis": 0, "sizes": [1, 2], "index": 2}}, ": there are 2 parts"),
        ({"part": {"axis": 0, "sizes": 2, "index": -1}}, ": there are 2 parts"),
        ({"part": {"axis": 0, "sizes": 3, "index": 3}}, ": there are 3 parts"),
        ({"crop": -1}, "crop is {'rows': -1}, must be a number of rows"),
        ({"crop": {"rows": 2, "fill": 0}}, "must be a number of rows"),
        ({"crop": {"rows": 2, "axis": "0"}}, "must be a number of rows"),
        ({"crop": True}, "must be a number of rows"),
        ({"pad": 3}, "pad needs what is in the new rows, as in fill=0 or fill={'normal': 0.02, 'seed': 0}"),
        ({"pad": "3", "fill": 0}, "pad is {'rows': '3', 'fill': 0}, must be a number of rows"),
        ({"pad": 3, "fill": "0"}, "fill is '0', must be a number, an initializer or a function of a shape"),
        ({"pad": 3, "fill": [0]}, "fill is [0], must be a number, an initializer or a function of a shape"),
        ({"pad": 3, "fill": {"normal": 1, "uniform": [0, 1]}}, "must be {'normal': 0.02, 'seed': 0} or {'uniform': [-1, 1]}"),
        ({"pad": 3, "fill": {"seed": 0}}, "must be {'normal': 0.02, 'seed': 0} or {'uniform': [-1, 1]}"),
        ({"pad": 3, "fill": {"normal": 1, "sed": 0}}, "must be {'normal': 0.02, 'seed': 0} or {'uniform': [-1, 1]}"),
        ({"fill": 0}, "fill is for pad: say how many rows there are to be, as in pad=100, fill=0"),
        ({"cast": 3}, "cast is 3, must be a dtype"),
        ({"cast": "string"}, "cast is string, which is not a type of numbers"),
        ({"cast": bool}, "cast is bool, which is not a type of numbers"),
        ({"scale": 0}, "scale is 0, must be a number other than 0"),
        ({"scale": True}, "scale is True, must be a number other than 0"),
        ({"scale": "2"}, "scale is '2', must be a number other than 0"),
        ({"scale": float("inf")}, "scale is inf, must be a number other than 0"),
        ({"gates": "ab"}, "gates is 'ab': both sides of -> must be the same letters, one for each gate"),
        ({"gates": "->"}, "both sides of -> must be the same letters, one for each gate"),
        ({"gates": "aab->aba"}, "both sides of -> must be the same letters, one for each gate"),
        ({"gates": "ab->ac"}, "both sides of -> must be the same letters, one for each gate"),
        ({"gates": {"order": "ab->ba", "add": {"c": 1}}}, "must be {order = 'icfo->ifco', add = {f = 1.0}, axis = -1}"),
        ({"gates": {"order": "ab->ba", "add": {"a": True}}}, "must be {order = 'icfo->ifco', add = {f = 1.0}, axis = -1}"),
        ({"gates": {"order": "ab->ba", "add": {"a": float("nan")}}}, "must be {order = 'icfo->ifco', add = {f = 1.0}, axis = -1}"),
        ({"gates": {"order": "ab->ba", "add": {"a": "1"}}}, "must be {order = 'icfo->ifco', add = {f = 1.0}, axis = -1}"),
        ({"gates": {"order": "ab->ba", "add": 1}}, "must be {order = 'icfo->ifco', add = {f = 1.0}, axis = -1}"),
        ({"gates": {"order": "ab->ba", "axis": "0"}}, "must be {order = 'icfo->ifco', add = {f = 1.0}, axis = -1}"),
        ({"gates": {"order": "ab->ba", "other": 0}}, "must be {order = 'icfo->ifco', add = {f = 1.0}, axis = -1}"),
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_an_error_where_the_mapping_is_made(options: dict[str, Any], sentence: str) -> None:
    assert sentence in said(as_changes, options)


def test_what_is_none_changes_nothing() -> None:
    assert as_changes({"reshape": None, "transpose": False, "squeeze": False, "fill": None}) == ()
    assert as_changes({"transpose": [0, 1, 2]}) == ()


def test_the_axis_of_a_pad_and_a_crop_may_stand_beside_them_or_within() -> None:
    assert as_changes({"crop": 3}) == (changes.Crop(3, 0),) == (changes.Crop(3),)
    assert as_changes({"crop": 3}, 1) == (changes.Crop(3, 1),) == as_changes({"crop": {"rows": 3, "axis": 1}})
    assert as_changes({"crop": {"rows": 3, "axis": 1}}, 2) == (changes.Crop(3, 1),)
    assert as_changes({"pad": 3, "fill": 0}, -1) == (changes.Pad(3, 0, -1),) == as_changes({"pad": {"rows": 3, "fill": 0, "axis": -1}})
    assert as_changes({"pad": 3, "fill": 0}) == (changes.Pad(3, 0, 0),) == (changes.Pad(3, 0),)
    assert as_changes({"scale": 2, "crop": 1}, 1) == (changes.Scale(2.0), changes.Crop(1, 1))
    assert hash(changes.Pad(3, {"normal": 1})) == hash(changes.Pad(3, {"normal": 1})) != hash(changes.Pad(4, {"normal": 1}))


# What a file says for each change, and how a report calls it.
TEXTS: list[tuple[dict[str, Any], dict[str, Any], str, bool]] = [
    ({"transpose": True}, {"transpose": [1, 0]}, "transposed [1, 0]", True),
    ({"reshape": (6, -1)}, {"reshape": [6, -1]}, "reshaped to [6, -1]", True),
    ({"squeeze": True}, {"squeeze": True}, "squeezed", True),
    ({"squeeze": 0}, {"squeeze": [0]}, "squeezed along [0]", True),
    ({"expand": np.int64(1)}, {"expand": [1]}, "expanded by [1]", True),
    ({"slice": np.s_[1:, ..., :2, 0]}, {"slice": "1:, ..., :2, 0"}, "sliced [1:, ..., :2, 0]", True),
    ({"part": {"axis": 1, "sizes": (2, 3), "index": 1}}, {"part": {"axis": 1, "sizes": [2, 3], "index": 1}}, "split along axis 1 (part 2 of 2)", True),
    ({"part": {"axis": 0, "sizes": 4, "index": 0}}, {"part": {"axis": 0, "sizes": 4, "index": 0}}, "split along axis 0 (part 1 of 4)", True),
    ({"crop": 5}, {"crop": {"rows": 5, "axis": 0}}, "cropped to 5 along axis 0", True),
    ({"pad": 5, "fill": 0.5}, {"pad": {"rows": 5, "fill": 0.5, "axis": 0}}, "padded to 5 along axis 0 with 0.5", False),
    ({"cast": "float16"}, {"cast": "float16"}, "cast to float16", False),
    ({"scale": 2}, {"scale": 2.0}, "scaled by 2", False),
    ({"gates": "ab->ba"}, {"gates": "ab->ba"}, "gates ab->ba", True),
    ({"gates": {"order": "ab->ba", "axis": -1}}, {"gates": "ab->ba"}, "gates ab->ba", True),
    ({"gates": {"order": "ab->ba", "axis": 0}}, {"gates": {"order": "ab->ba", "axis": 0}}, "gates ab->ba", True),
    ({"gates": {"order": "ab->ba", "add": {"a": 1}}}, {"gates": {"order": "ab->ba", "add": {"a": 1.0}}}, "gates ab->ba, 1 added to a", True),
]  # fmt: skip


@pytest.mark.parametrize(("options", "file", "text", "keeps_elements"), TEXTS)
def test_a_change_says_what_it_is_in_a_file_and_for_people(options: Any, file: Any, text: str, keeps_elements: bool) -> None:
    [change] = as_changes(options)
    assert change.options() == file and str(change) == text and change.keeps_elements is keeps_elements
    assert list(as_changes(change.options())) == [change]
    assert Renamed("v", **options).to_json() == {"to": "v", **file}
    assert str(Renamed("v", **options)) == f"v {text}"


def test_tensors_that_become_one_say_how() -> None:
    inputs = ("a", "b", "c")
    assert str(Joined("concat", -1, 0, inputs, "d")) == "concatenated along axis -1"
    assert str(Joined("stack", 1, 0, inputs, "d")) == "stacked along axis 1"
    summed = Summed("sum", 0, 1, inputs, "d")
    assert str(summed) == "summed with a, c" and not summed.keeps_elements
    assert Joined("stack", 1, 2, inputs, "d").result == ("stack", 1, inputs, "d")


SPEC = Spec(F4, (1, 4, 6))


@pytest.mark.parametrize(
    "options",
    [
        {"transpose": [2, 0, 1]},
        {"reshape": [8, -1]},
        {"squeeze": True},
        {"squeeze": 0},
        {"squeeze": -3},
        {"expand": [0, 2]},
        {"pad": 9, "fill": 1, "axis": -1},
        {"cast": "float64"},
        {"scale": 0.25},
        {"scale": -8},
        {"gates": "abc->cab"},
        {"gates": {"order": "abcd->cdab", "axis": 1}},
    ],
)
def test_the_inverse_of_a_change_makes_the_tensor_again(options: dict[str, Any]) -> None:
    array = np.arange(24, dtype=np.float32).reshape(SPEC.shape)
    axis = options.pop("axis", None)
    [change] = as_changes(options, axis)
    made = plan_of({"w": array}, {"w": Renamed.of("w", (change,))})["w"]
    again = plan_of({"w": made}, {"w": Renamed.of("w", change.inverse(SPEC))})["w"]
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"slice": "0"}, "sliced [0] has no inverse"),
        ({"crop": 1}, "cropped to 1 along axis 0 has no inverse"),
        ({"cast": "float16"}, "cast to float16 has no inverse: float16 does not hold every float32"),
        ({"scale": 3}, "scaled by 3 has no exact inverse: the factor is not a power of two"),
        ({"gates": {"order": "ab->ba", "add": {"a": 1}}}, "has no inverse: what was added is not taken away again to the bit"),
    ],
)
def test_what_cannot_be_undone_is_said(options: dict[str, Any], sentence: str) -> None:
    [change] = as_changes(options)
    assert sentence in said(change.inverse, SPEC)


def test_forms_of_an_order_of_axes() -> None:
    assert as_axes(None) is as_axes(False) is as_axes([0, 1]) is as_axes([]) is None
    assert as_axes(True) == as_axes([1, 0]) == as_axes((1, 0)) == (1, 0)


def test_forms_of_sizes() -> None:
    assert as_sizes(3) == 3 and as_sizes([0, 2]) == as_sizes((0, 2)) == (0, 2)
    for wrong in (0, -1, True, [], [1, -1], [1.0], "a", None):
        assert said(as_sizes, wrong) == f"{wrong!r} are not sizes of parts"


def test_a_condition_is_a_rank_or_types_or_both() -> None:
    float16, float32 = Spec(dtypes.from_name("float16"), (2, 3)), Spec(F4, (2,))
    for value, holds, file, text in (
        (2, (True, False), {"rank": [2]}, "rank 2"),
        ([3, 1], (False, True), {"rank": [1, 3]}, "rank 1 or 3"),
        ({"dtype": "float32"}, (False, True), {"dtype": ["float32"]}, "dtype float32"),
        ({"dtype": ["float32", "float16"]}, (True, True), {"dtype": ["float16", "float32"]}, "dtype float16 or float32"),
        ({"rank": 2, "dtype": "float16"}, (True, False), {"rank": [2], "dtype": ["float16"]}, "rank 2 and dtype float16"),
        ({"rank": 1, "dtype": "float16"}, (False, False), {"rank": [1], "dtype": ["float16"]}, "rank 1 and dtype float16"),
    ):
        when = as_when(value)
        assert when is not None and as_when(when) is when
        assert (when.holds(float16), when.holds(float32)) == holds
        assert when.value() == file and str(when) == text and as_when(when.value()) == when
    assert as_when(None) is None
    for wrong in ("2", 2.0, True, {}, [], {"rang": 2}, {"rank": 2, "type": "float32"}, {"rank": "2"}):
        assert said(as_when, wrong) == f"when is {wrong!r}, must be a rank, ranks, or {{rank = 4, dtype = 'float32'}}"


# ---- several tensors become one ----


@pytest.mark.parametrize(
    ("word", "axis", "make"),
    [
        ("concat", 0, np.concatenate),
        ("concat", 1, np.concatenate),
        ("concat", -1, np.concatenate),
        ("stack", 0, np.stack),
        ("stack", 2, np.stack),
        ("stack", -1, np.stack),
        ("stack", -3, np.stack),
    ],
)
def test_several_tensors_become_one_as_numpy_makes_it(word: str, axis: int, make: Any) -> None:
    arrays = [MATRIX, -MATRIX, MATRIX + 10]
    tensors = dict(zip("abc", arrays, strict=True))
    made = plan_of(tensors, {"d": {word: ["c", "a", "b"], "axis": axis}})
    assert made.names == ["d"]
    np.testing.assert_array_equal(made["d"], make([arrays[2], arrays[0], arrays[1]], axis=axis))


def test_inputs_and_the_result_of_a_join_may_be_changed() -> None:
    inputs = [{"to": "a", "transpose": True}, "b"]
    made = plan_of({"a": MATRIX, "b": MATRIX.reshape(3, 2)}, {"d": {"concat": inputs, "axis": 1, "scale": 2}})["d"]
    np.testing.assert_array_equal(made, 2 * np.hstack([MATRIX.T, MATRIX.reshape(3, 2)]))
    assert plan_of({"a": MATRIX, "b": MATRIX[:1]}, {"d": {"concat": ["a", "b"]}})["d"].shape == (3, 3)
    assert plan_of({"a": MATRIX, "b": MATRIX[:, :1]}, {"d": {"concat": ["a", "b"], "axis": -1}})["d"].shape == (2, 4)


@pytest.mark.parametrize(
    ("word", "axis", "other", "sentence"),
    [
        ("concat", 0, MATRIX[:, :2], "'a' of shape [2, 3] and 'b' of shape [2, 2] do not fit, concatenated along axis 0 for 'd'"),
        ("concat", 1, MATRIX[:1], "'a' of shape [2, 3] and 'b' of shape [1, 3] do not fit, concatenated along axis 1 for 'd'"),
        ("concat", 0, MATRIX[0], "'a' of shape [2, 3] and 'b' of shape [3] do not fit, concatenated along axis 0 for 'd'"),
        ("concat", 0, MATRIX[..., None], "do not fit, concatenated along axis 0 for 'd'"),
        ("concat", 2, MATRIX, "shape [2, 3] does not have axis 2"),
        ("stack", 3, MATRIX, "shape [2, 3] does not have axis 3"),
        ("stack", 0, MATRIX[:1], "'a' of shape [2, 3] and 'b' of shape [1, 3] do not fit, stacked along axis 0 for 'd'"),
        ("stack", 0, MATRIX.astype(np.float64), "'a' is float32 and 'b' is float64: cast them before they become 'd'"),
    ],
)
def test_tensors_that_do_not_fit_each_other_are_named(word: str, axis: int, other: Any, sentence: str) -> None:
    assert sentence in said(plan_of, {"a": MATRIX, "b": other}, {"d": {word: ["a", "b"], "axis": axis}})


def test_each_word_is_one_of_a_change() -> None:
    assert changes.WORDS == ("transpose", "reshape", "squeeze", "expand", "slice", "part", "crop", "pad", "cast", "scale", "gates", "fill")
    words = {each.word for each in Change.__subclasses__()}
    assert words == {*changes.WORDS, "joined"} - {"fill"}


def test_a_part_is_read_without_the_rest() -> None:
    plan = plan_of({"w": MATRIX}, {"w": {"to": "v", "gates": {"order": "abc->cab", "add": {"a": 1}}}})
    np.testing.assert_array_equal(plan.read("v", np.s_[1:, 1:]), MATRIX[1:, [0, 1]] + np.float32([1, 0]))
    assert re.fullmatch(r"v gates abc->cab, 1 added to a", str(Renamed("v", gates={"order": "abc->cab", "add": {"a": 1}})))
