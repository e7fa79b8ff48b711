"""Which of a checkpoint's tensors only training needs, and of which variable each is a slot: by name, or by structure.

Known names (see `optimizer_table`)::

    w/Momentum  w/Adam  w/Adam_1                      TF1: the optimizer's name behind the variable's, numbered by slot
    scope/w/Adam                                      the same, made inside of a scope that the variable is outside of
    w/part_0/Ftrl                                     the same, of one part of a partitioned variable
    beta1_power  scope/beta2_power_1                  TF1's Adam and AdaMax: steps, one number for all variables
    w/adam_m  w/lamb_v  w_slot_vr                     optimizers that came with a model: BERT, LAMB, Adafactor
    training/Adagrad/w/accumulator                    Keras 2 in a graph: the optimizer's name before, the slot's behind
    training/Adagrad/learning_rate                    ... and its numbers
    w/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/...           TF2's object paths
    opt/iter/.ATTRIBUTES/...                          ... and the numbers of the optimizer `opt`
    opt/_variables/2/.ATTRIBUTES/...                  Keras 3: only the object graph says of which variable
    keras_api/metrics/0/total/.ATTRIBUTES/...         the sums of a metric
    iterator/.ATTRIBUTES/ITERATOR_STATE               the position in a data set

Inferences, which are called so (`TrainingTensor.is_inferred`)::

    w/NAME  w/NAME_1                     two or more companions of the variables' dtype and shape, or factored
    w/NAME                               one companion, when NAME has an optimizer's name in it, as in ``g_adam``
    w/STEM_m  w/STEM_v                   a pair of moments
    accum_vars/w                         accumulated gradients: a copy of the variables' names in such a scope
    SCOPE/w/m  SCOPE/m/w  SCOPE/w_m      Keras, when SCOPE has the numbers of an optimizer (``iter``, ``learning_rate``)
    loss_scale, good_steps               numbers of training next to any of these

A companion alone proves little: a moving average has the same form. So a name that says average, mean or variance is never
taken; neither is a group that has a companion of a batch statistic, which no optimizer trains; and a single companion of
another name stays, and is in `questions`. The graph in a `.meta` answers them: see `graph.training_state`.

A name is only taken for a slot when the variable is in the checkpoint too and has the slot's shape, so that a layer that
somebody called Momentum stays a layer. What Keras 3 has under ``opt/_trainable_variables`` is the model's own variables,
which happen to have their shortest path there. A moving average is no slot: it is a second set of weights, often the better
one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, NamedTuple

from tfsaver.checkpoint.optimizers.optimizer_table import (
    BEHIND_THE_VARIABLE,
    COUNTERS,
    FACTORED,
    GGT_BUFFERS,
    KERAS_NUMBERS,
    KERAS_OPTIMIZERS,
    KERAS_SLOTS,
    LOSS_SCALE_COUNTS,
    LOSS_SCALES,
    RATES,
    SLOT_ENDINGS,
    STEP_POWERS,
)
from tfsaver.framework.tensor_shape import Shape
from tfsaver.lib.cached_property import cached_property

_ENDINGS = tuple(ending for ending, _ in SLOT_ENDINGS)
_WITH_STEP_POWERS = ("Adam", "AdamW", "AdaMax")

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_ATTRIBUTES = "/.ATTRIBUTES/"
_ITERATOR = "/.ATTRIBUTES/ITERATOR_STATE"
_OBJECT_SLOT = "/.OPTIMIZER_SLOT/"
_AVERAGE = "/ExponentialMovingAverage"
_NUMBER = re.compile(r"_\d+\Z")
_PART = re.compile(r"/(?:part|t|p|partition|shard)_\d+\Z")
_KERAS_3_STATE = re.compile(r"(?P<optimizer>.+)/_variables/(?P<number>\d+)\Z", re.DOTALL)

# Words of names: of averages and statistics, which are never inferred to be slots, and of optimizers.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NEVER_SLOTS = frozenset(
    {
        *("ema", "avg", "average", "averages", "averaged", "averaging", "moving", "running", "polyak", "swa", "shadow"),
        *("mean", "means", "var", "variance", "std", "stddev", "biased", "sigma", "teacher", "target"),
        *("mask", "masks", "threshold", "min", "max", "scale", "zero", "point", "quant"),
    }
)
_STATISTICS = frozenset(
    {"mean", "variance", "moving_mean", "moving_variance", "moving_stddev", "running_mean", "running_var"}
)
_OPTIMIZER_WORDS = frozenset({"sgd", "lamb", "lars", "lion", "sm", "opt", "optim", "solver", "trainer"})
_OPTIMIZER_PARTS = re.compile(
    "ada(?:m|grad|delta|factor|max|belief)|rms_?prop|momentum|nesterov|ftrl|shampoo|look_?ahead|optimi[sz]er|yogi|novograd",
    re.IGNORECASE,
)
_ACCUMULATORS = re.compile(
    r"(?:\A|/)(?:accum(?:ulat\w*)?|acc)_?(?:vars?|variables|grads?|gradients?)(?:\Z|/)"
    r"|(?:\A|/)(?:grads?|gradients?)_?(?:acc|accum\w*|sums?|buffers?)(?:\Z|/)"
)
_MOMENT = re.compile(r"(?P<stem>.*?)_?(?P<moment>[mv])\Z", re.DOTALL)

_TOTALS = frozenset({"total", "count"})
_CONFUSIONS = frozenset({"true_positives", "true_negatives", "false_positives", "false_negatives"})


class TrainingTensor(NamedTuple):
    """A tensor that only training needs.

    Attributes:
        optimizer: The optimizer's name; in an object-based checkpoint its path. Of another role, whose it is.
        slot: The slot or the number as the checkpoint spells it: ``Adam_1``, ``m``, ``beta1_power``.
        variable: The name of the variable that it is a slot of; None for what belongs to the optimizer as a whole.
        is_inferred: Whether structure says so, and no known name.
        role: What needs it.
    """

    optimizer: str
    slot: str
    variable: str | None
    is_inferred: bool = False
    role: Literal["optimizer", "metric", "iterator"] = "optimizer"

    @property
    def reason(self) -> str:
        """Why a report leaves it out."""
        what = {"optimizer": "state of the optimizer", "metric": "sums of the metric", "iterator": "state of the iterator"}
        return f"{what[self.role]} {self.optimizer}{', by inference' if self.is_inferred else ''}"


class TrainingTensors(NamedTuple):
    """What of a checkpoint only training needs.

    Attributes:
        found: The tensors, by name.
        questions: Companions of variables that may be slots or averages, which is not known: by the companions' own name the
            names of the tensors.
    """

    found: dict[str, TrainingTensor]
    questions: dict[str, tuple[str, ...]]


class GraphEvidence(NamedTuple):
    """What a graph says of variables, by their names in the checkpoint: inferences must not contradict it.

    Attributes:
        trained: Those that training changes.
        state: Those that are known to be an optimizer's: others like them are too.
        averages: Moving averages and batch statistics.
    """

    trained: Collection[str]
    state: Collection[str]
    averages: Collection[str]


def find_training_tensors(
    shapes: Mapping[str, Shape],
    full_names: Mapping[str, str] | None = None,
    *,
    dtypes: Mapping[str, str] | None = None,
    evidence: GraphEvidence | None = None,
) -> TrainingTensors:
    """Which tensors only training needs.

    Args:
        shapes: The shape of every tensor of the checkpoint, by name.
        full_names: For an object-based checkpoint what `object_graph.full_names_of_keys` gives; Keras 3's slots have no
            variable without it.
        dtypes: The name of the dtype of every tensor; a companion of another dtype than the variable's is not inferred to be
            a slot.
        evidence: What the graph says of the variables, where there is one.
    """
    found = _with_known_names(shapes, full_names or {})
    inference = _Inference(shapes, dtypes or {}, found, evidence)
    inference.run()
    found.update(_other_numbers(shapes, dtypes or {}, found))
    found.update(_metrics(shapes, found))
    found.update(
        (name, TrainingTensor(name.removesuffix(_ITERATOR), "ITERATOR_STATE", None, role="iterator"))
        for name in shapes
        if name.endswith(_ITERATOR)
    )
    if evidence is not None:
        for name in {*evidence.trained, *evidence.averages}:
            found.pop(name, None)
    return TrainingTensors({name: found[name] for name in shapes if name in found}, inference.questions)


def find_moving_averages(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """The tensors that are a TF1 moving average of a variable in the checkpoint, and that variable."""
    averages = {name: name.removesuffix(_AVERAGE) for name in shapes if name.endswith(_AVERAGE)}
    return {name: variable for name, variable in averages.items() if shapes.get(variable) == shapes[name]}


def _with_known_names(shapes: Mapping[str, Shape], full_names: Mapping[str, str]) -> dict[str, TrainingTensor]:
    found: dict[str, TrainingTensor] = {}
    for name, shape in shapes.items():
        head, _, tail = name.rpartition("/")
        base = _base(tail)
        tensor = None
        if base in BEHIND_THE_VARIABLE and head:
            tensor = _slot(base, tail, _owner(head, shape, shapes, base))
        elif tail == "VARIABLE_VALUE" and _OBJECT_SLOT in name:
            tensor = _object_slot(name, shapes)
        elif name.endswith(_ENDINGS):
            ending, optimizer = next(item for item in SLOT_ENDINGS if name.endswith(item[0]))
            tensor = _slot(optimizer, ending[1:], _owner(name.removesuffix(ending), shape, shapes, optimizer))
        if tensor is None and (tail in KERAS_SLOTS or tail in KERAS_NUMBERS or base == "Variable"):
            tensor = _in_keras_scope(head, tail, shape, shapes)
        if tensor is not None:
            found[name] = tensor
    found.update(_state_of_objects(shapes, found, full_names))
    return found


def _base(tail: str) -> str:
    return _NUMBER.sub("", tail) if tail[-1:].isdigit() else tail


def _slot(optimizer: str, slot: str, variable: str | None) -> TrainingTensor | None:
    return None if variable is None else TrainingTensor(optimizer, slot, variable)


def _is_factored(slot: Shape, variable: Shape) -> bool:
    """Whether it is what a factored optimizer keeps: some of the dimensions, all with others of one, or a square of one."""
    if not slot or slot == variable:
        return False
    if set(slot) <= set(variable):
        return True
    return len(slot) == len(variable) and all(size in (1, whole) for size, whole in zip(slot, variable, strict=True))


def _is_part(slot: Shape, variable: Shape) -> bool:
    if slot == variable:
        return True
    pairs = list(zip(slot, variable, strict=False))
    return len(slot) == len(variable) and all(a <= b for a, b in pairs) and sum(a != b for a, b in pairs) == 1


def _fits(optimizer: str, slot: Shape, variable: Shape | None) -> bool:
    if variable is None:
        return False
    return slot == variable or (optimizer in FACTORED and _is_factored(slot, variable))


def _owner(name: str, shape: Shape, shapes: Mapping[str, Shape], optimizer: str) -> str | None:
    """The variable of that name, or of the longest end of it that there is: scopes come in front, a part's name behind."""
    whole = _PART.sub("", name)
    while not _fits(optimizer, shape, shapes.get(name)):
        if whole != name and whole in shapes and _is_part(shape, shapes[whole]):
            return whole
        _, slash, name = name.partition("/")
        if not slash:
            return None
        _, _, whole = whole.partition("/")
    return name


