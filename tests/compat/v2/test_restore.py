"""Old weights into variables of TensorFlow 2 and Keras: everything that fits or nothing, and one report about all of it."""

from __future__ import annotations

import pathlib
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import ChecksumError, InvalidArgumentError, RestoreError, UnimplementedError

TENSORS: Mapping[str, Any] = {
    "dense/kernel": np.arange(6, dtype=np.float32).reshape(3, 2),
    "dense/bias": np.float32([7, 8]),
    "step": np.int64(9),
}


@pytest.fixture
def checkpoint(tmp_path: pathlib.Path) -> str:
    return str(tfsaver.save_checkpoint(dict(TENSORS), tmp_path / "model"))


@pytest.fixture
def module(tf: Any) -> Any:
    """A module whose variables have names, and stand on paths."""
    module = tf.Module()
    module.layer = tf.Module()
    module.layer.w = tf.Variable(tf.zeros([3, 2]), name="dense/kernel")
    module.layer.b = tf.Variable(tf.zeros([2]), name="dense/bias")
    module.step = tf.Variable(0, dtype=tf.int64, name="step")
    return module


def values(module: Any) -> list[bytes]:
    return [variable.numpy().tobytes() for variable in module.variables]


def test_module_is_restored_by_the_names_of_its_variables(module: Any, checkpoint: str) -> None:
    assert not tfsaver.compare(module, checkpoint)
    report = tfsaver.restore(module, checkpoint)
    assert report.ok and report.num_wanted == 3
    np.testing.assert_array_equal(module.layer.w.numpy(), TENSORS["dense/kernel"])
    assert module.step.numpy() == 9
    assert tfsaver.compare(module, checkpoint)


@pytest.mark.parametrize("form", ["paths", "v1", "npz names"])
def test_names_are_found_in_every_spelling(module: Any, tmp_path: pathlib.Path, form: str) -> None:
    new = {"paths": ("layer/w", "layer/b", "step"), "v1": tuple(TENSORS), "npz names": tuple(f"{key}:0" for key in TENSORS)}
    tensors = dict(zip(new[form], TENSORS.values(), strict=True))
    source = ArraySource(tensors)
    if form == "v1":
        source = tfsaver.save_checkpoint(tensors, tmp_path / "v1", format="V1")  # type: ignore[assignment]
    assert tfsaver.restore(module, source).ok
    np.testing.assert_array_equal(module.layer.b.numpy(), [7, 8])


def test_target_may_be_a_list_a_dict_and_nested(tf: Any, checkpoint: str) -> None:
    kernel, bias, step = (tf.Variable(np.zeros_like(value)) for value in TENSORS.values())
    tfsaver.restore({"dense": {"kernel": kernel, "bias": bias}, "step": step}, checkpoint)
    assert tfsaver.compare({"dense/kernel": kernel, "dense/bias": bias, "step": step}, checkpoint).ok
    named = [tf.Variable(np.zeros(2, np.float32), name="dense/bias"), tf.Variable(np.int64(0), name="step")]
    tfsaver.restore(named, checkpoint)
    assert [variable.numpy().tolist() for variable in named] == [[7, 8], 9]
    grouped = {"model": {"dense/bias": bias}, "other": (step,)}
    assert tfsaver.restore(grouped, checkpoint, mapping={"step": "other/0"}).num_wanted == 2


