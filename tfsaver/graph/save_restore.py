"""The nodes with which a graph saves and restores its variables: what TensorFlow's Saver adds to a graph.

    S/filename/input -> S/filename -> S/Const                    the prefix, which whoever runs the graph feeds
    S/SaveV2(S/Const, names, slices, values) -> S/control_dependency            the prefix again, once all is saved
    S/RestoreV2(S/Const, names, slices):k -> S/Assign_k -> S/restore_all

S is the scope, `save` for a graph's first Saver. Sharded, each device's variables have a SaveV2 of their own, which writes
to a ShardedFilename, and MergeV2Checkpoints makes one checkpoint of the parts; the restore half has one RestoreV2 a device.
The names, their numbers and the order of the nodes are TensorFlow's, node for node.

Two flavours. `"1.15"` is what TensorFlow 1.15 writes and every later one reads. `"2.21"` has what newer ones add: attributes
that say the default, marks of control dependencies, a DisableCopyOnRead; older programs refuse it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.saver_node_maker import SHARDED_NAMES, Flavour, Format, SaverNodeMaker
from tfsaver.graph.tensor_names import free_name


class SaverNodes(NamedTuple):
    """A Saver as a graph has it.

    Attributes:
        nodes: Its nodes, in TensorFlow's order.
        saver_def: The names of what to feed and to run.
    """

    nodes: list[schemas.NodeDef]
    saver_def: schemas.SaverDef


def saver_nodes(
    variables: Iterable[GraphVariable],
    *,
    scope: str = "save",
    flavour: Flavour = "1.15",
    format: Format = "v2",  # noqa: A002 - what save_checkpoint calls it
    sharded: bool = False,
    reshape: bool = False,
    filename: str = "model",
    sharded_names: str = SHARDED_NAMES,
    max_to_keep: int = 5,
    keep_checkpoint_every_n_hours: float = 10000.0,
) -> SaverNodes:
    """The nodes that save and restore `variables`, and the SaverDef that names them.

    Args:
        variables: What to save, in any order, but for the parts of one tensor, whose order stays.
        scope: What the nodes' names begin with; "" for nothing. No other node may be in it.
        flavour: Whose nodes they are; the older ones run everywhere.
        format: What the save half writes. The restore half reads both.
        sharded: One data file for each device that variables are on.
        reshape: Restored values take their variable's shape when they have as many elements.
        filename: The prefix when none is fed.
        sharded_names: Where the shards are before they are merged, behind the prefix; only in the older flavour. TensorFlow
            1.15 puts a random number there.
        max_to_keep: For the SaverDef; it concerns programs, not the graph.
        keep_checkpoint_every_n_hours: Likewise.

    Raises:
        InvalidArgumentError: No variables, two with one name, an unknown flavour or format, a shape to reshape to that is
            not known, or a device's name that is none.
    """
    ordered = sorted(variables, key=lambda variable: variable.name)
    _check(ordered, flavour, format)
    maker = SaverNodeMaker(scope, flavour, format, reshape)
    if sharded:
        save_tensor, restore_op = maker.sharded(ordered, filename, sharded_names)
    else:
        save_tensor, restore_op = maker.unsharded(ordered, filename)
    saver_def = schemas.SaverDef(
        filename_tensor_name=f"{maker.prefix}:0",
        save_tensor_name=f"{save_tensor}:0",
        restore_op_name=restore_op,
        max_to_keep=max_to_keep,
        sharded=sharded,
        keep_checkpoint_every_n_hours=keep_checkpoint_every_n_hours,
        version=schemas.SaverDef.V1 if format == "v1" else schemas.SaverDef.V2,
    )
    return SaverNodes(maker.nodes, saver_def)


def with_saver(
    meta_graph: schemas.MetaGraphDef,
    variables: Iterable[GraphVariable],
    *,
    scope: str = "save",
    **options: Any,
) -> schemas.MetaGraphDef:
    """A copy of a MetaGraphDef with a Saver for `variables`, which takes the place of the one that it has.

    The old one's nodes stay, unless the graph has been pruned; the new ones' scope gets a number where it is taken. Without
    variables the copy has no Saver.

    Args:
        variables: As `find_variables` gives them.
        scope: What the nodes' names begin with.
        options: Those of `saver_nodes`.

    Raises:
        InvalidArgumentError: A variable is not in the graph; or as `saver_nodes` has it.
    """
    chosen = list(variables)
    names = {node.name for node in meta_graph.graph_def.node}
    for variable in chosen:
        if variable.node not in names:
            raise InvalidArgumentError(f"variable {variable.node!r} is not in the graph")
    changed = schemas.MetaGraphDef()
    changed.CopyFrom(meta_graph)
    changed.ClearField("saver_def")
    if chosen:
        nodes, saver_def = saver_nodes(chosen, scope=free_name(scope, names), **options)
        changed.graph_def.node.extend(nodes)
        changed.saver_def.CopyFrom(saver_def)
    return changed


def _check(variables: list[GraphVariable], flavour: str, format: str) -> None:  # noqa: A002
    if flavour not in ("1.15", "2.21"):
        raise InvalidArgumentError(f"flavour {flavour!r}; known are '1.15' and '2.21'")
    if format not in ("v1", "v2"):
        raise InvalidArgumentError(f"format {format!r}; known are 'v1' and 'v2'")
    if not variables:
        raise InvalidArgumentError("no variables to save")
    seen: dict[tuple[str, str], GraphVariable] = {}
    for variable in variables:
        if not variable.name:
            raise InvalidArgumentError(f"variable {variable.node!r}: an empty name is none that a checkpoint can hold")
        first = seen.setdefault((variable.name, variable.shape_and_slice), variable)
        if first is not variable:
            raise InvalidArgumentError(f"two variables for {variable.name!r}: {first.node!r} and {variable.node!r}")
    whole = {variable.name for variable in variables if not variable.is_part}
    for variable in variables:
        if variable.is_part and variable.name in whole:
            raise InvalidArgumentError(f"{variable.name!r} is a whole tensor and a part of one: {variable.node!r}")
