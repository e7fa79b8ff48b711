"""Reads the tensors of a tree and makes of each what it was, or what is asked for.

All that can be known from the index is checked first: whether PyTorch or JAX is there, whether they have the types. Then
each tensor is read once, many of them together on several threads, and made what it is to be: into PyTorch it goes without
a copy, into JAX with one, so that what is read for JAX is read and let go in batches. Leaves that were one tensor are one
object again.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from tfsaver.checkpoint.execution import Data, Execution, Part, Progress, Sink, Target, as_array
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import DataLossError, InvalidArgumentError, nearest_names
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.targets.trees import jax as tree_jax
from tfsaver.targets.trees import torch as tree_torch
from tfsaver.targets.trees.leaves import restore_array
from tfsaver.targets.trees.structure import Leaf

_Slot = TypeVar("_Slot", bound=Hashable)

FRAMEWORKS = ("numpy", "torch", "jax")
Framework: TypeAlias = "Literal['numpy', 'torch', 'jax']"
_KINDS = (*FRAMEWORKS, "str", "bytes")
# Large enough for several threads, and all that is held twice.
_MAX_BATCH = 256 << 20


def check_framework(framework: str | None) -> None:
    """Checks that a framework is one.

    Raises:
        InvalidArgumentError: It is not.
    """
    if framework is not None and framework not in FRAMEWORKS:
        near = nearest_names(str(framework), FRAMEWORKS)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidArgumentError(f"framework {framework!r} is none of {', '.join(map(repr, FRAMEWORKS))}{hint}")


def read_tensors(
    source: TensorSource,
    wanted: Mapping[_Slot, Leaf],
    framework: str | None,
    *,
    progress: Progress | None = None,
) -> dict[_Slot, Any]:
    """The tensors that are wanted, each made what it was or what `framework` says.

    Args:
        source: The checkpoint.
        wanted: What is to be read, by where the caller wants it.
        framework: numpy, torch, jax; None for what each was.
        progress: Called with the bytes done and the bytes in all.

    Raises:
        MissingExtraError: PyTorch or JAX is needed and is not there.
        InvalidArgumentError: They lack some types; says all.
        DataLossError: A tensor is damaged, or cannot have been what it is said to have been.
    """
    leaves = _Leaves(source, wanted, framework)
    Execution(source, leaves, progress=progress).run()
    return {slot: leaves.made[slot] for slot in wanted}


class _Leaves(Target, Generic[_Slot]):
    """The leaves of a tree, which take the tensors of a checkpoint.

    Args:
        source: The checkpoint.
        wanted: See `read_tensors`, as for the other.

    Attributes:
        made: What was made, by where the caller wants it.
    """

    def __init__(self, source: TensorSource, wanted: Mapping[_Slot, Leaf], framework: str | None) -> None:
        self._wanted = wanted
        self._framework = framework
        self._kinds = {slot: _kind(leaf, source, framework) for slot, leaf in wanted.items()}
        self._maker = _Maker(set(self._kinds.values()))
        self._slots: dict[str, list[_Slot]] = {}
        for slot, leaf in wanted.items():
            self._slots.setdefault(leaf.key, []).append(slot)
        self.batch_size = _MAX_BATCH if self._maker.copies else sys.maxsize
        self.made: dict[_Slot, Any] = {}

    def check(self, source: TensorSource) -> None:
        problems: dict[str, None] = {}
        for slot, leaf in self._wanted.items():
            info = source.info(leaf.key)
            if reason := self._maker.refusal(info.dtype, self._kinds[slot]):
                problems[f"{leaf.key}: {reason}"] = None
        if problems:
            hint = "" if self._framework == "numpy" else " (framework='numpy' loads arrays of any type)"
            raise InvalidArgumentError("\n  ".join([f"some tensors cannot be loaded{hint}:", *problems]))

    def parts(self, source: TensorSource) -> Iterator[Part]:
        return ((key, None) for key in sorted(self._slots))

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        yield self._add

    def _add(self, info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
        array = as_array(data)
        alike: dict[Hashable, Any] = {}
        for slot in self._slots[info.name]:
            leaf = self._wanted[slot]
            kind = self._kinds[slot]
            how = (kind, *sorted(leaf.options.items()))
            if how not in alike:
                alike[how] = self._maker.make(array, leaf, kind)
            self.made[slot] = alike[how]


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