def test_missing_variable_without_a_name_is_missing_and_called_by_its_path(tf: Any, tmp_path: pathlib.Path) -> None:
    saved = tf.Module()
    saved.a, saved.b = tf.Variable([1.0, 2.0]), tf.Variable([3.0])
    path = tf.train.Checkpoint(m=saved).save(str(tmp_path / "model"))
    wanted = tf.Module()
    wanted.a, wanted.c, wanted.d = tf.Variable([0.0, 0.0]), tf.Variable([0.0]), tf.Variable([0.0])
    report = tfsaver.restore({"m": wanted}, path, strict=False)
    assert [item.name for item in report.matched] == ["m/a"] and not report.ambiguous
    assert [item.name for item in report.missing] == ["m/c", "m/d"]
    alone = tf.Module()
    alone.c = tf.Variable([0.0])
    report = tfsaver.restore(alone, path, strict=False)
    assert [item.name for item in report.missing] == ["c"] and not report.mapping and report.guesses == {"m/b": "c"}
    assert "accept_guesses=True" in str(report)
    with pytest.raises(RestoreError):
        tfsaver.restore(alone, path, mapping=report.mapping)
    taken = tfsaver.restore(alone, path, accept_guesses=True)
    assert taken.ok and taken.matched[0].how == "guess" and alone.c.numpy().tolist() == [3]
    assert tfsaver.compare(alone, path, accept_guesses=True) and not tfsaver.compare(alone, path)


def test_report_on_a_view_names_the_checkpoint_that_it_stands_on(module: Any, checkpoint: str) -> None:
    with tfsaver.load_checkpoint(checkpoint) as reader:
        upper = renamed(selected(reader, list(reader.names)), str.upper).plan
        for source in (upper, renamed(upper, None).plan):
            with pytest.raises(RestoreError, match="dense/kernel not found in checkpoint ") as failure:
                tfsaver.restore(module, source)
            assert str(failure.value).startswith(f"{reader.prefix}: 0 of 3")
            assert f"Key dense/kernel not found in checkpoint {reader.prefix}" in str(failure.value)
    with pytest.raises(RestoreError, match="^the tensors in memory: "):
        tfsaver.restore(module, renamed(ArraySource({"a": np.float32(1)}), None).plan)


def test_variable_without_name_or_path_is_found_by_what_tensorflow_calls_it(tf: Any) -> None:
    variable = tf.Variable([0.0])
    for target in (variable, [variable], {"Variable": variable}):
        variable.assign([0.0])
        tfsaver.restore(target, ArraySource({"Variable": np.float32([5])}))
        assert variable.numpy().tolist() == [5]


def test_mapping_takes_all_that_a_name_map_takes(tf: Any, module: Any, tmp_path: pathlib.Path) -> None:
    old = {"fc/weights": TENSORS["dense/kernel"].T, "fc/biases": TENSORS["dense/bias"], "global_step": np.int64(9)}
    path = tfsaver.save_checkpoint(old, tmp_path / "old")
    (tmp_path / "names.toml").write_text(
        '[[rules]]\npattern = "^fc/biases$"\nreplacement = "dense/bias"\n'
        '[[rules]]\npattern = "^fc/weights$"\nreplacement = "dense/kernel"\ntranspose = true\n'
        '[[rules]]\npattern = "^global_step$"\nreplacement = "step"\n'
    )
    kernel = tfsaver.checkpoint.names.name_map.Renamed("layer/w", (1, 0))
    for mapping in (
        {"fc/weights": kernel, "fc/biases": "dense/bias", "global_step": "step"},
        [tfsaver.checkpoint.names.name_map.Rule("^fc/weights", "dense/kernel", True), ("^fc/biases", "dense/bias"), ("global_", "")],
        str(tmp_path / "names.toml"),
    ):
        for variable in module.variables:
            variable.assign(tf.zeros_like(variable))
        assert tfsaver.restore(module, path, mapping=mapping).ok
        np.testing.assert_array_equal(module.layer.w.numpy(), TENSORS["dense/kernel"])
        assert tfsaver.compare(module, path, mapping=mapping)


def test_one_tensor_may_go_to_several_variables(tf: Any, checkpoint: str) -> None:
    one, two = tf.Variable([0.0, 0.0]), tf.Variable([0.0, 0.0])
    tfsaver.restore({"a": one, "b": two}, checkpoint, mapping={"dense/bias": ["a", "b"]})
    assert one.numpy().tolist() == two.numpy().tolist() == [7, 8]


