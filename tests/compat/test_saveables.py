"""What is no variable is saved and restored as with TensorFlow's Saver: tables, saveable objects, and what makes such."""

from __future__ import annotations

import contextlib
import gc
import logging
import pathlib
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario
from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.compat._var_list import resolve
from tfsaver.compat.v1.train import Saver
from tfsaver.errors import InvalidArgumentError, UnimplementedError

Compare = Callable[..., Recorded]

# The tables that programs use, and how one is made under a name.
TABLES = {
    "mutable": lambda tf, name: tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name=name),
    "dense": lambda tf, name: tf.lookup.experimental.DenseHashTable(
        tf.string, tf.int64, -1, empty_key="", deleted_key="!", name=name
    ),
}


class Pair:
    """Two variables, and the SaveableObject that swaps them when it restores them."""

    def __init__(self, run: Scenario, name: str, values: tuple[float, float]) -> None:
        self.variables = [run.variable(f"{name}_{index}", np.float32(value)) for index, value in enumerate(values)]
        self.evaluations = 0
        pair = self
        saving = _saving(run)

        class Swapped(saving.SaveableObject):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                specs = [
                    saving.SaveSpec(variable.value(), "", f"{name}-{end}")
                    for variable, end in zip(pair.variables, "ab", strict=True)
                ]
                super().__init__(pair.variables[0].op, specs, name)

            def restore(self, restored_tensors: Any, restored_shapes: Any) -> Any:
                first, second = pair.variables
                return run.tf.group(first.assign(restored_tensors[1]), second.assign(restored_tensors[0]))

        self.saveable = Swapped()


def _saving(run: Scenario) -> Any:
    from tensorflow.python.training.saving import saveable_object

    return saveable_object


def names_and_files(run: Scenario, path: str) -> None:
    run.note(str(run.v1.train.list_variables(path)))
    run.note((run.directory / f"{path}.index").read_bytes())


def saveable_in_collection(run: Scenario) -> None:
    pair = Pair(run, "pair", (1.0, 2.0))
    run.v1.add_to_collection(run.v1.GraphKeys.SAVEABLE_OBJECTS, pair.saveable)
    saver = run.saver()
    run.call(saver.save, run.session, "model", write_meta_graph=False)
    names_and_files(run, "model")
    run.call(saver.restore, run.session, "model")
    run.note(sorted(float(value) for value in run.session.run(pair.variables)))


def saveable_alone(run: Scenario, in_dict: bool) -> None:
    pair = Pair(run, "pair", (1.0, 2.0))
    other = run.variable("other", np.int64(5))
    saver = run.saver({"ignored": pair.saveable, "x": other} if in_dict else [pair.saveable, other])
    run.call(saver.save, run.session, "model", write_meta_graph=False)
    names_and_files(run, "model")
    for _ in range(2):
        run.call(saver.restore, run.session, "model")
        run.values(*pair.variables, other)
        run.session.run([pair.variables[0].assign(9.0), other.assign(0)])


def saveable_among_slices(run: Scenario) -> None:
    v1 = run.v1
    part, rest = v1.get_variable(
        "p", [4, 2], initializer=v1.ones_initializer(), partitioner=v1.fixed_size_partitioner(2), use_resource=True
    )
    run.session.run([part.initializer, rest.initializer])
    pair = Pair(run, "pair", (1.0, 2.0))
    saver = run.saver({"q": [part, rest, pair.saveable]})
    run.call(saver.save, run.session, "model", write_meta_graph=False)
    names_and_files(run, "model")
    run.session.run([part.assign(part * 0.0)])
    run.call(saver.restore, run.session, "model")
    run.values(part, rest, *pair.variables)


def saveable_with_functions(run: Scenario) -> None:
    saving = _saving(run)
    variable = run.variable("v", np.float32(3.0))

    def value() -> Any:
        return variable.value() * 2.0

    class Doubled(saving.SaveableObject):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(None, [saving.SaveSpec(value, "", "doubled", dtype=run.tf.float32, device="")], "anything")

        def restore(self, restored_tensors: Any, restored_shapes: Any) -> Any:
            return variable.assign(restored_tensors[0] / 2.0)

    saver = run.saver([Doubled()])
    run.call(saver.save, run.session, "model", write_meta_graph=False)
    run.session.run(variable.assign(4.0))
    run.call(saver.save, run.session, "again", write_meta_graph=False)
    run.session.run(variable.assign(0.0))
    run.call(saver.restore, run.session, "again")
    run.values(variable)
    run.note(run.v1.train.load_variable("model", "doubled"))


