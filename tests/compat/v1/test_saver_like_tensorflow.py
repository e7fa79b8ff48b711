"""Saver programs that must end the same with TensorFlow's Saver and with ours.

Where ours does otherwise on purpose (nothing left behind, nothing restored by halves, a wrong shape into a resource
variable), test_saver.py says so.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario

Compare = Callable[..., Recorded]

V1, V2 = 1, 2


def plain_save(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver()
    run.note(saver.last_checkpoints)
    run.call(saver.save, run.session, f"{run.directory}/model")
    run.note(saver.last_checkpoints)


def relative_paths(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver()
    os.mkdir("sub")
    for path in ("model", "./model", "sub/model", "sub/../model", "new/model", f"{run.directory}/model"):
        run.call(saver.save, run.session, path)
        run.look()
    run.call(run.train.latest_checkpoint, "sub")
    run.call(run.train.latest_checkpoint, "")


def relative_entries(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver(save_relative_paths=True)
    os.mkdir("sub")
    run.call(saver.save, run.session, f"{run.directory}/sub/model", global_step=1)
    run.look()
    run.call(saver.save, run.session, f"{run.directory}/model", global_step=2)
    run.look()
    run.call(run.train.latest_checkpoint, "sub")


def names_beyond_ascii(run: Scenario) -> None:
    variable = run.variable("v", 1.0)
    saver = run.saver({"größe mit 'Zeichen'/0:0": variable})
    run.call(saver.save, run.session, "mödell 'a' \"b\"")
    run.session.run(variable.assign(2.0))
    run.call(saver.restore, run.session, "mödell 'a' \"b\"")
    run.values(variable)
    run.note(run.v1.train.list_variables("mödell 'a' \"b\""))


def path_as_bytes(run: Scenario) -> None:
    (variable, _) = run.two_variables()
    saver = run.saver()
    run.call(saver.save, run.session, b"model")
    run.session.run(variable.assign([5.0, 5.0]))
    run.call(saver.restore, run.session, b"model")
    run.values(variable)


def path_as_url(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver()
    run.call(saver.save, run.session, f"file://{run.directory}/model")
    run.call(saver.restore, run.session, f"file://{run.directory}/model")
    run.call(run.train.latest_checkpoint, str(run.directory))


def steps(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver(max_to_keep=None)
    step = run.variable("step", np.int64(12))
    for value in (0, 1, -3, True, np.int32(5), np.uint8(6), step, step.value(), "step/Read/ReadVariableOp:0", 10**9):
        run.call(saver.save, run.session, "model", global_step=value)
    run.call(saver.save, run.session, "model", 77)
    run.call(saver.save, run.session, "model", 1.5, fragment="")
    run.call(saver.save, run.session, "model", np.float32(2), fragment="")
    run.call(saver.save, run.session, "model", np.array(3), fragment="")


def padded_steps(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver(pad_step_number=True)
    for step in (0, 7, -7, 123456789):
        run.call(saver.save, run.session, "model", global_step=step)
    run.call(saver.save, run.session, "model")


def missing_directories(run: Scenario, version: int) -> None:
    run.two_variables()
    saver = run.saver(write_version=version)
    pathlib.Path("file").write_text("text")
    said = "Parent directory of {} doesn't exist, can't save."
    for path in ("a/b/model", "file/model", f"{run.directory}/a/b/model"):
        run.call(saver.save, run.session, path, fragment=said.format(path))
    if version == V1:
        run.call(saver.save, run.session, "one/model", fragment=said.format("one/model"))
    else:
        run.call(saver.save, run.session, "one/model")
        run.call(saver.save, run.session, f"{run.directory}/two/model")
    run.note(saver.last_checkpoints)


def state_file_names(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver()
    run.call(saver.save, run.session, "model", 1, latest_filename="newest")
    run.call(run.train.latest_checkpoint, ".", "newest")
    run.call(saver.save, run.session, "model", latest_filename="a/b", fragment="must not contain path components")
    run.call(saver.save, run.session, "checkpoint", fragment="collides with")
    run.call(saver.save, run.session, "sub/checkpoint", fragment="collides with")
    run.call(saver.save, run.session, "other", latest_filename="other", fragment="collides with")
    run.call(saver.save, run.session, "checkpoint", 5)
    said = "conflicts with path used for checkpoint state"
    run.call(run.saver(max_to_keep=0).save, run.session, "./model", 2, latest_filename="model-2")
    run.call(run.saver(max_to_keep=0, save_relative_paths=True).save, run.session, f"{run.directory}/m", 2, "m-2")
    for path in list(run.directory.iterdir()):
        path.unlink()
    # TensorFlow has written the data by then; ours has not.
    late = run.saver(max_to_keep=0)
    run.call(late.save, run.session, "model", 2, latest_filename="model-2", write_meta_graph=False, fragment=said)
    run.call(late.save, run.session, f"{run.directory}/model", 2, "model-2", write_meta_graph=False, fragment=said)
    for path in list(run.directory.iterdir()):
        path.unlink()


def what_is_written(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver()
    run.call(saver.save, run.session, "a", write_state=False)
    run.note(saver.last_checkpoints)
    run.call(saver.save, run.session, "b", write_meta_graph=False)
    run.call(saver.save, run.session, "c", meta_graph_suffix="graph")
    run.call(saver.save, run.session, "d", strip_default_attrs=True)
    run.call(saver.save, run.session, "e", 1, "checkpoint", "meta", True, True, False, True)
    run.note(saver.last_checkpoints)


def wrong_sessions(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver()
    run.call(saver.save, None, "model", fragment="'sess' must be a Session")
    run.call(saver.save, "session", "model", fragment="'sess' must be a Session")
    run.call(saver.save, run.session, 3, fragment="Expected binary or unicode string")
    run.call(saver.restore, run.session, 3, fragment="Expected binary or unicode string")
    empty = run.saver([], allow_empty=True)
    run.call(empty.save, None, "model", fragment="'sess' must be a Session")


def empty_saver(run: Scenario) -> None:
    saver = run.saver(allow_empty=True)
    run.note(bool(saver), saver._is_empty, saver.last_checkpoints, saver.as_saver_def())
    run.call(saver.save, run.session, "x/y/model", write_meta_graph=False)
    run.look()
    run.call(saver.save, run.session, "x/y/model", 4)
    run.call(saver.restore, None, None)
    run.call(saver.restore, run.session, "nowhere")
    run.call(run.saver, fragment="No variables to save")
    run.call(run.saver, [], fragment="No variables to save")
    run.call(run.saver, {}, fragment="No variables to save")


def deferred_build(run: Scenario) -> None:
    run.variable("early", 1.0)
    saver = run.saver(defer_build=True)
    run.note(saver._is_built, saver._is_empty)
    run.variable("late", 2.0)
    run.call(saver.save, run.session, "model", fragment="build")
    saver.build()
    saver.build()
    run.variable("too_late", 3.0)
    run.note(saver._is_built, saver._is_empty)
    run.call(saver.save, run.session, "model")
    run.note(run.v1.train.list_variables("model"))
    run.call(run.saver, [run.variable("v", 1.0)], defer_build=True, fragment="defer_build")
    run.saver([], defer_build=True)


def failed_build_counts_as_built(run: Scenario) -> None:
    saver = run.saver(defer_build=True)
    run.call(saver.build, fragment="No variables to save")
    run.note(saver._is_built)
    run.call(saver.build)


def attributes(run: Scenario) -> None:
    variables = run.two_variables()
    names = ["_var_list", "_reshape", "_sharded", "_max_to_keep", "_keep_checkpoint_every_n_hours", "_name", "_is_built"]
    names += ["_restore_sequentially", "_allow_empty", "_is_empty", "_write_version", "_pad_step_number", "_filename"]
    names += ["_last_checkpoints", "_checkpoints_to_be_deleted", "_save_relative_paths", "_object_restore_saver"]
    for saver in (run.saver(), run.saver(variables), run.saver(variables, max_to_keep=None, name="s", filename="f")):
        run.note([(name, str(getattr(saver, name))) for name in names], saver._var_list is None, hasattr(saver, "name"))


def restored_from_nothing(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver()
    pathlib.Path("text").write_text("no checkpoint, but a text of some length that no table begins with: " * 4)
    os.mkdir("directory")
    run.call(saver.restore, run.session, None, fragment="Can't load save_path when it is None.")
    said = "The passed save_path is not a valid checkpoint: "
    for path in ("nowhere", f"{run.directory}/nowhere", "no/where", "model-?????-of-00002", ""):
        run.call(saver.restore, run.session, path, fragment=said + path)
    run.call(saver.restore, run.session, "text", fragment="")
    run.call(saver.restore, run.session, "directory", fragment="")


def missing_tensors(run: Scenario, version: int) -> None:
    v0, v1 = run.two_variables()
    saver = run.saver([v0], write_version=version)
    run.call(saver.save, run.session, "model")
    more = run.saver({"v0": v0, "other": v1}, write_version=version)
    run.call(more.restore, run.session, "model", fragment="Restoring from checkpoint failed.")
    said = "Key other not found in checkpoint" if version == V2 else 'Tensor name "other" not found in checkpoint files'
    run.call(more.restore, run.session, "model", fragment=said)
    run.call(more.restore, run.session, "model", fragment="not found in checkpoint")
    fewer = run.saver({"v0": v0})
    run.call(fewer.restore, run.session, "model")


def wrong_dtypes(run: Scenario) -> None:
    v0, v1 = run.two_variables()
    run.call(run.saver({"a": v0, "b": v1}).save, run.session, "model")
    swapped = run.saver({"a": run.variable("c", np.zeros(2, np.float64)), "b": run.variable("d", np.int32(0))})
    run.call(swapped.restore, run.session, "model", fragment="expected dtype double does not equal original dtype float")
    run.call(swapped.restore, run.session, "model", fragment="expected dtype int32 does not equal original dtype int64")
    half = run.saver({"a": run.variable("e", np.zeros(2, np.float16))})
    run.call(half.restore, run.session, "model", fragment="original dtype")


def wrong_shape_of_reference(run: Scenario) -> None:
    (v0, _) = run.two_variables()
    run.call(run.saver({"a": v0}).save, run.session, "model")
    other = run.saver({"a": run.variable("c", np.zeros(3, np.float32), resource=False)})
    run.call(other.restore, run.session, "model", fragment="Assign requires shapes of both tensors to match.")
    run.call(other.restore, run.session, "model", fragment="lhs shape= [3] rhs shape= [2]")


def reshaped(run: Scenario, resource: bool) -> None:
    saved = run.variable("a", np.arange(6, dtype=np.float32), resource=resource)
    run.call(run.saver({"a": saved}).save, run.session, "model")
    target = run.variable("b", np.zeros((2, 3), np.float32), resource=resource)
    run.call(run.saver({"a": target}, reshape=True).restore, run.session, "model")
    run.values(target)
    small = run.variable("c", np.zeros((2, 2), np.float32), resource=resource)
    said = "Input to reshape is a tensor with 6 values, but the requested shape has 4"
    run.call(run.saver({"a": small}, reshape=True).restore, run.session, "model", fragment=said)


def damaged_files(run: Scenario) -> None:
    (v0, _) = run.two_variables()
    saver = run.saver([v0])
    run.call(saver.save, run.session, "model")
    data = pathlib.Path("model.data-00000-of-00001")
    content = data.read_bytes()
    data.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    run.call(saver.restore, run.session, "model", fragment="")
    data.unlink()
    run.call(saver.restore, run.session, "model", fragment="")
    pathlib.Path("model.index").write_bytes(b"")
    run.call(saver.restore, run.session, "model", fragment="")


def uninitialized(run: Scenario, resource: bool) -> None:
    variable = run.v1.Variable(1.0, name="v", use_resource=resource)
    saver = run.saver([variable])
    run.call(saver.save, run.session, f"{run.directory}/model", fragment="v")
    run.note(saver.last_checkpoints)


def restore_initializes(run: Scenario, resource: bool) -> None:
    variable = run.variable("v", 4.0, resource=resource)
    saver = run.saver()
    run.call(saver.save, run.session, "model")
    with run.v1.Session() as session:
        saver.restore(session, "model")
        run.note(float(session.run(variable)))


def overwritten(run: Scenario) -> None:
    variable = run.variable("v", 1.0)
    saver = run.saver()
    for value in (1.0, 2.0, 3.0):
        run.session.run(variable.assign(value))
        run.call(saver.save, run.session, "model")
        run.session.run(variable.assign(0.0))
        run.call(saver.restore, run.session, "model")
        run.values(variable)


def last_n(run: Scenario, max_to_keep: int | None, version: int) -> None:
    run.two_variables()
    saver = run.saver(max_to_keep=max_to_keep, write_version=version)
    for path in ("s1", "s2", "s3", "s2", "s4", "s1"):
        run.call(saver.save, run.session, f"{run.directory}/{path}")
        run.note(saver.last_checkpoints)
        run.look()


def last_n_without_meta(run: Scenario) -> None:
    run.two_variables()
    saver = run.saver(max_to_keep=1)
    run.call(saver.save, run.session, "s1", meta_graph_suffix="graph")
    run.call(saver.save, run.session, "s2")
    run.call(saver.save, run.session, "s3", write_meta_graph=False)


def every_n_hours(run: Scenario, hours: float | None, max_to_keep: int) -> None:
    run.two_variables()
    clock = run.set_clock(1000.0)
    saver = run.saver(max_to_keep=max_to_keep, keep_checkpoint_every_n_hours=hours)
    run.note(saver._next_checkpoint_time)
    for step, seconds in enumerate((600, 3600, 3600, 1200, 7200, 20000, 60, 3600, 3600)):
        clock.now += seconds
        run.call(saver.save, run.session, "s", global_step=step)
        run.note(saver.last_checkpoints, saver._next_checkpoint_time)
    run.look()


def exactly_on_the_hour(run: Scenario) -> None:
    run.two_variables()
    clock = run.set_clock(0.0)
    saver = run.saver(max_to_keep=1, keep_checkpoint_every_n_hours=1.0)
    for now in (3600.0, 3600.5, 7200.0, 7201.0):
        clock.now = now
        run.call(saver.save, run.session, f"at{now}")
    run.look()


def lists_set_from_outside(run: Scenario) -> None:
    run.two_variables()
    run.set_clock(100.0)
    first = run.saver()
    for path in ("s1", "s2", "s3"):
        run.call(first.save, run.session, path)
    saver = run.saver(max_to_keep=2)
    run.call(saver.set_last_checkpoints, ["s1", "s2", "s3"])
    run.note(saver._last_checkpoints)
    run.call(saver.save, run.session, "s4")
    run.note(saver.last_checkpoints)
    run.look()
    mine = [("s1", 5.0), ("s2", 6.0)]
    run.call(saver.set_last_checkpoints_with_time, mine)
    run.note(saver._last_checkpoints is mine)
    run.call(saver.save, run.session, "s5")
    run.note(saver.last_checkpoints, mine)
    run.call(saver.set_last_checkpoints, ("s1",), fragment="")
    run.call(saver.set_last_checkpoints_with_time, ("s1", 1.0), fragment="")


def recovered(run: Scenario) -> None:
    run.two_variables()
    first = run.saver()
    for path, mtime in (("s1", 100), ("s2", 200), ("s3", 300)):
        run.call(first.save, run.session, path)
        os.utime(f"{path}.index", (mtime + 0.9, mtime + 0.9))
    os.remove("s2.index")
    saver = run.saver(max_to_keep=3)
    run.call(saver.recover_last_checkpoints, ["s1", "s2", "s3", "nowhere"])
    run.note(saver._last_checkpoints)
    run.call(saver.save, run.session, "s4")
    run.note(saver.last_checkpoints)
    run.look()
    state = run.train.get_checkpoint_state(".")
    run.call(saver.recover_last_checkpoints, state.all_model_checkpoint_paths)
    run.note(saver.last_checkpoints)
    run.call(saver.recover_last_checkpoints, [])
    run.note(saver.last_checkpoints)


def two_savers(run: Scenario) -> None:
    run.two_variables()
    first, second = run.saver(max_to_keep=2), run.saver(max_to_keep=2)
    for saver, path in ((first, "a1"), (second, "b1"), (first, "a2"), (second, "a1"), (first, "a3"), (second, "b2")):
        run.call(saver.save, run.session, path)
        run.note(first.last_checkpoints, second.last_checkpoints)
        run.look()
    os.remove("a2.index")
    run.call(first.save, run.session, "a4")


def v1_files(run: Scenario) -> None:
    v0, v1 = run.two_variables()
    saver = run.saver(write_version=V1)
    run.call(saver.save, run.session, "model", 3)
    run.session.run([v0.assign([0.0, 0.0]), v1.assign(0)])
    run.call(run.saver().restore, run.session, "model-3")
    run.values(v0, v1)
    run.call(run.train.latest_checkpoint, ".")


def v2_before_v1(run: Scenario) -> None:
    variable = run.variable("v", 1.0)
    run.call(run.saver(write_version=V1).save, run.session, "model")
    run.session.run(variable.assign(2.0))
    run.call(run.saver(write_version=V2).save, run.session, "model")
    run.session.run(variable.assign(0.0))
    run.call(run.saver(write_version=V1).restore, run.session, "model")
    run.values(variable)


def shards_of_tensorflow(run: Scenario, version: int) -> None:
    with run.tf.device("/cpu:0"):
        a = run.variable("a", [1.0, 2.0], resource=False)
    b = run.variable("b", [3.0], resource=False)
    path = run.v1.train.Saver(sharded=True, write_version=version).save(run.session, f"{run.directory}/model", 1)
    run.note(path)
    run.session.run([a.assign([0.0, 0.0]), b.assign([0.0])])
    run.call(run.saver().restore, run.session, path)
    run.values(a, b)


def object_based(run: Scenario) -> None:
    variable = run.variable("dense/kernel", [1.0, 2.0])
    step = run.variable("step", np.int64(3))
    checkpoint = run.tf.train.Checkpoint(net=run.tf.train.Checkpoint(kernel=variable), counter=step)
    path = checkpoint.save(f"{run.directory}/objects")
    run.session.run([variable.assign([0.0, 0.0]), step.assign(0)])
    run.call(run.saver([variable, step]).restore, run.session, path)
    run.values(variable, step)
    run.session.run(variable.assign([0.0, 0.0]))
    run.call(run.saver({"step": step}).restore, run.session, path)
    run.values(variable, step)
    renamed = run.saver({"kernel": variable, "step": step})
    for fragment in (
        "Existing variables not in the checkpoint: kernel",
        "Variables names when this checkpoint was written which don't exist now: dense/kernel",
        "(1 variable name(s) did match)",
    ):
        run.call(renamed.restore, run.session, path, fragment=fragment)


def parts_that_do_not_fit(run: Scenario, resource: bool) -> None:
    def parts(name: str, rows: int) -> list[Any]:
        partitioner = run.v1.fixed_size_partitioner(2)
        made = run.v1.get_variable(
            name, [rows, 3], initializer=run.v1.ones_initializer(), partitioner=partitioner, use_resource=resource
        )
        run.session.run([part.initializer for part in made])
        return list(made)

    stored = parts("stored", 6)
    run.call(run.saver({"p": stored}).save, run.session, "whole")
    run.call(run.saver({"p": stored[:1], "q": stored[1:]}).save, run.session, "halves")
    longer = run.saver({"p": parts("longer", 8)})
    said = "shape in shape_and_slice spec [8,3] does not match the shape stored in checkpoint: [6,3]"
    run.call(longer.restore, run.session, "whole", fragment=said)
    target = parts("target", 6)
    run.call(run.saver({"p": target}).restore, run.session, "halves", fragment="")
    run.session.run([part.assign(part * 0.0) for part in target])
    run.call(run.saver({"p": target[:1], "q": target[1:]}).restore, run.session, "halves")
    run.values(*target)


def eager(run: Scenario) -> None:
    a, b = run.tf.Variable([1.0, 2.0], name="a"), run.tf.Variable(np.int64(5), name="b")
    saver = run.saver([a, b], max_to_keep=2)
    for step in (1, run.tf.constant(2), run.tf.Variable(3), np.int64(4)):
        run.call(saver.save, None, "model", global_step=step)
        run.note(saver.last_checkpoints)
        run.look()
    run.call(saver.save, None, "model", global_step=2.5, fragment="")
    a.assign([0.0, 0.0])
    run.call(saver.restore, None, "model-4")
    run.note(a.numpy().tolist(), int(b))
    run.call(saver.restore, None, "nowhere", fragment="The passed save_path is not a valid checkpoint: nowhere")
    run.call(saver.restore, None, None, fragment="Can't load save_path when it is None.")
    missing = run.saver({"c": a})
    run.call(missing.restore, None, "model-4", fragment="Key c not found in checkpoint")
    other = run.saver({"a": b})
    run.call(other.restore, None, "model-4", fragment="original dtype")


SCENARIOS: list[tuple[Any, ...]] = [
    (plain_save,),
    (relative_paths,),
    (relative_entries,),
    (names_beyond_ascii,),
    (path_as_bytes,),
    (path_as_url,),
    (steps,),
    (padded_steps,),
    (missing_directories, V1),
    (missing_directories, V2),
    (state_file_names,),
    (what_is_written,),
    (wrong_sessions,),
    (empty_saver,),
    (deferred_build,),
    (failed_build_counts_as_built,),
    (attributes,),
    (restored_from_nothing,),
    (missing_tensors, V1),
    (missing_tensors, V2),
    (wrong_dtypes,),
    (wrong_shape_of_reference,),
    (reshaped, False),
    (reshaped, True),
    (damaged_files,),
    (uninitialized, False),
    (uninitialized, True),
    (restore_initializes, False),
    (restore_initializes, True),
    (overwritten,),
    *((last_n, max_to_keep, V2) for max_to_keep in (1, 2, 3, 0, None, -1)),
    (last_n, 2, V1),
    (last_n_without_meta,),
    (every_n_hours, 1.0, 2),
    (every_n_hours, 0.7, 1),
    (every_n_hours, 0.0, 1),
    (every_n_hours, None, 2),
    (every_n_hours, 10000.0, 1),
    (exactly_on_the_hour,),
    (lists_set_from_outside,),
    (recovered,),
    (two_savers,),
    (parts_that_do_not_fit, False),
    (parts_that_do_not_fit, True),
    (v1_files,),
    (v2_before_v1,),
    (shards_of_tensorflow, V1),
    (shards_of_tensorflow, V2),
    (object_based,),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: "-".join(map(_label, scenario)))
def test_both_savers_do_the_same(compare: Compare, scenario: tuple[Any, ...]) -> None:
    program, *arguments = scenario
    recorded = compare(program, *arguments)
    assert recorded[-1][0] in ("files", "state")


def test_both_savers_do_the_same_in_eager_mode(compare: Compare) -> None:
    assert compare(eager, eager=True)


def _label(part: Any) -> str:
    return part.__name__ if callable(part) else str(part)
