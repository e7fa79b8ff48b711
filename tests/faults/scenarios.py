"""What is interrupted: a row for each way to save, and beside it TensorFlow's own where it has the same."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tfsaver
from tests.faults import programs, reading, values
from tfsaver import schemas

_V1 = schemas.SaverDef.V1


class Scenario(NamedTuple):
    """A program, and how its directory is looked at.

    Attributes:
        name: What is saved over what, in words.
        program: Makes the program.
        before: How many generations are saved before the one that is interrupted.
        reader: What finds out which generation is there.
        tensorflows: Makes the program that does the same with TensorFlow's own classes; None where there are none.
        needs_tensorflow: Whether the program itself needs it.
    """

    name: str
    program: Callable[[], programs.Program]
    before: int = 1
    reader: Any = reading.Checkpoints()
    tensorflows: Callable[[], programs.Program] | None = None
    needs_tensorflow: bool = False


def _writes(write: Callable[[int, str], Any], *, overwrites: bool = False) -> Callable[[], programs.Program]:
    return functools.partial(programs.Writes, write, overwrites=overwrites)


def _v1(name: str, *, num_shards: int = 1, overwrites: bool = False) -> Scenario:
    write = programs.save_checkpoint(values.for_v1, format="V1", num_shards=num_shards)
    return Scenario(name, _writes(write, overwrites=overwrites), reader=reading.Checkpoints(values.for_v1))


def _saver(is_tensorflows: bool, **options: Any) -> programs.Program:
    # Not imported where TensorFlow is not installed.
    from tests.faults import savers

    saver = savers.v1.train.Saver if is_tensorflows else tfsaver.Saver
    return savers.Saves(saver, **options)


def _session_export(by_tensorflow: bool) -> programs.Program:
    from tests.faults import savers

    return savers.ExportsSession(by_tensorflow=by_tensorflow)


def _by_saver(name: str, *, before: int = 1, make: values.Make = values.few, twin: bool = True, **options: Any) -> Scenario:
    options["make"] = make
    return Scenario(
        name,
        functools.partial(_saver, False, **options),
        before,
        reading.Checkpoints(make),
        functools.partial(_saver, True, **options) if twin else None,
        needs_tensorflow=True,
    )


_SCENARIOS = [
    Scenario("save_checkpoint, the first", _writes(programs.save_checkpoint()), before=0),
    Scenario("save_checkpoint, a new prefix", _writes(programs.save_checkpoint())),
    Scenario("save_checkpoint, over the old one", _writes(programs.save_checkpoint(), overwrites=True)),
    Scenario(
        "save_checkpoint, durable=False, over the old one",
        _writes(programs.save_checkpoint(durable=False), overwrites=True),
    ),
    Scenario("save_checkpoint, 3 shards over 3", _writes(programs.save_checkpoint(num_shards=3), overwrites=True)),
    Scenario("save_checkpoint, 3 shards over 2", _writes(programs.save_with_more_shards, overwrites=True)),
    _v1("save_checkpoint, V1, over the old one", overwrites=True),
    _v1("save_checkpoint, V1 in 2 shards, a new prefix", num_shards=2),
    _v1("save_checkpoint, V1 in 2 shards, over the old one", num_shards=2, overwrites=True),
    Scenario("save of a tree, over the old one", _writes(programs.save_tree, overwrites=True), reader=reading.Checkpoints(values.few, reading.of_tree)),
    Scenario("reshard, over the old one", _writes(programs.reshard, overwrites=True)),
    Scenario("merge, over the old one", _writes(programs.merge, overwrites=True)),
    Scenario("convert to a checkpoint, over the old one", _writes(programs.convert_to_checkpoint, overwrites=True)),
    Scenario(
        "convert to npz, over the old one",
        functools.partial(programs.Converts, "model.npz"),
        reader=reading.OneFile("model.npz", reading.load_npz, values.plain),
    ),
    Scenario(
        "convert to safetensors, over the old one",
        functools.partial(programs.Converts, "model.safetensors"),
        reader=reading.OneFile("model.safetensors", reading.load_safetensors, values.plain),
    ),
    Scenario("export_saved_model", programs.Exports, before=0, reader=reading.Exports()),
    Scenario(
        "export_saved_model, a new version",
        functools.partial(programs.Exports, versioned=True),
        reader=reading.Exports(versions=True),
    ),
    Scenario(
        "export_saved_model of a session",
        functools.partial(_session_export, False),
        before=0,
        reader=reading.Exports(),
        tensorflows=functools.partial(_session_export, True),
        needs_tensorflow=True,
    ),
    _by_saver("Saver, the first", before=0),
    _by_saver("Saver, a new prefix"),
    _by_saver("Saver, over the old one", overwrites=True),
    _by_saver("Saver, retention: the third removes the first", before=2, max_to_keep=2),
    _by_saver("Saver, sharded, a new prefix", sharded=True, num_devices=2),
    _by_saver("Saver, sharded, over the old one", overwrites=True, sharded=True, num_devices=2),
    _by_saver("Saver, V1, a new prefix", make=values.for_v1, write_version=_V1),
    _by_saver("Saver, V1, over the old one", overwrites=True, make=values.for_v1, write_version=_V1),
    _by_saver("Saver, V1, sharded, a new prefix", make=values.for_v1, write_version=_V1, sharded=True, num_devices=2),
    _by_saver(
        "Saver, V1, sharded, over the old one",
        overwrites=True, make=values.for_v1, write_version=_V1, sharded=True, num_devices=2,
    ),
    _by_saver("Saver, V1, retention", before=2, make=values.for_v1, write_version=_V1, max_to_keep=2),
    _by_saver("Saver, 3 data files, over the old one", twin=False, overwrites=True, num_data_shards=3),
    _by_saver("Saver, blocking=False, over the old one", twin=False, overwrites=True, save_options={"blocking": False}),
    _by_saver("Saver, 151 small variables, over the old one", overwrites=True, make=values.many),
    _by_saver("Saver, retention by policy", before=2, twin=False, retention=tfsaver.Retention(last=2)),
]

SCENARIOS = {scenario.name: scenario for scenario in _SCENARIOS}

# Those of TensorFlow's programs that a sample tries: a fork of its process takes as long as ten others.
_SAMPLED = {
    "Saver, a new prefix",
    "Saver, over the old one",
    "Saver, retention: the third removes the first",
    "Saver, blocking=False, over the old one",
}


def is_sampled(name: str) -> bool:
    """Whether a sample of all scenarios has this one."""
    return not SCENARIOS[name].needs_tensorflow or name in _SAMPLED