def slices_of_a_saveable(run: Scenario) -> None:
    saving = _saving(run)
    whole = np.arange(8, dtype=np.float32).reshape(4, 2)
    parts = [run.variable(f"p{index}", whole[2 * index : 2 * index + 2]) for index in range(2)]

    class Parts(saving.SaveableObject):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            specs = [saving.SaveSpec(part.value(), f"4 2 {2 * index},2:0,2", "whole") for index, part in enumerate(parts)]
            super().__init__(parts[0].op, specs, "parts")

        def restore(self, restored_tensors: Any, restored_shapes: Any) -> Any:
            return run.tf.group(*(part.assign(tensor) for part, tensor in zip(parts, restored_tensors, strict=True)))

    saver = run.saver([Parts()])
    run.call(saver.save, run.session, "model", write_meta_graph=False)
    names_and_files(run, "model")
    run.session.run([part.assign(part * 0.0) for part in parts])
    run.call(saver.restore, run.session, "model")
    run.values(*parts)


def missing_half(run: Scenario) -> None:
    pair = Pair(run, "pair", (1.0, 2.0))
    other = run.variable("other", np.float32(5))
    run.call(run.saver({"pair-a": other, "x": pair.variables[0]}).save, run.session, "model", write_meta_graph=False)
    saver = run.saver([pair.saveable])
    run.call(saver.restore, run.session, "model", fragment="Key pair-b not found in checkpoint")
    run.values(*pair.variables)


def twice(run: Scenario) -> None:
    pair = Pair(run, "pair", (1.0, 2.0))
    said = "The same saveable will be restored with two names: pair"
    run.call(run.saver, {"a": pair.saveable, "b": pair.saveable}, fragment=said)
    table = TABLES["mutable"](run.tf, "table")
    run.call(run.saver, {"a": table, "b": table}, fragment="The same saveable will be restored with two names: b")


def table_of_a_graph(run: Scenario, kind: str, form: str) -> None:
    table = TABLES[kind](run.tf, "words")
    variable = run.variable("v", np.float32(1.0))
    keys = run.tf.constant(["one", "two\0", "größe"])
    run.session.run(table.insert(keys, run.tf.constant([1, 2, 3], run.tf.int64)))
    forms = {"default": None, "list": [table], "dict": {"t": table, "v": variable}}
    saver = run.saver(forms[form])
    run.call(saver.save, run.session, "model", write_meta_graph=False)
    run.note([name for name, _ in run.v1.train.list_variables("model")])
    run.session.run([table.remove(keys), table.insert(["other"], run.tf.constant([7], run.tf.int64)), variable.assign(0.0)])
    run.call(saver.restore, run.session, "model")
    run.values(table.lookup(run.tf.constant(["one", "two\0", "größe", "other"])), table.size(), variable)


def strategy_variables_of_a_graph(run: Scenario, form: str) -> None:
    strategy = run.tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    with strategy.scope():
        mirrored = run.v1.get_variable("mirrored", initializer=[1.0, 2.0], use_resource=True)
    config = run.v1.ConfigProto(device_count={"CPU": 2})
    with run.v1.Session(config=config) as session:
        session.run(mirrored.initializer)
        saver = run.saver(None if form == "default" else [mirrored])
        run.call(saver.save, session, "model", write_meta_graph=False)
        names_and_files(run, "model")
    with run.v1.Session(config=config) as session:
        run.call(saver.restore, session, "model")
        run.note([value.tolist() for value in session.run(list(mirrored.values))])


def trackable(run: Scenario, in_dict: bool) -> None:
    variable = run.variable("v", [1.0, 2.0])

    class Halves(run.tf.__internal__.tracking.Trackable):  # type: ignore[misc, name-defined]
        name = "halves"

        def _serialize_to_tensors(self) -> Any:
            return {"left/side": variable.value()[:1], "right.side": variable.value()[1:]}

        def _restore_from_tensors(self, restored: Any) -> Any:
            return variable.assign(run.tf.concat([restored["right.side"], restored["left/side"]], 0))

    saver = run.saver({"h": Halves()} if in_dict else [Halves()])
    run.call(saver.save, run.session, "model", write_meta_graph=False)
    names_and_files(run, "model")
    run.call(saver.restore, run.session, "model")
    run.values(variable)