def test_scope_is_taken_from_the_checkpoints_names_or_exchanged(tf: Any, checkpoint: str) -> None:
    bias = tf.Variable([0.0, 0.0])
    assert tfsaver.restore({"bias": bias}, checkpoint, scope="dense").unexpected == ("dense/kernel",)
    assert bias.numpy().tolist() == [7, 8]
    bias.assign([0, 0])
    tfsaver.restore({"new/scope/bias": bias}, checkpoint, scope=("dense", "new/scope"))
    assert bias.numpy().tolist() == [7, 8]
    with pytest.raises(RestoreError, match="step not found"):
        tfsaver.restore({"step": tf.Variable(np.int64(0))}, checkpoint, scope="dense")


def test_everything_that_is_wrong_is_in_one_report_and_nothing_changes(tf: Any, tmp_path: pathlib.Path) -> None:
    there = {"a/kernel": np.ones([2, 3], np.float32), "b": np.ones(2), "c": np.ones(3, np.float32), "twice": np.float32(1)}
    path = tfsaver.save_checkpoint({**there, "fine": np.float32(5)}, tmp_path / "model")
    target = [
        tf.Variable(tf.zeros([2, 3]), name="scope/a/kernel"),
        tf.Variable(tf.zeros([2]), name="b"),
        tf.Variable(tf.zeros([4]), name="c"),
        tf.Variable(0.0, name="fine"),
        tf.Variable(0.0, name="twice"),
        tf.Variable(0.0, name="twice"),
    ]
    before = [variable.numpy().tobytes() for variable in target]
    with pytest.raises(RestoreError) as caught:
        tfsaver.restore(target, path)
    assert [variable.numpy().tobytes() for variable in target] == before
    report = caught.value.report
    assert str(caught.value) == str(report)
    assert [item.name for item in report.missing] == ["scope/a/kernel"] and report.missing[0].near == ("a/kernel",)
    assert [(item.name, item.fact) for item in report.mismatched] == [("b", "dtype"), ("c", "shape")]
    assert [(item.name, item.keys) for item in report.ambiguous] == [("4", ("twice",)), ("5", ("twice",))]
    assert report.mapping == {"a/kernel": "scope/a/kernel"}
    assert report.num_wanted == 6
    for fact in ("did you mean 'a/kernel'", "expected dtype float", "lhs shape= [4] rhs shape= [3]", "2 variables have the name"):
        assert fact in str(report)
    assert pickle.loads(pickle.dumps(report)).mapping == report.mapping

    relaxed = tfsaver.restore(target, path, strict=False)
    assert [item.name for item in relaxed.matched] == ["fine"] and target[3].numpy() == 5
    again = tfsaver.restore(target, path, strict=False, mapping=relaxed.mapping)
    assert [item.name for item in again.matched] == ["scope/a/kernel", "fine"] and target[0].numpy().all()


def test_mapping_of_the_report_can_be_passed_right_back(module: Any, tmp_path: pathlib.Path) -> None:
    old = {f"model/{name.replace('kernel', 'weights').replace('bias', 'biases')}": value for name, value in TENSORS.items()}
    path = tfsaver.save_checkpoint(old, tmp_path / "old")
    mapping = tfsaver.restore(module, path, strict=False).mapping
    assert mapping == {
        "model/dense/weights": "dense/kernel",
        "model/dense/biases": "dense/bias",
        "model/step": "step",
    }
    assert tfsaver.restore(module, path, mapping=mapping).ok


def test_dry_run_assigns_nothing_and_reads_only_the_index(module: Any, checkpoint: str) -> None:
    data = pathlib.Path(f"{checkpoint}.data-00000-of-00001")
    data.write_bytes(b"\xff" * data.stat().st_size)
    before = values(module)
    assert tfsaver.restore(module, checkpoint, dry_run=True).ok
    assert values(module) == before