def _in_keras_scope(head: str, tail: str, shape: Shape, shapes: Mapping[str, Shape]) -> TrainingTensor | None:
    scopes = head.split("/")
    for position, scope in enumerate(scopes):
        if _base(scope) not in KERAS_OPTIMIZERS:
            continue
        if position == len(scopes) - 1:
            # Old Kerases number their slots in the order of creation: whose they are is not in the name.
            return TrainingTensor(scope, tail, None) if tail.startswith("Variable") or shape == () else None
        variable = "/".join(scopes[position + 1 :])
        if tail in KERAS_SLOTS and shapes.get(variable) == shape:
            return TrainingTensor(scope, tail, variable)
    return None


def _object_slot(name: str, shapes: Mapping[str, Shape]) -> TrainingTensor | None:
    path, _, rest = name.removesuffix(_VALUE).rpartition(_OBJECT_SLOT)
    optimizer, _, slot = rest.rpartition("/")
    if path + _VALUE not in shapes or _is_of_average(slot):
        return None
    return TrainingTensor(optimizer, slot, path + _VALUE)


def _state_of_objects(
    shapes: Mapping[str, Shape], slots: Mapping[str, TrainingTensor], full_names: Mapping[str, str]
) -> dict[str, TrainingTensor]:
    """The numbers of the optimizers that are objects, and the variables that Keras 3 keeps in a list of theirs."""
    paths = [name.removesuffix(_VALUE) for name in shapes if name.endswith(_VALUE) and name not in slots]
    parents: dict[str, set[str]] = {}
    for path in paths:
        parent, _, last = path.rpartition("/")
        parents.setdefault(parent, set()).add(last)
    optimizers = {tensor.optimizer for name, tensor in slots.items() if _OBJECT_SLOT in name}
    for parent, children in parents.items():
        if "_iterations" in children or ("iter" in children and not children.isdisjoint(KERAS_NUMBERS - {"iter"})):
            optimizers.add(parent)
    variables = _Variables(shapes, full_names)
    found = {}
    for path in paths:
        parent, _, last = path.rpartition("/")
        if parent in optimizers and parent and shapes[path + _VALUE] == ():
            found[path + _VALUE] = TrainingTensor(parent, last, None)
        elif (match := _KERAS_3_STATE.match(path)) and match["optimizer"] in optimizers:
            slot, variable = variables.of_slot(path + _VALUE) or (f"_variables/{match['number']}", None)
            # Keras with use_ema=True keeps the averages of the weights where its slots are.
            if variable is None or not _is_of_average(slot):
                found[path + _VALUE] = TrainingTensor(match["optimizer"], slot, variable)
    return found