def legacy_trackable(run: Scenario) -> None:
    saving = _saving(run)
    variable = run.variable("v", [1.0, 2.0])

    class Old(run.tf.__internal__.tracking.Trackable):  # type: ignore[misc, name-defined]
        name = "old"

        def _gather_saveables_for_checkpoint(self) -> Any:
            class Value(saving.SaveableObject):  # type: ignore[misc, name-defined]
                def __init__(self, name: str = "by_itself") -> None:
                    super().__init__(variable.op, [saving.SaveSpec(variable.value(), "", f"{name}-spec")], name)

                def restore(self, restored_tensors: Any, restored_shapes: Any) -> Any:
                    return variable.assign(restored_tensors[0])

            return {"part": Value}

    for var_list in ([Old()], {"key": Old()}):
        saver = run.saver(var_list)
        run.call(saver.save, run.session, "model", write_meta_graph=False)
        names_and_files(run, "model")
        run.session.run(variable.assign([0.0, 0.0]))
        run.call(saver.restore, run.session, "model")
        run.values(variable)


SCENARIOS: list[tuple[Any, ...]] = [
    (saveable_in_collection,),
    (saveable_alone, False),
    (saveable_alone, True),
    (saveable_among_slices,),
    (saveable_with_functions,),
    (slices_of_a_saveable,),
    (missing_half,),
    (twice,),
    *((table_of_a_graph, kind, form) for kind in TABLES for form in ("default", "list", "dict")),
    (strategy_variables_of_a_graph, "default"),
    (strategy_variables_of_a_graph, "list"),
    (trackable, False),
    (trackable, True),
    (legacy_trackable,),
]


def eager_tables(run: Scenario, form: str) -> None:
    tf = run.tf
    words, numbers = (tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1) for _ in range(2))
    words.insert(tf.constant(["one", "two"]), tf.constant([1, 2], tf.int64))
    numbers.insert(tf.constant(["three"]), tf.constant([3], tf.int64))
    variable = tf.Variable(1.0, name="v")
    forms = {"list": [words], "dict": {"w": words, "n": numbers, "v": variable}}
    saver = run.saver(forms[form])
    run.call(saver.save, None, "model")
    run.note([name for name, _ in run.v1.train.list_variables("model")])
    words.remove(tf.constant(["one"]))
    words.insert(tf.constant(["other"]), tf.constant([7], tf.int64))
    numbers.remove(tf.constant(["three"]))
    variable.assign(0.0)
    run.call(saver.restore, None, "model")
    run.note(words.lookup(tf.constant(["one", "two", "other"])).numpy().tolist(), float(variable), int(words.size()))
    run.note(int(numbers.size()))


def evaluated_once(run: Scenario) -> None:
    saving = _saving(run)
    variable = run.tf.Variable(3.0)
    calls: list[str] = []

    def value() -> Any:
        calls.append("value")
        return variable.read_value()

    class Value(saving.SaveableObject):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            spec = saving.SaveSpec(value, "", "value", dtype=run.tf.float32, device="/cpu:0")
            super().__init__(variable, [spec], "anything")

        def restore(self, restored_tensors: Any, restored_shapes: Any) -> Any:
            return variable.assign(restored_tensors[0])

    other = run.tf.Variable(5.0, name="other")
    run.call(run.saver([Value(), other]).save, None, "model")
    calls.clear()
    saver = run.saver([Value(), other])
    run.note(calls)
    for count in (1, 2, 3):
        run.call(saver.save, None, "model", global_step=count)
        run.note(calls, str(run.v1.train.list_variables(f"model-{count}")))
    variable.assign(0.0)
    run.call(saver.restore, None, "model-2")
    run.note(calls, float(variable))


def strategy_variables(run: Scenario) -> None:
    strategy = run.tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    with strategy.scope():
        mirrored = run.tf.Variable([1.0, 2.0], name="mirrored")
        summed = run.tf.Variable(
            1.0,
            name="summed",
            synchronization=run.tf.VariableSynchronization.ON_READ,
            aggregation=run.tf.VariableAggregation.SUM,
            trainable=False,
        )
    strategy.run(lambda: summed.assign_add(1.0))
    saver = run.saver([mirrored, summed])
    run.call(saver.save, None, "model")
    run.note({name: run.v1.train.load_variable("model", name).tolist() for name, _ in run.v1.train.list_variables("model")})
    mirrored.assign([0.0, 0.0])
    strategy.run(lambda: summed.assign_add(1.0))
    run.call(saver.restore, None, "model")
    run.note([part.numpy().tolist() for part in mirrored.values], float(summed.numpy()))


