"""Tensors under the names and shapes of another file's, the model: a mapping that is proposed by evidence.

    same          name and shape
    match         another name, by the evidence of `proposals`; with a transpose or a reshape where one alone gives the shape
    left over     what the model has and nothing is for; what is for nothing in the model
    doubt         a shape that fits both ways, as a square matrix does, where names or other tensors say that axes may turn

What is left over, and what is in doubt, is never decided here.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import NamedTuple

from tfsaver.checkpoint.names.name_steps import Renamed
from tfsaver.checkpoint.restoring.proposals import Proposals, recipe_for
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.errors import nearest_names
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo

_SEPARATORS = re.compile(r"[/.]")
_FLOAT = dtypes.from_name("float32")
_FLOATS = frozenset({"bfloat16", "float16", "float32", "float64"})


class Likeness(NamedTuple):
    """How tensors become those of a model.

    Attributes:
        names: What tensors become that do not stay as they are, by their names.
        missing: What the model has and nothing is for, with the most similar names.
        misfits: Tensors that have the name and cannot get the shape, in sentences.
        unused: What is for nothing in the model.
        doubts: What tensors may become as they are or with their axes turned, by their names.
        notes: What a report should mention, in sentences.
    """

    names: dict[str, str | Renamed]
    missing: dict[str, tuple[str, ...]]
    misfits: tuple[str, ...]
    unused: tuple[str, ...]
    doubts: dict[str, str]
    notes: tuple[str, ...]


def likeness(
    tensors: Mapping[str, TensorInfo], model: Mapping[str, TensorInfo], said: Container[str] = ()
) -> Likeness:
    """How the tensors of one file become those of another.

    Types of floating-point numbers are not compared.

    Args:
        tensors: The tensors, by name.
        model: Those of the model.
        said: The names of tensors that are what the caller has made of them, and not to be doubted.
    """
    infos = {name: info._replace(dtype=_comparable(info.dtype)) for name, info in tensors.items()}
    wanted = {name: WantedTensor(name, _comparable(info.dtype), tuple(info.shape)) for name, info in model.items()}
    same = {name for name in wanted if name in infos and tuple(infos[name].shape) == wanted[name].shape}
    names: dict[str, str | Renamed] = {}
    misfits = []
    for name in wanted.keys() & infos.keys() - same:
        recipe = recipe_for(infos[name], wanted[name])
        if recipe is None:
            misfits.append(f"{name}: {list(infos[name].shape)} here, {list(model[name].shape)} in the model")
        else:
            names[name] = Renamed(name, **recipe)
    decided = same | names.keys() | (wanted.keys() & infos.keys())
    candidates = {name: name for name in infos if name not in decided}
    missing: dict[str, WantedTensor | None] = {name: each for name, each in wanted.items() if name not in decided}
    proposals = Proposals(missing, candidates, infos.__getitem__, {name: name for name in same | names.keys()})
    for name, key in proposals.matches.items():
        names[key] = proposals.target(name)
    turned = {len(infos[key].shape) for key, target in names.items() if _is_turned(target)}
    doubts = {
        key: target
        for key, target in names.items()
        if isinstance(target, str) and _may_turn(infos[key], is_likely=2 in turned or not _agree(key, target))
    }
    doubts.update((name, name) for name in same if name not in said and _may_turn(infos[name], is_likely=2 in turned))
    left = {name for name in missing if name not in proposals.matches}
    return Likeness(
        {key: target for key, target in names.items() if key not in doubts},
        {name: tuple(nearest_names(name, candidates)) for name in wanted if name in left},
        tuple(sorted(misfits)),
        tuple(key for key in candidates if key not in names),
        doubts,
        tuple(proposals.notes),
    )


def _comparable(dtype: DType) -> DType:
    return _FLOAT if dtype.name in _FLOATS else dtype


def _is_turned(target: str | Renamed) -> bool:
    return isinstance(target, Renamed) and any("transpose" in change.options() for change in target.changes)


def _may_turn(info: TensorInfo, *, is_likely: bool) -> bool:
    """Whether a tensor has a shape that another order of its axes leaves as it is, where that is likely meant."""
    return is_likely and len(info.shape) == 2 and info.shape[0] == info.shape[1] > 1


def _agree(key: str, target: str) -> bool:
    """Whether two names call a variable of a layer the same: libraries that say weight have it turned, others kernel."""
    return _SEPARATORS.split(key)[-1] == _SEPARATORS.split(target)[-1]
