"""Finds the inputs and outputs of a graph by what is in it, for a caller without the code that made it.

A training graph has many ends, and most of them serve training. An engineer who looks at one goes by this:

    weights      variables; in a frozen graph, large constants
    weighted     an operation that combines weights with data: MatMul(x, w), BiasAdd(x, b), GatherV2(table, ids)
    inputs       placeholders, iterators and queues whose values reach a weighted operation
    labels       those that do not, and meet the predictions only in losses and metrics
    loss         cross entropies, and scalars that nothing but training and summaries reads; the arithmetic before them,
                 up to the activation, the bias or the product that it starts from
    outputs      what no weighted operation reads any more, above all what losses and metrics read and what nothing
                 reads; the more of the weights and inputs it depends on, the likelier

A tensor that takes the place of an input in front of shared weights, as a generator's does in front of a discriminator, is
an output as well. Gradients, slots, savers, initializers, summaries and assertions are left out. The result is a ranking,
not a fact: nothing is exported by it before a caller names the tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tfsaver import schemas
from tfsaver.graph.tensor_names import node_of, output_index

_PLACEHOLDERS = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"})
_PIPELINES = re.compile(r"(IteratorGetNext|QueueDequeue|ReaderRead|DatasetToSingleElement)")
_VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp", "AutoReloadVariable", "TemporaryVariable"})
_READS = frozenset({"Identity", "ReadVariableOp", "Cast", "Enter", "RefEnter", "Switch", "RefSwitch", "Transpose"})
_RANDOM = re.compile(r"(Stateless|Stateful)?(Random|Truncated|ParameterizedTruncated|Multinomial)")
_SAMPLERS = re.compile(r"CandidateSampler|^(LogUniform|LearnedUnigram|FixedUnigram|AllCandidate)")
_LOSSES = re.compile(r"CrossEntropy|CTCLoss|^L2Loss$|^SdcaOptimizer|^InTopK|^WarpCTC")
_EFFECTS = re.compile(
    r"^(Assign|Save|Restore|MergeV2|ShardedFile|Apply|ResourceApply|SparseApply|ResourceSparseApply|Scatter(?!Nd$)|"
    r"ResourceScatter|NoOp|Assert|Print|VarIsInit|IsVariableInit|MakeIterator|Queue(?!Dequeue)|Destroy|Initialize|"
    r"LookupTable(Import|Insert|Export)|Accumulator|ReadVariableOp$|DisableCopy)|Summary|^Stack(Push|Pop|V2)|^StackV2"
)
_TRAINING = re.compile(r"^(Resource)?(Sparse)?Apply|^(Resource)?Scatter(Sub|Add|Update)$")
_UPDATES = re.compile(r"^(Assign|Scatter(?!Nd$)|ResourceScatter|(Resource)?(Sparse)?Apply)")
_PARTS = re.compile(
    r"^(Const|Shape|ShapeN|Size|Rank|Range|Enter|RefEnter|NextIteration|LoopCond|Switch|RefSwitch|ControlTrigger|"
    r"TensorArray\w*|BroadcastGradientArgs|HashTable|MutableHashTable|Iterator\w*|\w*Dataset\w*|Placeholder\w*|VarHandleOp|"
    r"Variable|VariableV2|ReaderV2|\w*ReaderV2|FIFOQueue\w*|RandomShuffleQueue\w*|PaddingFIFOQueue\w*|CheckNumerics|ZerosLike|"
    r"OnesLike|Fill|LinSpace|InvertPermutation|ConcatOffset)$"
)
_GRADIENT = re.compile(r"(^|/)gradients(_\d+)?(/|$)|_grad(_\d+)?(/|$)")
# The places where the forward pass ends and the arithmetic of a loss begins.
_HEADS_TEXT = """
    Softmax LogSoftmax Sigmoid Tanh Relu Relu6 Elu Selu LeakyRelu ArgMax ArgMin BiasAdd BiasAddV1 MatMul BatchMatMul
    BatchMatMulV2 BatchMatMulV3 Conv1D Conv2D Conv3D Conv2DBackpropInput Conv3DBackpropInputV2 DepthwiseConv2dNative
    MaxPool AvgPool FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Exit RefExit TopK TopKV2 GatherV2 Gather
    ResourceGather ResizeBilinear ResizeNearestNeighbor TensorArrayGatherV3 PartitionedCall StatefulPartitionedCall
    Einsum Multinomial LookupTableFindV2 NearestNeighbors CudnnRNN CudnnRNNV3 While StatelessWhile If StatelessIf
    DepthToSpace
