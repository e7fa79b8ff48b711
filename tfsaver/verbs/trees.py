"""What people save with torch.save, or out of JAX, as a checkpoint: a tree of containers with tensors for leaves.

    tfsaver.save({"epoch": 3, "model": model.state_dict()}, "run/model")      dicts, lists, tuples, namedtuples, nested
    tfsaver.load("run/model")["model"]                                        the same again: containers, order, kinds

The file is an ordinary checkpoint of TensorFlow 2's objects, so that `tf.train.Checkpoint` restores it into variables in
the same nest, and every tool for checkpoints reads it. What that format cannot say stands beside it in one more tensor, as
JSON; `tree_structure` has its form. There is no pickle: loading a file from anywhere runs nothing that is in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.names.mapped_tensors import follow_with_slots
from tfsaver.checkpoint.names.name_map import Infos, NameMap, NameMapLike, Spec, as_name_map
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.plan import Plan
from tfsaver.checkpoint.recipes import Recipe, Take
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.selection import Select, as_selection, occurrence_of, raise_unmatched
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import InvalidArgumentError, raise_problems
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.targets.trees import tensors as tree_tensors
from tfsaver.targets.trees.building import build
from tfsaver.targets.trees.of_checkpoint import read_tree
from tfsaver.targets.trees.plan import PlannedTree
from tfsaver.targets.trees.structure import Branch, Leaf, Node, Value, node_names
from tfsaver.targets.trees.tensors import Framework, read_tensors
from tfsaver.verbs.open_source import Checkpoint, open_source

__all__ = ["load", "save"]


@renamed_options(prefix="target")
@takes_storage_options("target")
def save(
    tree: Any,
    target: file_io.PathLike,
    *,
    num_shards: int = 1,
    overwrite: bool = True,
    dry_run: DryRun = False,
    durable: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> str:
    """Writes a tree of tensors as a checkpoint.

    Containers are dict and OrderedDict (with keys that are str or int), list, tuple and namedtuple; leaves are arrays and
    scalars of numpy, tensors and Parameters of PyTorch, arrays of JAX, and None, bool, int, float, complex, str and bytes.
    Variables and tensors of TensorFlow and Keras are stored too, and come back as arrays. All of the tree is looked at
    before anything is written. Nothing is copied that lies in this machine's memory; what does not comes to it as it is
    written. Tensors that are the same memory are stored once.

    Args:
        tree: A leaf, or a container of leaves and containers.
        target: The checkpoint's path without suffix. Missing directories are made.
        num_shards: The number of data files.
        overwrite: Whether an existing checkpoint may be replaced.
        dry_run: If true, nothing is written: everything is checked that can be without reading values. ``"values"`` reads
            them too.
        durable: Whether to fsync before returning.
        progress: Called with the bytes done and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        The checkpoint's name, as `load` takes it.

    Raises:
        InvalidArgumentError: Something in the tree cannot be stored; says all of it, and nothing was written.

    Example:
        >>> tfsaver.save({"epoch": 3, "model": model.state_dict()}, "/tmp/run/model")  # doctest: +SKIP
    """
    return save_checkpoint(
        PlannedTree(tree),
        target,
        num_shards=num_shards,
        overwrite=overwrite,
        dry_run=dry_run,
        durable=durable,
        progress=progress,
    )


@renamed_options(prefix="checkpoint", include="select")
@takes_storage_options("checkpoint")
def load(
    checkpoint: Checkpoint,
    *,
    framework: Framework | None = None,
    select: Select = None,
    mapping: NameMapLike = None,
    allow_unmatched: bool = False,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> Any:
    """The tree in a checkpoint, with containers and leaves as they were saved.

    Of a checkpoint that TensorFlow wrote, too: one of objects is a nest of dicts and lists of arrays, one of names a dict.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        framework: What tensors are to be: ``numpy``, ``torch`` or ``jax``; None for what they were saved as. Strings are
            numpy's in any case.
        select: The leaves to read: a `Selection`, or patterns of which one must occur in a leaf's name, the keys that lead
            to it joined by slashes; None for all. A dict then has only these, a sequence None in place of the others.
        mapping: Names of leaves to other names, in the forms that `as_name_map` takes. The result is then no tree but a
            dict of leaves by their new names.
        allow_unmatched: Whether it is right that a rule, a table or a name of the mapping, or a pattern, matches nothing.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        progress: Called with the bytes read and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

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
    with open_source(checkpoint, trusted=trusted) as reader:
        nodes = read_tree(reader)
        wanted = _wanted(nodes, select, allow_unmatched=allow_unmatched)
        if mapping is None:
            tensors = {node_id: node for node_id in wanted if isinstance(node := nodes[node_id], Leaf)}
            return build(nodes, read_tensors(reader, tensors, framework, progress=progress), wanted)
        mapped, source = _mapped(nodes, wanted, as_name_map(mapping, allow_unmatched=allow_unmatched), reader)
        leaves = {name: node for name, node in mapped.items() if isinstance(node, Leaf)}
        values = {name: node.value for name, node in mapped.items() if isinstance(node, Value)}
        read = {**values, **read_tensors(source, leaves, framework, progress=progress)}
        return {name: read[name] for name in mapped}


