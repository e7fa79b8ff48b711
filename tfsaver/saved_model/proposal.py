"""What a graph without signatures may be exported with: tensors with types and shapes, and the call that exports them."""

from __future__ import annotations

import re
from typing import NamedTuple

from tfsaver import schemas
from tfsaver.errors import NotFoundError, SaverError
from tfsaver.framework import dtypes
from tfsaver.graph.candidates import find_candidates
from tfsaver.saved_model.graph_tensors import GraphTensors

_MAX_IN_SENTENCE = 4
_TRAINING_FLAG = re.compile(r"train|phase", re.IGNORECASE)
_KEEP = re.compile(r"keep", re.IGNORECASE)
_DROP = re.compile(r"drop", re.IGNORECASE)


class ProposedTensor(NamedTuple):
    """A tensor that may be an input or an output.

    Attributes:
        name: Its name, without the number where it is 0.
        dtype: Empty where the graph does not say.
        shape: None in it for open sizes; None where the rank is open.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        shape = "[...]" if self.shape is None else f"[{','.join('?' if size is None else str(size) for size in self.shape)}]"
        return f"{self.name} ({self.dtype or '?'} {shape})"


class Proposal(NamedTuple):
    """Likely inputs and outputs.

    Attributes:
        inputs: What the likeliest output depends on.
        other_inputs: Labels, and what only training reads.
        outputs: The likeliest first.
        fixed_inputs: Inputs that are settings of training, by the value that they have when a model serves.
        named_inputs: Inputs that are no placeholders, so that an export has to name them.
    """

    inputs: list[ProposedTensor]
    other_inputs: list[ProposedTensor]
    outputs: list[ProposedTensor]
    fixed_inputs: dict[str, float | bool]
    named_inputs: list[str]

    def call(self, source: str) -> str:
        """The call that exports the likeliest output; empty where there is none.

        Args:
            source: The source as it stands in a program: a path with its quotes, or a name.
        """
        if not self.outputs:
            return ""
        options = [f"outputs={[self.outputs[0].name]!r}"]
        if self.named_inputs:
            names = [each.name for each in self.inputs if each.name not in self.fixed_inputs]
            options.append(f"inputs={names!r}")
        if self.fixed_inputs:
            options.append(f"fixed_inputs={self.fixed_inputs!r}")
        return f"tfsaver.export_saved_model({source}, 'export', {', '.join(options)})"

    def sentence(self, source: str) -> str:
        """What an error about a missing signature says; `source` as in `call`."""
        if not self.outputs:
            return "The graph computes nothing from its inputs or variables that could be an output"
        outputs = ", ".join(map(str, self.outputs[:_MAX_IN_SENTENCE]))
        inputs = ", ".join(map(str, self.inputs)) or "none"
        return f"Likely outputs are {outputs}; inputs of the first: {inputs}. Next: {self.call(source)}"


def propose(meta_graph: schemas.MetaGraphDef) -> Proposal:
    """Finds likely inputs and outputs by `graph.candidates`."""
    graph = GraphTensors(meta_graph)
    found = find_candidates(meta_graph.graph_def)
    inputs = [_tensor(each.name, graph) for each in found.inputs if each.is_needed]
    fixed: dict[str, float | bool] = {}
    for tensor in inputs:
        last = tensor.name.rpartition("/")[2]
        if tensor.dtype == "bool" and _TRAINING_FLAG.search(last):
            fixed[tensor.name] = False
        elif tensor.dtype.startswith("float") and not tensor.shape and (_KEEP.search(last) or _DROP.search(last)):
            fixed[tensor.name] = 1.0 if _KEEP.search(last) else 0.0
    return Proposal(
        inputs,
        [_tensor(each.name, graph) for each in found.inputs if not each.is_needed],
        [_tensor(name, graph) for name in found.outputs],
        fixed,
        [each.name for each in found.inputs if each.is_needed and not each.is_placeholder],
    )


def _tensor(name: str, graph: GraphTensors) -> ProposedTensor:
    try:
        tensor = graph.tensor(name if ":" in name else f"{name}:0")
        dtype = dtypes.from_data_type(tensor.data_type).name if tensor.data_type else ""
    except NotFoundError:
        return ProposedTensor(name, "", None)
    except SaverError:
        dtype = ""
    return ProposedTensor(name, dtype, tensor.shape)