"""
_HEADS = frozenset(_HEADS_TEXT.split())
_OF_OP = {
    "Softmax": 5.5,
    "Sigmoid": 4.0,
    "LogSoftmax": 3.0,
    "ArgMax": 3.0,
    "TopK": 3.0,
    "TopKV2": 3.0,
    "Multinomial": 2.0,
    "CTCGreedyDecoder": 3.0,
    "CTCBeamSearchDecoder": 3.0,
    "NonMaxSuppression": 2.0,
    "NonMaxSuppressionV2": 2.0,
    "NonMaxSuppressionV3": 2.0,
    "CombinedNonMaxSuppression": 3.0,
    "LookupTableFindV2": 2.0,
    "Tanh": 1.5,
    "BiasAdd": 1.5,
    "MatMul": 1.0,
    "NearestNeighbors": 2.0,
    "Exit": -1.0,
    "IdentityN": 1.0,
    "Identity": 0.5,
    "Tile": -1.5,
    "AsString": -1.0,
    "ExpandDims": -0.5,
    "StridedSlice": -0.5,
    "Cast": -0.5,
    "Exp": -0.5,
    "Log": -1.0,
    "Neg": -1.0,
}
_GOOD = re.compile(
    r"(^|[/_\d])(outputs?|preds?|predictions?|predicted|prob\w*|scores?|logits?|softmax|embeddings?|results?|answers?|class(es)?|"
    r"class_?ids|detections?|detected|actions?|polic(y|ies)|pi|generated|generator|decoded|decoder|reconstruct\w*|samples?|"
    r"features?|feature_vector|boxes|masks?|encoded|representation|similarity|y_?hat|y_pred|q_?values?|head|final\w*|"
    r"inference|infer|fake\w*|translations?|tags?|viterbi\w*|distances?|vectors?)($|[/_\d:])",
    re.IGNORECASE,
)
_BAD = re.compile(
    r"(^|[/_])(loss(es)?|\w*_loss|cost|costs|acc|accuracy|error|errors|metrics?|mse|mae|rmse|auc|precision|recall|f1|"
    r"confusion\w*|regulariz\w*|train\w*|optimi[sz]\w*|report_uninitialized\w*|summar(y|ies)|zero_fraction\w*|global_step|"
    r"grads?|grad_\w*|learning_rate|l2_regularizer|assert\w*|correct\w*|entropy|kl\w*|perplexity|targets?|labels?)($|[/_\d])",
    re.IGNORECASE,
)
_LOSS_NAME = re.compile(r"(^|/)(loss(es)?|costs?|\w+_loss|loss_\w+|objective|metrics)(_\d+)?(/|$)", re.IGNORECASE)
_HYPER = re.compile(
    r"keep|drop|train|phase|temperature|mode|rate|momentum|is_|prob$|scale|batch_?size|epsilon|beta|alpha|tau", re.IGNORECASE
)
_LABEL_NAME = re.compile(
    r"(^|[/_])(labels?|targets?|y|y_|y_true|truth|ground_truth|gt\w*|one_hot\w*)(_\d+)?($|/)", re.IGNORECASE
)
_SIZES = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"})
# What losses do to predictions before they meet labels.
_OF_LOSSES_TEXT = """
    Log Log1p Neg Exp Abs Maximum Minimum ClipByValue Select SelectV2 GreaterEqual Sub Softplus Reshape Cast Pow Sum
    Mean Merge
"""
_OF_LOSSES = frozenset(_OF_LOSSES_TEXT.split())
# What decides by what comes before, which then is as much of an output.
_DECISIONS_TEXT = """
    ArgMax ArgMin TopK TopKV2 Round Greater GreaterEqual Less LessEqual Equal Multinomial InTopKV2