EAGER_SCENARIOS: list[tuple[Any, ...]] = [
    (eager_tables, "list"),
    (eager_tables, "dict"),
    (evaluated_once,),
    (strategy_variables,),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: "-".join(map(_label, scenario)))
def test_both_savers_save_objects_alike(compare: Compare, two_devices: None, scenario: tuple[Any, ...]) -> None:
    program, *arguments = scenario
    assert compare(program, *arguments)


@pytest.mark.parametrize("scenario", EAGER_SCENARIOS, ids=lambda scenario: "-".join(map(_label, scenario)))
def test_both_savers_save_objects_alike_in_eager_mode(
    compare: Compare, two_devices: None, scenario: tuple[Any, ...]
) -> None:
    program, *arguments = scenario
    assert compare(program, *arguments, eager=True)


def _label(part: Any) -> str:
    return part.__name__ if callable(part) else str(part)


@pytest.fixture
def eager(tf: Any) -> None:
    """The mode that programs are in since TensorFlow 2."""
    assert tf.executing_eagerly()


def names_in(path: Any) -> list[str]:
    with load_checkpoint(path) as reader:
        return reader.names


# What TensorFlow's Saver cannot do, or does by losing something.


def test_keras_variables_are_saved_under_their_paths(tf: Any, eager: None, tmp_path: pathlib.Path) -> None:
    keras = pytest.importorskip("keras", minversion="3", reason="Keras 2's variables are TensorFlow's own")
    model = keras.Sequential([keras.layers.Input([3]), keras.layers.Dense(2), keras.layers.Dense(1, name="last")])
    variables = model.variables
    expected = {variable.path: variable.numpy() for variable in variables}
    assert len(expected) == 4
    saver = Saver(variables, durable=False)
    path = saver.save(None, tmp_path / "model")
    with load_checkpoint(path) as reader:
        assert sorted(reader) == sorted(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(reader[name], value)
    for variable in variables:
        variable.assign(np.zeros(variable.shape))
    saver.restore(None, path)
    for variable in variables:
        np.testing.assert_array_equal(variable.numpy(), expected[variable.path])


def test_keras_variables_in_a_dict_are_named_by_the_key(tf: Any, eager: None, tmp_path: pathlib.Path) -> None:
    keras = pytest.importorskip("keras", minversion="3", reason="Keras 2's variables are TensorFlow's own")
    layer = keras.layers.Dense(2)
    layer.build([None, 3])
    kernel = layer.kernel.numpy()
    saver = Saver({"k": layer.kernel, "b": layer.bias, "plain": tf.Variable(1.0)}, durable=False)
    path = saver.save(None, tmp_path / "model")
    assert names_in(path) == ["b", "k", "plain"]
    # TensorFlow reads them by the variables inside.
    layer.kernel.assign(np.zeros([3, 2]))
    tf.compat.v1.train.Saver({"k": layer.kernel.value, "b": layer.bias.value}).restore(None, path)
    np.testing.assert_array_equal(layer.kernel.numpy(), kernel)


def test_keras_variables_of_one_path_are_refused(tf: Any, eager: None) -> None:
    keras = pytest.importorskip("keras", minversion="3", reason="Keras 2's variables are TensorFlow's own")
    both = [keras.layers.Dense(1, name="dense") for _ in range(2)]
    for layer in both:
        layer.build([None, 3])
    with pytest.raises(InvalidArgumentError, match="dense/kernel"):
        Saver([layer.kernel for layer in both])
    assert len(Saver([both[0].kernel, both[0].kernel])._var_list) == 2


def test_keras_variables_under_a_strategy(tf: Any, eager: None, two_devices: None, tmp_path: pathlib.Path) -> None:
    keras = pytest.importorskip("keras", minversion="3", reason="Keras 2's variables are TensorFlow's own")
    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope():
        layer = keras.layers.Dense(2, name="spread")
        layer.build([None, 3])
    before = layer.kernel.numpy()
    saver = Saver(layer.variables, durable=False)
    path = saver.save(None, tmp_path / "model")
    assert names_in(path) == ["spread/bias", "spread/kernel"]
    layer.kernel.assign(np.zeros([3, 2]))
    saver.restore(None, path)
    for part in layer.kernel._value.values:
        np.testing.assert_array_equal(part.numpy(), before)


def test_mirrored_variable_may_be_in_a_dict(tf: Any, eager: None, two_devices: None, tmp_path: pathlib.Path) -> None:
    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope():
        mirrored = tf.Variable([1.0, 2.0], name="mirrored")
    saver = Saver({"m": mirrored}, durable=False)
    path = saver.save(None, tmp_path / "model")
    assert names_in(path) == ["m"]
    mirrored.assign([0.0, 0.0])
    saver.restore(None, path)
    assert [part.numpy().tolist() for part in mirrored.values] == [[1.0, 2.0]] * 2
    save_checkpoint({"m": np.ones(3, np.float32)}, tmp_path / "other")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"lhs shape= \[2\] rhs shape= \[3\]"):
        saver.restore(None, tmp_path / "other")


