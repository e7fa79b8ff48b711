"""A graph after our Saver was made is the graph after TensorFlow's was: every NodeDef, byte for byte."""

from __future__ import annotations

import gc
import pathlib
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfsaver import schemas
from tfsaver.compat.v1.train import Saver

V1, V2 = schemas.SaverDef.V1, schemas.SaverDef.V2

DEVICES = ("", "/cpu:0", "/job:ps/task:1", "/job:ps/replica:0/task:0/device:GPU:0", "/job:worker/task:0/cpu:0", "/gpu:1")


def plain(v1: Any, resource: bool) -> Any:
    for name in ("b", "scope/a", "c/d", "B", "a"):
        v1.get_variable(name, initializer=[1.0, 2.0], use_resource=resource)
    v1.get_variable("number", initializer=np.int64(3), use_resource=resource)


def on_devices(v1: Any, resource: bool) -> Any:
    for index, device in enumerate(DEVICES):
        with v1.device(device):
            v1.get_variable(f"v{index}", initializer=[1.0], use_resource=resource)
    v1.get_variable("last", initializer=[1.0], use_resource=resource)


def in_parts(v1: Any, resource: bool) -> Any:
    v1.get_variable("z", initializer=[1.0], use_resource=resource)
    for name, parts, axis in (("p", 2, 0), ("q", 3, 1), ("r", 1, 0)):
        v1.get_variable(
            name,
            [6, 6],
            initializer=v1.zeros_initializer(),
            partitioner=v1.fixed_size_partitioner(parts, axis),
            use_resource=resource,
        )


def parts_on_devices(v1: Any, resource: bool) -> Any:
    with v1.device(v1.train.replica_device_setter(ps_tasks=2)):
        in_parts(v1, resource)


def of_unknown_shape(v1: Any, resource: bool) -> Any:
    for name, shape in (("rows", [None, 2]), ("any", None)):
        v1.Variable(v1.placeholder(v1.float32, shape), validate_shape=False, name=name, use_resource=resource)


def given_as_dict(v1: Any, resource: bool) -> Any:
    plain(v1, resource)
    parts = v1.get_variable(
        "p", [4], initializer=v1.zeros_initializer(), partitioner=v1.fixed_size_partitioner(2), use_resource=resource
    )
    variables = v1.global_variables()
    single = v1.get_variable("x", initializer=1.0, use_resource=resource)
    return {"second": variables[0], "first": variables[1], "ü:0": single.value() if resource else single, "p": list(parts)}


def given_as_list(v1: Any, resource: bool) -> Any:
    in_parts(v1, resource)
    variables = v1.global_variables()
    return [variables[:2], (variables[2:4],)]


PROGRAMS: list[Callable[[Any, bool], Any]] = [
    plain,
    on_devices,
    in_parts,
    parts_on_devices,
    of_unknown_shape,
    given_as_dict,
    given_as_list,
]


def node_defs(graph: Any) -> list[bytes]:
    """The nodes in the order of the graph, each with its attributes in theirs."""
    return [node.SerializeToString(deterministic=True) for node in graph.as_graph_def(add_shapes=True).node]


