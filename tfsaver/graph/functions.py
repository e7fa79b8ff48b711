"""The functions of a graph's library, and who calls them.

A node calls a function by being an operation of that name, or by naming it in an attribute: `f` of a PartitionedCall, `cond`
and `body` of a While, `branches` of a Case, each with attributes of its own in which there may be more. A function's
gradient is another function, named in the library. A few attributes name functions as text: twins among which TensorFlow
chooses when it optimizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tfsaver import schemas

# Attributes of a function that name others as text.
TEXT_ATTRS = ("forward_function_name", "backward_function_name")


def library_functions(graph_def: schemas.GraphDef) -> dict[str, schemas.FunctionDef]:
    """The functions by their names."""
    return {function.signature.name: function for function in graph_def.library.function}


def called_functions(nodes: Iterable[schemas.NodeDef], library: Mapping[str, object]) -> set[str]:
    """The functions of `library` that some of the nodes name."""
    if not library:
        return set()
    found: set[str] = set()
    for node in nodes:
        if node.op in library:
            found.add(node.op)
        found.update(name for name in functions_in(node.attr) if name in library)
    return found


def functions_in(attrs: Mapping[str, schemas.AttrValue]) -> Iterator[str]:
    """The names of functions in attributes, and in those of what is named there."""
    for value in attrs.values():
        kind = value.WhichOneof("value")
        if kind == "func":
            yield value.func.name
            yield from functions_in(value.func.attr)
        elif kind == "list":
            for function in value.list.func:
                yield function.name
                yield from functions_in(function.attr)


def needed_functions(graph_def: schemas.GraphDef, nodes: Iterable[schemas.NodeDef]) -> set[str]:
    """The functions that nodes call, those that these call, and the gradients of all of them."""
    library = library_functions(graph_def)
    gradients = {gradient.function_name: gradient.gradient_func for gradient in graph_def.library.gradient}
    waiting = called_functions(nodes, library)
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        needed.add(name)
        function = library[name]
        found = called_functions(function.node_def, library)
        found.update(functions_in(function.attr))
        found.update(
            function.attr[key].s.decode("utf-8", "replace") for key in TEXT_ATTRS if key in function.attr
        )
        if name in gradients:
            found.add(gradients[name])
        waiting |= {each for each in found if each in library} - needed
    return needed


def bodies(graph_def: schemas.GraphDef) -> Iterator[tuple[str, Iterable[schemas.NodeDef]]]:
    """The nodes of the graph itself, under the name "", and those of each function under its name."""
    yield "", graph_def.node
    for function in graph_def.library.function:
        yield function.signature.name, function.node_def