def test_variable_without_a_value_is_left_out(
    tf: Any, eager: None, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tensorflow.python.ops import resource_variable_ops

    there = tf.Variable(1.0, name="there")
    not_yet = resource_variable_ops.UninitializedVariable(dtype=tf.float32, shape=[2], name="not_yet")
    saver = Saver([there, not_yet], durable=False)
    with caplog.at_level(logging.WARNING, "tfsaver"):
        path = saver.save(None, tmp_path / "model")
    assert names_in(path) == ["there"]
    assert [record.getMessage() for record in caplog.records] == ["not_yet has no value yet and is not saved"]
    with pytest.raises(tf.errors.NotFoundError, match="Key not_yet not found in checkpoint"):
        saver.restore(None, path)
    not_yet.assign([1.0, 2.0])
    path = saver.save(None, tmp_path / "model")
    not_yet.assign([0.0, 0.0])
    saver.restore(None, path)
    assert not_yet.numpy().tolist() == [1.0, 2.0]


def test_tables_without_a_name_are_not_confused(tf: Any, eager: None, tmp_path: pathlib.Path) -> None:
    tables = [tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1) for _ in range(2)]
    with pytest.raises(InvalidArgumentError, match="by the keys of a dict"):
        Saver(tables)
    mixed = Saver([tables[0], tf.Variable(1.0, name="v")], durable=False)
    assert names_in(mixed.save(None, tmp_path / "model")) == ["-keys", "-values", "v"]


def test_object_with_nothing_to_save_is_refused(tf: Any, eager: None) -> None:
    module = tf.Module(name="net")
    module.v = tf.Variable(1.0)
    for var_list in ([module], {"net": module}):
        with pytest.raises(InvalidArgumentError, match="pass its variables"):
            Saver(var_list)


def test_state_that_is_kept_in_python_is_refused(tf: Any, eager: None) -> None:
    class Words(tf.train.experimental.PythonState):  # type: ignore[misc, name-defined]
        def serialize(self) -> bytes:
            return b"state"

        def deserialize(self, value: bytes) -> None:
            raise NotImplementedError

    with pytest.raises(UnimplementedError, match="keeps its state in Python"):
        Saver({"w": Words()})


def test_two_saveables_of_one_name_are_refused(tf: Any, graph: Any) -> None:
    from tensorflow.python.training.saving import saveable_object

    variables = [tf.compat.v1.Variable(float(index)) for index in range(2)]
    specs = [saveable_object.SaveSpec(variable.value(), "", "x") for variable in variables]
    one, other = (saveable_object.SaveableObject(spec.tensor.op, [spec], "same") for spec in specs)
    with pytest.raises(InvalidArgumentError, match="At least two variables have the same name: same"):
        resolve([one, other])
    assert len(resolve([one, one]).bindings) == 1


def test_second_saver_of_a_table_adds_no_node_even_to_a_finalized_graph(
    tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path
) -> None:
    table = TABLES["mutable"](tf, "words")
    insert, size = table.insert(tf.constant(["a"]), tf.constant([1], tf.int64)), table.size()
    session.run(insert)
    Saver({"t": table}, durable=False)
    before = len(graph.get_operations())
    graph.finalize()
    saver = Saver({"t": table}, durable=False)
    path = saver.save(session, tmp_path / "model")
    with tf.compat.v1.Session(graph=graph) as fresh:
        saver.restore(fresh, path)
        assert fresh.run(size) == 1
    assert len(graph.get_operations()) == before