class _Variables:
    """An object-based checkpoint's variables by their names in the program, for slots that are named after them.

    adam/dense_kernel_momentum             Keras 3: optimizer / variable with _ for / _ slot
    Adam/m/dense/kernel   m/dense/kernel   Keras 2.11 to 2.15: optimizer / slot / variable
    """

    def __init__(self, shapes: Mapping[str, Shape], full_names: Mapping[str, str]) -> None:
        self._shapes = shapes
        self._full_names = full_names
        self._by_name: dict[str, str | None] = {}
        for key, full_name in full_names.items():
            if key in shapes and not _KERAS_3_STATE.match(key.removesuffix(_VALUE)):
                for spelling in {full_name, full_name.replace("/", "_")}:
                    # Two variables of one spelling: rather none than the wrong one.
                    self._by_name[spelling] = None if spelling in self._by_name else key

    def of_slot(self, key: str) -> tuple[str, str] | None:
        """The slot and the key of the variable it is of."""
        full_name = self._full_names.get(key, "")
        first, _, name = full_name.partition("/")
        slot, _, variable = name.partition("/")
        if self._has_shape_of(key, variable):
            return slot, str(self._by_name[variable])
        if self._has_shape_of(key, name) and first in {*KERAS_SLOTS, "average"}:
            return first, str(self._by_name[name])
        end = name.rfind("_")
        while end > 0:
            if self._has_shape_of(key, name[:end]):
                return name[end + 1 :], str(self._by_name[name[:end]])
            end = name.rfind("_", 0, end)
        return None

    def _has_shape_of(self, key: str, variable: str) -> bool:
        owner = self._by_name.get(variable)
        return owner is not None and self._shapes[owner] == self._shapes[key]


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _is_of_average(name: str) -> bool:
    """Whether a slot is an average of the weights; the ``average_gradient`` of RMSprop is not."""
    words = _words(name)
    return "gradient" not in words and not {"ema", "avg", "average", "averages", "polyak", "swa"}.isdisjoint(words)


