"""A var_list becomes the same names in TensorFlow's Saver and in ours, or the same error."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario
from tfsaver.compat._var_list import resolve
from tfsaver.compat.v1.train import Saver
from tfsaver.errors import InvalidArgumentError, UnimplementedError

Compare = Callable[..., Recorded]


class Variables:
    """One graph with a variable of every kind, all initialized."""

    def __init__(self, run: Scenario) -> None:
        v1 = run.v1
        ones = v1.ones_initializer()
        with v1.variable_scope("scope", initializer=ones):
            self.resource = v1.get_variable("resource", [2], use_resource=True)
            self.reference = v1.get_variable("reference", [2], use_resource=False)
        with v1.variable_scope("cached", initializer=ones, caching_device="/cpu:0"):
            self.cached_resource = v1.get_variable("resource", [2], use_resource=True)
            self.cached_reference = v1.get_variable("reference", [2], use_resource=False)
        with v1.variable_scope("", initializer=ones, partitioner=v1.fixed_size_partitioner(2)):
            self.parts = v1.get_variable("parts", [6, 3], use_resource=True)
            self.reference_parts = v1.get_variable("reference_parts", [6, 3], use_resource=False)
        self.constant = run.tf.constant(1.0)
        self.numpy = np.ones(2)
        run.session.run(v1.global_variables_initializer())


# What is passed, and what TensorFlow says to it; None where it is accepted.
VAR_LISTS: list[tuple[str, Callable[[Variables], Any], str | None]] = [
    ("default", lambda v: None, None),
    ("list", lambda v: [v.resource, v.reference], None),
    ("other_order", lambda v: [v.reference, v.resource], None),
    ("tuple", lambda v: (v.resource,), None),
    ("set", lambda v: {v.reference, v.cached_reference}, None),
    ("nested", lambda v: [[v.resource], (v.reference, [v.cached_resource])], None),
    ("cached", lambda v: [v.cached_resource, v.cached_reference], None),
    ("dict", lambda v: {"b": v.resource, "a": v.reference, "with:0 space/é": v.cached_resource}, None),
    ("read_tensor", lambda v: [v.resource.value()], None),
    ("read_tensor_in_dict", lambda v: {"a": v.resource.value()}, None),
    ("reference_tensor", lambda v: [v.reference.op.outputs[0]], None),
    ("reference_tensor_in_dict", lambda v: {"a": v.reference.op.outputs[0]}, None),
    ("partitioned", lambda v: [v.parts, v.reference_parts], None),
    ("list_of_parts", lambda v: [*v.parts, v.resource, *v.reference_parts], None),
    ("one_part_in_list", lambda v: [list(v.parts)[1]], None),
    ("partitioned_in_dict", lambda v: {"a": v.parts, "b": v.reference_parts}, None),
    ("list_of_parts_in_dict", lambda v: {"a": list(v.parts), "b": tuple(v.reference_parts)}, None),
    ("one_part_in_dict", lambda v: {"a": list(v.parts)[1]}, None),
    ("parts_and_one_of_them", lambda v: {"a": v.parts, "b": next(iter(v.parts))}, None),
    ("text", lambda v: "variables", "should be passed in a dict or a list"),
    ("number", lambda v: 3, "should be passed in a dict or a list"),
    ("generator", lambda v: (item for item in [v.resource]), "should be passed in a dict or a list"),
    ("bare_reference", lambda v: v.reference, "should be passed in a dict or a list"),
    ("bare_resource", lambda v: v.resource, ""),
    ("dict_in_list", lambda v: [{"x": v.resource, "y": [v.reference]}], None),
    ("empty_list_in_list", lambda v: [[], v.resource], None),
    ("variable_and_its_value", lambda v: [v.resource, v.resource.value()], "At least two variables have the same name"),
    ("variable_and_its_value_in_dict", lambda v: {"a": v.resource, "b": v.resource.value()}, None),
    ("reference_and_its_tensor", lambda v: {"a": v.reference, "b": v.reference.op.outputs[0]}, "two names: b"),
    ("parts_in_tuple_of_lists", lambda v: ([*v.parts], [v.resource]), None),
    ("all_parts_alone", lambda v: dict(zip("ab", v.parts, strict=True)), None),
    ("reference_parts_alone", lambda v: dict(zip("ab", v.reference_parts, strict=True)), None),
    ("parts_in_other_order", lambda v: {"a": list(reversed(list(v.parts)))}, None),
    ("name_of_another_in_dict", lambda v: {"scope/reference": v.resource, "scope/resource": v.reference}, None),
    ("long_key", lambda v: {"k" * 5000: v.resource}, None),
    ("list_of_text", lambda v: ["variable"], "has no attribute 'name'"),
    ("list_of_number", lambda v: [3], "has no attribute 'name'"),
    ("list_of_none", lambda v: [None], "has no attribute 'name'"),
    ("list_of_constant", lambda v: [v.constant], "Variable to save is not a Variable"),
    ("list_of_read_copy", lambda v: [v.reference.value()], "Variable to save is not a Variable"),
    ("list_of_operation", lambda v: [v.resource.op], ""),
    ("twice", lambda v: [v.resource, v.resource], "At least two variables have the same name: scope/resource"),
    ("partitioned_twice", lambda v: [v.parts, v.parts], "At least two variables have the same name: parts"),
    ("part_twice", lambda v: [next(iter(v.parts))] * 2, "restored with two names"),
    ("partitioned_and_parts", lambda v: [v.parts, *v.parts], "Mixing slices and non-slices with the same name"),
    ("number_as_key", lambda v: {1: v.resource}, "Name is not a string"),
    ("bytes_as_key", lambda v: {b"a": v.resource}, "Name is not a string"),
    ("constant_in_dict", lambda v: {"a": v.constant}, "Not a variable"),
    ("float_in_dict", lambda v: {"a": 1.0}, "Not a variable"),
    ("numpy_in_dict", lambda v: {"a": v.numpy}, "Not a variable"),
    ("read_copy_in_dict", lambda v: {"a": v.reference.value()}, "Not a variable"),
    ("operation_in_dict", lambda v: {"a": v.resource.op}, ""),
    ("none_in_dict", lambda v: {"a": None}, "None values not supported."),
    ("two_names", lambda v: {"a": v.resource, "c": v.reference, "b": v.resource}, "restored with two names: b"),
    ("two_names_of_parts", lambda v: {"a": v.parts, "b": v.parts}, "restored with two names: b"),
    ("list_of_whole_in_dict", lambda v: {"a": [v.resource]}, "Slices must all be slices"),
    ("list_of_tensor_in_dict", lambda v: {"a": [v.resource.value()]}, "Slices must all be Variables"),
    ("mixed_parts_in_dict", lambda v: {"a": [*v.parts, *v.reference_parts]}, "Slices must all be from the same tensor"),
]


def look_up_and_save(run: Scenario, var_list: Callable[[Variables], Any], said: str | None) -> None:
    variables = Variables(run)
    if said is not None:
        run.call(run.saver, var_list(variables), fragment=said)
        return
    path = run.call(run.saver(var_list(variables)).save, run.session, "model", write_meta_graph=False)
    run.note(str(run.v1.train.list_variables(path)))
    run.note((run.directory / "model.index").read_bytes())


@pytest.mark.parametrize(("var_list", "said"), [row[1:] for row in VAR_LISTS], ids=[row[0] for row in VAR_LISTS])
def test_both_savers_read_a_var_list_alike(compare: Compare, var_list: Callable[[Variables], Any], said: str | None) -> None:
    recorded = compare(look_up_and_save, var_list, said)
    assert recorded[0][0] == ("returns" if said is None else "raises")


def two_eager_of_one_name(run: Scenario) -> None:
    a, b = (run.tf.Variable(value, name="v") for value in (1.0, 2.0))

    def make_and_save(var_list: Any) -> None:
        # TensorFlow looks at the variables when it saves, we when the Saver is made.
        run.saver(var_list).save(None, "never")

    run.call(make_and_save, [a, b], fragment="Two different ResourceVariable objects with the same shared_name")
    run.call(make_and_save, {"x": a, "y": a}, fragment="The same saveable will be restored with two names: y")
    run.call(make_and_save, {"x": 1.0}, fragment="Can only save/restore ResourceVariables when executing eagerly")
    run.call(make_and_save, [], fragment="No variables to save")
    run.call(make_and_save, None, fragment="`var_list` must specify a list or dict")
    run.call(run.saver([a, a]).save, None, "same")
    run.call(run.saver({"x": a, "y": b}).save, "any session", "named", global_step=run.tf.constant(3))
    run.call(run.saver([a]).build, fragment="Use save/restore instead of build in eager mode.")
    for path in ("same", "named-3"):
        run.note(str(run.v1.train.list_variables(path)))


def test_eager_variables_are_named_as_in_tensorflow(compare: Compare) -> None:
    assert compare(two_eager_of_one_name, eager=True)


def test_empty_name_is_an_error_where_tensorflow_ends_the_process(tf: Any, graph: Any) -> None:
    variable = tf.compat.v1.Variable(1.0)
    with pytest.raises(InvalidArgumentError, match="empty"):
        resolve({"": variable})


def test_eager_variable_in_a_graph_and_graph_variable_outside_are_errors(tf: Any) -> None:
    eager = tf.Variable(1.0)
    with tf.Graph().as_default():
        inside = tf.compat.v1.Variable(1.0)
        with pytest.raises(UnimplementedError, match=r"Attempting to capture an EagerTensor .* is an eager variable"):
            resolve([eager])
    with pytest.raises(InvalidArgumentError, match="while that graph is the default"):
        resolve([inside])


def test_variable_is_found_by_its_handle(tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path) -> None:
    variable = tf.compat.v1.get_variable("v", initializer=[1.0, 2.0], use_resource=True)
    session.run(variable.initializer)
    handle = graph.get_tensor_by_name("v:0")
    for var_list, name in (({"a": handle}, "a"), ([handle], "v")):
        saver = Saver(var_list, durable=False)
        path = saver.save(session, tmp_path / "model")
        assert tf.compat.v1.train.list_variables(path) == [(name, [2])]
        session.run(variable.assign([0.0, 0.0]))
        saver.restore(session, path)
        assert session.run(variable).tolist() == [1.0, 2.0]
    unread = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="unread")
    with pytest.raises(TypeError, match="Not a variable"):
        Saver({"a": unread})


def test_looking_variables_up_adds_no_node(tf: Any, graph: Any) -> None:
    v1 = tf.compat.v1
    variables = [v1.get_variable("a", [2]), v1.get_variable("b", [4], partitioner=v1.fixed_size_partitioner(2))]
    before = graph.as_graph_def().SerializeToString(deterministic=True)
    graph.finalize()
    bindings = resolve(variables).bindings
    assert [(each.name, str(each.tensor_slice)) for each in bindings] == [("a", "None"), ("b", "0,2"), ("b", "2,2")]
    assert graph.as_graph_def().SerializeToString(deterministic=True) == before
