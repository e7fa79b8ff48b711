"""What JAX's programs save: nests of arrays."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.errors import InvalidArgumentError
from tfsaver.targets.trees.plan import PlannedTree

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")


def round_trip(tree: Any, directory: pathlib.Path, **options: Any) -> Any:
    return tfsaver.load(tfsaver.save(tree, directory / "tree", durable=False), **options)


NAMES = [
    *("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "int4", "uint4"),
    *("float16", "float32", "bfloat16", "complex64"),
    *("float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_dtype_comes_back_with_its_bits(name: str, tmp_path: pathlib.Path) -> None:
    dtype = np.dtype(getattr(jnp, name))
    num_values = {"bool": 2, "int4": 8, "uint4": 16}.get(name, 256)
    values = np.resize(np.arange(num_values, dtype=np.uint8), 256 * dtype.itemsize).view(dtype)
    tree = {"values": jnp.asarray(values), "matrix": jnp.asarray(values[:32].reshape(4, 8)), "zero": jnp.asarray(values[3])}
    loaded = round_trip(tree, tmp_path)
    for key, array in tree.items():
        assert isinstance(loaded[key], jax.Array)
        assert (loaded[key].dtype, loaded[key].shape) == (array.dtype, array.shape)
        assert np.asarray(loaded[key]).tobytes() == np.asarray(array).tobytes()


def test_nest_of_parameters_comes_back_as_the_same_tree(tmp_path: pathlib.Path) -> None:
    shapes = [(4, 8), (8, 2)]
    params = {
        "layers": [{"w": jnp.ones(shape), "b": jnp.zeros(shape[1])} for shape in shapes],
        "scale": (jnp.float32(2), None),
    }
    loaded = round_trip(params, tmp_path)
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), loaded, params))


def test_memory_of_this_machine_is_stored_as_it_is() -> None:
    array = jnp.arange(1000.0)
    stored = PlannedTree([array])["0/.ATTRIBUTES/VARIABLE_VALUE"]
    assert stored.__array_interface__["data"][0] == array.unsafe_buffer_pointer()


def test_arrays_are_read_in_parts_too() -> None:
    planned = PlannedTree([jnp.arange(24).reshape(4, 6)])
    assert planned.read("0/.ATTRIBUTES/VARIABLE_VALUE", np.s_[1:3, 2]).tolist() == [8, 14]


def test_one_array_in_two_places_is_stored_once(tmp_path: pathlib.Path) -> None:
    array = jnp.ones(3)
    loaded = round_trip({"a": array, "b": {"c": array}, "d": array + 0}, tmp_path)
    assert loaded["a"] is loaded["b"]["c"] is not loaded["d"]


def test_what_has_no_values_is_refused(tmp_path: pathlib.Path) -> None:
    gone = jnp.ones(3)
    gone.delete()
    with pytest.raises(InvalidArgumentError, match=r"key: .*jax.random.key_data(.|\n)*gone: .*given away"):
        tfsaver.save({"key": jax.random.key(0), "gone": gone}, tmp_path / "tree")
    with pytest.raises(InvalidArgumentError, match="traced"):
        jax.jit(lambda array: tfsaver.save(array, tmp_path / "tree"))(jnp.ones(3))
    key = jax.random.key(7)
    again = jax.random.wrap_key_data(round_trip(jax.random.key_data(key), tmp_path))
    assert (jax.random.uniform(again) == jax.random.uniform(key)).item()


def test_64_bits_are_never_cut_to_32(tmp_path: pathlib.Path) -> None:
    tree = {"big": np.array([2**40]), "fine": np.zeros(1, np.float32)}
    with pytest.raises(InvalidArgumentError, match="big/.*jax_enable_x64"):
        round_trip(tree, tmp_path, framework="jax")
    jax.config.update("jax_enable_x64", True)
    try:
        assert round_trip(tree, tmp_path, framework="jax")["big"].tolist() == [2**40]
    finally:
        jax.config.update("jax_enable_x64", False)


def test_other_frameworks_are_a_word_away(tmp_path: pathlib.Path) -> None:
    tree = {"w": jnp.ones(2, jnp.bfloat16), "names": np.array(["a"])}
    arrays = round_trip(tree, tmp_path, framework="numpy")
    assert type(arrays["w"]) is np.ndarray and arrays["w"].dtype == jnp.bfloat16
    torch = pytest.importorskip("torch")
    assert torch.equal(tfsaver.load(tmp_path / "tree", framework="torch")["w"], torch.ones(2, dtype=torch.bfloat16))