def _names_optimizer(name: str) -> bool:
    if _OPTIMIZER_PARTS.search(name) is not None or _ACCUMULATORS.search(name) is not None:
        return True
    return not _OPTIMIZER_WORDS.isdisjoint(_words(name))


class _Companion(NamedTuple):
    """A tensor that is called like a variable with one more name behind; `is_whole` unless it lacks dimensions."""

    name: str
    tail: str
    variable: str
    is_whole: bool


class _Inference:
    """Infers slots from structure; `found` gains them."""

    def __init__(
        self,
        shapes: Mapping[str, Shape],
        dtypes: Mapping[str, str],
        found: dict[str, TrainingTensor],
        evidence: GraphEvidence | None,
    ) -> None:
        self._shapes = shapes
        self._dtypes = dtypes
        self._found = found
        self._evidence = evidence
        self._model = frozenset() if evidence is None else frozenset((*evidence.averages, *evidence.trained))
        self.questions: dict[str, tuple[str, ...]] = {}

    def run(self) -> None:
        """Adds what is inferred to the tensors found."""
        self._infer_keras_scopes()
        self._infer_accumulators()
        self._infer_companions()

    def _rest(self) -> Iterator[str]:
        for name in self._shapes:
            if name not in self._found and "/" in name and _ATTRIBUTES not in name and not name.endswith(_AVERAGE):
                yield name

    def _is_same(self, name: str, variable: str) -> bool:
        """Whether it may be a companion of the shape and dtype of a variable that is trained."""
        return (
            self._shapes.get(variable) == self._shapes[name]
            and self._is_variable(variable)
            and self._dtypes.get(variable) == self._dtypes.get(name)
        )

    def _is_variable(self, name: str) -> bool:
        # A variable that the graph does not know is not known to be untrained.
        return name in self._shapes and name not in self._found

    def _covers(self, variables: Collection[str]) -> bool:
        """Whether so many variables have a companion that it is no accident of names: two, or half of all there are."""
        if not any(self._shapes[variable] for variable in variables):
            return False
        return len(variables) > 1 or self._num_variables <= 2

    @cached_property
    def _num_variables(self) -> int:
        names = (name for name, shape in self._shapes.items() if shape and self._is_variable(name))
        return sum(self._variable_of(name, name.rpartition("/")[0]) is None for name in names)

    def _infer_keras_scopes(self) -> None:
        """Keras in a graph, and Keras's variables by their paths, under a name of the optimizer's own."""
        children: dict[str, set[str]] = {}
        for name, shape in self._shapes.items():
            if shape == () and _ATTRIBUTES not in name and name not in self._found:
                parent, _, last = name.rpartition("/")
                children.setdefault(parent, set()).add(last)
        scopes = {scope for scope, names in children.items() if names & COUNTERS and names & (KERAS_NUMBERS - COUNTERS)}
        if not scopes:
            return
        flat: dict[str, str | None] = {}
        for name in self._shapes:
            if "/" in name:
                spelled = name.replace("/", "_")
                flat[spelled] = None if spelled in flat else name
        used: set[str] = set()
        for name in list(self._rest()):
            for scope in (scope for scope in _scopes_of(name) if scope in scopes):
                rest = name[len(scope) + 1 :] if scope else name
                for slot, variable in _keras_readings(rest, flat):
                    if self._is_same(name, variable):
                        used.add(scope)
                        if not _is_of_average(slot):
                            self._add(name, scope or "optimizer", slot, variable)
                        break
                if name in self._found:
                    break
        for scope in used:
            for last in children[scope] & (KERAS_NUMBERS if scope else COUNTERS | RATES):
                self._add(f"{scope}/{last}" if scope else last, scope or "optimizer", last, None)

    def _infer_accumulators(self) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self._rest():
            if _ACCUMULATORS.search(name) is None:
                continue
            for scope in _scopes_of(name):
                variable = name[len(scope) + 1 :]
                if scope and _ACCUMULATORS.search(scope) and self._is_same(name, variable):
                    groups.setdefault(scope, []).append((name, variable))
                    break
        for scope, members in groups.items():
            if self._covers({variable for _, variable in members}):
                for name, variable in members:
                    self._add(name, scope, "accumulator", variable)
                for step in ("local_step", "accum_step", "accum_steps"):
                    for name in (step, f"{scope}/{step}"):
                        if self._shapes.get(name) == ():
                            self._add(name, scope, step, None)

    def _infer_companions(self) -> None:
        groups: dict[str, list[_Companion]] = {}
        for name in self._rest():
            head, _, tail = name.rpartition("/")
            if (owner := self._variable_of(name, head)) is not None:
                groups.setdefault(_base(tail), []).append(_Companion(name, tail, *owner))
        variables = {base: frozenset(member.variable for member in members) for base, members in groups.items()}
        for base, members in groups.items():
            if not _NEVER_SLOTS.isdisjoint(_words(base)) or any(self._is_statistic(name) for name in variables[base]):
                continue
            known = self._evidence
            if not self._model.isdisjoint(member.name for member in members):
                continue
            by_graph = known is not None and any(member.name in known.state for member in members)
            if known is not None:
                members = [member for member in members if member.variable in known.trained]
            is_numbered, is_named = self._is_numbered(members), _names_optimizer(base)
            is_likely = (is_numbered or is_named or self._has_pair(base, variables)) and self._covers(variables[base])
            if by_graph or is_likely or (is_numbered and is_named):
                for member in members:
                    self._add(member.name, base, member.tail, member.variable)
            elif any(member.is_whole and self._shapes[member.name] for member in members):
                self.questions[base] = tuple(member.name for member in members)

    def _variable_of(self, name: str, head: str) -> tuple[str, bool] | None:
        """The variable that a tensor may be a slot of, and whether it is whole.

        It is called like the tensor without its last name, or like the longest end of that.
        """
        shape = self._shapes[name]
        while True:
            for variable in dict.fromkeys((head, _PART.sub("", head))):
                if not self._is_variable(variable):
                    continue
                whole = self._shapes[variable]
                is_whole = shape == whole or (variable != head and _is_part(shape, whole))
                if is_whole or _is_factored(shape, whole):
                    same = self._dtypes.get(variable) == self._dtypes.get(name)
                    return (variable, is_whole) if same else None
            _, slash, head = head.partition("/")
            if not slash:
                return None

    def _is_statistic(self, variable: str) -> bool:
        return variable.rpartition("/")[2] in _STATISTICS

    def _is_numbered(self, members: list[_Companion]) -> bool:
        """Whether each variable, of factored slots each that has rows and columns, has two companions or more."""
        counts: dict[str, int] = {}
        for member in members:
            counts[member.variable] = counts.get(member.variable, 0) + 1
        is_factored = not all(member.is_whole for member in members)
        asked = [number for variable, number in counts.items() if not is_factored or len(self._shapes[variable]) > 1]
        return bool(asked) and min(asked) > 1

    def _has_pair(self, base: str, variables: Mapping[str, frozenset[str]]) -> bool:
        match = _MOMENT.fullmatch(base)
        if match is None:
            return False
        if not match["stem"] and any(tensor.slot in ("vr", "vc") for tensor in self._found.values()):
            # What Adafactor keeps of vectors, which it does not factor, and its first moments.
            return True
        other = f"{base[: match.start('moment')]}{'v' if match['moment'] == 'm' else 'm'}"
        return variables.get(other) == variables[base]

    def _add(self, name: str, optimizer: str, slot: str, variable: str | None) -> None:
        self._found[name] = TrainingTensor(optimizer, slot, variable, is_inferred=True)


