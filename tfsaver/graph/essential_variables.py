"""Which of a graph's variables only training needs: what the `.meta` beside a checkpoint knows better than names do.

    slots      ApplyAdam(w, w/Adam, w/Adam_1, beta1_power/read, ...)    the variables that the operation that trains a
                                                                       variable changes besides it
    numbers    beta1_power                                             a scalar that such an operation reads
    metrics    the collections metric_variables, local_variables       sums of an evaluation
    averages   AssignMovingAvg(w/average, ...)                         moving averages, which stay

An optimizer that came with a model (BERT's) is made of plain assignments: there names and structure decide (see
`checkpoint.optimizers.training_tensors`), and the graph says what is trained and what is an average. A variable that
training changes is the model's whatever it is called.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.tensor_names import node_of
from tfsaver.graph.variables import find_variables, iterate_variable_defs
from tfsaver.lib import file_io

_TRAINING_OP = re.compile(r"(?:Resource)?(?:Sparse)?Apply(?P<optimizer>[A-Z]\w*)")
# The last operation of `moving_averages.assign_moving_average`, by its name.
_AVERAGING_OP = re.compile(r"(?:\A|/)AssignMovingAvg(?:_\d+)?\Z")
_READING_OPS = frozenset({"Identity", "ReadVariableOp"})
_METRIC_COLLECTIONS = ("metric_variables", "local_variables")


class TrainingState(NamedTuple):
    """What a graph says of its variables, by their names in a checkpoint.

    Attributes:
        reasons: Of those that only training needs, why.
        trained: Those that training changes.
        global_steps: Those that count steps.
        averages: Moving averages, of weights and of batch statistics.
        optimizers: Of those that an optimizer needs, its name.
    """

    reasons: dict[str, str]
    trained: frozenset[str]
    global_steps: frozenset[str]
    averages: frozenset[str]
    optimizers: dict[str, str]


def load_training_state(path: file_io.PathLike) -> TrainingState:
    """What a `.meta` file says of its variables.

    Raises:
        InvalidArgumentError: There is no such file.
        DataLossError: It is no MetaGraphDef, or a variable of it cannot be read.
        UnimplementedError: A variable of a type that no checkpoint can hold.
    """
    name = file_io.as_path(path)
    try:
        meta_graph = schemas.MetaGraphDef.FromString(file_io.read_file(name))
    except DecodeError as error:
        raise DataLossError(f"{name}: no MetaGraphDef: {error}") from error
    except FileNotFoundError as error:
        raise InvalidArgumentError(f"{name}: there is no such .meta file") from error
    return find_training_state(meta_graph)


def find_training_state(meta_graph: schemas.MetaGraphDef) -> TrainingState:
    """Which variables of a graph only training needs.

    Raises:
        DataLossError: A variable, or what a collection says of one, cannot be read.
        UnimplementedError: A variable of a type that no checkpoint can hold.
    """
    variables = {variable.node: variable for variable in find_variables(meta_graph)}
    in_collection: dict[str, set[str]] = {}
    for collection, definition in iterate_variable_defs(meta_graph):
        in_collection.setdefault(collection, set()).add(node_of(definition.variable_name))
    steps = in_collection.get("global_step", set())
    trained = {node for node, variable in variables.items() if variable.trainable}
    reasons: dict[str, str] = {}
    optimizers: dict[str, str] = {}
    training = [(node, match) for node in meta_graph.graph_def.node if (match := _TRAINING_OP.fullmatch(node.op))]
    trained.update(node_of(node.input[0]) for node, _ in training if node.input)
    reads = {
        node.name: node_of(node.input[0])
        for node in meta_graph.graph_def.node
        if node.op in _READING_OPS and node.input and node_of(node.input[0]) in variables
    }
    for node, match in training:
        for name in map(node_of, list(node.input)[1:]):
            if name in variables and name not in trained:
                optimizers.setdefault(variables[name].name, match["optimizer"])
                reasons.setdefault(variables[name].name, f"state of the optimizer {match['optimizer']}, by the graph")
            elif name in reads and reads[name] not in trained | steps and _is_fraction(variables[reads[name]]):
                number = variables[reads[name]].name
                optimizers.setdefault(number, match["optimizer"])
                reasons.setdefault(number, f"number of the optimizer {match['optimizer']}, by the graph")
    averaging = [node for node in meta_graph.graph_def.node if node.input and _AVERAGING_OP.search(node.name) is not None]
    averages = {node_of(node.input[0]) for node in averaging} - trained
    for collection in _METRIC_COLLECTIONS:
        for node_name in in_collection.get(collection, set()) - trained:
            if node_name in variables and node_name not in in_collection.get("variables", ()):
                reasons.setdefault(variables[node_name].name, f"in the graph's {collection}")
    return TrainingState(
        reasons,
        frozenset(variables[node].name for node in trained if node in variables),
        frozenset(variables[node].name for node in steps if node in variables),
        frozenset(variables[node].name for node in averages if node in variables),
        optimizers,
    )


def _is_fraction(variable: GraphVariable) -> bool:
    """Whether it is one number that is no count: a rate, or a power of one."""
    return variable.shape == () and variable.dtype.name.startswith(("float", "bfloat"))
