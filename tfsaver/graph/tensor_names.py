"""The texts by which one node refers to another.

    dense/MatMul        output 0 of the node dense/MatMul
    split:2             output 2
    ^init               the node must have run before: a control input; it follows all other inputs
    split:outputs:1     in a function's body: element 1 of the output argument `outputs`; a bare name is an argument
    loc:@dense/kernel   in the attribute _class: on the device of that node

A tensor that users or signatures name has its output spelled out, `dense/MatMul:0`; an operation has none.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import Any

CONTROL = "^"
COLOCATION = b"loc:@"


def node_of(reference: str) -> str:
    """The name of the node that an input, a tensor or an operation belongs to."""
    return reference.removeprefix(CONTROL).partition(":")[0]


def is_control(reference: str) -> bool:
    """Whether an input only asks for an order."""
    return reference.startswith(CONTROL)


def output_index(reference: str) -> int | None:
    """The number of the output that a graph's input or a tensor's name means; None where what stands there is no number."""
    _, colon, index = reference.partition(":")
    if not colon:
        return 0
    # More digits than any number of outputs has are no number either: Python refuses to read thousands of them.
    return int(index) if len(index) < 19 and index.isascii() and index.isdigit() else None


def data_inputs(node: Any) -> list[str]:
    """The inputs of a node that are tensors."""
    return [each for each in node.input if not each.startswith(CONTROL)]


def normalized(reference: str) -> str:
    """An input as it stands in a NodeDef that TensorFlow writes: without the `:0` of a first output."""
    return reference.removesuffix(":0")


def colocation_groups(node: Any) -> tuple[bytes, ...]:
    """The `loc:@` entries of a node's `_class`; the one that names itself for a node without any."""
    entries = node.attr["_class"].list.s if "_class" in node.attr else ()
    groups = tuple(entry for entry in entries if entry.startswith(COLOCATION))
    return groups or (COLOCATION + node.name.encode(),)


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """`wanted`, or with _1, _2 ... behind it: the first that neither is taken nor a scope of names that are.

    As in TensorFlow, names that differ only in case count as one.
    """
    return FreeNames(taken).take(wanted)


class FreeNames:
    """Names that are taken, for who needs many that are not.

    Args:
        taken: The names.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        # Sorted, a scope stands before the names in it: sets of all scopes of long names would be far larger than these.
        self._taken = sorted({name.lower() for name in taken})
        self._numbers: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        """What `free_name` gives, which is taken from then on."""
        number = self._numbers.get(wanted, 0)
        candidate = f"{wanted}_{number}" if number else wanted
        while self._is_taken(candidate.lower()):
            number += 1
            candidate = f"{wanted}_{number}"
        self._numbers[wanted] = number
        bisect.insort(self._taken, candidate.lower())
        return candidate

    def _is_taken(self, name: str) -> bool:
        position, below = bisect.bisect_left(self._taken, name), bisect.bisect_left(self._taken, f"{name}/")
        return self._taken[position : position + 1] == [name] or any(
            each.startswith(f"{name}/") for each in self._taken[below : below + 1]
        )
