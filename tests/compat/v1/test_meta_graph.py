"""Graphs on their way through `.meta` files, with TensorFlow's functions and with ours."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario
from tfsaver.compat.v1 import train

Compare = Callable[..., Recorded]


def two_and_parts(run: Scenario, *, resource: bool = True) -> list[Any]:
    variables = run.two_variables(resource=resource)
    parts = run.v1.get_variable(
        "p",
        [4, 2],
        initializer=run.v1.ones_initializer(),
        partitioner=run.v1.fixed_size_partitioner(2),
        use_resource=resource,
    )
    run.session.run([part.initializer for part in parts])
    return [*variables, *parts]


def in_new_graph(run: Scenario, program: Callable[[Any], None]) -> None:
    with run.tf.Graph().as_default() as graph, run.v1.Session(graph=graph) as session:
        program(session)


def saved_and_imported(run: Scenario, resource: bool, sharded: bool, version: int) -> None:
    two_and_parts(run, resource=resource)
    saver = run.saver(sharded=sharded, write_version=version)
    path = run.call(saver.save, run.session, f"{run.directory}/model", 3)

    def restore(session: Any) -> None:
        imported = run.call_quietly(run.train.import_meta_graph, f"{run.directory}/model-3.meta")
        run.note(str(imported.saver_def))
        run.call(imported.restore, session, path)
        run.note(*(np.asarray(value).tolist() for value in session.run(run.v1.global_variables())))
        again = run.call(imported.save, session, f"{run.directory}/again")
        run.note(run.v1.train.list_variables(again))
        # The other Saver restores what either wrote.
        run.v1.train.Saver().restore(session, again)
        train.Saver().restore(session, again)

    in_new_graph(run, restore)


def in_scopes(run: Scenario) -> None:
    two_and_parts(run)
    path = run.call(run.saver().save, run.session, f"{run.directory}/model")

    def restore(session: Any) -> None:
        meta = f"{path}.meta"
        for scope in ("A", "A", "B/C"):
            imported = run.train.import_meta_graph(meta, import_scope=scope)
            run.note(str(imported.saver_def))
            run.call(imported.restore, session, path)
        with run.v1.name_scope("outer"):
            imported = run.train.import_meta_graph(meta)
            run.note(str(imported.saver_def))
            run.call(imported.restore, session, path)
            imported = run.train.import_meta_graph(meta, import_scope="inner")
            run.note(str(imported.saver_def))
            run.call(imported.restore, session, path)
        names = [variable.op.name for variable in run.v1.global_variables()]
        values = session.run(run.v1.global_variables())
        run.note(sorted((name, np.asarray(value).tolist()) for name, value in zip(names, values, strict=True)))
        # Without a scope a Saver of everything wants the scopes' names, which the checkpoint has not.
        run.call(run.saver().restore, session, path, fragment="not found in checkpoint")

    in_new_graph(run, restore)


def without_saver(run: Scenario) -> None:
    run.two_variables()
    path = run.call(run.saver().save, run.session, f"{run.directory}/model")
    run.call_quietly(run.train.export_meta_graph, "bare.meta")

    def restore(session: Any) -> None:
        imported = run.train.import_meta_graph("bare.meta")
        run.note(imported is None, len(session.graph.get_operations()))
        imported.restore(session, path)

    in_new_graph(run, restore)

    def nothing_to_restore(session: Any) -> None:
        run.v1.constant(1.0, name="c")
        run.train.export_meta_graph("constant.meta")
        run.call(run.train.import_meta_graph, "constant.meta", import_scope="again")
        run.note([operation.name for operation in session.graph.get_operations()])

    in_new_graph(run, nothing_to_restore)


def unreadable_files(run: Scenario) -> None:
    run.call(run.train.import_meta_graph, "nowhere.meta", fragment="does not exist")
    pathlib.Path("text.meta").write_text("no graph")
    run.call(run.train.import_meta_graph, "text.meta", fragment="Cannot parse file")
    pathlib.Path("empty.meta").write_bytes(b"")
    run.call(run.train.import_meta_graph, "empty.meta")
    run.call(run.train.import_meta_graph, "empty.meta", no_such_argument=1, fragment="no_such_argument")
    run.call(run.train.export_meta_graph, "x.meta", no_such_argument=1, fragment="no_such_argument")
    for argument in ("graph_def", "saver_def", "meta_info_def"):
        run.call(run.train.export_meta_graph, "x.meta", **{argument: "text"}, fragment="")


def as_text_and_through_protos(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver()
    path = run.call(saver.save, run.session, f"{run.directory}/model")
    exported = saver.export_meta_graph("deep/er/text.meta", as_text=True)
    run.note(str(exported))

    def restore(session: Any) -> None:
        imported = run.train.import_meta_graph("deep/er/text.meta")
        run.call(imported.restore, session, path)
        run.note(str(run.train.export_meta_graph(saver_def=imported.saver_def)) == str(exported))

    in_new_graph(run, restore)
    in_new_graph(run, lambda session: run.train.import_meta_graph(exported).restore(session, path))


def export_options(run: Scenario) -> None:
    v1 = run.v1
    outside = v1.placeholder_with_default(2.0, [], name="outside")
    with v1.name_scope("hidden"), v1.device("/cpu:0"):
        inside = run.variable("inside", [1.0])
        product = inside * outside
    run.two_variables()
    for key, item in (("mine", product), ("numbers", 3), ("texts", "a"), ("floats", 1.5), ("mixed", 1), ("mixed", "a")):
        v1.add_to_collection(key, item)
    saver = run.saver()
    run.saver(name="second")
    v1.add_to_collection("savers", saver)
    for options in (
        {},
        {"collection_list": ["mine", "texts", "nowhere"]},
        {"clear_devices": True},
        {"clear_extraneous_savers": True},
        {"strip_default_attrs": True},
        {"export_scope": "hidden"},
        {"export_scope": "hidden", "clear_devices": True, "strip_default_attrs": True},
    ):
        run.note(str(saver.export_meta_graph(**options)))
        run.note(str(run.train.export_meta_graph(saver_def=saver.saver_def, **options)))
    run.call_quietly(saver.export_meta_graph, "debug.meta", save_debug_info=True)
    run.call_quietly(run.train.export_meta_graph, "graph.meta", graph=run.session.graph, unbound_inputs_col_name="mine")
    run.session.graph.finalize()
    run.call(saver.export_meta_graph, clear_devices=True, fragment="Graph is finalized and cannot be modified.")
    run.note(str(saver.export_meta_graph()))


def import_options(run: Scenario) -> None:
    v1 = run.v1
    with v1.device("/job:ps/task:0"):
        v1.get_variable("v", initializer=[1.0], use_resource=True)
    outside = v1.placeholder_with_default(2.0, [], name="outside")
    with v1.name_scope("scope"):
        v1.identity(outside, name="inner")
    v1.add_to_collection("mine", "text")
    saver = run.saver(sharded=True)
    whole = saver.export_meta_graph()
    exported = saver.export_meta_graph(export_scope="scope")

    def unbound(session: Any) -> None:
        run.call(run.train.import_meta_graph, exported, fragment="Graph contains unbound inputs")
        given = v1.constant(5.0)
        names = exported.collection_def["unbound_inputs"].bytes_list.value
        copy = type(exported).FromString(exported.SerializeToString())
        copy.ClearField("saver_def")
        run.call(run.train.import_meta_graph, copy, input_map={name.decode(): given for name in names})
        run.note(float(session.run("inner:0")))

    in_new_graph(run, unbound)

    def cleared(session: Any) -> None:
        imported = run.train.import_meta_graph(
            type(whole).FromString(whole.SerializeToString()),
            clear_devices=True,
            restore_collections_predicate=lambda key: key != "mine",
        )
        run.note({operation.device for operation in session.graph.get_operations()}, v1.get_collection("mine"))
        session.run(v1.global_variables_initializer())
        path = run.call(imported.save, session, f"{run.directory}/model")
        run.call(imported.restore, session, path)

    in_new_graph(run, cleared)


def scopes_of_savers(run: Scenario) -> None:
    with run.v1.name_scope("a"):
        run.variable("v", 1.0)
        saver = run.saver()
    run.note(*(str(saver.to_proto(scope)) for scope in (None, "", "a", "a/", "a/save", "b", "a/sav")))
    given = saver.as_saver_def()
    run.note(saver.as_saver_def() is given, saver.to_proto() is given)
    copy = type(given).FromString(given.SerializeToString())
    imported = run.train.Saver.from_proto(copy, import_scope="s/")
    run.note(str(imported.saver_def), imported.saver_def is copy)


def savers_in_collections(run: Scenario) -> None:
    run.two_variables()
    for _ in range(2):
        run.v1.add_to_collection("savers", run.saver(name="mine"))
    run.note(str(run.train.export_meta_graph().collection_def["savers"]))
    run.note(str(run.train.export_meta_graph(export_scope="mine").collection_def["savers"]))


SCENARIOS: list[tuple[Any, ...]] = [
    *((saved_and_imported, resource, sharded, version) for resource in (0, 1) for sharded in (0, 1) for version in (1, 2)),
    (in_scopes,),
    (without_saver,),
    (unreadable_files,),
    (as_text_and_through_protos,),
    (export_options,),
    (import_options,),
    (scopes_of_savers,),
    (savers_in_collections,),
]


@pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=lambda scenario: "-".join(str(getattr(x, "__name__", x)) for x in scenario)
)
def test_meta_graphs_do_as_with_tensorflow(compare: Compare, scenario: tuple[Any, ...]) -> None:
    program, *arguments = scenario
    assert compare(program, *map(int, arguments))


def test_imported_proto_stays_as_it_is(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    with v1.device("/cpu:0"):
        variable = v1.get_variable("v", initializer=[1.0], use_resource=True)
    session.run(variable.initializer)
    path = train.Saver().save(session, str(tmp_path / "model"))
    exported = train.Saver().export_meta_graph()
    before = exported.SerializeToString(deterministic=True)
    for scope in ("A", "B"):
        saver = train.import_meta_graph(exported, clear_devices=True, import_scope=scope)
        assert saver is not None and saver.saver_def.restore_op_name == f"{scope}/save/restore_all"
        saver.restore(session, path)
    assert exported.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("name", ["import_meta_graph", "export_meta_graph"])
def test_eager_mode_has_no_graph(tf: Any, name: str) -> None:
    assert tf.executing_eagerly()
    for module in (tf.compat.v1.train, train):
        with pytest.raises(RuntimeError, match="Exporting/importing meta graphs is not supported when eager execution"):
            getattr(module, name)("x.meta")
    assert not os.path.exists("x.meta")
