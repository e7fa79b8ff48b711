"""How tensors, checkpoints and state files are named, and what a `var_list` may be: with TensorFlow's Saver and with ours."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario

Compare = Callable[..., Recorded]


def saved_names(run: Scenario, var_list: Any, name: str) -> None:
    path = run.call(run.saver(var_list).save, run.session, name, write_state=False, write_meta_graph=False)
    run.note(run.v1.train.list_variables(path))


def names_of_tensors(run: Scenario, resource: bool) -> None:
    with run.v1.variable_scope("outer"), run.v1.name_scope("inner"):
        v = run.variable("v", [1.0], resource=resource)
    w = run.v1.get_variable("x/w", initializer=2.0, use_resource=resource)
    parts = run.v1.get_variable(
        "p",
        [3, 2],
        initializer=run.v1.zeros_initializer(),
        partitioner=run.v1.fixed_size_partitioner(2),
        use_resource=resource,
    )
    run.session.run([w.initializer, *(part.initializer for part in parts)])
    first, second = parts
    local = run.v1.get_variable("local", initializer=0.0, collections=["local_variables"], use_resource=resource)
    run.session.run(local.initializer)
    saved_names(run, None, "default")
    saved_names(run, [w, [v, (parts,)]], "nested")
    saved_names(run, {v, w}, "set")
    saved_names(run, [second, first, local], "parts")
    saved_names(run, {"v:0": v, "w w": w, "one": first, "more": [second]}, "dict")
    saved_names(run, {"all": parts}, "whole")
    saved_names(run, {"tensor": w.value() if resource else w.op.outputs[0]}, "tensor")
    saved_names(run, [w.value() if resource else w.op.outputs[0]], "tensors")


def names_that_clash(run: Scenario, resource: bool) -> None:
    v = run.variable("v", 1.0, resource=resource)
    other = run.variable("other", 1.0, resource=resource)
    run.call(run.saver, [v, v], fragment="At least two variables have the same name: v")
    run.call(run.saver, {"a": v, "b": v}, fragment="The same saveable will be restored with two names: b")
    run.call(run.saver, {"a": [v]}, fragment="Slices must all be slices")
    info = run.tf.Variable.SaveSliceInfo
    v._set_save_slice_info(info("other", [2], [0], [1]))
    run.call(run.saver, [v, other], fragment="")
    other._set_save_slice_info(info("third", [2], [1], [1]))
    run.call(run.saver, {"a": [v, other]}, fragment="Slices must all be from the same tensor: other != third")


def no_variables(run: Scenario) -> None:
    v = run.variable("v", 1.0)
    said = "Variables to save should be passed in a dict or a list"
    for wrong in ("v", 3, (item for item in [v])):
        run.call(run.saver, wrong, fragment=said)
    run.call(run.saver, ["v"], fragment="")
    run.call(run.saver, [run.v1.constant(1.0)], fragment="Variable to save is not a Variable")
    for wrong in (run.v1.constant(1.0), np.ones(2), v + 1.0):
        run.call(run.saver, {"a": wrong}, fragment="Not a variable")
    run.call(run.saver, {"a": None}, fragment="None values not supported.")
    run.call(run.saver, {"a": v.initializer}, fragment="")
    for wrong in (b"a", 3):
        run.call(run.saver, {wrong: v}, fragment="Name is not a string")
    run.call(run.saver, {"a": [3]}, fragment="Slices must all be Variables")


def made_in_wrong_order(run: Scenario) -> None:
    run.call(run.saver, var_list=[run.variable("v", 1.0)], defer_build=True, fragment="defer_build")
    deferred = run.saver(defer_build=True)
    run.note(deferred.saver_def, deferred.as_saver_def(), deferred.to_proto())
    run.call(deferred.restore, run.session, "nowhere", fragment="The passed save_path is not a valid checkpoint")
    run.call(deferred.save, run.session, "model", fragment="`build()` should be called before save")


def build_in_eager_mode(run: Scenario) -> None:
    v = run.tf.Variable(1.0, name="v")
    run.call(run.saver, fragment="`var_list` must specify a list or dict")
    run.call(run.saver, None, defer_build=True, fragment="`var_list` must specify a list or dict")
    run.call(run.saver([v]).build, fragment="Use save/restore instead of build in eager mode.")

    def save_two_of_one_name() -> None:
        # TensorFlow looks the variables up when it saves, ours when the Saver is made.
        run.saver([v, run.tf.Variable(2.0, name="v")]).save(None, "model")

    run.call(save_two_of_one_name, fragment="Two different ResourceVariable objects with the same shared_name")
    saver = run.saver([v, v])
    run.call(saver.save, run.session, "model")
    run.call(saver.save, run.session, "meta", write_meta_graph=True)


def meta_graph_names(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver(max_to_keep=0)
    for path in ("m-1-of-2", "m-00001-of-00002", "m-?-of-3", "a-1-of-b", "x.y-of-2"):
        run.call(saver.save, run.session, path)
        run.look()
    run.call(saver.save, run.session, "debug-1.x", save_debug_info=True)


def state_files_of_others(run: Scenario) -> None:
    run.two_variables()
    run.call(run.saver().save, run.session, f"{run.directory}/model", 7)
    state = pathlib.Path("checkpoint")
    for text in (
        "model_checkpoint_path: 'model-7'\nall_model_checkpoint_paths: 'model-7'\n",
        '# written by hand\nmodel_checkpoint_path: "model-7"  # newest\n',
        'model_checkpoint_path: "./model-7"\nall_model_checkpoint_paths: "../x/./model-6"',
        'model_checkpoint_path: "gr\\303\\266\\303\\237e"',
        'model_checkpoint_path: "größe" last_preserved_timestamp: 1.5 all_model_checkpoint_timestamps: 2',
        'model_checkpoint_path: "gone-8"',
        'model_checkpoint_path: "model-7" "-8"',
        "{ no state file",
        'unknown_field: "model-7"',
    ):
        state.write_text(text, encoding="utf-8")
        for directory in (".", str(run.directory)):
            found = run.train.get_checkpoint_state(directory)
            run.note(None if found is None else [found.model_checkpoint_path, list(found.all_model_checkpoint_paths)])
            run.call(run.train.latest_checkpoint, directory)
    state.write_text("")
    run.call(run.train.get_checkpoint_state, ".", fragment="Invalid checkpoint state loaded from")
    state.write_text('all_model_checkpoint_paths: "model-7"')
    run.call(run.train.get_checkpoint_state, ".", fragment="Invalid checkpoint state loaded from")
    state.unlink()
    run.call(run.train.latest_checkpoint, ".")
    run.call(run.train.latest_checkpoint, "no/where")


def found_and_removed(run: Scenario, version: int, sharded: bool) -> None:
    run.two_variables()
    with run.v1.device("/cpu:0"):
        run.variable("placed", 1.0)
    saver = run.saver(write_version=version, sharded=sharded)
    path = run.call(saver.save, run.session, f"{run.directory}/model", 1)
    for each in pathlib.Path().iterdir():
        os.utime(each, (1000, 1000.75))
    for name in (path, f"{run.directory}/model-1", f"{run.directory}/model-1.meta", f"{run.directory}/model", "model-1"):
        run.call(run.train.checkpoint_exists, name)
    run.call(run.train.get_checkpoint_mtimes, [path, "nowhere", path])
    run.call(run.train.remove_checkpoint, "nowhere")
    run.call(run.train.remove_checkpoint, path, version, "graph")
    run.look()
    run.call(run.train.remove_checkpoint, path, version)
    run.look()
    run.call(run.train.get_checkpoint_mtimes, [path])


def one_saver_and_three_sessions(run: Scenario) -> None:
    v0, v1 = run.two_variables()
    saver = run.saver({"v0": v0, "v1": v1}, restore_sequentially=True)
    path = run.call(saver.save, run.session, f"{run.directory}/basics")
    for initial in (False, True):
        with run.v1.Session() as session:
            if initial:
                session.run([v0.initializer, v1.initializer])
                session.run([v0.assign([7.0, 7.0]), v1.assign(9)])
            saver.restore(session, path)
            run.note(*(np.asarray(value).tolist() for value in session.run([v0, v1])))


def prefixed_names(run: Scenario) -> None:
    v0, v1 = run.two_variables()
    path = run.call(run.saver({"save_prefix/v0": v0, "save_prefix/v1": v1}).save, run.session, "model")
    run.session.run([v0.assign([0.0, 0.0]), v1.assign(0)])
    run.call(run.saver({"restore_prefix/v0": v0}).restore, run.session, path, fragment="not found in checkpoint")
    run.call(run.saver([v0, v1]).restore, run.session, path, fragment="not found in checkpoint")
    run.call(run.saver({"save_prefix/v1": v1, "save_prefix/v0": v0}).restore, run.session, path)
    run.values(v0, v1)


def table_beside_variables(run: Scenario) -> None:
    variable = run.variable("v", [1.0])
    table = run.tf.lookup.experimental.MutableHashTable(run.tf.string, run.tf.float32, -1.0, name="table")
    keys = run.tf.constant(["k1", "k2"])
    run.session.run(table.insert(keys, run.tf.constant([30.0, 40.0])))
    looked_up = table.lookup(keys)
    saver = run.saver({"v": variable, "t": table}, restore_sequentially=True)
    path = run.call(saver.save, run.session, f"{run.directory}/model")
    run.note(run.v1.train.list_variables(path))
    with run.v1.Session() as session:
        saver.restore(session, path)
        run.note(session.run(looked_up).tolist(), session.run(variable).tolist())


def parents_that_are_files(run: Scenario) -> None:
    run.two_variables()
    pathlib.Path("file").write_text("")
    saver = run.saver()
    run.call(saver.save, run.session, f"{run.directory}/file/model", fragment="Parent directory of")
    run.call(saver.restore, run.session, f"{run.directory}/file/model", fragment="is not a valid checkpoint")


SCENARIOS: list[tuple[Any, ...]] = [
    *((names_of_tensors, resource) for resource in (False, True)),
    *((names_that_clash, resource) for resource in (False, True)),
    (no_variables,),
    (made_in_wrong_order,),
    (meta_graph_names,),
    (state_files_of_others,),
    *((found_and_removed, version, sharded) for version in (1, 2) for sharded in (False, True)),
    (one_saver_and_three_sessions,),
    (prefixed_names,),
    (table_beside_variables,),
    (parents_that_are_files,),
]


@pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=lambda scenario: "-".join(str(getattr(part, "__name__", part)) for part in scenario)
)
def test_names_are_as_with_tensorflow(compare: Compare, scenario: tuple[Any, ...]) -> None:
    program, *arguments = scenario
    assert compare(program, *arguments)


def test_eager_mode_is_as_with_tensorflow(compare: Compare) -> None:
    assert compare(build_in_eager_mode, eager=True)
