"""Bindings against a checkpoint: which tensor each variable gets, and the errors when something is wrong.

The comparison itself is `tfsaver.checkpoint.restoring.matching`; here are TensorFlow's two sentences for what came of it,
which callers look for, with the whole report behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.match_report import MatchedTensor, MatchReport
from tfsaver.checkpoint.restoring.matching import match_tensors
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.compat._binding import Binding
from tfsaver.errors import InvalidArgumentError, MissingSlicesError, NotFoundError

_MISSING = (
    "Restoring from checkpoint failed. This is most likely due to a Variable name or other graph key that is missing from "
    "the checkpoint."
)
_MISMATCH = (
    "Restoring from checkpoint failed. This is most likely due to a mismatch between the current graph and the graph from "
    "the checkpoint."
)


class Match(NamedTuple):
    """A variable and the tensor it gets."""

    binding: Binding
    tensor: MatchedTensor


def match(
    bindings: Sequence[Binding], reader: CheckpointReader, *, reshape: bool = False
) -> tuple[list[Match], MatchReport]:
    """What each variable gets from a checkpoint, and the report about all of them.

    Args:
        bindings: The variables.
        reader: The checkpoint.
        reshape: Whether a tensor with as many elements in another shape fits.
    """
    wanted = list(map(_wanted, bindings))
    report = match_tensors(wanted, reader, reshape=reshape)
    # What is matched is what was wanted: to compare them all by what is in them takes longer than to match them.
    binding_of = {id(item): binding for item, binding in zip(wanted, bindings, strict=True)}
    return [Match(binding_of[id(tensor.wanted)], tensor) for tensor in report.matched], report


def raise_unless_ok(report: MatchReport) -> None:
    """Raises what TensorFlow raises, with everything that is wrong and what may help.

    Raises:
        NotFoundError: Tensors are missing.
        InvalidArgumentError: Dtypes or shapes differ.
        MissingSlicesError: Everything fits, but the checkpoint lacks slices of partitioned tensors.
    """
    if report.missing:
        count = f"{len(report.missing)} of {report.num_wanted} tensors are missing:"
        raise NotFoundError("\n".join([f"{_MISSING} {count}", *report.details()]))
    if report.mismatched:
        count = f"{len(report.mismatched)} of {report.num_wanted} tensors do not fit:"
        message = "\n".join([f"{_MISMATCH} {count}", *report.details()])
        # The program is the one that saved: it is the checkpoint that is not whole.
        is_damage = all(item.fact == "slices" for item in report.mismatched)
        raise MissingSlicesError(message) if is_damage else InvalidArgumentError(message)


def _wanted(binding: Binding) -> WantedTensor:
    variable = binding.variable
    return WantedTensor(
        binding.name, binding.dtype, variable.shape, binding.full_shape, binding.tensor_slice, variable.group
    )