def test_remembered_objects_do_not_keep_their_graph_alive(tf: Any) -> None:
    with tf.Graph().as_default() as graph:
        Saver({"t": TABLES["mutable"](tf, "words")}, durable=False)
    reference = weakref.ref(graph)
    del graph
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("in_dict", [False, True], ids=["list", "dict"])
def test_variable_in_shards_is_one_tensor(tf: Any, eager: None, tmp_path: pathlib.Path, in_dict: bool) -> None:
    from tensorflow.python.distribute import sharded_variable

    shards = [tf.Variable(np.full((rows, 2), float(rows), np.float32), name=f"table/part_{rows}") for rows in (2, 3)]
    sharded = sharded_variable.ShardedVariable(shards, name="table")
    saver = Saver({"t": sharded} if in_dict else [sharded], durable=False)
    path = saver.save(None, tmp_path / "model")
    with load_checkpoint(path) as reader:
        name = "t" if in_dict else "table"
        assert reader.names == [name]
        assert reader[name].tolist() == [[2.0, 2.0]] * 2 + [[3.0, 3.0]] * 3
        assert len(reader.info(name).slices) == 2
    for shard in shards:
        shard.assign(shard * 0.0)
    saver.restore(None, path)
    assert [shard.numpy()[0, 0] for shard in shards] == [2.0, 3.0]


class Crossed:
    """One Saver that writes and another that reads, over the same objects."""

    def __init__(self, writer: Any, reader: Any) -> None:
        self.save = writer.save
        self.restore = reader.restore


@pytest.mark.parametrize(
    "scenario",
    [row for row in SCENARIOS if row[0] not in (missing_half, twice)]
    + [row for row in EAGER_SCENARIOS if row[0] is not evaluated_once],
    ids=lambda scenario: "-".join(map(_label, scenario)),
)
def test_what_one_saver_writes_the_other_restores(
    tf: Any, two_devices: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, scenario: tuple[Any, ...]
) -> None:
    program, *arguments = scenario
    recorded = []
    implementations = {"tensorflow": tf.compat.v1.train.Saver, "tfsaver": Saver}
    for writer, reader in (("tensorflow", "tensorflow"), ("tensorflow", "tfsaver"), ("tfsaver", "tensorflow")):
        directory = tmp_path / f"{writer}_{reader}"
        directory.mkdir()
        with monkeypatch.context() as patch, contextlib.ExitStack() as mode:
            patch.chdir(directory)
            session = None
            if scenario in SCENARIOS:
                mode.enter_context(tf.Graph().as_default())
                session = mode.enter_context(tf.compat.v1.Session())
            run = Scenario(writer, tf, session, directory, patch)
            run.saver = lambda *given, pair=(writer, reader): Crossed(*(implementations[name](*given) for name in pair))  # type: ignore[method-assign, assignment]
            program(run, *arguments)
            recorded.append(run.recorded)
    assert recorded[1] == recorded[0]
    assert recorded[2] == recorded[0]


def test_table_of_which_a_half_is_missing_keeps_what_it_has(tf: Any, eager: None, tmp_path: pathlib.Path) -> None:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(tf.constant(["old"]), tf.constant([1], tf.int64))
    variable = tf.Variable(1.0)
    saver = Saver({"t": table, "v": variable}, durable=False)
    path = save_checkpoint({"t-keys": np.array([b"new"], object), "v": np.float32(2)}, tmp_path / "model")
    with pytest.raises(tf.errors.NotFoundError) as caught:
        saver.restore(None, path)
    assert "t-keys fits, and is not restored without what belongs to it" in str(caught.value)
    assert (float(variable), int(table.size())) == (1.0, 1)
    report = saver.restore(None, path, strict=False)
    assert report is not None and report.withheld == ("t-keys",)
    assert (float(variable), table.lookup(tf.constant("old")).numpy()) == (2.0, 1)


def test_object_that_refuses_its_values_leaves_the_variables_alone(tf: Any, eager: None, tmp_path: pathlib.Path) -> None:
    table = tf.lookup.experimental.DenseHashTable(tf.string, tf.int64, -1, empty_key="", deleted_key="!")
    variable = tf.Variable(1.0)
    saver = Saver({"a": variable, "t": table}, durable=False)
    path = saver.save(None, tmp_path / "model")
    with load_checkpoint(path) as reader:
        tensors = dict(reader) | {"t-values": np.zeros((3, 5), np.int64), "a": np.float32(2)}
    save_checkpoint(tensors, path)
    with pytest.raises(tf.errors.InvalidArgumentError):
        saver.restore(None, path)
    assert float(variable) == 1.0