"""
_DECISIONS = frozenset(_DECISIONS_TEXT.split())
# Of these operations the inputs with these numbers say how long sequences are.
_LENGTHS = {"CTCGreedyDecoder": 1, "CTCBeamSearchDecoder": 1, "ReverseSequence": 1}
# The same numbers, or some of them.
_FORMS = frozenset({"Reshape", "Switch", "Identity", "Slice", "StridedSlice", "Squeeze", "ExpandDims", "Cast", "Transpose"})
_WHOLE_FORMS = frozenset({"Reshape", "Squeeze", "Identity", "Transpose", "EnsureShape"})
# Below this a constant is a shape, an axis or another small number.
_MIN_WEIGHT = 16
_MAX_OUTPUTS = 8
# Tensors that score so much less than the best are inside of the model.
_MAX_DISTANCE = 9.0
_FLOATS = frozenset({1, 2, 14, 19})
_BOOLS = frozenset(
    {"Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalNot", "IsFinite"}
)
_INTERNAL = re.compile(r"(^|/)(while|cond)(_\d+)?/")


class GraphInput(NamedTuple):
    """A tensor that a caller of the graph feeds.

    Attributes:
        name: The tensor's name, without the number where it is 0.
        is_needed: Whether the likeliest outputs depend on it; false for labels and for what only training reads.
        is_placeholder: Whether it is one; an iterator's or a queue's tensor has to be named as an input to be fed.
    """

    name: str
    is_needed: bool
    is_placeholder: bool


class Candidates(NamedTuple):
    """What a graph may be served with.

    Attributes:
        inputs: In the order of the graph, those that the likeliest output needs first.
        outputs: Names of tensors, the likeliest first.
    """

    inputs: list[GraphInput]
    outputs: list[str]


def find_candidates(graph_def: schemas.GraphDef, limit: int = _MAX_OUTPUTS) -> Candidates:
    """Ranks the tensors of a graph that may be its inputs and outputs.

    Args:
        graph_def: The graph; nothing of it is run.
        limit: How many outputs to name.
    """
    return _Ranking(graph_def).candidates(limit)


class _Ranking:
    """One graph, as numbers: nodes by position, sets of sources and of weights as bits."""

    def __init__(self, graph_def: schemas.GraphDef) -> None:
        self._nodes = list(graph_def.node)
        self._index = {node.name: position for position, node in enumerate(self._nodes)}
        self._inputs = [list(self._edges(node)) for node in self._nodes]
        self._readers: list[list[int]] = [[] for _ in self._nodes]
        for position, edges in enumerate(self._inputs):
            for producer, _ in edges:
                self._readers[producer].append(position)
        self._order = self._topological()
        count = len(self._nodes)
        self._is_training = [False] * count
        self._is_loss = [False] * count
        self._mark_training()
        self._sources: dict[tuple[int, int], int] = {}
        self._weights: dict[int, int] = {}
        self._source_bits = [0] * count
        self._weight_bits = [0] * count
        self._spread()
        self._weighted = {position: arguments for position in self._order if (arguments := self._data_arguments(position))}
        self._is_update = self._find_updates()
        self._is_shape = self._find_shapes()
        self._find_roles()
        self._find_losses()

    def _edges(self, node: schemas.NodeDef) -> Iterator[tuple[int, int]]:
        for reference in node.input:
            if not reference.startswith("^") and (producer := self._index.get(node_of(reference))) is not None:
                yield producer, output_index(reference) or 0

    def _topological(self) -> list[int]:
        """Producers before readers; of a loop, the edge back to its start is left out."""
        is_back = [node.op in ("NextIteration", "RefNextIteration") for node in self._nodes]
        waiting = [sum(not is_back[producer] for producer, _ in edges) for edges in self._inputs]
        ready = [position for position, number in enumerate(waiting) if not number]
        order: list[int] = []
        while ready:
            position = ready.pop()
            order.append(position)
            if not is_back[position]:
                for reader in self._readers[position]:
                    waiting[reader] -= 1
                    if not waiting[reader]:
                        ready.append(reader)
        return order + sorted(set(range(len(self._nodes))) - set(order))

    def _mark_training(self) -> None:
        for position in self._order:
            node = self._nodes[position]
            self._is_training[position] = (
                bool(_GRADIENT.search(node.name) or _TRAINING.search(node.op))
                or any(self._is_training[producer] for producer, _ in self._inputs[position])
                or node.op.startswith(("Restore", "Save", "ShardedFile", "MergeV2"))
            )

    def _spread(self) -> None:
        for position, node in enumerate(self._nodes):
            if node.op in _VARIABLES or _is_weight(node):
                self._weights[position] = 1 << len(self._weights)
        # The second time, loops have what their bodies add.
        for _ in range(2):
            for position in self._order:
                self._spread_to(position)

    def _spread_to(self, position: int) -> None:
        node = self._nodes[position]
        if position in self._weights:
            self._weight_bits[position] = self._weights[position]
            return
        sources = weights = 0
        if not (node.op in _PLACEHOLDERS or _PIPELINES.match(node.op)):
            for producer, port in self._inputs[position]:
                sources |= self._source(producer, port)
                weights |= self._weight_bits[producer]
            if not sources and _RANDOM.match(node.op):
                self._sources.setdefault((position, 0), 1 << len(self._sources))
        if node.op.startswith("Assign"):
            sources = weights = 0
        self._source_bits[position] = sources
        self._weight_bits[position] = weights

    def _source(self, producer: int, port: int) -> int:
        """The sources of one output: each tensor of an iterator is one."""
        op = self._nodes[producer].op
        if op in _PLACEHOLDERS or _PIPELINES.match(op) or (producer, 0) in self._sources:
            return self._sources.setdefault((producer, port), 1 << len(self._sources))
        return self._source_bits[producer]

    def _data_arguments(self, position: int) -> list[int]:
        """The inputs with data of an operation that combines them with weights."""
        if self._is_training[position] or _EFFECTS.search(self._nodes[position].op):
            return []
        if _PARTS.match(self._nodes[position].op) or self._nodes[position].op in ("Merge", "Exit", "Assert"):
            return []
        data, has_weights = [], False
        for producer, port in self._inputs[position]:
            if self._source(producer, port):
                data.append(producer)
            elif self._weight_bits[producer]:
                has_weights = True
        return data if has_weights else []

    def _find_roles(self) -> None:
        """Tells inputs from labels."""
        for position in self._order:
            node = self._nodes[position]
            self._is_loss[position] = bool(
                _LOSSES.search(node.op) or _SAMPLERS.search(node.op) or _LOSS_NAME.search(node.name)
            ) or any(self._is_loss[producer] for producer, _ in self._inputs[position])
        effective = 0
        for position in self._weighted:
            if not self._is_loss[position]:
                for producer, port in self._inputs[position]:
                    effective |= self._source(producer, port)
        placeholders = random = hyper = named = 0
        for (producer, port), bit in self._sources.items():
            node = self._nodes[producer]
            if _RANDOM.match(node.op):
                random |= bit
                continue
            placeholders |= bit
            shape = _shape(node, port)
            is_scalar = shape == () or (node.op == "PlaceholderWithDefault" and not shape)
            if is_scalar or (shape is None and _HYPER.search(node.name.rpartition("/")[2])):
                hyper |= bit
            elif _LABEL_NAME.search(node.name):
                named |= bit
        self._random = random & ~effective
        for position, edges in enumerate(self._inputs):
            which = _LENGTHS.get(self._nodes[position].op, len(edges))
            if which < len(edges) and not self._is_training[position]:
                hyper |= self._source(*edges[which]) & placeholders & ~effective
        if not effective & ~random:
            # Without weights on their way, what is called a label is one, and all else is an input.
            effective |= placeholders & ~named if placeholders & ~named & ~hyper else placeholders
        self._effective = effective & ~hyper
        self._hyper = hyper
        self._labels = placeholders & ~effective & ~hyper

    def _readers_of_forward(self, position: int) -> list[int]:
        return [
            reader
            for reader in self._readers[position]
            if not self._is_training[reader]
            and not self._is_loss[reader]
            and not _EFFECTS.search(self._nodes[reader].op)
            and self._nodes[reader].op not in _SIZES
        ]

    def _find_losses(self) -> None:
        """Goes from scalars at the end of the graph up to where their arithmetic begins."""
        self._by_loss = [False] * len(self._nodes)
        self._by_metric = [False] * len(self._nodes)
        for position in range(len(self._nodes)):
            if self._is_loss[position] and not self._is_training[position]:
                self._by_loss_of(position)
            elif self._source_bits[position] & self._labels and not self._is_training[position]:
                for producer, port in self._inputs[position]:
                    if not self._source(producer, port) & self._labels and self._source_bits[producer]:
                        self._mark_joined(producer)
        pending = [position for position in reversed(self._order) if self._is_scalar_end(position)]
        for position in pending:
            self._is_loss[position] = True
            self._by_loss_of(position)

    def _mark_joined(self, position: int) -> None:
        """A tensor that meets a label, and what it is a part or another shape of."""
        while not self._by_metric[position]:
            self._by_metric[position] = True
            if self._nodes[position].op not in _FORMS or not self._inputs[position]:
                break
            position = self._inputs[position][0][0]

    def _is_scalar_end(self, position: int) -> bool:
        node = self._nodes[position]
        if self._is_training[position] or not self._source_bits[position] or _EFFECTS.search(node.op):
            return False
        if _PARTS.match(node.op) or _shape(node, 0) != () or _INTERNAL.search(node.name):
            return False
        return not self._readers_of_forward(position) and any(
            self._is_training[reader] or "Summary" in self._nodes[reader].op for reader in self._readers[position]
        )

    def _by_loss_of(self, start: int) -> None:
        stack = [start]
        while stack:
            reader = stack.pop()
            for producer, port in self._inputs[reader]:
                if self._is_loss[producer] or self._is_training[producer] or not self._source(producer, port):
                    continue
                node = self._nodes[producer]
                meets_label = bool(self._source_bits[reader] & self._labels & ~self._source(producer, port))
                if (
                    node.op in _HEADS
                    or (meets_label and node.op not in _OF_LOSSES and not _is_internal(node))
                    or producer in self._weighted
                    or self._is_normalization(producer)
                    or _is_named(node)
                    or self._readers_of_forward(producer)
                ):
                    self._by_loss[producer] = True
                    continue
                self._is_loss[producer] = True
                stack.append(producer)

    def _is_normalization(self, position: int) -> bool:
        """Whether a node is x / sqrt(...x...), as in l2_normalize."""
        node = self._nodes[position]
        partner = {"Mul": "Rsqrt", "RealDiv": "Sqrt", "Div": "Sqrt", "DivNoNan": "Sqrt"}.get(node.op)
        return partner is not None and any(self._nodes[producer].op == partner for producer, _ in self._inputs[position])

    def _feeds_weighted(self) -> list[bool]:
        """Whether a weighted operation comes later: then a tensor is inside of the model."""
        found = [False] * len(self._nodes)
        arguments = {(position, producer) for position, data in self._weighted.items() for producer in data}
        for _ in range(2):
            for position in reversed(self._order):
                found[position] = any(
                    (reader, position) in arguments or found[reader]
                    for reader in self._readers[position]
                    if not self._is_training[reader]
                    and not self._is_loss[reader]
                    and not _EFFECTS.search(self._nodes[reader].op)
                )
        return found

    def _generated(self) -> set[int]:
        """Tensors that take an input's place in front of weights that both share, in a graph that trains on both."""
        reaches_loss = list(self._is_loss)
        for position in reversed(self._order):
            if self._by_loss[position] or any(reaches_loss[reader] for reader in self._readers[position]):
                reaches_loss[position] = True
        by_weight: dict[int, list[tuple[int, int]]] = {}
        for position, data in self._weighted.items():
            for producer, port in self._inputs[position]:
                if not self._source(producer, port) and self._weight_bits[producer] and reaches_loss[position]:
                    by_weight.setdefault(self._weight_bits[producer], []).extend((position, each) for each in data)
        found: set[int] = set()
        for weight, uses in by_weight.items():
            raw = [use for use in uses if not self._weight_bits[use[1]]]
            made = [use for use in uses if self._weight_bits[use[1]] and not self._weight_bits[use[1]] & weight]
            if raw and made and {position for position, _ in raw} != {position for position, _ in made}:
                found.update(self._start_of(producer) for _, producer in made)
        return found

    def _start_of(self, position: int) -> int:
        """The tensor behind reshapes, casts and joins with what has no weights."""
        while self._nodes[position].op in ("Reshape", "Identity", "Cast", "ConcatV2", "Concat", "ExpandDims", "Squeeze"):
            node = self._nodes[position]
            weighted = [producer for producer, _ in self._inputs[position] if self._weight_bits[producer]]
            if len(weighted) != 1 or _is_named(node):
                break
            position = weighted[0]
        return position

    def candidates(self, limit: int) -> Candidates:
        feeds = self._feeds_weighted()
        generated = self._generated()
        scores = {
            position: self._score(position, feeds[position], position in generated)
            for position in range(len(self._nodes))
            if self._is_eligible(position)
        }
        best = max((self._weight_bits[position].bit_count() for position in scores if not feeds[position]), default=0)
        needed = self._effective.bit_count()
        for position in scores:
            if best:
                scores[position] += 3.0 * min(1.0, self._weight_bits[position].bit_count() / best)
            if needed:
                scores[position] += 2.0 * (self._source_bits[position] & self._effective).bit_count() / needed
        chosen = self._choose(scores, limit)
        return Candidates(self._graph_inputs(chosen), [self._nodes[position].name for position in chosen])

    def _choose(self, scores: dict[int, float], limit: int) -> list[int]:
        """The best, and then what is not another form of one that is chosen already."""
        place = {position: number for number, position in enumerate(self._order)}
        chosen: list[int] = []
        taken: dict[tuple[int, int], int] = {}
        lowest = max(scores.values(), default=0.0) - _MAX_DISTANCE
        near = [position for position in scores if scores[position] >= lowest]
        left = sorted(near, key=lambda position: (-scores[position], -place[position]))[: 16 * limit]
        while left and len(chosen) < limit:
            def value(position: int) -> tuple[float, int]:
                key = (self._weight_bits[position], self._source_bits[position] & ~self._random)
                return scores[position] - 1.5 * taken.get(key, 0), place[position]

            best = max(left, key=value)
            left.remove(best)
            chosen.append(best)
            key = (self._weight_bits[best], self._source_bits[best] & ~self._random)
            taken[key] = taken.get(key, 0) + 1
        return chosen

    def _is_eligible(self, position: int) -> bool:
        node = self._nodes[position]
        if self._is_training[position] or _EFFECTS.search(node.op) or _PARTS.match(node.op) or node.name.startswith("save/"):
            return False
        if _RANDOM.match(node.op) and node.op != "Multinomial":
            return False
        if self._is_update[position] or self._is_shape[position]:
            return False
        if self._readers[position] and all(self._nodes[reader].op in _SIZES for reader in self._readers[position]):
            return False
        if self._sources and any(bit & self._effective for bit in self._sources.values()):
            return bool(self._source_bits[position] & self._effective)
        if self._weights or self._sources:
            return bool(self._weight_bits[position] or self._source_bits[position]) and not self._is_read(position)
        return bool(self._inputs[position])

    def _find_updates(self) -> list[bool]:
        """Whether a node makes nothing but what a variable is given."""
        found = [False] * len(self._nodes)
        for position in reversed(self._order):
            node = self._nodes[position]
            readers = [reader for reader in self._readers[position] if not _GRADIENT.search(self._nodes[reader].name)]
            found[position] = (
                node.op not in _HEADS
                and bool(readers)
                and all(_UPDATES.match(self._nodes[each].op) or found[each] for each in readers)
            )
        return found

    def _find_shapes(self) -> list[bool]:
        """Whether a node depends on the sizes of data, and not on the data."""
        found = [False] * len(self._nodes)
        for position in self._order:
            data = [producer for producer, port in self._inputs[position] if self._source(producer, port)]
            found[position] = self._nodes[position].op in _SIZES or (bool(data) and all(found[each] for each in data))
        return found

    def _is_read(self, position: int) -> bool:
        """Whether a node is a variable's value and nothing else."""
        while self._nodes[position].op in _READS and self._inputs[position]:
            position = self._inputs[position][0][0]
        return position in self._weights

    def _score(self, position: int, feeds_weighted: bool, is_generated: bool) -> float:
        node = self._nodes[position]
        name = node.name
        score = _OF_OP.get(node.op, 0.0)
        if self._is_normalization(position):
            score += 2.0
        if is_generated:
            score += 9.0
        elif feeds_weighted and not self._by_metric[position]:
            # What meets labels is an output even where a loss has weights of its own, as a CRF has.
            score -= 6.0
        readers = self._readers_of_forward(position)
        if all(self._nodes[reader].op in _DECISIONS for reader in readers):
            score += 3.0
        elif not self._by_loss[position] and not self._by_metric[position]:
            score -= 2.0
        if readers and all(self._nodes[reader].op in _WHOLE_FORMS for reader in readers):
            score -= 2.0
        score += 3.0 * self._by_loss[position] + 2.0 * self._by_metric[position]
        score += 0.5 * any("Summary" in self._nodes[reader].op for reader in self._readers[position])
        score += 1.0 * _is_named(node)
        score += 2.0 * bool(_GOOD.search(name)) - 4.0 * bool(_BAD.search(name))
        score -= 8.0 * self._is_loss[position]
        score -= 6.0 * bool(self._source_bits[position] & self._labels)
        score -= 5.0 * (_shape(node, 0) == ())
        score -= 6.0 * _is_internal(node)
        if _bool_output(node):
            score -= 2.0
        return score

    def _is_of_saver(self, position: int) -> bool:
        """Whether nothing but a Saver's nodes, which count as training, reads a node; or nothing at all."""
        return all(
            self._nodes[each].op.startswith(("Save", "Restore", "ShardedFile", "MergeV2"))
            or (self._nodes[each].op in ("PlaceholderWithDefault", "StringJoin", "Identity") and self._is_of_saver(each))
            for each in self._readers[position]
        )

    def _graph_inputs(self, chosen: list[int]) -> list[GraphInput]:
        needed = self._source_bits[chosen[0]] if chosen else 0
        by_node = sorted(self._sources.items(), key=lambda item: item[0])
        found = [
            GraphInput(
                self._nodes[producer].name + (f":{port}" if port else ""),
                bool(bit & needed),
                self._nodes[producer].op in _PLACEHOLDERS,
            )
            for (producer, port), bit in by_node
            if not _RANDOM.match(self._nodes[producer].op) and not self._is_of_saver(producer)
        ]
        return sorted(found, key=lambda each: not each.is_needed)