def _scopes_of(name: str) -> Iterator[str]:
    """The scopes that a name is in, the outermost first: that of no name, a, a/b."""
    yield ""
    position = name.find("/")
    while position >= 0:
        yield name[:position]
        position = name.find("/", position + 1)


def _keras_readings(rest: str, flat: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """How a name inside of a Keras optimizer's scope may be read: the slot and the variable."""
    head, slash, tail = rest.rpartition("/")
    if slash and tail in KERAS_SLOTS:
        yield tail, head
    first, slash, variable = rest.partition("/")
    if slash and first in KERAS_SLOTS:
        yield first, variable
    # The numbers of tf_keras are in no scope, and its slots in the optimizer's.
    second, slash, variable = variable.partition("/")
    if slash and second in KERAS_SLOTS:
        yield second, variable
    if "/" not in rest:
        end = rest.rfind("_")
        while end > 0:
            variable = flat.get(rest[:end]) or ""
            if (rest[end + 1 :] in KERAS_SLOTS or rest[end + 1 :] == "average") and variable:
                yield rest[end + 1 :], variable
            end = rest.rfind("_", 0, end)


def _other_numbers(
    shapes: Mapping[str, Shape], dtypes: Mapping[str, str], found: Mapping[str, TrainingTensor]
) -> dict[str, TrainingTensor]:
    """The numbers of training that belong to no variable: powers, rates, loss scales, counts of an optimizer's steps."""
    scalars: dict[tuple[str, str], dict[str, str]] = {}
    vectors: dict[tuple[str, str], dict[str, str]] = {}
    for name, shape in shapes.items():
        if name not in found and _ATTRIBUTES not in name:
            parent, _, last = name.rpartition("/")
            # Of several of one kind, such as the powers of two optimizers, each is in the scope of its number.
            of_number = last[len(_base(last)) :]
            (scalars if shape == () else vectors).setdefault((parent, of_number), {})[_base(last)] = name
    numbers: dict[str, TrainingTensor] = {}
    for (parent, number), names in vectors.items():
        if names.keys() >= GGT_BUFFERS:
            for last in GGT_BUFFERS:
                numbers[names[last]] = TrainingTensor("GGT", last, None)
            # Not the program's counter: the optimizer's, in its own scope.
            step = scalars.get((parent, number), {}).get("global_step")
            if parent and step is not None:
                numbers[step] = TrainingTensor("GGT", "global_step", None)
    used = {tensor.optimizer: tensor for tensor in found.values() if tensor.role == "optimizer"}
    optimizer = next((name for name in _WITH_STEP_POWERS if name in used), None)
    is_inferred = optimizer is None
    # An optimizer of another name may be an Adam.
    has_powers = not is_inferred or any(tensor.is_inferred for tensor in used.values())
    if optimizer is None:
        optimizer = next(iter(sorted(used)), None)
    for names in scalars.values():
        is_scaled = not LOSS_SCALES.isdisjoint(names) and (optimizer is not None or not LOSS_SCALE_COUNTS.isdisjoint(names))
        for last, name in names.items():
            if is_scaled and last in LOSS_SCALES | LOSS_SCALE_COUNTS:
                numbers[name] = TrainingTensor("loss scale", last, None, is_inferred=True)
            elif optimizer is None:
                continue
            elif last in STEP_POWERS and has_powers:
                numbers[name] = TrainingTensor(optimizer, name.rpartition("/")[2], None, is_inferred)
            elif (last == "learning_rate" and not dtypes.get(name, "float").startswith(("int", "uint"))) or (
                last == "iter" and not STEP_POWERS.isdisjoint(names)
            ):
                numbers[name] = TrainingTensor(optimizer, last, None, is_inferred=True)
    return numbers


def _metrics(shapes: Mapping[str, Shape], found: Mapping[str, TrainingTensor]) -> dict[str, TrainingTensor]:
    """The sums of metrics: a total and a count and nothing else in a scope, or the numbers of a confusion matrix."""
    scopes: dict[str, dict[str, str]] = {}
    for name in shapes:
        if name not in found and (_ATTRIBUTES not in name or name.endswith(_VALUE)):
            parent, _, last = name.removesuffix(_VALUE).rpartition("/")
            scopes.setdefault(parent, {})[last] = name
    metrics = {}
    for scope, names in scopes.items():
        is_total = set(names) == _TOTALS and all(shapes[name] == () for name in names.values())
        # tf.metrics.precision: precision/true_positives/count
        is_total = is_total or (scope.rpartition("/")[2] in _CONFUSIONS and set(names) == {"count"})
        is_confusion = len(names) > 1 and names.keys() <= _CONFUSIONS and len({shapes[name] for name in names.values()}) == 1
        if scope and (is_total or is_confusion):
            is_named = scope.startswith("keras_api/metrics/") or "/keras_api/metrics/" in scope
            for last, name in names.items():
                metrics[name] = TrainingTensor(scope, last, None, is_inferred=not is_named, role="metric")
    return metrics
