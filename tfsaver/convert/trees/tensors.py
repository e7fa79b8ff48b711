"""Reads the tensors of a tree and makes of each what it was, or what is asked for.

All that can be known from the index is checked first: whether PyTorch or JAX is there, whether they have the types. Then
each tensor is read once, many of them together on several threads, and made what it is to be: into PyTorch it goes without
a copy, into JAX with one, so that what is read for JAX is read and let go in batches. Leaves that were one tensor are one
object again.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.convert.trees import jax as tree_jax
from tfsaver.convert.trees import torch as tree_torch
from tfsaver.convert.trees.leaves import restore_array
from tfsaver.convert.trees.structure import Leaf
from tfsaver.errors import DataLossError, InvalidArgumentError, nearest_names

_Slot = TypeVar("_Slot", bound=Hashable)

FRAMEWORKS = ("numpy", "torch", "jax")
_KINDS = (*FRAMEWORKS, "str", "bytes")
# Large enough for several threads, and all that is held twice.
_MAX_BATCH = 256 << 20


class WantedTensor(NamedTuple):
    """A leaf that is to be read.

    Attributes:
        leaf: What the tree says of it.
        transpose: The order that its axes are brought into; None leaves them.
    """

    leaf: Leaf
    transpose: tuple[int, ...] | None = None


def check_framework(framework: str | None) -> None:
    """Checks that a framework is one.

    Raises:
        InvalidArgumentError: It is not.
    """
    if framework is not None and framework not in FRAMEWORKS:
        near = nearest_names(str(framework), FRAMEWORKS)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidArgumentError(f"framework {framework!r} is none of {', '.join(map(repr, FRAMEWORKS))}{hint}")


def read_tensors(source: TensorSource, wanted: Mapping[_Slot, WantedTensor], framework: str | None) -> dict[_Slot, Any]:
    """The tensors that are wanted, each made what it was or what `framework` says.

    Args:
        source: The checkpoint.
        wanted: What is to be read, by where the caller wants it.
        framework: numpy, torch, jax; None for what each was.

    Raises:
        MissingExtraError: PyTorch or JAX is needed and is not there.
        InvalidArgumentError: They lack some types, or axes do not fit; says all.
        DataLossError: A tensor is damaged, or cannot have been what it is said to have been.
    """
    kinds = {slot: _kind(item.leaf, source, framework) for slot, item in wanted.items()}
    maker = _Maker(set(kinds.values()))
    problems: dict[str, None] = {}
    slots_of_keys: dict[str, list[_Slot]] = {}
    for slot, (leaf, transpose) in wanted.items():
        slots_of_keys.setdefault(leaf.key, []).append(slot)
        info = source.info(leaf.key)
        if reason := maker.refusal(info.dtype, kinds[slot]):
            problems[f"{leaf.key}: {reason}"] = None
        if transpose is not None and len(transpose) != len(info.shape):
            problems[f"{leaf.key}: {len(transpose)} axes to transpose, its shape is {list(info.shape)}"] = None
    if problems:
        hint = "" if framework == "numpy" else " (framework='numpy' loads arrays of any type)"
        raise InvalidArgumentError("\n  ".join([f"some tensors cannot be loaded{hint}:", *problems]))

    results: dict[_Slot, Any] = {}
    for keys in _batches(source, sorted(slots_of_keys), _MAX_BATCH if maker.copies else None):
        arrays = _read_together(source, keys)
        for key in keys:
            # Whoever makes a copy has the array no longer than that.
            array = arrays.pop(key)
            made: dict[Hashable, Any] = {}
            for slot in slots_of_keys[key]:
                leaf, transpose = wanted[slot]
                alike = (kinds[slot], transpose, *sorted(leaf.options.items()))
                if alike not in made:
                    made[alike] = maker.make(array if transpose is None else array.transpose(transpose), leaf, kinds[slot])
                results[slot] = made[alike]
    return {slot: results[slot] for slot in wanted}


def _read_together(source: TensorSource, keys: list[str]) -> dict[str, Array]:
    if isinstance(source, CheckpointReader):
        return source.read_tensors(keys)
    return {key: source.read(key) for key in keys}


def _batches(source: TensorSource, keys: list[str], num_bytes: int | None) -> Iterator[list[str]]:
    """Keys of which the tensors are read together: all, or about so many bytes of them."""
    batch: list[str] = []
    size = 0
    for key in keys:
        batch.append(key)
        size += source.info(key).num_bytes if num_bytes is not None else 0
        if num_bytes is not None and size >= num_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Maker:
    """Knows the frameworks that are needed."""

    def __init__(self, kinds: set[str]) -> None:
        self._torch = tree_torch.import_torch() if "torch" in kinds else None
        self._jax = tree_jax.import_jax() if "jax" in kinds else None

    @property
    def copies(self) -> bool:
        """Whether what is made may have other memory than the array that it is made of."""
        return self._jax is not None

    def refusal(self, dtype: Any, kind: str) -> str:
        if kind == "torch":
            return tree_torch.refusal(dtype, self._torch)
        return tree_jax.refusal(dtype, self._jax) if kind == "jax" else ""

    def make(self, array: Array, leaf: Leaf, kind: str) -> Any:
        if kind == "torch":
            return tree_torch.restore_tensor(array, leaf, self._torch)
        return tree_jax.restore_jax_array(array, self._jax) if kind == "jax" else restore_array(array, leaf)


def _kind(leaf: Leaf, source: TensorSource, framework: str | None) -> str:
    if leaf.kind not in _KINDS:
        raise DataLossError(f"{leaf.key!r} is said to have been {leaf.kind!r}, which is none of {', '.join(_KINDS)}")
    is_text = not source.info(leaf.key).dtype.has_fixed_size
    if leaf.kind in ("str", "bytes") or is_text:
        return leaf.kind if leaf.kind in ("str", "bytes") else "numpy"
    return framework or leaf.kind