def _is_weight(node: schemas.NodeDef) -> bool:
    """Whether a node is a constant that may have been a variable: numbers with an axis, not a shape or an axis."""
    if node.op != "Const" or "value" not in node.attr:
        return False
    tensor = node.attr["value"].tensor
    size = 1
    for dim in tensor.tensor_shape.dim:
        size *= max(dim.size, 0)
    return tensor.dtype in _FLOATS and bool(tensor.tensor_shape.dim) and (size >= _MIN_WEIGHT or "/read" in node.name)


def _shape(node: schemas.NodeDef, port: int) -> tuple[int, ...] | None:
    """What a node says of an output's shape, -1 for an open size; None where it says nothing."""
    shape = None
    if "_output_shapes" in node.attr and port < len(node.attr["_output_shapes"].list.shape):
        shape = node.attr["_output_shapes"].list.shape[port]
    elif node.op in _PLACEHOLDERS and "shape" in node.attr and node.attr["shape"].shape.dim:
        shape = node.attr["shape"].shape
    return None if shape is None or shape.unknown_rank else tuple(dim.size for dim in shape.dim)


def _is_internal(node: schemas.NodeDef) -> bool:
    """Whether a node is inside of a loop or a branch; the node by which its result leaves is not."""
    name = node.name
    if node.op in ("Exit", "RefExit", "Merge", "RefMerge"):
        name = re.sub(r"(while|cond)(_\d+)?/[^/]*\Z", "", name)
    return _INTERNAL.search(name) is not None


