"""Trees of arrays get a checkpoint's values: in place where that can be, and in the report's target where not."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.errors import InvalidArgumentError, RestoreError

KERNEL = np.arange(6, dtype=np.float32).reshape(3, 2)
Pair = collections.namedtuple("Pair", ["kernel", "bias"])


@dataclasses.dataclass
class Block:
    kernel: Any
    bias: Any
    activation: Any = max


@dataclasses.dataclass(frozen=True)
class FrozenBlock:
    kernel: Any
    width: int = 2

    def __post_init__(self) -> None:
        assert self.width == 2


def test_arrays_of_numpy_are_written_to() -> None:
    kernel, scalar = np.zeros((3, 2), np.float32), np.float32(0)
    tree = {"params": {"dense": {"kernel": kernel}, "scales": [np.zeros(2), scalar]}, "name": "net", "epoch": 3}
    tensors = {"dense/kernel": KERNEL, "params/scales/0": np.ones(2), "scales.1": np.float32(5)}
    report = tfsaver.restore(tree, tensors)
    assert report.ok and report.target is tree and tree["params"]["dense"]["kernel"] is kernel
    np.testing.assert_array_equal(kernel, KERNEL)
    assert tree["params"]["scales"][1] == 5 and type(tree["params"]["scales"][1]) is np.float32
    assert any(note.startswith("epoch, a number of Python, keeps its value") for note in report.notes)
    assert tfsaver.compare(tree, tensors)


def test_nothing_changes_in_a_tree_when_a_tensor_is_missing() -> None:
    tree = {"a": np.zeros(2), "b": np.zeros(2)}
    with pytest.raises(RestoreError, match="Key b not found"):
        tfsaver.restore(tree, {"a": np.ones(2)})
    assert not tree["a"].any()
    assert tfsaver.restore(tree, {"a": np.ones(2), "b": np.ones(2)}, dry_run=True).target is None and not tree["a"].any()


def test_array_that_must_not_be_written_to_is_replaced() -> None:
    constant = np.zeros((3, 2), np.float32)
    constant.flags.writeable = False
    tree = {"blocks": (Block(constant, np.zeros(2)), FrozenBlock(constant)), "pair": Pair(constant, np.zeros(2))}
    names = ["blocks/0/kernel", "blocks/0/bias"]
    # One array in three places has three names.
    report = tfsaver.restore(tree, {names[0]: KERNEL, names[1]: np.ones(2), "pair/bias": np.ones(2)})
    assert report.target is tree and not constant.any()
    for kernel in (tree["blocks"][0].kernel, tree["blocks"][1].kernel, tree["pair"].kernel):
        np.testing.assert_array_equal(kernel, KERNEL)
    assert tree["pair"].bias.tolist() == [1, 1] and isinstance(tree["pair"], Pair) and tree["blocks"][0].activation is max


def test_tree_that_cannot_be_changed_comes_back_as_another() -> None:
    jax = pytest.importorskip("jax")
    kernel = jax.numpy.zeros((3, 2))
    frozen = FrozenBlock(kernel)
    report = tfsaver.restore(frozen, {"kernel": KERNEL})
    np.testing.assert_array_equal(report.target.kernel, KERNEL)
    assert isinstance(report.target, FrozenBlock) and isinstance(report.target.kernel, jax.Array)
    assert frozen.kernel is kernel and any("the report's target is the tree" in note for note in report.notes)


def test_tree_of_jax_has_its_new_arrays_in_place() -> None:
    jax = pytest.importorskip("jax")

    @jax.tree_util.register_pytree_with_keys_class
    class Module:
        def __init__(self, kernel: Any) -> None:
            self.kernel = kernel

        def tree_flatten_with_keys(self) -> Any:
            return [(jax.tree_util.GetAttrKey("kernel"), self.kernel)], None

        @classmethod
        def tree_unflatten(cls, _: Any, children: Any) -> Any:
            return cls(*children)

    half = jax.numpy.zeros(2, jax.numpy.bfloat16)
    params = {"params": {"Dense_0": {"kernel": jax.numpy.zeros((3, 2)), "bias": half}, "module": Module(jax.numpy.zeros(2))}}
    tensors = {"Dense_0/kernel": KERNEL, "Dense_0/bias": np.asarray(half + 1), "module/kernel": np.float32([1, 2])}
    report = tfsaver.restore(params, tensors)
    assert report.ok and report.target is params
    np.testing.assert_array_equal(params["params"]["Dense_0"]["kernel"], KERNEL)
    assert params["params"]["Dense_0"]["bias"].dtype == jax.numpy.bfloat16 and (params["params"]["Dense_0"]["bias"] == 1).all()
    assert params["params"]["module"].kernel.tolist() == [1, 2]
    assert tfsaver.compare(params, tensors)


def test_key_of_random_numbers_is_named_and_kept() -> None:
    jax = pytest.importorskip("jax")
    tree = {"rng": jax.random.key(0), "w": jax.numpy.zeros(2)}
    report = tfsaver.restore(tree, {"w": np.ones(2, np.float32)})
    assert any(note.startswith("rng keeps its value") and "key_data" in note for note in report.notes)


def test_tensors_of_pytorch_in_a_dict_are_a_target() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(3, 2)
    tfsaver.restore(module.state_dict(), {"weight": KERNEL.T.copy(), "bias": np.ones(2, np.float32)})
    np.testing.assert_array_equal(module.weight.detach(), KERNEL.T)


def test_modules_of_one_kind_are_told_apart_by_their_keys() -> None:
    torch = pytest.importorskip("torch")
    modules = {"one": torch.nn.Linear(1, 1, bias=False), "two": torch.nn.Linear(1, 1, bias=False)}
    tfsaver.restore(modules, {"one/weight": np.float32([[1]]), "two/weight": np.float32([[2]])})
    assert [module.weight.item() for module in modules.values()] == [1, 2]


@pytest.mark.parametrize("wrong", [object(), {"a": np.zeros(1), "b": object()}, {"a": np.zeros(1), 2.5: np.zeros(1)}])
def test_what_has_no_variables_is_refused_with_what_has(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        tfsaver.restore(wrong, {"a": np.zeros(1)})


def test_tree_that_contains_itself_is_refused() -> None:
    tree: dict[str, Any] = {"a": np.zeros(1)}
    tree["again"] = tree
    with pytest.raises(InvalidArgumentError, match="nested deeper"):
        tfsaver.restore(tree, {"a": np.zeros(1)})