def _wanted(nodes: Sequence[Node], select: Select, *, allow_unmatched: bool) -> set[int]:
    """The numbers of the leaves that are selected; of all nodes without a selection."""
    if select is None or select in ((), []):
        return set(range(len(nodes)))
    rules = as_selection(select, allow_unmatched=allow_unmatched)
    names = node_names(nodes)
    leaves = [node_id for node_id, node in enumerate(nodes) if not isinstance(node, Branch)]
    if not rules.allow_unmatched:
        raise_unmatched(rules.unmatched([names[node_id] for node_id in leaves]))
    included = [occurrence_of(pattern) for pattern in rules.include]
    found = {node_id for node_id in leaves if not included or any(is_in(names[node_id]) for is_in in included)}
    excluded = [occurrence_of(pattern) for pattern in rules.exclude]
    return {node_id for node_id in found if not any(is_in(names[node_id]) for is_in in excluded)}


def _mapped(
    nodes: Sequence[Node], wanted: set[int], name_map: NameMap, reader: TensorSource
) -> tuple[dict[str, Value | Leaf], TensorSource]:
    """The leaves by their new names, and the tensors that they then name."""
    leaves: dict[str, Value | Leaf] = {}
    for name, (node_id, node) in zip(node_names(nodes), enumerate(nodes), strict=True):
        if node_id not in wanted or isinstance(node, Branch):
            continue
        if name in leaves:
            raise InvalidArgumentError(f"two leaves have the name {name!r}: a mapping cannot tell them apart")
        leaves[name] = node

    def leaf_of(name: str) -> Leaf:
        leaf = leaves[name]
        if not isinstance(leaf, Leaf):
            raise InvalidArgumentError(f"{name!r} is not a tensor, but {leaf.value!r}: it can be renamed, and nothing else")
        return leaf

    def spec_of(name: str) -> Spec:
        info = reader.info(leaf_of(name).key)
        return Spec(info.dtype, tuple(info.shape))

    infos = Infos(list(leaves), spec_of)
    new_names = name_map.apply(infos)
    if not new_names.is_renaming:
        graph = read_object_graph(reader)
        keys = {name: leaf.key for name, leaf in leaves.items() if isinstance(leaf, Leaf)}
        follow_with_slots(infos, new_names, {} if graph is None else graph.full_names_of_keys(), keys)
    made = new_names.made()
    recipes: dict[str, Recipe] = {}
    changed: dict[str, Leaf] = {}
    problems: list[str] = []
    for name, each in made.items():
        if not each.is_changed:
            continue
        try:
            inputs = [leaf_of(old) for old in each.inputs] or [Leaf("")]
            if any(leaf.options.get("dtype") != inputs[0].options.get("dtype") for leaf in inputs):
                raise InvalidArgumentError("they were of different types, which the file stores as one")
            keeps = all(change.keeps_elements for _, changes in each.parts for change in changes)
            if "dtype" in inputs[0].options and not keeps:
                raise InvalidArgumentError(f"the file stores {inputs[0].options['dtype']} as another type")
            key = next(key for number in itertools.count() if (key := f"{name} {number}") not in reader)
            recipes[key] = each.recipe(lambda old: Take(reader, leaf_of(old).key))
            changed[name] = inputs[0]._replace(key=key)
        except InvalidArgumentError as error:
            problems.append(f"{', '.join(map(repr, each.inputs)) or 'a constant'}, to become {name!r}: {error}")
    raise_problems("the mapping does not fit the tensors", problems)
    targets = [(target.name, leaves[name]) for name, several in new_names.items() for target in several]
    found: dict[str, Value | Leaf] = {name: changed.get(name, leaf) for name, leaf in targets}
    found.update((name, leaf) for name, leaf in changed.items() if name not in found)
    plain = {leaf.key for name, leaf in found.items() if isinstance(leaf, Leaf) and name not in changed}
    names = sorted({*plain, *recipes})
    return found, Plan([reader], names, names, recipes=recipes) if recipes else reader
