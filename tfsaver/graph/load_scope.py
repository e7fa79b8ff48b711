"""Which of TensorFlow's loaders look at which part of a model.

    C++                  TF_LoadSessionFromSavedModel: places every node, restores, runs the init op, imports the graph
    compat.v1            imports the graph with its collections, restores, runs the init op
    tf.saved_model.load  of a model of objects: all functions and the objects; the graph's own nodes are not looked at
                         of any other model, and of one graph among several: what compat.v1 does, without placement

A function that no node of the graph calls is only looked at by the third.
"""

from __future__ import annotations

import functools
import re

from tfsaver import schemas
from tfsaver.graph.findings import CPP, V1, V2, Loader
from tfsaver.graph.functions import called_functions, functions_in, library_functions, needed_functions
from tfsaver.graph.pruning import init_operations
from tfsaver.graph.reach import nodes_before
from tfsaver.graph.saver_keys import CALL_OPS, RESTORE_OPS
from tfsaver.graph.tensor_names import node_of
from tfsaver.lib.cached_property import cached_property

# Registered in TensorFlow 1.15, and not in 2.21.
_REMOVED = """
    BigQueryReader CompareAndBitpack GcsConfigure* GenerateBigQueryReaderPartitions *GradAccumDebug RemoteFusedGraphExecute
    Rpc TensorForest* TryRpc
"""
# Registered in 2.21, where a machine without a GPU or a TPU has no kernel for them.
_WITHOUT_KERNEL = "BoostedTrees* IsBoostedTrees* CudnnRNN* Nccl* *TPU* Infeed* Outfeed*"

_LOWERED = frozenset({"If", "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase"})


@functools.cache
def _pattern(globs: str) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(glob).replace(r"\*", ".*") for glob in globs.split()))


def is_removed(op: str) -> bool:
    """Whether TensorFlow had an operation once, and has it no more."""
    return _pattern(_REMOVED).fullmatch(op) is not None


def lacks_kernel(op: str) -> bool:
    """Whether TensorFlow knows an operation and cannot run it on a CPU."""
    return _pattern(_WITHOUT_KERNEL).fullmatch(op) is not None


class LoadScope:
    """What each loader does with one graph.

    Args:
        meta_graph: The graph.
        is_only_graph: Whether the SavedModel has no other one.

    Attributes:
        has_objects: Whether `tf.saved_model.load` makes objects of it.
        importers: The loaders that import the graph's nodes.
        starters: Those that import it and run the restore and the init op.
        placers: Those that place its nodes on devices.
    """

    def __init__(self, meta_graph: schemas.MetaGraphDef, *, is_only_graph: bool = True) -> None:
        self.has_objects = is_only_graph and meta_graph.HasField("object_graph_def")
        self.is_only_graph = is_only_graph
        self.has_saver = meta_graph.HasField("saver_def")
        self.importers: tuple[Loader, ...] = (CPP, V1) if self.has_objects else (CPP, V1, V2)
        self.starters = self.importers
        runs = self.has_saver or bool(init_operations(meta_graph))
        self.placers: tuple[Loader, ...] = (CPP, V1) if runs else (CPP,)
        self._graph_def = meta_graph.graph_def
        self._restore_op = node_of(meta_graph.saver_def.restore_op_name)

    @cached_property
    def inlined(self) -> set[str]:
        """The branches and loops that become nodes of the graph when it is placed."""
        library = library_functions(self._graph_def)
        found: set[str] = set()
        waiting = [node for node in self._graph_def.node if node.op in _LOWERED]
        while waiting:
            for name in functions_in(waiting.pop().attr):
                if name in library and name not in found:
                    found.add(name)
                    waiting += [node for node in library[name].node_def if node.op in _LOWERED]
        return found

    @cached_property
    def _called(self) -> set[str]:
        """The functions whose bodies are looked at when nodes that call them are imported and placed."""
        library = library_functions(self._graph_def)
        found = called_functions(self._graph_def.node, library) | self.inlined
        waiting = list(found)
        while waiting:
            body = library[waiting.pop()].node_def
            # What a loop in a function calls is looked at when it runs.
            called = called_functions([node for node in body if node.op in CALL_OPS or node.op in library], library)
            waiting += called - found
            found |= called
        return found

    @cached_property
    def _perhaps(self) -> set[str]:
        return needed_functions(self._graph_def, self._graph_def.node) - self._called

    @property
    def openers(self) -> tuple[Loader, ...]:
        """The loaders that need a checkpoint, whether or not they read a tensor of it."""
        return ((V1,) if self.has_saver else ()) + ((V2,) if self.has_objects or self._restores else ())

    @cached_property
    def readers(self) -> tuple[Loader, ...]:
        """The loaders that read tensors of the checkpoint."""
        return ((CPP, V1) if self._restores else ()) + ((V2,) if self.has_objects or self._restores else ())

    @cached_property
    def _restores(self) -> bool:
        nodes = {node.name: node for node in self._graph_def.node}
        library = library_functions(self._graph_def)
        bodies = [[nodes[name] for name in nodes_before(nodes, [self._restore_op])]]
        bodies += [list(library[name].node_def) for name in needed_functions(self._graph_def, bodies[0])]
        for body in bodies:
            # What is read and not used is left out when a function runs.
            used = {node_of(reference) for node in body for reference in node.input}
            if any(node.op in RESTORE_OPS and node.name in used for node in body):
                return True
        return False

    def body(self, function: str | None) -> tuple[Loader, ...]:
        """The loaders that look at the nodes of a function, or of the graph, for None or ""."""
        if not function:
            return self.importers
        return (CPP, V1, V2) if function in self._called else (V2,)

    def perhaps(self, function: str | None) -> tuple[Loader, ...]:
        """The loaders that may look at the nodes of a function."""
        return (CPP, V1) if function in self._perhaps else ()