def test_damaged_tensor_is_found_before_anything_changes(module: Any, checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pathlib.Path(f"{checkpoint}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-1] + b"\xff")
    before = values(module)
    for held in (1 << 30, 0):
        monkeypatch.setattr("tfsaver.targets.assignment.HELD_SIZE", held)
        with pytest.raises(ChecksumError):
            tfsaver.restore(module, checkpoint)
        assert values(module) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_variables_get_their_old_values_back_when_assigning_fails(
    module: Any, checkpoint: str, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    module.layer.b.assign([1, 2])
    before = values(module)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise error("the device is gone")

    monkeypatch.setattr(module.step, "assign", fail)
    with pytest.raises(error):
        tfsaver.restore(module, checkpoint)
    monkeypatch.undo()
    assert values(module) == before


def test_more_than_is_held_is_restored_in_a_second_pass(
    module: Any, checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfsaver.targets.assignment.HELD_SIZE", 0)
    tfsaver.restore(module, checkpoint)
    assert tfsaver.compare(module, checkpoint)


def test_by_shape_pairs_what_is_unique_and_the_rest_by_order_and_says_so(tf: Any, tmp_path: pathlib.Path) -> None:
    tensors = {f"layer_{index}/w": np.full([2, 2], index, np.float32) for index in (1, 2, 10)}
    slots = {f"{name}/{slot}": value for name, value in tensors.items() for slot in ("Adam", "Adam_1")}
    path = tfsaver.save_checkpoint({**tensors, **slots, "out": np.ones([2, 5], np.float32)}, tmp_path / "model")
    target = [tf.Variable(tf.zeros([2, 2])) for _ in range(3)] + [tf.Variable(tf.zeros([2, 5]))]
    report = tfsaver.restore(target, path, by="shape")
    assert [(item.key, item.how) for item in report.matched] == [
        ("layer_1/w", "shape and order"),
        ("layer_2/w", "shape and order"),
        ("layer_10/w", "shape and order"),
        ("out", "shape"),
    ]
    assert "paired by their order" in str(report) and "layer_10/w -> 2" in str(report)
    assert [int(variable.numpy()[0, 0]) for variable in target] == [1, 2, 10, 1]
    with pytest.raises(RestoreError, match="2 variables and 3 tensors have this dtype and shape"):
        tfsaver.restore(target[:2], path, by="shape")


def test_dtypes_agree_exactly_unless_casting_is_asked_for(tf: Any, tmp_path: pathlib.Path) -> None:
    path = tfsaver.save_checkpoint({"w": np.array([1.5, 1e-3]), "n": np.int64(300)}, tmp_path / "model")
    target = {"w": tf.Variable([0, 0], dtype=tf.bfloat16), "n": tf.Variable(0, dtype=tf.int32)}
    with pytest.raises(RestoreError, match="expected dtype bfloat16 does not equal original dtype double"):
        tfsaver.restore(target, path)
    tfsaver.restore(target, path, cast=True)
    assert target["w"].numpy().astype(np.float32).tolist() == [1.5, 0.00099945068359375] and target["n"].numpy() == 300
    small = {**target, "n": tf.Variable(7, dtype=tf.int8)}
    with pytest.raises(InvalidArgumentError, match="'n': int64 -> int8, 1 of 1 changed"):
        tfsaver.restore(small, path, cast=True)
    assert small["n"].numpy() == 7
    with pytest.raises(RestoreError):
        tfsaver.restore({"w": tf.Variable([0, 0])}, path, cast=True)


def test_include_and_exclude_choose_among_the_targets_variables(module: Any, checkpoint: str) -> None:
    assert tfsaver.restore(module, checkpoint, select=tfsaver.Selection(include="^dense/", exclude="bias")).num_wanted == 1
    assert not module.layer.b.numpy().any() and module.layer.w.numpy().any()
    with pytest.raises(InvalidArgumentError, match=r"'denze/' is in no name .* did you mean 'dense/"):
        tfsaver.restore(module, checkpoint, select="denze/")
    with pytest.raises(InvalidArgumentError, match="leave none"):
        tfsaver.restore(module, checkpoint, select=tfsaver.Selection(include="step", exclude="step"))


def test_compare_says_which_values_differ_and_how_far(module: Any, checkpoint: str) -> None:
    tfsaver.restore(module, checkpoint)
    module.layer.b.assign([7, 10])
    found = tfsaver.compare(module, checkpoint)
    assert not found and not found.ok and found.fits
    assert [tuple(item) for item in found.different] == [("dense/bias", 1, 2, 2.0)]
    assert "2 of 3 variables equal the checkpoint\n  dense/bias: 1 of 2 elements differ, by up to 2" in str(found)


def test_strings_and_small_floats_are_restored_bit_for_bit(tf: Any, cases: pathlib.Path) -> None:
    path = cases / "gen_tf2_object_bf16_fp8" / "ckpt"
    with tfsaver.load_checkpoint(path) as reader:
        kinds = {name: tf.as_dtype(reader.info(f"{name}/.ATTRIBUTES/VARIABLE_VALUE").dtype.name) for name in ("bf16", "f16")}
    target = {name: tf.Variable(tf.zeros([2, 3], dtype)) for name, dtype in kinds.items()}
    assert tfsaver.restore(target, path).ok and tfsaver.compare(target, path)
    strings = {"s": tf.Variable(["", ""])}
    source = ArraySource({"s": np.array([b"a\0", b""], object)})
    tfsaver.restore(strings, source)
    assert strings["s"].numpy().tolist() == [b"a\0", b""] and tfsaver.compare(strings, source)


def test_target_without_variables_is_an_error_that_says_why(tf: Any, checkpoint: str) -> None:
    for target in (tf.Module(), [], {}):
        with pytest.raises(InvalidArgumentError, match="no variables to restore"):
            tfsaver.restore(target, checkpoint)
    with pytest.raises(InvalidArgumentError, match=r"nothing of a target can be a Tensor|EagerTensor"):
        tfsaver.restore([tf.constant(1.0)], checkpoint)
    with pytest.raises(InvalidArgumentError, match="by is"):
        tfsaver.restore([tf.Variable(1.0)], checkpoint, by="size")


def test_variables_of_a_graph_need_a_session(tf: Any, checkpoint: str) -> None:
    with tf.Graph().as_default() as graph:
        variable = tf.Variable([1.0, 1.0], name="dense/bias")
        with pytest.raises(UnimplementedError, match=r"session=sess"):
            tfsaver.restore([variable], checkpoint)
        with tf.compat.v1.Session() as session:
            session.run(variable.initializer)
            assert tfsaver.restore([variable], checkpoint).ok
            assert session.run(variable).tolist() == [7, 8] and tfsaver.compare([variable], checkpoint)
    with tf.compat.v1.Session(graph=graph) as session:
        assert tfsaver.restore({"dense/bias": variable}, checkpoint, session=session).ok
        assert session.run(variable).tolist() == [7, 8]
    with pytest.raises(UnimplementedError, match=r"tfsaver\.Saver"):
        tfsaver.restore([variable], checkpoint)


def test_thousands_of_variables_are_matched_at_once(tf: Any, cases: pathlib.Path) -> None:
    path = cases / "gen_many_variables_v2"
    with tfsaver.load_checkpoint(path) as reader:
        target = {name: tf.Variable(np.zeros(reader.shape(name), reader.dtype(name))) for name in reader}
    assert len(target) == 5001
    assert tfsaver.restore(target, path).ok and tfsaver.compare(target, path)


def test_variables_of_a_strategy_get_the_value_in_every_replica(tf: Any, two_devices: None, checkpoint: str) -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        bias = tf.Variable([0.0, 0.0], name="dense/bias")
    assert tfsaver.restore([bias], checkpoint).ok and tfsaver.compare([bias], checkpoint)
    assert [replica.numpy().tolist() for replica in strategy.experimental_local_results(bias)] == [[7, 8], [7, 8]]
    with pytest.raises(RestoreError):
        tfsaver.restore({"dense/bias": bias, "dense/kernel": tf.Variable(1.0)}, checkpoint)


def test_source_of_tensors_may_be_a_view(module: Any, checkpoint: str) -> None:
    arrays = {name: np.asarray(value) for name, value in TENSORS.items()}
    report = tfsaver.restore(module, ArraySource(arrays))
    assert report.ok and tfsaver.compare(module, checkpoint)


@pytest.mark.parametrize(
    ("values", "source", "target"),
    [([-1, 5], "int8", "uint8"), ([-1], "int64", "uint64"), ([1e30], "float32", "float16"), ([300.5], "float32", "bfloat16")],
)
@pytest.mark.parametrize("into", ["dict", "list", "dry run"])
def test_cast_that_loses_more_than_precision_changes_nothing(
    tf: Any, into: str, values: list[Any], source: str, target: str, tmp_path: pathlib.Path
) -> None:
    is_lossy = target != "bfloat16"
    path = tfsaver.save_checkpoint({"0" if into == "list" else "v": np.array(values, source)}, tmp_path / "m")
    variable = tf.Variable(tf.zeros([len(values)], target), name="v")
    holder: Any = [variable] if into == "list" else {"v": variable}
    options: dict[str, Any] = {"cast": True, "dry_run": into == "dry run"}
    if into == "list":
        options["mapping"] = {"0": "v"}
    if not is_lossy:
        report = tfsaver.restore(holder, path, **options)
        [(name, losses)] = report.losses.items()
        assert f"note: cast: {name}: float32 -> bfloat16, off by at most" in str(report) and losses.max_abs == 0.5
        return
    with pytest.raises(InvalidArgumentError, match=f"{source} -> {target}, 1"):
        tfsaver.restore(holder, path, **options)
    assert not np.any(variable.numpy())
    with np.errstate(all="ignore"):
        variable.assign(np.array(values, source).astype(target))
    del options["dry_run"]
    assert not tfsaver.compare(holder, path, **options)


@pytest.mark.parametrize("num_shards", [1, 3, 4])
def test_shards_of_a_variable_get_their_rows(tf: Any, tmp_path: pathlib.Path, num_shards: int) -> None:
    from tensorflow.python.distribute.sharded_variable import ShardedVariable

    full = np.arange(20, dtype=np.float32).reshape(10, 2)

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self, number: int) -> None:
            super().__init__()
            parts = np.array_split(np.zeros_like(full), number)
            shards = [tf.Variable(rows, name=f"emb/part_{index}") for index, rows in enumerate(parts)]
            self.emb = ShardedVariable(shards, name="emb") if number > 1 else tf.Variable(np.zeros_like(full), name="emb")

        def rows(self) -> Any:
            return np.concatenate([variable.numpy() for variable in getattr(self.emb, "variables", [self.emb])])

    saved = Model(3)
    for variable, rows in zip(saved.emb.variables, np.array_split(full, 3), strict=True):
        variable.assign(rows)
    parts = {f"emb/part_{index}": rows for index, rows in enumerate(np.array_split(full, 3))}
    paths = [
        tfsaver.save_checkpoint({"emb": full}, tmp_path / "whole", durable=False),
        tfsaver.save_checkpoint(parts, tmp_path / "parts", durable=False),
        tf.train.Checkpoint(model=saved).save(str(tmp_path / "objects")),
    ]
    for path in paths:
        model = Model(num_shards)
        report = tfsaver.restore({"model": model} if path == paths[2] else model, path)
        assert report.ok
        np.testing.assert_array_equal(model.rows(), full)
    del parts["emb/part_1"]
    with pytest.raises(RestoreError):
        tfsaver.restore(Model(num_shards), tfsaver.save_checkpoint(parts, tmp_path / "lacking", durable=False))
