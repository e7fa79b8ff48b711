"""Orbax checkpoints: its own StandardCheckpointer and our reader give the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.neighbours import (
    NUMBERS,
    FailingSource,
    assert_nothing_is_left,
    every_tensor,
    lines_of,
    strings,
    types_but,
)
from tests.tensor_bundle.tensors import assert_equal
from tfsaver.checkpoint.execution import Execution
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import AlreadyExistsError, DataLossError, InvalidArgumentError, UnimplementedError
from tfsaver.formats.orbax import OrbaxTarget, open_orbax

ocp = pytest.importorskip("orbax.checkpoint")

_NO_TYPE = ["qint8", "quint8", "qint16", "quint16", "qint32", "uint4", "uint2"]
_SHAPES: list[tuple[int, ...]] = [(), (7,), (3, 4), (2, 3, 4)]


def saved(arrays: dict[str, Any], path: Path) -> Path:
    Execution(ArraySource(arrays), OrbaxTarget(path, durable=False)).run()
    return path


def leaf(tree: Any, name: str) -> Any:
    for key in name.split("/"):
        tree = tree[key]
    return tree


def save_with_orbax(tree: Any, path: Path) -> None:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
        checkpointer.wait_until_finished()


def restore_with_orbax(path: Path) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path)


def test_every_type_and_shape_comes_back_and_orbax_reads_the_same(tmp_path: Path) -> None:
    tensors = every_tensor(types_but(*_NO_TYPE), _SHAPES)
    path = saved(tensors, tmp_path / "x.orbax")
    tree = restore_with_orbax(path)
    assert set(tree) == {name.split("/")[0] for name in tensors}
    with open_orbax(path) as source:
        assert source.names == sorted(tensors)
        # Backwards too: what does not follow is read alone.
        for name in [*source.names, *reversed(source.names)]:
            assert_equal(source[name], tensors[name])
        for name, expected in tensors.items():
            info = source.info(name)
            assert (info.dtype.numpy, info.shape, info.num_bytes) == (expected.dtype, expected.shape, expected.nbytes)
            assert_equal(leaf(tree, name), expected)


def test_what_stands_below_a_leaf_is_a_key_beside_it(tmp_path: Path) -> None:
    tensors = {
        "net/w": np.ones(2),
        "net/w/Adam": np.zeros(2),
        "net/w/Adam_1": np.ones(3),
        "net/w/Adam/deep": np.ones(1),
        "b": np.ones(1),
    }
    path = saved(tensors, tmp_path / "x.orbax")
    tree = restore_with_orbax(path)
    assert set(tree["net"]) == {"w", "w/Adam", "w/Adam_1", "w/Adam/deep"}
    with open_orbax(path) as source:
        assert {name: value.tolist() for name, value in source.items()} == {
            name: value.tolist() for name, value in tensors.items()
        }


def test_trees_of_orbax_are_read(tmp_path: Path) -> None:
    jax = pytest.importorskip("jax")
    tree = {
        "params": {"dense": {"kernel": jax.numpy.ones((2, 3), jax.numpy.bfloat16), "bias": np.arange(3)}},
        "layers": [np.zeros(2), {"w": np.ones(1)}],
        "step": 7,
        "none": None,
        "empty": {},
    }
    save_with_orbax(tree, tmp_path / "x")
    with open_orbax(tmp_path / "x") as source:
        assert set(source.names) >= {"layers/0", "layers/1/w", "params/dense/bias", "params/dense/kernel"}
        assert_equal(source["params/dense/kernel"], np.asarray(tree["params"]["dense"]["kernel"]))
        assert_equal(source["params/dense/bias"], np.arange(3))
        assert source["layers/1/w"].tolist() == [1]


def test_one_error_names_all_that_cannot_go(tmp_path: Path) -> None:
    tensors = every_tensor([*_NO_TYPE, "float32"], [(2,)])
    tensors |= {"text": strings(b"a"), "empty": np.ones((2, 0)), "a//b": np.ones(1), "c.d": np.ones(1), "c/d": np.ones(1)}
    with pytest.raises(UnimplementedError) as error:
        Execution(ArraySource(tensors), OrbaxTarget(tmp_path / "x.orbax")).run()
    expected = {f"no type for {name}: '{name}/0'" for name in _NO_TYPE if name in NUMBERS}
    assert set(lines_of(error)[1:-1]) == expected | {
        "no type for string: 'text'",
        "no arrays without elements: 'empty'",
        "an empty part in its name: 'a//b'",
        "its name differs from another's only in dots and slashes: 'c.d', 'c/d'",
    }
    assert_nothing_is_left(tmp_path)


def test_directory_is_replaced_only_when_asked_to(tmp_path: Path) -> None:
    path = saved({"old": np.ones(1)}, tmp_path / "x.orbax")
    with pytest.raises(AlreadyExistsError, match="--overwrite"):
        saved({"new": np.ones(1)}, path)
    with pytest.raises(DataLossError, match="w is damaged"):
        Execution(FailingSource({"w": np.ones(1)}, "w"), OrbaxTarget(path, overwrite=True)).run()
    assert list(restore_with_orbax(path)) == ["old"]
    Execution(ArraySource({"new": np.ones(1)}), OrbaxTarget(path, overwrite=True)).run()
    assert list(restore_with_orbax(path)) == ["new"]
    assert os.listdir(tmp_path) == ["x.orbax"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidArgumentError, match="is a file"):
        saved({"new": np.ones(1)}, tmp_path / "file")


def test_what_is_no_orbax_checkpoint_is_data_loss(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for name in ("empty", "file"):
        with pytest.raises(DataLossError, match=rf"{name} is no"):
            open_orbax(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        open_orbax(tmp_path / "missing")
    path = saved({"w": np.ones(1)}, tmp_path / "x.orbax")
    (path / "_METADATA").write_bytes(b"{")
    with pytest.raises(DataLossError, match="is no (sound )?Orbax checkpoint"):
        open_orbax(path)
