"""The nodes of a graph or function that use variables, rewritten to use their values.

    ReadVariableOp(h)           Identity(v)                    ResourceGather(h, i)      GatherV2(v, i, axis)
    VariableShape(h)            Shape(v)                       ResourceGatherNd(h, i)    GatherNd(v, i)
    VarIsInitializedOp(h), IsVariableInitialized(v)            Const(true)
    Identity, Switch, Merge, Enter, While, If, calls ...       the same, for the value's type instead of a handle's

Where a variable's handle was passed on, into a branch, a loop or a function, its value is. A function that is called with
values gets a twin whose arguments have the values' types. What writes to a variable cannot be frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tfsaver import schemas
from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.graph import node_builder
from tfsaver.graph.node_builder import of_int, of_type
from tfsaver.graph.op_defs import table
from tfsaver.graph.tensor_names import is_control, node_of, normalized

# Passes its first input on, to each of these outputs: their names in a function's body.
_CARRIERS: dict[str, tuple[str, ...]] = {
    "Identity": ("output",),
    "Switch": ("output_false", "output_true"),
    "Merge": ("output",),
    "Enter": ("output",),
    "Exit": ("output",),
    "NextIteration": ("output",),
    "RefIdentity": ("output",),
    "RefSwitch": ("output_false", "output_true"),
    "RefMerge": ("output",),
    "RefEnter": ("output",),
    "RefExit": ("output",),
    "RefNextIteration": ("output",),
}
# Calls functions: the inputs before the functions' arguments, the attributes that name them, that of the arguments' types,
# and that of the outputs' types.
_CALLS: dict[str, tuple[int, tuple[str, ...], str, str]] = {
    "PartitionedCall": (0, ("f",), "Tin", "Tout"),
    "StatefulPartitionedCall": (0, ("f",), "Tin", "Tout"),
    "While": (0, ("cond", "body"), "T", "T"),
    "StatelessWhile": (0, ("cond", "body"), "T", "T"),
    "If": (1, ("then_branch", "else_branch"), "Tin", "Tout"),
    "StatelessIf": (1, ("then_branch", "else_branch"), "Tin", "Tout"),
    "Case": (1, ("branches",), "Tin", "Tout"),
    "StatelessCase": (1, ("branches",), "Tin", "Tout"),
}
_LOOPS = frozenset({"While", "StatelessWhile"})
_SHAPES = ("_output_shapes", "output_shapes", "_handle_shapes", "_handle_dtypes", "_handle_data")

# The function of a name, called with values for some of its arguments: the twin's name, and its outputs that are values.
Specialize = Callable[[str, Mapping[int, int]], tuple[str, dict[int, int]]]


class FrozenBody:
    """Rewrites nodes in place.

    Args:
        nodes: Those of the graph, or of one function.
        frozen: References that stand for values now, with the values' data types: the variables' nodes, or arguments.
        references: Those of `frozen` that were references, whose readers may stay as they are.
        function: The function's name; "" for the graph.
        specialize: Gives the twins of functions.
    """

    def __init__(
        self,
        nodes: Iterable[schemas.NodeDef],
        frozen: Mapping[str, int],
        references: Iterable[str],
        function: str,
        specialize: Specialize,
    ) -> None:
        self._nodes = list(nodes)
        self._function = function
        self._specialize = specialize
        self.frozen = dict(frozen)
        self._references = set(references)
        self._places: dict[int, dict[str, list[int]]] = {}
        self.added: list[schemas.NodeDef] = []
        # Outputs that have another name, in a function, now that another operation gives them.
        self.renamed: dict[str, str] = {}

    def rewrite(self) -> None:
        """Raises:
        UnimplementedError: A node writes to a variable, or takes its handle where no value can stand.
        """
        consumers: dict[str, dict[int, None]] = {}
        for number, node in enumerate(self._nodes):
            for reference in node.input:
                if not is_control(reference):
                    consumers.setdefault(self._key(reference), {})[number] = None
        waiting = list(self.frozen)
        touched: dict[int, None] = {}
        while waiting:
            # A node that takes many of them is looked at once for all.
            taken: dict[int, list[str]] = {}
            for reference in waiting:
                for number in consumers.get(reference, ()):
                    taken.setdefault(number, []).append(reference)
            waiting = []
            touched.update(dict.fromkeys(taken))
            for number, references in taken.items():
                for output, data_type, reference in self._outputs_that_pass(number, references):
                    if output not in self.frozen:
                        self.frozen[output] = data_type
                        if reference in self._references:
                            self._references.add(output)
                        waiting.append(output)
        for number in touched:
            self._rewrite_node(self._nodes[number])
        if self.renamed:
            for node in self._nodes:
                for position, reference in enumerate(node.input):
                    if reference in self.renamed:
                        node.input[position] = self.renamed[reference]

    def _key(self, reference: str) -> str:
        return reference if self._function else normalized(reference)

    def _output(self, node: schemas.NodeDef, names: tuple[str, ...], position: int) -> str:
        """The reference to an output: of several single ones, or to an element of one that is a list."""
        if self._function:
            return f"{node.name}:{names[position]}:0" if len(names) > 1 else f"{node.name}:{names[0]}:{position}"
        return f"{node.name}:{position}" if position else node.name

    def _data_inputs(self, node: schemas.NodeDef) -> list[str]:
        return [self._key(each) for each in node.input if not is_control(each)]

    def _outputs_that_pass(self, number: int, references: list[str]) -> Iterator[tuple[str, int, str]]:
        """The outputs of a node that are values since these inputs are; the type of each, and the input it is."""
        node = self._nodes[number]
        if node.op in _CARRIERS:
            first = next((self._key(each) for each in node.input if not is_control(each)), "")
            passed = references[:1] if node.op.endswith("Merge") else [each for each in references if each == first]
            names = _CARRIERS[node.op]
            for reference in passed:
                for position in range(len(names)):
                    yield self._output(node, names, position), self.frozen[reference], reference
        elif node.op in _LOOPS:
            places = self._places_of_inputs(number)
            for reference in references:
                for position in places[reference]:
                    yield self._output(node, ("output",), position), self.frozen[reference], reference
        elif node.op in _CALLS:
            for position, data_type in self._returned(node).items():
                yield self._output(node, ("output",), position), data_type, references[0]

    def _places_of_inputs(self, number: int) -> dict[str, list[int]]:
        if number not in self._places:
            places: dict[str, list[int]] = {}
            self._places[number] = places
            for position, reference in enumerate(self._data_inputs(self._nodes[number])):
                places.setdefault(reference, []).append(position)
        return self._places[number]

    def _frozen_arguments(self, node: schemas.NodeDef) -> dict[int, int]:
        skipped = _CALLS[node.op][0]
        inputs = self._data_inputs(node)[skipped:]
        return {
            position: self.frozen[each]
            for position, each in enumerate(inputs)
            # A reference that is an argument is read when the function is called, and was never a handle.
            if each in self.frozen and each not in self._references
        }

    def _returned(self, node: schemas.NodeDef) -> dict[int, int]:
        """The outputs of a call that are values, since its functions give their arguments back."""
        returned: dict[int, int] = {}
        output_types = node.attr[_CALLS[node.op][3]].list.type
        if schemas.DT_RESOURCE not in output_types:
            return returned
        arguments = self._frozen_arguments(node)
        for function in self._functions(node):
            if function.name:
                returned.update(self._specialize(function.name, arguments)[1])
        return returned

    def _functions(self, node: schemas.NodeDef) -> list[schemas.NameAttrList]:
        found: list[schemas.NameAttrList] = []
        for name in _CALLS[node.op][1]:
            if name in node.attr:
                attr = node.attr[name]
                found += [attr.func] if attr.WhichOneof("value") == "func" else list(attr.list.func)
        return found

    def _rewrite_node(self, node: schemas.NodeDef) -> None:
        if node.op in _CALLS:
            self._rewrite_call(node)
            return
        first = self._data_inputs(node)[0]
        if node.op in ("IsVariableInitialized", "VarIsInitializedOp"):
            self._become_true(node)
            return
        if self._is_plain_use(node):
            return
        if node.op in _CARRIERS and any(each in self.frozen for each in self._data_inputs(node)):
            # Through references or through handles, what passes is a value.
            data_type = next(self.frozen[each] for each in self._data_inputs(node) if each in self.frozen)
            node.op = node.op.removeprefix("Ref")
            node.attr["T"].type = data_type
            self._forget_shapes(node)
            return
        if node.op not in _REWRITES or first not in self.frozen:
            place = f"{self._function}/{node.name}" if self._function else node.name
            raise UnimplementedError(f"node {place!r}: a {node.op} uses a variable, and no value can stand in its place")
        _REWRITES[node.op](self, node, self.frozen[first])

    def _is_plain_use(self, node: schemas.NodeDef) -> bool:
        """Whether a node only takes the value of a reference, as most operations do."""
        if node.op in _CARRIERS and node.op.startswith("Ref"):
            return False
        if node.op.startswith(_WRITES_TO_REFERENCES) or any(each.is_ref for each in _known_arguments(node)[:1]):
            return False
        return all(each in self._references for each in self._data_inputs(node) if each in self.frozen)

    def _forget_shapes(self, node: schemas.NodeDef) -> None:
        for name in _SHAPES:
            if name in node.attr:
                del node.attr[name]

    def _become_true(self, node: schemas.NodeDef) -> None:
        tensor = schemas.TensorProto(dtype=schemas.DT_BOOL, tensor_shape={}, bool_val=[True])
        self._replace(node, "Const", [], {"dtype": of_type(schemas.DT_BOOL), "value": schemas.AttrValue(tensor=tensor)})
        self._rename(node, "is_initialized", "output")

    def _replace(
        self, node: schemas.NodeDef, op: str, inputs: list[str], attrs: Mapping[str, schemas.AttrValue]
    ) -> None:
        controls = [each for each in node.input if is_control(each)]
        kept = {name: value for name, value in node.attr.items() if name.startswith("_") and name not in _SHAPES}
        values = {name: schemas.AttrValue.FromString(value.SerializeToString()) for name, value in kept.items()}
        node.op = op
        del node.input[:]
        node.input.extend([*inputs, *controls])
        node.attr.clear()
        for name, value in {**values, **attrs}.items():
            node.attr[name].CopyFrom(value)

    def _rename(self, node: schemas.NodeDef, old: str, new: str) -> None:
        if self._function:
            self.renamed[f"{node.name}:{old}:0"] = f"{node.name}:{new}:0"

    def _read(self, node: schemas.NodeDef, data_type: int) -> None:
        self._replace(node, "Identity", [node.input[0]], {"T": of_type(data_type)})
        self._rename(node, "value", "output")

    def _shape(self, node: schemas.NodeDef, data_type: int) -> None:
        out_type = node.attr["out_type"].type if "out_type" in node.attr else schemas.DT_INT32
        self._replace(node, "Shape", [node.input[0]], {"T": of_type(data_type), "out_type": of_type(out_type)})

    def _gather(self, node: schemas.NodeDef, data_type: int) -> None:
        batch_dims = node.attr["batch_dims"].i if "batch_dims" in node.attr else 0
        axis = f"{node.name}/axis" if not self._function else f"{node.name}_axis"
        self.added.append(node_builder.int32_const(axis, batch_dims, device=node.device))
        # Nodes in a loop of the old kind must be in it with all that they use.
        self.added[-1].input.extend(f"^{node_of(each)}" for each in node.input[1:2] if not self._function)
        attrs = {
            "Tparams": of_type(data_type),
            "Tindices": of_type(node.attr["Tindices"].type),
            "Taxis": of_type(schemas.DT_INT32),
            "batch_dims": of_int(batch_dims),
        }
        self._replace(node, "GatherV2", [*node.input[:2], f"{axis}:output:0" if self._function else axis], attrs)

    def _gather_nd(self, node: schemas.NodeDef, data_type: int) -> None:
        attrs = {"Tparams": of_type(data_type), "Tindices": of_type(node.attr["Tindices"].type)}
        self._replace(node, "GatherNd", list(node.input[:2]), attrs)

    def _no_op(self, node: schemas.NodeDef, data_type: int) -> None:
        self._replace(node, "NoOp", [], {})

    def _rewrite_call(self, node: schemas.NodeDef) -> None:
        _, _, types, output_types = _CALLS[node.op]
        arguments = self._frozen_arguments(node)
        if not arguments:
            return
        returned = arguments if node.op in _LOOPS else self._returned(node)
        for attr, changed in ((types, arguments), (output_types, returned)):
            stated = node.attr[attr].list.type
            for position, data_type in changed.items():
                if position >= len(stated):
                    raise DataLossError(f"node {node.name!r}: {attr!r} has {len(stated)} types, and needs more")
                stated[position] = data_type
        for function in self._functions(node):
            if function.name:
                function.name = self._specialize(function.name, arguments)[0]
        self._forget_shapes(node)


def _known_arguments(node: schemas.NodeDef) -> list[schemas.OpDef.ArgDef]:
    return list(table()[node.op].input_arg) if node.op in table() else []


_REWRITES: dict[str, Callable[[FrozenBody, schemas.NodeDef, int], None]] = {
    "ReadVariableOp": FrozenBody._read,
    "VariableShape": FrozenBody._shape,
    "ResourceGather": FrozenBody._gather,
    "ResourceGatherNd": FrozenBody._gather_nd,
    "DisableCopyOnRead": FrozenBody._no_op,
}
# What changes a reference: beside what the table knows.
_WRITES_TO_REFERENCES = (
    "Assign",
    "Apply",
    "SparseApply",
    "Scatter",
    "CountUpTo",
    "DestroyTemporaryVariable",
    "ResizeBilinearRef",
    "StridedSliceAssign",
    "BarrierReady",
)