def both(tf: Any, program: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    """The graph and the SaverDef that a program makes with TensorFlow's Saver, and those with ours."""
    made = []
    for saver_class in (tf.compat.v1.train.Saver, Saver):
        with tf.Graph().as_default() as graph:
            savers = program(tf.compat.v1, saver_class)
        made.append((node_defs(graph), [saver.as_saver_def() for saver in savers]))
    (theirs, ours) = made
    assert [schemas.NodeDef.FromString(node).name for node in ours[0]] == [
        schemas.NodeDef.FromString(node).name for node in theirs[0]
    ]
    assert ours == theirs
    return ours


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize("version", [V1, V2], ids=["V1", "V2"])
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize("reshape", [False, True], ids=["as-is", "reshaped"])
@pytest.mark.parametrize("variables", PROGRAMS, ids=lambda program: program.__name__)
def test_nodes_are_tensorflows(
    tf: Any, variables: Callable[[Any, bool], Any], reshape: bool, sharded: bool, version: int, resource: bool
) -> None:
    def program(v1: Any, saver_class: Any) -> Any:
        var_list = variables(v1, resource)
        return [saver_class(var_list, reshape=reshape, sharded=sharded, write_version=version)]

    nodes, (saver_def,) = both(tf, program)
    assert saver_def.version == version and saver_def.sharded == sharded
    assert any(schemas.NodeDef.FromString(node).op == "RestoreV2" for node in nodes)


def settings(v1: Any, saver_class: Any) -> Any:
    plain(v1, True)
    return [
        saver_class(max_to_keep=None, keep_checkpoint_every_n_hours=None),
        saver_class(max_to_keep=-1, keep_checkpoint_every_n_hours=0.7, filename="path", restore_sequentially=True),
        saver_class(name="mine", filename=b"bytes"),
        saver_class(name="mine"),
        saver_class(name=""),
        saver_class(name="a/b"),
        saver_class(defer_build=True, allow_empty=True),
    ]


def scopes(v1: Any, saver_class: Any) -> Any:
    with v1.name_scope("outer"):
        plain(v1, False)
        savers = [saver_class()]
        with v1.name_scope("inner"), v1.device("/cpu:0"):
            savers.append(saver_class())
    with v1.device("/gpu:0"), v1.control_dependencies([v1.no_op(name="first")]):
        savers += [saver_class(), saver_class(sharded=True)]
    return savers


def another_graph_is_the_default(v1: Any, saver_class: Any) -> Any:
    default = v1.get_default_graph()
    plain(v1, True)
    with v1.Graph().as_default():
        return [saver_class(default.get_collection("variables"))]


def deferred(v1: Any, saver_class: Any) -> Any:
    saver = saver_class(defer_build=True)
    plain(v1, True)
    saver.build()
    v1.get_variable("late", initializer=1.0)
    saver.build()
    return [saver]


def partitioned_variable_in_a_collection(v1: Any, saver_class: Any) -> Any:
    parts = v1.get_variable("p", [4], initializer=v1.zeros_initializer(), partitioner=v1.fixed_size_partitioner(2))
    v1.add_to_collection("mine", parts)
    return [saver_class()]


def given_builder(v1: Any, saver_class: Any) -> Any:
    from tensorflow.python.training.saver import BaseSaverBuilder

    plain(v1, True)
    return [saver_class(builder=BaseSaverBuilder(V1), write_version=V2), saver_class(builder=BaseSaverBuilder())]


@pytest.mark.parametrize(
    "program",
    [settings, scopes, another_graph_is_the_default, deferred, partitioned_variable_in_a_collection, given_builder],
    ids=lambda program: program.__name__,
)
def test_nodes_are_where_tensorflow_puts_them(tf: Any, program: Callable[[Any, Any], Any]) -> None:
    assert both(tf, program)[0]


def test_ten_savers_of_the_same_variables_share_their_nodes(tf: Any, graph: Any) -> None:
    plain(tf.compat.v1, True)
    savers = [Saver()]
    size = len(graph.get_operations())
    savers += [Saver(max_to_keep=number, keep_checkpoint_every_n_hours=number) for number in range(10)]
    savers.append(Saver(list(reversed(tf.compat.v1.global_variables()))))
    assert len(graph.get_operations()) == size
    assert {saver.saver_def.restore_op_name for saver in savers} == {"save/restore_all"}
    assert [saver.saver_def.max_to_keep for saver in savers] == [5, *range(10), 5]
    savers[0].saver_def.max_to_keep = 77
    assert Saver().saver_def.max_to_keep == 5


def test_nodes_are_shared_only_where_they_would_be_the_same(tf: Any, graph: Any) -> None:
    v1 = tf.compat.v1
    plain(v1, True)
    variables = v1.global_variables()
    names = ["save"]
    Saver()

    def made(**options: Any) -> None:
        names.append(Saver(**options).saver_def.restore_op_name.removesuffix("/restore_all"))

    made(reshape=True)
    made(sharded=True)
    made(write_version=V1)
    made(filename="other")
    made(var_list=variables[1:])
    made(var_list={f"renamed/{number}": variable for number, variable in enumerate(variables)})
    made(name="save")
    made(name="mine")
    with v1.device("/cpu:0"):
        made()
        with v1.name_scope("scope"):
            made()
    with v1.control_dependencies([v1.no_op()]):
        made()
        made()
    assert len(set(names)) == len(names)
    made()
    with v1.device("/cpu:0"), v1.name_scope("scope/"):
        made()
    assert names[-2:] == ["save", "scope/save"]
    variables.append(v1.get_variable("more", initializer=1.0))
    made()
    assert names[-1] not in names[:-1]


def test_finalized_graph_shares_the_nodes_that_it_has(tf: Any, session: Any, graph: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    plain(v1, True)
    session.run(v1.global_variables_initializer())
    with v1.name_scope("elsewhere"):
        first = Saver(name="mine")
    graph.finalize()
    second = Saver(max_to_keep=2)
    assert second.saver_def.restore_op_name == first.saver_def.restore_op_name == "elsewhere/mine/restore_all"
    assert second.saver_def.max_to_keep == 2
    other = Saver(v1.global_variables()[1:])
    assert (
        other.saver_def is None and other.as_saver_def() is None and other.to_proto() is None and other.to_proto("x") is None
    )
    path = other.save(session, str(tmp_path / "model"))
    other.restore(session, path)
    meta = v1.MetaGraphDef.FromString((tmp_path / "model.meta").read_bytes())
    assert not meta.HasField("saver_def")
    assert {node.name for node in meta.graph_def.node} == {operation.name for operation in graph.get_operations()}


def test_graphs_are_let_go_of(tf: Any) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        plain(v1, True)
        table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table")
        Saver([*v1.global_variables(), table])
        size = len(graph.get_operations())
        Saver([*v1.global_variables(), table])
        assert len(graph.get_operations()) == size
    gone = weakref.ref(graph)
    del graph, table
    gc.collect()
    assert gone() is None


def test_nodes_work_for_tensorflows_saver_and_the_other_way_round(tf: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    for makes, uses in ((Saver, v1.train.Saver), (v1.train.Saver, Saver)):
        with tf.Graph().as_default(), v1.Session() as session:
            in_parts(v1, True)
            session.run(v1.global_variables_initializer())
            saver_def = makes(sharded=True).as_saver_def()
            saver = uses(saver_def=saver_def)
            path = saver.save(session, str(tmp_path / uses.__module__))
            before = session.run(v1.global_variables())
            session.run([variable.assign(variable * 0.0) for variable in v1.global_variables()])
            makes(saver_def=saver_def).restore(session, path)
            for old, new in zip(before, session.run(v1.global_variables()), strict=True):
                np.testing.assert_array_equal(old, new)