def _bool_output(node: schemas.NodeDef) -> bool:
    return node.op in _BOOLS


def _is_named(node: schemas.NodeDef) -> bool:
    """Whether somebody gave the node a name of its own: TensorFlow names a node after its operation."""
    last = re.sub(r"(_\d+)+\Z", "", node.name.rpartition("/")[2]).lower().replace("_", "")
    op = node.op.lower()
    return last not in _DEFAULT_NAMES and not op.startswith(last) and not last.startswith(op.rstrip("v234"))


_DEFAULT_NAMES_TEXT = """
    add sub mul div truediv floordiv mod pow neg abs matmul transpose reshape squeeze expanddims concat stack unstack
    split stridedslice gather read mean sum max min prod all any logical and or not equal greater less sigmoid tanh relu
    softmax logistic const zeros ones zeroslike oneslike cast tofloat toint32 toint64 todouble xwplusb biasadd conv1d
    conv2d conv3d separableconv2d batchnorm dropout moments mean variance l2normalize controldependency identity
    initvalue cond tensordot lookup embeddinglookup where select tile pad slice range fill maximum minimum clipbyvalue
    value selectv2 x y a b t e batchnormalization layernorm logsumexp reducesum reducemean weightedsum pointwise
    depthwise
"""
_DEFAULT_NAMES = frozenset(_DEFAULT_NAMES_TEXT.split())
