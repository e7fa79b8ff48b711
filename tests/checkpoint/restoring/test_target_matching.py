"""Variables and tensors find each other, or the report says why not: without any program around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.names.name_map import NameMapLike, Renamed, as_name_map
from tfsaver.checkpoint.names.tensor_names import TensorNames
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, read_object_graph
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.checkpoint.optimizers.optimizer_state import find_optimizer_state
from tfsaver.checkpoint.restoring.target_matching import Matching, WantedVariable
from tfsaver.checkpoint.restoring.target_report import report_on
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes

F4 = dtypes.from_name("float32")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def variable(label: str, shape: tuple[int, ...] = (2,), **fields: Any) -> WantedVariable:
    identity = fields.pop("identity", object())
    return WantedVariable(WantedTensor(label, F4, shape), identity, fields.pop("names", (label,)), **fields)


def report(
    tensors: Mapping[str, Any], *wanted: WantedVariable, mapping: NameMapLike = None, by: str = "name", **options: Any
) -> MatchReport:
    arrays = {name: np.zeros(value, np.float32) if isinstance(value, tuple) else value for name, value in tensors.items()}
    source = ArraySource(arrays)
    graph = read_object_graph(source)
    names = TensorNames(source, graph, as_name_map(mapping))
    state = find_optimizer_state({name: source.info(name).shape for name in source.names}, names.full_names)
    matching = Matching(wanted, names, state, by=by, **options)
    return report_on(matching, wanted, names, checkpoint="there", version="V2")


def pairs(found: MatchReport) -> dict[str, str]:
    return {item.name: item.key for item in found.matched}


def objects(**full_names: str) -> dict[str, Any]:
    """Tensors of objects at these paths, __ for /, with what the variables were called."""
    builder = ObjectGraphBuilder()
    for path, full_name in full_names.items():
        builder.variable(path.split("__"), full_name)
    tensors: dict[str, Any] = {f"{path.replace('__', '/')}{VALUE}": (2,) for path in full_names}
    return {**tensors, OBJECT_GRAPH_KEY: builder.build().serialize()}


def test_name_comes_before_path() -> None:
    found = report({"a": (2,), "b": (2,), "c": (2,)}, variable("v", names=("a",), paths=("c",)), variable("w", paths=("b",)))
    assert pairs(found) == {"v": "a", "w": "b"} and found.unexpected == ("c",)


def test_name_of_several_variables_decides_nothing() -> None:
    one, two = (variable(label, names=("same",)) for label in "xy")
    found = report({"same": (2,)}, one, two)
    assert not found.matched and {item.name for item in found.ambiguous} == {"x", "y"}
    by_path = report({"same": (2,), "p": (2,)}, one, variable("y", names=("same",), paths=("p",)))
    assert pairs(by_path) == {"y": "p"} and [item.name for item in by_path.ambiguous] == ["x"]


def test_tensor_that_belongs_to_another_is_not_taken() -> None:
    found = report({"t": (2,)}, variable("t"), variable("other", paths=("t",)))
    assert pairs(found) == {"t": "t"}
    assert str(found.ambiguous[0]) == "other is ambiguous: found by its path, but belongs to t: 't'"


def test_the_only_one_of_several_that_fits_is_meant() -> None:
    tensors = {"one": (3,), "two": (2,)}
    found = report(tensors, variable("v", names=("one", "two")))
    assert pairs(found) == {"v": "two"}
    found = report({**tensors, "one": (2,)}, variable("v", names=("one", "two")))
    assert found.ambiguous[0].keys == ("one", "two")


def test_objects_are_asked_by_path_then_by_full_name_then_crosswise() -> None:
    tensors = objects(net__a="x", net__b="y", net__c="z")
    found = report(
        tensors,
        variable("first", names=("y",), keys=(f"net/a{VALUE}",)),
        variable("second", names=("z",), paths=("net/b",)),
        variable("third", names=("net/b",)),
    )
    assert pairs(found) == {"first": f"net/a{VALUE}", "second": f"net/c{VALUE}", "third": f"net/b{VALUE}"}


def test_objects_without_a_name_are_proposed_by_their_paths() -> None:
    found = report(objects(net__first="Variable", net__second="Variable"), variable("model/first"), variable("model/second"))
    assert not found.mapping and found.guesses == {"net/first": "model/first", "net/second": "model/second"}


def test_full_name_of_two_objects_is_ambiguous() -> None:
    tensors = objects(a="same", b="same")
    tensors[f"b{VALUE}"] = np.ones(2, np.float32)
    found = report(tensors, variable("same"))
    assert found.ambiguous[0].keys == (f"a{VALUE}", f"b{VALUE}")


def test_mapping_speaks_of_objects_by_path_by_key_and_by_full_name() -> None:
    tensors = objects(net__a="x", net__b="y")
    wanted = (variable("one"), variable("two"))
    expected = {"one": f"net/a{VALUE}", "two": f"net/b{VALUE}"}
    for mapping in (
        {"x": "one", "y": "two"},
        {"net/a": "one", "net/b": "two"},
        {"net/a": "one", "y": "two"},
        {f"net/a{VALUE}": f"one{VALUE}", f"net/b{VALUE}": "two"},
        [("^x$", "one"), ("^y$", "two")],
        lambda name: {"net/a": "one", "net/b": "two"}.get(name, name),
    ):
        assert pairs(report(tensors, *wanted, mapping=mapping)) == expected
    with pytest.raises(InvalidArgumentError, match="'lost' names nothing"):
        report(tensors, *wanted, mapping={"x": "one", "lost": "two"})


def test_what_the_mapping_leaves_out_is_not_there() -> None:
    found = report({"w": (2,), "v": (2,)}, variable("w"), mapping={"w": None})
    assert [item.name for item in found.missing] == ["w"] and found.unexpected == ("v",)


def test_two_tensors_mapped_to_two_names_of_one_variable_are_ambiguous() -> None:
    item = variable("v", names=("name",), paths=("path",))
    found = report({"a": (2,), "b": (2,)}, item, mapping={"a": "name", "b": "path"})
    assert found.ambiguous[0].keys == ("a", "b")


def test_transposed_shape_is_compared() -> None:
    mapping = {"w": Renamed("v", (1, 0))}
    assert report({"w": (3, 2)}, variable("v", (2, 3)), mapping=mapping).matched[0].changes == ("transposed [1, 0]",)
    assert report({"w": (2, 3)}, variable("v", (2, 3)), mapping=mapping).mismatched[0].fact == "shape"


def test_optional_variables_are_left_without_a_word_of_complaint() -> None:
    found = report({"w": (2,)}, variable("w"), variable("rate", is_optional=True))
    assert found.ok and found.left == ("rate",) and "1 left as they are" in str(found)


def test_ready_table_that_would_help_is_named() -> None:
    tensors = {"rnn/basic_lstm_cell/weights": (2, 4), "rnn/basic_lstm_cell/biases": (4,)}
    wanted = variable("rnn/basic_lstm_cell/kernel", (2, 4)), variable("rnn/basic_lstm_cell/bias", (4,))
    found = report(tensors, *wanted)
    assert any(note.startswith("mapping='rnn-cells' finds 2 of the 2") for note in found.notes)
    assert report(tensors, *wanted, mapping="rnn-cells").ok


def test_ready_table_is_named_for_any_name_that_a_mapping_may_use() -> None:
    tensors = {"hidden/weights": (2, 4), "hidden/biases": (4,), "hidden/weights/ExponentialMovingAverage": (2, 4)}
    kernel = variable("net/hidden/kernel", (2, 4), paths=("layers/0/kernel", "hidden/kernel"))
    bias = variable("net/hidden/bias", (4,), paths=("layers/0/bias", "hidden/bias"))
    found = report(tensors, kernel, bias)
    assert any(note.startswith("mapping='slim-to-keras' finds 2 of the 2") for note in found.notes)
    assert report(tensors, kernel, bias, mapping="slim-to-keras").ok
    several = (variable(label, (2, 4), paths=("hidden/kernel",)) for label in "xy")
    shared = report(tensors, *several)
    assert not any("slim-to-keras" in note for note in shared.notes)


def test_ready_table_is_named_where_shapes_fit_as_it_turns_them() -> None:
    tensors = {"bert/pooler/dense/kernel": (2, 3), "bert/pooler/dense/bias": (3,)}
    kernel, bias = variable("bert.pooler.dense.weight", (3, 2)), variable("bert.pooler.dense.bias", (3,))
    [note] = [note for note in report(tensors, kernel, bias).notes if "bert-to-pytorch" in note]
    assert note.startswith("mapping='bert-to-pytorch' finds 2 of the 2 that are missing (Google's BERT as PyTorch's ")
    as_it_was = variable("bert.pooler.dense.weight", (2, 3))
    [note] = [note for note in report(tensors, as_it_was, bias).notes if "bert-to-pytorch" in note]
    assert note.startswith("mapping='bert-to-pytorch' finds 1 of the 2 ")
    assert not [note for note in report(tensors, as_it_was).notes if "bert-to-pytorch" in note]
    integers = {name: np.zeros(shape, np.int32) for name, shape in tensors.items()}
    assert not [note for note in report(integers, kernel).notes if "bert-to-pytorch" in note]


def test_by_shape_passes_over_slots_and_averages() -> None:
    tensors = {"a": (2,), "a/Momentum": (2,), "a/ExponentialMovingAverage": (2,), "b": (3,)}
    found = report(tensors, variable("x"), variable("y", (3,)), by="shape")
    assert pairs(found) == {"x": "a", "y": "b"} and {item.how for item in found.matched} == {"shape"}


def test_cast_lets_other_numbers_fit_but_no_fractions_into_integers() -> None:
    assert report({"w": np.zeros(2)}, variable("w"), cast=True).ok
    assert report({"w": np.zeros(2, np.int64)}, variable("w"), cast=True).ok
    assert not report({"w": np.zeros(2)}, variable("w")).ok
    assert not report({"w": np.zeros(2, np.complex64)}, variable("w"), cast=True).ok


def test_many_variables_take_no_time_for_each_pair() -> None:
    count = 20_000
    tensors = {f"layer_{index}/w": (1,) for index in range(count)}
    wanted = [variable(f"net/layer_{index}/w", (1,)) for index in range(count)]
    found = report(tensors, *wanted, mapping=[("^", "net/")])
    assert len(found.matched) == count
    found = report(tensors, *wanted)
    assert len(found.mapping) == count
