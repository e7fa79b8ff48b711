"""What a mapping makes of a source's tensors: changed tensors, and the slots that follow them.

    w -> transposed             w/Adam is transposed too
    qkv -> q, k, v              qkv/Adam -> q/Adam, k/Adam, v/Adam
    q, k, v -> qkv              q/Adam, k/Adam, v/Adam -> qkv/Adam, where each of them has one
    w -> scaled                 w/Adam is left out: a moment of a scaled variable is another number
    w -> scaled                 w/ExponentialMovingAverage is scaled too: an average becomes what its variable becomes
    w, factored slots           left out: their rows and columns are not those of the variable any more

A slot that the mapping names itself becomes what it says. One that is left out is in the report, with the reason.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from tfsaver.checkpoint.names.changes import Cast, Change, Gates, Joined, Pad, Spec
from tfsaver.checkpoint.names.name_map import Infos, NewNames, Renamed
from tfsaver.checkpoint.names.name_steps import Targets, split_attribute
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS
from tfsaver.checkpoint.optimizers.training_tensors import TrainingTensor, find_moving_averages, find_training_tensors
from tfsaver.checkpoint.plan import Plan, tensor_names
from tfsaver.checkpoint.recipes import Recipe, Take
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import InvalidArgumentError, raise_problems
from tfsaver.framework.tensor_shape import Shape

# For the new name of a variable, its slots and their new names.
Following: TypeAlias = "dict[str, dict[str, str]]"

_SLOT = "/.OPTIMIZER_SLOT/"
# Stands for an optimizer: what is right for a variable is right for its average.
_AVERAGE = "moving average"
# Optimizers whose slots are 0 before the first step.
_BEGIN_WITH_ZERO = frozenset({"Adam", "AdamW", "AdaMax", "LAMB", "LARSOptimizer", "Momentum", "MomentumW"})


class MappedTensors:
    """A source whose changed tensors are made, under the names that they had: what is compared with a program's variables.

    Args:
        source: The source.
        new_names: What the mapping makes of its tensors, by their own names.
        full_names: What variables were called, by key, in a checkpoint that was written from objects.

    Attributes:
        source: The tensors. One that is changed has its old name; one that several become has the names of all of them.
        targets: The new names of the tensors that the mapping speaks of, by their names in `source`.
        changes: What was done to each changed tensor, for people.
        slots: For each changed variable the names of its slots in `source`, by their old names.
        notes: What a report should mention, in sentences.

    Raises:
        InvalidArgumentError: Changes do not fit the tensors; says all.
    """

    def __init__(self, source: TensorSource, new_names: NewNames, full_names: Mapping[str, str]) -> None:
        self.source = source
        self.targets: dict[str, Targets] = {}
        self.changes: dict[str, tuple[str, ...]] = {}
        self.slots: dict[str, dict[str, str]] = {}
        self.notes = new_names.notes()
        if new_names.is_renaming:
            self.targets = {name: targets for name, targets in new_names.changed.items() if targets}
            return
        following = follow_with_slots(infos_of(source), new_names, full_names)
        self.notes += tuple(f"{name} is left out: {why}" for name, why in new_names.left_out().items() if why)
        every = new_names.made()
        used = Counter(name for made in every.values() if made.is_changed for name in made.inputs)
        kept = {name for name, targets in new_names.changed.items() if any(not target.changes for target in targets)}
        self.targets = {
            name: tuple(target for target in new_names.changed[name] if not target.changes) for name in sorted(kept)
        }
        recipes: dict[str, Recipe] = {}
        keys: dict[str, str] = {}
        problems: list[str] = []
        for name, made in every.items():
            if not made.is_changed:
                continue
            key = ", ".join(made.inputs) or f"(constant {name})"
            if len(made.inputs) == 1 and (used[key] > 1 or key in kept):
                key = f"{key} {', '.join(made.changes)}"
            others = (f"{key} ({number})" for number in itertools.count(2))
            key = next(each for each in itertools.chain([key], others) if each not in recipes)
            try:
                recipes[key] = made.recipe(lambda old: Take(source, old))
            except InvalidArgumentError as error:
                problems.append(f"{key!r}, to become {name!r}: {error}")
                continue
            keys[name] = key
            self.targets[key] = (Renamed(name),)
            self.changes[key] = made.changes
        raise_problems("the mapping does not fit the shapes", problems)
        for name, slots in following.items():
            if name in keys:
                self.slots[keys[name]] = {slot: keys[new] for slot, new in slots.items() if new in keys}
            for slot, new in slots.items():
                # A program may know a slot by the name that nothing has changed.
                if keys.get(new) == slot and slot not in every:
                    self.targets[slot] = (*self.targets[slot], Renamed(slot))
        there = [name for name in tensor_names(source) if name not in used or name in kept]
        names = sorted({*there, *recipes})
        self.source = Plan([source], names, names, recipes=recipes)


def infos_of(source: TensorSource, names: Sequence[str] | None = None, keys: Mapping[str, str] | None = None) -> Infos:
    """What a mapping sees of a source's tensors.

    Args:
        source: The source.
        names: The names that it sees; those of all tensors when None.
        keys: For names that the tensors do not have themselves, those that they have.
    """

    def spec_of(name: str) -> Spec:
        info = source.info((keys or {}).get(name, name))
        return Spec(info.dtype, tuple(info.shape))

    return Infos(tensor_names(source) if names is None else names, spec_of)


def follow_with_slots(
    infos: Infos,
    new_names: NewNames,
    full_names: Mapping[str, str],
    keys: Mapping[str, str] | None = None,
) -> Following:
    """Changes the slots of changed variables with them, or leaves them out; those that the mapping names stay as it says.

    Args:
        infos: The tensors before, by the names that the mapping has for them.
        new_names: What the mapping makes of them; gets the slots.
        full_names: What variables were called, by key, in a checkpoint that was written from objects.
        keys: What a checkpoint that was written from objects calls the tensors, where the mapping has other names for them;
            what is not among these is no tensor. None for the same names.

    Returns:
        The new name of each slot that follows, by the new name of its variable.
    """
    following: Following = {}
    there = [name for name in new_names if name not in DESCRIPTIONS and (keys is None or name in keys)]
    names_of = {name if keys is None else keys[name]: name for name in there}
    specs = {key: infos[name] for key, name in names_of.items()}
    stored = {key: spec.shape for key, spec in specs.items()}
    dtypes = {key: spec.dtype.name for key, spec in specs.items()}
    shapes = {names_of[key]: shape for key, shape in stored.items()}
    slots = {
        names_of[key]: found._replace(variable=names_of[found.variable])
        for key, found in find_training_tensors(stored, full_names, dtypes=dtypes).found.items()
        if found.variable in stored
    }
    slots.update(_slots_without_attribute(shapes, slots))
    for key, variable in find_moving_averages(stored).items():
        slots[names_of[key]] = TrainingTensor(_AVERAGE, "", names_of[variable])
    inputs: dict[str, tuple[str, ...]] = {}
    for slot, found in slots.items():
        variable = found.variable or ""
        targets = new_names[variable]
        if slot in new_names.named or not any(target.changes for target in targets) or not new_names[slot]:
            continue
        reason = _reason(found, shapes[slot] == shapes[variable], targets)
        names = _names_of_slot(slot, variable, new_names) if not reason else None
        if names is None:
            reason = reason or f"no name follows from those of {found.variable}"
        if reason or names is None:
            new_names.changed[slot] = ()
            new_names.reasons[slot] = f"slot of {found.variable}: {reason}"
            continue
        pairs = list(zip(targets, names, strict=False))
        changes = [tuple(_of_slot(change, found) for change in target.changes) for target, _ in pairs]
        new_names.changed[slot] = tuple(map(Renamed.of, names, changes))
        for target, name in pairs:
            inputs[name] = (*inputs.get(name, ()), slot)
            following.setdefault(target.name, {})[slot] = name
    _leave_out_incomplete(new_names, inputs)
    return following


def _slots_without_attribute(shapes: Mapping[str, Shape], known: Mapping[str, object]) -> dict[str, TrainingTensor]:
    """Slots of objects under the names that people read."""
    found: dict[str, TrainingTensor] = {}
    for name in shapes:
        variable, separator, rest = name.partition(_SLOT)
        if separator and name not in known and variable in shapes:
            found[name] = TrainingTensor(rest.rpartition("/")[0], rest.rpartition("/")[2], variable)
    return found


def _reason(found: TrainingTensor, has_shape: bool, targets: Targets) -> str:
    """Why nobody can say what a slot should be; empty where it follows."""
    changes: list[Change] = [change for target in targets for change in target.changes]
    if found.optimizer == _AVERAGE:
        return ""
    for change in changes:
        if change.keeps_elements or isinstance(change, Cast):
            continue
        if isinstance(change, Pad) and found.optimizer in _BEGIN_WITH_ZERO:
            continue
        return f"{change}, which says nothing of the slot"
    if not has_shape and any(not isinstance(change, Cast) for change in changes):
        return f"of another shape than the variable, which is {', '.join(map(str, targets[0].changes or changes))}"
    return ""


def _names_of_slot(slot: str, variable: str, new_names: NewNames) -> list[str] | None:
    """The new names of a slot, one for each of its variable's; None where there are none to be told."""
    targets = new_names[variable]
    own = new_names.changed.get(slot)
    if own is not None and len(own) == len(targets) and len({target.name for target in own}) == len(own):
        return [target.name for target in own]
    path, _ = split_attribute(variable)
    slot_path, slot_attribute = split_attribute(slot)
    if _SLOT in slot_path and own is not None and len(own) == 1:
        # The first has followed its variable already; the others differ from it in the variable's part.
        rest = own[0].name.partition(_SLOT)[2]
        return [f"{split_attribute(target.name)[0]}{_SLOT}{rest}" for target in targets]
    new_paths = [split_attribute(target.name)[0] for target in targets]
    if slot_path.startswith(path):
        return [f"{new}{slot_path.removeprefix(path)}{slot_attribute}" for new in new_paths]
    if f"/{path}/" in slot_path:
        return [slot_path.replace(f"/{path}/", f"/{new}/", 1) + slot_attribute for new in new_paths]
    # Keras 3 numbers its slots: the name stays what it is, where there is one.
    is_one = len(targets) == 1 and not any(isinstance(change, Joined) for change in targets[0].changes)
    return [slot] if is_one else None


def _of_slot(change: Change, found: TrainingTensor) -> Change:
    """The change of a variable as that of its slot."""
    if isinstance(change, Pad) and found.optimizer != _AVERAGE:
        return Pad(change.rows, 0, change.axis)
    if isinstance(change, Gates) and found.optimizer != _AVERAGE:
        return Gates(change.before, change.after, (), change.axis)
    return change


def _leave_out_incomplete(new_names: NewNames, following: dict[str, tuple[str, ...]]) -> None:
    """Leaves out slots of joined variables of which not all have such a slot."""
    for name, slots in following.items():
        joins = [join for slot in slots for join in _joins_to(new_names.changed[slot], name)]
        if not joins:
            continue
        lacking = [each for index, each in enumerate(joins[0].inputs) if index not in {join.index for join in joins}]
        for slot in slots if lacking else ():
            new_names.changed[slot] = ()
            new_names.reasons[slot] = f"slot of {joins[0].to}: {', '.join(lacking)} has none"


def _joins_to(targets: Targets, name: str) -> Iterator[Joined]:
    for target in targets:
        if target.name == name:
            yield from (change for change in target.changes if isinstance(change, Joined))
