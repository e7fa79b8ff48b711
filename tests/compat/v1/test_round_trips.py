"""What one Saver writes the other restores, bit for bit, for every dtype that a variable can have, in both formats."""

from __future__ import annotations

import pathlib
import warnings
from typing import Any

import numpy as np
import pytest

from tfsaver import schemas
from tfsaver.compat.v1.train import Saver
from tfsaver.errors import UnimplementedError
from tfsaver.framework import dtypes

FORMATS = {"V1": schemas.SaverDef.V1, "V2": schemas.SaverDef.V2}
WRITERS = ("tensorflow", "tfsaver")
DTYPES = [dtype for dtype in dtypes.ALL if dtype.name not in ("resource", "variant")]


def values_of(dtype: dtypes.DType) -> np.ndarray[Any, Any]:
    """Six values with all kinds of bits.

    Raises:
        UnimplementedError: The installed ml_dtypes does not have the dtype.
    """
    if dtype.name == "string":
        return np.array([b"", b"a\0b\0", b"\xff", b"x" * 300, b"text", b"\0"], object).reshape(2, 3)
    if dtype.name == "bool":
        return np.array([True, False, True, True, True, False]).reshape(2, 3)
    raw = np.random.default_rng(1).integers(0, 256, 6 * (dtype.size or 0), np.uint8)
    dtype.unpacked_bits(raw)
    return raw.view(dtype.numpy).reshape(2, 3)


def bits(value: Any) -> Any:
    array = np.asarray(value)
    return array.tolist() if array.dtype.hasobject else array.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize("version", FORMATS)
def test_every_dtype_goes_both_ways(
    tf: Any, session: Any, tmp_path: pathlib.Path, version: str, resource: bool, dtype: dtypes.DType
) -> None:
    v1 = tf.compat.v1
    try:
        values = values_of(dtype)
        with warnings.catch_warnings():
            # Converting some of the smallest floats warns, in numpy and in TensorFlow alike.
            warnings.simplefilter("ignore")
            everything = [
                v1.Variable(tf.constant(part, dtype.name), name=name, use_resource=resource)
                for name, part in (("whole", values), ("scalar", values[0, 1]), ("empty", values[:, :0]))
            ]
        session.run([variable.initializer for variable in everything])
    except (UnimplementedError, TypeError, tf.errors.OpError) as error:
        pytest.skip(f"this TensorFlow has no {dtype} variables: {type(error).__name__}")
    before = [bits(value) for value in session.run(everything)]
    theirs = v1.train.Saver(write_version=FORMATS[version])
    ours = Saver(write_version=FORMATS[version], durable=False)
    try:
        theirs.save(session, str(tmp_path / "tensorflow"))
    except tf.errors.OpError:
        with pytest.raises(tf.errors.UnimplementedError, match=dtype.name):
            ours.save(session, str(tmp_path / "tfsaver"))
        assert not list(tmp_path.glob("tfsaver*"))
        return
    ours.save(session, str(tmp_path / "tfsaver"))
    for writer, reader in (("tensorflow", ours), ("tfsaver", theirs), ("tfsaver", ours)):
        with v1.Session() as fresh:
            reader.restore(fresh, str(tmp_path / writer))
            assert [bits(value) for value in fresh.run(everything)] == before, writer


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("writer", WRITERS)
def test_partitioned_variables_change_their_parts(
    tf: Any, tmp_path: pathlib.Path, version: str, resource: bool, writer: str
) -> None:
    v1 = tf.compat.v1
    values = np.arange(42, dtype=np.float32).reshape(7, 6)
    savers = {"tensorflow": v1.train.Saver, "tfsaver": Saver}

    def make(parts: int, axis: int, initial: np.ndarray[Any, Any]) -> Any:
        partitioner = v1.fixed_size_partitioner(parts, axis) if parts else None

        def initializer(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
            start = partition_info.var_offset if partition_info else (0, 0)
            return tf.constant(initial[start[0] : start[0] + shape[0], start[1] : start[1] + shape[1]])

        return v1.get_variable("p", values.shape, initializer=initializer, partitioner=partitioner, use_resource=resource)

    layouts = ((0, 0), (2, 0), (3, 0), (2, 1), (6, 1))
    for layout in layouts:
        with tf.Graph().as_default(), v1.Session() as session:
            make(*layout, values)
            session.run(v1.global_variables_initializer())
            path = str(tmp_path / f"from_{layout[0]}_{layout[1]}")
            savers[writer](write_version=FORMATS[version]).save(session, path, write_meta_graph=False, write_state=False)
    for layout in layouts:
        with tf.Graph().as_default(), v1.Session() as session:
            variable = make(*layout, np.zeros_like(values))
            whole = variable.as_tensor() if layout[0] else variable
            zero = v1.global_variables_initializer()
            readers = {name: savers[name]() for name in (savers if writer == "tfsaver" else ("tfsaver",))}
            for source in layouts:
                for reader, saver in readers.items():
                    session.run(zero)
                    saver.restore(session, str(tmp_path / f"from_{source[0]}_{source[1]}"))
                    np.testing.assert_array_equal(session.run(whole), values, f"{source} to {layout} by {reader}")


def test_variables_of_an_imported_meta_graph_are_saved_and_restored(tf: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    path = str(tmp_path / "model")
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("a", initializer=[1.0, 2.0], use_resource=True)
        v1.get_variable("b", initializer=3.0, use_resource=False)
        v1.get_variable("p", [4, 2], partitioner=v1.fixed_size_partitioner(2), initializer=v1.ones_initializer())
        session.run(v1.global_variables_initializer())
        assert Saver().save(session, path) == path
    with tf.Graph().as_default() as graph, v1.Session() as session:
        v1.train.import_meta_graph(f"{path}.meta")
        graph.finalize()
        saver = Saver()
        saver.restore(session, path)
        values = session.run(v1.global_variables())
        assert [np.asarray(value).tolist() for value in values] == [[1.0, 2.0], 3.0, [[1.0, 1.0]] * 2, [[1.0, 1.0]] * 2]
        saver.save(session, f"{path}-again")
    listed = [("a", [2]), ("b", []), ("p", [4, 2])]
    assert v1.train.list_variables(path) == v1.train.list_variables(f"{path}-again") == listed


def test_eager_and_graph_checkpoints_are_the_same(tf: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    path = str(tmp_path / "model")
    variables = [tf.Variable([1.0, 2.0], name="a"), tf.Variable(np.int64(5), name="b"), tf.Variable(b"x\0", name="c")]
    saver = Saver(variables)
    assert saver.save(None, path, global_step=tf.Variable(3)) == f"{path}-3"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["checkpoint", "model-3.data-00000-of-00001", "model-3.index"]
    with tf.Graph().as_default(), v1.Session() as session:
        inside = [
            v1.get_variable(name, initializer=value) for name, value in (("a", [0.0, 0.0]), ("b", np.int64(0)), ("c", b""))
        ]
        v1.train.Saver().restore(session, f"{path}-3")
        numbers, number, text = session.run(inside)
        assert (numbers.tolist(), int(number), text) == ([1.0, 2.0], 5, b"x\0")
        Saver().save(session, f"{path}-4")
    variables[0].assign([0.0, 0.0])
    saver.restore(None, f"{path}-4")
    assert variables[0].numpy().tolist() == [1.0, 2.0]
    assert variables[2].numpy() == b"x\0"
