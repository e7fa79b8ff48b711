"""What people save with torch.save, or out of JAX, as a checkpoint: a tree of containers with tensors for leaves.

    tfsaver.save({"epoch": 3, "model": model.state_dict()}, "run/model")      dicts, lists, tuples, namedtuples, nested
    tfsaver.load("run/model")["model"]                                        the same again: containers, order, kinds

The file is an ordinary checkpoint of TensorFlow 2's objects, so that `tf.train.Checkpoint` restores it into variables in
the same nest, and every tool for checkpoints reads it. What that format cannot say stands beside it in one more tensor, as
JSON; `tree_structure` has its form. There is no pickle: loading a file from anywhere runs nothing that is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.names.name_map import NameMapLike, as_name_map
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.convert.trees import tensors as tree_tensors
from tfsaver.convert.trees.building import build
from tfsaver.convert.trees.of_checkpoint import read_tree
from tfsaver.convert.trees.plan import PlannedTree
from tfsaver.convert.trees.structure import Branch, Leaf, Node, Value, node_names
from tfsaver.convert.trees.tensors import WantedTensor, read_tensors
from tfsaver.errors import InvalidArgumentError, nearest_names
from tfsaver.lib import file_io

__all__ = ["load", "save"]


def save(tree: Any, prefix: file_io.PathLike, *, num_shards: int = 1, durable: bool = True) -> str:
    """Writes a tree of tensors as a checkpoint.

    Containers are dict and OrderedDict (with keys that are str or int), list, tuple and namedtuple; leaves are arrays and
    scalars of numpy, tensors and Parameters of PyTorch, arrays of JAX, and None, bool, int, float, complex, str and bytes.
    Variables and tensors of TensorFlow and Keras are stored too, and come back as arrays. All of the tree is looked at
    before anything is written. Nothing is copied that lies in this machine's memory; what does not comes to it as it is
    written. Tensors that are the same memory are stored once.

    Args:
        tree: A leaf, or a container of leaves and containers.
        prefix: The checkpoint's path without suffix. Missing directories are made.
        num_shards: How many data files there are.
        durable: Whether to return only once disks have the bytes.

    Returns:
        The checkpoint's name, as `load` takes it.

    Raises:
        InvalidArgumentError: Something in the tree cannot be stored; says all of it, and nothing was written.

    Example:
        >>> tfsaver.save({"epoch": 3, "model": model.state_dict()}, "/tmp/run/model")  # doctest: +SKIP
    """
    return save_checkpoint(PlannedTree(tree), prefix, num_shards=num_shards, durable=durable)


def load(
    prefix: file_io.PathLike,
    *,
    framework: str | None = None,
    include: str | Iterable[str] = (),
    mapping: NameMapLike = None,
) -> Any:
    """The tree in a checkpoint, with containers and leaves as they were saved.

    Of a checkpoint that TensorFlow wrote, too: one of objects is a nest of dicts and lists of arrays, one of names a dict.

    Args:
        prefix: As `load_checkpoint` takes it.
        framework: What tensors are to be: ``numpy``, ``torch`` or ``jax``; None for what they were saved as. Strings are
            numpy's in any case.
        include: Patterns, of which one must occur in a leaf's name, the keys that lead to it joined by slashes; only these
            leaves are read. A dict has then only what is wanted, a sequence None in the place of the rest.
        mapping: Names of leaves to other names, in the forms that `as_name_map` takes. The result is then no tree but a
            dict of leaves by their new names.

    Raises:
        CheckpointNotFoundError: There is none; names what was looked for and what is there.
        DataLossError: It is damaged.
        MissingExtraError: PyTorch or JAX is needed and is not there.
        InvalidArgumentError: A framework or a pattern that is none, a pattern that occurs nowhere, a mapping that does not
            fit, types that the framework lacks; says all of these.

    Example:
        >>> model.load_state_dict(tfsaver.load("/tmp/run/model")["model"])  # doctest: +SKIP
    """
    tree_tensors.check_framework(framework)
    with load_checkpoint(prefix) as reader:
        nodes = read_tree(reader)
        wanted = _wanted(nodes, include)
        if mapping is None:
            tensors = {node_id: WantedTensor(node) for node_id in wanted if isinstance(node := nodes[node_id], Leaf)}
            return build(nodes, read_tensors(reader, tensors, framework), wanted)
        targets = _mapped(nodes, wanted, mapping)
        mapped = {name: WantedTensor(node, axes) for name, node, axes in targets if isinstance(node, Leaf)}
        values = {name: node.value for name, node, _ in targets if isinstance(node, Value)}
        read = {**values, **read_tensors(reader, mapped, framework)}
        return {name: read[name] for name, _, _ in targets}


def _wanted(nodes: Sequence[Node], include: str | Iterable[str]) -> set[int]:
    """The numbers of the leaves in whose names one of the patterns occurs; of all nodes without patterns."""
    if not (patterns := (include,) if isinstance(include, str) else tuple(include)):
        return set(range(len(nodes)))
    names = node_names(nodes)
    leaves = [node_id for node_id, node in enumerate(nodes) if not isinstance(node, Branch)]
    found: set[int] = set()
    problems = []
    for pattern in patterns:
        try:
            matches = {node_id for node_id in leaves if re.search(pattern, names[node_id])}
        except (re.error, TypeError) as error:
            problems.append(f"{pattern!r} is no regular expression: {error}")
            continue
        found |= matches
        if not matches:
            near = nearest_names(str(pattern), [names[node_id] for node_id in leaves])
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
            problems.append(f"{pattern!r} occurs in none of the {len(leaves)} names{hint}")
    if problems:
        raise InvalidArgumentError(f"include: {'; '.join(problems)}")
    return found


def _mapped(
    nodes: Sequence[Node], wanted: set[int], mapping: NameMapLike
) -> list[tuple[str, Value | Leaf, tuple[int, ...] | None]]:
    """The leaves by their new names, with the order that the axes of each are brought into."""
    leaves: dict[str, Value | Leaf] = {}
    for name, (node_id, node) in zip(node_names(nodes), enumerate(nodes), strict=True):
        if node_id not in wanted or isinstance(node, Branch):
            continue
        if name in leaves:
            raise InvalidArgumentError(f"two leaves have the name {name!r}: a mapping cannot tell them apart")
        leaves[name] = node
    renamed = as_name_map(mapping).apply(leaves)
    return [(target.name, leaves[name], target.transpose) for name, targets in renamed.items() for target in targets]
