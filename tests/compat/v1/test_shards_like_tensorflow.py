"""Sharded checkpoints, and programs that run the nodes of a Saver themselves: with TensorFlow's Saver and with ours."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario

Compare = Callable[..., Recorded]

V1, V2 = 1, 2


def on_devices(run: Scenario, *, resource: bool = True) -> list[Any]:
    """Variables on two devices and on none, one of them in parts."""
    variables = [run.variable("b", [1.0, 2.0], resource=resource)]
    with run.v1.device("/cpu:0"):
        variables += [run.variable("z", np.int64(3), resource=resource), run.variable("a", b"text", resource=resource)]
    with run.v1.device("/job:localhost/task:0"):
        variables.append(run.variable("scope/v", [[5.0]], resource=resource))
        parts = run.v1.get_variable(
            "p",
            [5, 2],
            initializer=run.v1.ones_initializer(),
            partitioner=run.v1.fixed_size_partitioner(2),
            use_resource=resource,
        )
    run.session.run([part.initializer for part in parts])
    return [*variables, *parts]


def digests(run: Scenario, pattern: str) -> None:
    """Records the bytes of files."""
    for path in sorted(run.directory.rglob(pattern)):
        run.note(path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def zeroed(run: Scenario, variables: list[Any]) -> None:
    for variable in variables:
        value = b"" if variable.dtype.base_dtype.name == "string" else 0
        run.session.run(variable.assign(run.tf.fill(variable.shape, run.tf.constant(value, variable.dtype.base_dtype))))


def one_file_for_each_device(run: Scenario, version: int, resource: bool) -> None:
    variables = on_devices(run, resource=resource)
    saver = run.saver(sharded=True, write_version=version, max_to_keep=2)
    for step in (1, 2, 3):
        path = run.call(saver.save, run.session, f"{run.directory}/model", step)
        run.note(saver.last_checkpoints)
        run.look()
    run.note(run.v1.train.list_variables(path))
    digests(run, "*data*")
    if version == V2:
        digests(run, "*.index")
    run.call(run.train.latest_checkpoint, str(run.directory))
    for reader in (saver, run.saver(), run.saver(sharded=True)):
        zeroed(run, variables)
        run.call(reader.restore, run.session, path)
        run.values(*variables)


def one_device_is_one_shard(run: Scenario, version: int) -> None:
    run.two_variables()
    saver = run.saver(sharded=True, write_version=version)
    path = run.call(saver.save, run.session, "model")
    run.call(saver.restore, run.session, path)
    run.note(saver.saver_def.sharded)


def shards_have_no_directory_made(run: Scenario, version: int) -> None:
    run.two_variables()
    saver = run.saver(sharded=True, write_version=version)
    for path in ("one/model", "a/b/model"):
        run.call(saver.save, run.session, path, fragment=f"Parent directory of {path} doesn't exist, can't save.")
    run.note(saver.last_checkpoints)


def shards_named_like_the_state_file(run: Scenario, version: int) -> None:
    run.two_variables()
    os.mkdir("sub")
    saver = run.saver(sharded=True, write_version=version, max_to_keep=0)
    run.call(saver.save, run.session, "sub/checkpoint", latest_filename="checkpoint", write_meta_graph=False)
    run.look()
    shutil.rmtree("sub")
    said = "conflicts with path used for checkpoint state"
    if version == V2:
        # TensorFlow has written the data by then; ours has not.
        run.call(saver.save, run.session, f"{run.directory}/checkpoint", write_meta_graph=False, fragment=said)
        for path in list(run.directory.iterdir()):
            path.unlink()


def one_v1_shard_alone(run: Scenario) -> None:
    variables = on_devices(run)
    path = run.call(run.saver(sharded=True, write_version=V1).save, run.session, f"{run.directory}/model", 1)
    run.note(path)
    shards = sorted(str(item) for item in run.directory.glob("model-1-*-of-*"))
    os.mkdir("alone")
    for index, shard in enumerate(shards):
        alone = shutil.copy(shard, "alone")
        stored = [name for name, _ in run.v1.train.list_variables(alone)]
        run.note(stored)
        present = {variable.op.name.split("/part_")[0]: variable for variable in variables}
        if "p" not in stored:
            run.call(run.saver({name: present[name] for name in stored}).restore, run.session, alone)
        run.call(run.saver([*variables]).restore, run.session, alone, fragment="not found in checkpoint")
        os.remove(alone)
        run.note(index)
    run.call(run.saver(variables).restore, run.session, f"{run.directory}/model-1-?????-of-?????")
    run.call(run.saver(variables).restore, run.session, f"{run.directory}/model-1-?????-of-00009", fragment="not a valid")


def nodes_run_by_the_program(run: Scenario, version: int, sharded: bool) -> None:
    variables = on_devices(run)
    saver = run.saver(sharded=sharded, write_version=version, filename="default")
    names = saver.as_saver_def()
    run.note(str(names))
    run.note(run.session.run(names.save_tensor_name).decode())
    run.note(run.session.run(names.save_tensor_name, {names.filename_tensor_name: "fed"}).decode())
    run.look()
    zeroed(run, variables)
    run.session.run(
        names.restore_op_name, {names.filename_tensor_name: "fed-?????-of-00003" if sharded and version == V1 else "fed"}
    )
    run.values(*variables)
    # What the nodes wrote our reader takes, and what our writer wrote the nodes take.
    zeroed(run, variables)
    path = run.call(saver.save, run.session, "saved")
    run.session.run(names.restore_op_name, {names.filename_tensor_name: path})
    run.values(*variables)


def savers_of_one_saver_def(run: Scenario) -> None:
    run.two_variables()
    first = run.saver(max_to_keep=2, pad_step_number=True)
    second = run.saver(saver_def=first.as_saver_def(), max_to_keep=9)
    run.note(second.saver_def is first.saver_def, second._var_list is None, second._is_empty, second._max_to_keep)
    for step in range(4):
        run.call((first, second)[step % 2].save, run.session, "model", step)
        run.note(first.last_checkpoints, second.last_checkpoints)
        run.look()
    run.call(second.restore, run.session, "model-3")
    run.call(second.restore, run.session, "nowhere", fragment="The passed save_path is not a valid checkpoint: nowhere")
    run.call(run.saver, saver_def="text", fragment="saver_def must be a saver_pb2.SaverDef")


def objects_on_several_devices(run: Scenario) -> None:
    from tensorflow.python.training.saving import saveable_object

    a = run.variable("a", 1.0, resource=False)
    with run.v1.device("/cpu:0"):
        b = run.variable("b", 2.0, resource=False)

    class Both(saveable_object.SaveableObject):  # type: ignore[misc]
        def __init__(self) -> None:
            specs = [saveable_object.SaveSpec(item.op.outputs[0], "", name) for name, item in (("a", a), ("b", b))]
            super().__init__(a, specs, "both")

        def restore(self, restored_tensors: Any, restored_shapes: Any) -> Any:
            tensors = zip((a, b), restored_tensors, strict=True)
            return run.v1.group(*(item.assign(tensor) for item, tensor in tensors))

    run.call(run.saver, [Both()], sharded=True, fragment="All tensors of a saveable object must be on the same device")
    saver = run.saver([Both()])
    run.call(saver.save, run.session, "model")
    run.session.run([a.assign(0.0), b.assign(0.0)])
    run.call(saver.restore, run.session, "model")
    run.values(a, b)


def caching_device(run: Scenario) -> None:
    variable = run.variable("v", [1.0, 2.0], resource=False, caching_device="/cpu:0")
    saver = run.saver(sharded=True)
    run.call(saver.save, run.session, "model")
    run.session.run(variable.assign([0.0, 0.0]))
    run.call(saver.restore, run.session, "model")
    run.values(variable)


def moved_directory(run: Scenario) -> None:
    variables = run.two_variables()
    os.mkdir("first")
    saver = run.saver(save_relative_paths=True, sharded=True)
    run.call(saver.save, run.session, f"{run.directory}/first/model", 0)
    run.call(saver.save, run.session, f"{run.directory}/first/model", 1)
    shutil.move("first", "second")
    path = run.call(run.train.latest_checkpoint, f"{run.directory}/second")
    run.call(run.saver(variables).restore, run.session, path)


SCENARIOS: list[tuple[Any, ...]] = [
    *((one_file_for_each_device, version, resource) for version in (V1, V2) for resource in (False, True)),
    *((one_device_is_one_shard, version) for version in (V1, V2)),
    *((shards_have_no_directory_made, version) for version in (V1, V2)),
    *((shards_named_like_the_state_file, version) for version in (V1, V2)),
    (one_v1_shard_alone,),
    *((nodes_run_by_the_program, version, sharded) for version in (V1, V2) for sharded in (False, True)),
    (savers_of_one_saver_def,),
    (objects_on_several_devices,),
    (caching_device,),
    (moved_directory,),
]


@pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=lambda scenario: "-".join(str(getattr(x, "__name__", x)) for x in scenario)
)
def test_shards_and_nodes_are_as_tensorflows(compare: Compare, scenario: tuple[Any, ...]) -> None:
    program, *arguments = scenario
    assert compare(program, *arguments)


def test_shard_that_cannot_be_finished_leaves_none(
    tf: Any, session: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfsaver.compat import _save
    from tfsaver.compat.v1.train import Saver

    v1 = tf.compat.v1
    for index in range(3):
        with v1.device("/job:localhost/task:0/device:CPU:0" if index else ""):
            session.run(v1.get_variable(f"v{index}", initializer=[1.0]).initializer)
    write = _save.TensorSliceWriter.write
    saver = Saver(sharded=True, write_version=V1)
    finished: list[Any] = []

    def fail_at_second(self: Any, file: Any) -> None:
        if finished:
            raise OSError(28, os.strerror(28))
        finished.append(self)
        write(self, file)

    monkeypatch.setattr(_save.TensorSliceWriter, "write", fail_at_second)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        saver.save(session, str(tmp_path / "model"))
    assert len(finished) == 1 and list(tmp_path.iterdir()) == []
