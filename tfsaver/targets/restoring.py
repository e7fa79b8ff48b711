"""A checkpoint's tensors into the variables of a program: `restore`, and `compare`, which says whether they are there.

    tfsaver.restore(model, "old/model.ckpt-1000", mapping={"w1": "dense/kernel"})
    tfsaver.restore({"model": model, "optimizer": optimizer}, "old/model.ckpt-1000")

The work is done elsewhere: a `Program` has the variables and their names, `restoring.target_matching` their tensors,
`assignment` reads and assigns. Here it is put together, and nothing is assigned before everything is known to fit.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Literal, TypeAlias

from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.names.name_map import NameMap, NameMapLike, as_name_map
from tfsaver.checkpoint.names.name_steps import Concat, RenameByDict, RenameScope
from tfsaver.checkpoint.names.tensor_names import TensorNames, path_of
from tfsaver.checkpoint.objects.object_graph import ObjectGraph, read_object_graph
from tfsaver.checkpoint.optimizers.optimizer_state import OptimizerState, find_optimizer_state
from tfsaver.checkpoint.restoring.program import Finishing, KerasProgram, ObjectProgram, Program, ProgramVariable
from tfsaver.checkpoint.restoring.target_matching import GLOBAL_STEP, Matching, WantedSlot, WantedVariable
from tfsaver.checkpoint.restoring.target_report import report_on
from tfsaver.checkpoint.selection import Selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.errors import InvalidArgumentError, RestoreError
from tfsaver.graph.training_state import evidence_of, graph_state
from tfsaver.targets.assignment import Assignment, Variables, assign, planned
from tfsaver.targets.comparison import Comparison, compare_values

__all__ = ["compare_source", "restore_source"]

_PART = re.compile(r"(.+)/part_(0|[1-9]\d*)")

By: TypeAlias = "Literal['name', 'shape']"


def restore_source(
    target: Program,
    source: TensorSource,
    *,
    mapping: NameMapLike,
    by: By,
    scope: str | tuple[str, str] | None,
    select: Selection | None,
    cast: bool,
    accept_guesses: bool,
    strict: bool,
    dry_run: DryRun,
    progress: Progress | None = None,
) -> MatchReport:
    """Restores from an open source; `tfsaver.restore` has the arguments and the errors."""
    plan = _plan(target, source, mapping, by, scope, select, cast, accept_guesses)
    if strict and not plan.report.ok:
        raise RestoreError(str(plan.report), report=plan.report)
    variables = plan.variables()
    assign(variables, dry_run=dry_run, progress=progress, assigning=target.assigning)
    report = dataclasses.replace(plan.report, losses=dict(variables.plan.losses()))
    if not isinstance(target, Finishing) or dry_run:
        return report
    num_notes = len(target.notes)
    finished = target.finish()
    return dataclasses.replace(report, target=finished, notes=(*report.notes, *target.notes[num_notes:]))


def compare_source(
    target: Program,
    source: TensorSource,
    *,
    mapping: NameMapLike,
    by: By,
    scope: str | tuple[str, str] | None,
    select: Selection | None,
    cast: bool,
    accept_guesses: bool,
    progress: Progress | None = None,
) -> Comparison:
    """Compares with an open source; `tfsaver.compare` has the arguments and the errors."""
    plan = _plan(target, source, mapping, by, scope, select, cast, accept_guesses)
    return Comparison(**vars(plan.report), different=compare_values(plan.variables(), progress=progress))


def _plan(
    target: Program,
    source: TensorSource,
    mapping: NameMapLike,
    by: By,
    scope: str | tuple[str, str] | None,
    select: Selection | None,
    cast: bool,
    accept_guesses: bool,
) -> _Plan:
    """The plan, with the guesses of the first one taken for a mapping where the caller accepts them."""
    plan = _Plan(target, source, mapping, by, scope, select, cast)
    guesses = plan.report.guesses
    if not accept_guesses or not guesses:
        return plan
    plan = _Plan(target, source, mapping, by, scope, select, cast, guesses)
    guessed = set(guesses.values())
    matched = tuple(item._replace(how="guess") if item.name in guessed else item for item in plan.report.matched)
    plan.report = dataclasses.replace(plan.report, matched=matched)
    return plan


class _Plan:
    """Which variable gets what: everything that is known before values are read."""

    def __init__(
        self,
        target: Program,
        source: TensorSource,
        mapping: NameMapLike,
        by: By,
        scope: str | tuple[str, str] | None,
        select: Selection | None,
        cast: bool,
        guesses: Mapping[str, str] | None = None,
    ) -> None:
        if by not in ("name", "shape"):
            raise InvalidArgumentError(f"by is 'name' or 'shape', not {by!r}")
        name_map = as_name_map(mapping)
        old_scope, new_scope = _scopes(scope)
        self._target = target
        items = self._target.select(select)
        graph = read_object_graph(source)
        node_id = None if graph is None else graph.node_at(old_scope)
        among = None
        if graph is not None and node_id is not None:
            among = graph.keys_below(node_id, source.names) if old_scope else None
            if among is not None and any(item.slot is not None or item.counts is not None for item in items):
                among |= _keys_of_optimizers(source, graph, among)
        elif scope is not None:
            scopes = ("/".join((*old_scope, "")), "/".join((*new_scope, "")))
            step = RenameScope(*scopes, is_only=True, kept=_global_numbers(source, graph))
            name_map = NameMap([step, *name_map.steps], allow_unmatched=name_map.allow_unmatched)
        if guesses:
            name_map = NameMap([*name_map.steps, RenameByDict(guesses)], allow_unmatched=name_map.allow_unmatched)
        if graph is None:
            joins = _joins_of_parts(source, items)
            name_map = NameMap([*name_map.steps, *joins], allow_unmatched=name_map.allow_unmatched) if joins else name_map
        names = TensorNames(source, graph, name_map, among)
        self._source = names.source
        self._has_objects = graph is not None
        self._state = names.with_slots(_state(source, graph))
        keys: dict[int, tuple[str, ...]] = {}
        if graph is not None and isinstance(target, ObjectProgram):
            keys = target.keys_of_objects(graph, source, old_scope, new_scope)
        elif isinstance(target, KerasProgram) and (file_paths := getattr(source, "file_paths", None)):
            keys = target.keys_in_file(file_paths, source)
        wanted, others = self._wanted(items, keys)
        matching = Matching([*wanted.values(), *others], names, self._state, by=by, cast=cast)
        prefix = str(getattr(source, "prefix", None) or getattr(source, "path", None) or "the tensors in memory")
        version = getattr(source, "version", "V2")
        report = report_on(matching, list(wanted.values()), names, checkpoint=prefix, version=version)
        notes = (*self._target.notes, *report.notes)
        if report.missing and graph is not None and isinstance(target, ObjectProgram) and scope is None:
            wanted_ids = {id(item.variable) for item in items}
            notes += tuple(_notes_on_scopes(target, graph, source, wanted_ids, len(keys)))
        self.report = dataclasses.replace(report, notes=notes)
        by_tensor = {wanted_item.tensor: item for item, wanted_item in wanted.items()}
        self._assignments = [Assignment(by_tensor[tensor.wanted], tensor) for tensor in report.matched]

    def variables(self) -> Variables:
        """What the variables get."""
        return planned(self._source, self._assignments, self._state)

    def _wanted(
        self, items: Sequence[ProgramVariable], keys: dict[int, tuple[str, ...]]
    ) -> tuple[dict[ProgramVariable, WantedVariable], list[WantedVariable]]:
        """What to look for, and the variables that slots belong to and that are not wanted themselves."""
        labels = _labels(items, self._target)
        known: dict[int, WantedVariable] = {}
        wanted: dict[ProgramVariable, WantedVariable] = {}
        others: dict[Any, WantedVariable] = {}
        by_name: dict[str, list[int]] = {}
        by_id: dict[str, int] = {}

        def add(item: ProgramVariable, label: str, slot: WantedSlot | None) -> WantedVariable:
            full_shape, tensor_slice = item.part or (None, None)
            tensor = WantedTensor(label, item.dtype, item.shape, full_shape, tensor_slice, getattr(item, "state", None))
            found = keys.get(id(item.whole)) or keys.get(id(item.variable)) or ()
            paths = self._target.paths(item)
            identity = id(item.whole)
            # Objects that have state beside variables have it in a checkpoint of objects, too.
            is_optional = item.is_optional and (tensor.group is None or not self._has_objects)
            return WantedVariable(tensor, identity, item.names, paths, found, slot, item.counts, is_optional)

        for item in self._target.variables:
            if item.slot is None:
                known[id(item.variable)] = add(item, labels.get(item, item.names[0]), None)
                if hasattr(item.variable, "_unique_id"):
                    by_id[str(item.variable._unique_id)] = id(item.variable)
                # An optimizer knows a variable by its own name, whatever the target calls it.
                for name in {*item.names, item.own_name}:
                    by_name.setdefault(name, []).append(id(item.variable))
        for item in items:
            if item.slot is None:
                wanted[item] = known[id(item.variable)]
                continue
            number = by_id.get(item.slot.owner_id, id(item.slot.owner))
            if number not in known and len(by_name.get(item.slot.owner_name, ())) == 1:
                number = by_name[item.slot.owner_name][0]
            owner = known.get(number) or others.get(item.slot.owner_name)
            if owner is None:
                # The slot has the variable's shape and dtype.
                name = item.slot.owner_name
                tensor = WantedTensor(name, item.dtype, item.shape)
                owner = others[name] = WantedVariable(tensor, ("owner of", id(item.variable)), (name,))
            wanted[item] = add(item, labels[item], WantedSlot(owner, item.slot.spellings, item.slot.known))
        chosen = set(wanted.values())
        owners = {item.slot.owner for item in chosen if item.slot is not None} - chosen
        return wanted, list(owners)


def _joins_of_parts(source: TensorSource, items: Sequence[ProgramVariable]) -> list[Concat]:
    """Steps that make whole tensors of ``emb/part_0``, ``emb/part_1``, ...: TensorFlow 2 writes shards by such names.

    Only where a variable wants the whole, under its own name, and the parts are exactly its rows.
    """
    there = set(source.names)
    parts: dict[str, set[int]] = {}
    for name in source.names:
        if match := _PART.fullmatch(name):
            parts.setdefault(match[1], set()).add(int(match[2]))
    joins = []
    for item in items if parts else ():
        shape = item.part[0] if item.part is not None else item.shape
        whole = next((name for name in item.names if name in parts and name not in there), None)
        if whole is None or not shape or parts[whole] != set(range(len(parts[whole]))):
            continue
        infos = [source.info(f"{whole}/part_{number}") for number in range(len(parts[whole]))]
        if all(len(info.shape) == len(shape) and tuple(info.shape[1:]) == tuple(shape[1:]) for info in infos) and (
            sum(info.shape[0] for info in infos) == shape[0] and len({info.dtype.name for info in infos}) == 1
        ):
            joins.append(Concat([info.name for info in infos], whole))
            del parts[whole]
    return joins


def _scopes(scope: str | tuple[str, str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The scope in the checkpoint and the scope in the program, word by word."""
    if scope is None:
        return (), ()
    pair = (scope, "") if isinstance(scope, str) else tuple(scope)
    if len(pair) != 2 or not all(isinstance(side, str) for side in pair):
        raise InvalidArgumentError(f"scope is a name, or the name there and the name here, not {scope!r}")
    old, new = (tuple(word for word in side.split("/") if word) for side in pair)
    return old, new


def _state(source: TensorSource, graph: ObjectGraph | None) -> OptimizerState:
    infos = {name: source.info(name) for name in source.names}
    shapes = {name: tuple(info.shape) for name, info in infos.items()}
    dtypes = {name: info.dtype.name for name, info in infos.items()}
    full_names = None if graph is None else graph.full_names_of_keys()
    state = find_optimizer_state(shapes, full_names, dtypes)
    # The graph is asked only where names do not say all: it may be large.
    evidence = None if state.is_known else evidence_of(graph_state(source), shapes)
    return state if evidence is None else find_optimizer_state(shapes, full_names, dtypes, evidence)


def _keys_of_optimizers(source: TensorSource, graph: ObjectGraph, among: Set[str]) -> frozenset[str]:
    """What optimizers outside of a scope keep for the tensors in it, and what they count."""
    state = _state(source, graph)
    slots = {key for owner in among for keys in state.slots.get(owner, {}).values() for key in keys}
    numbers = {*state.counters, *state.rates, *state.caches, *(state.beta_powers or ())}
    numbers |= {name for name in source.names if path_of(name) in (GLOBAL_STEP, "step")}
    return frozenset(slots | numbers)


def _global_numbers(source: TensorSource, graph: ObjectGraph | None) -> list[str]:
    """What optimizers count outside of all scopes: the step, the powers of the betas, a learning rate."""
    state = _state(source, graph)
    numbers = {GLOBAL_STEP, *state.counters, *state.rates, *state.caches, *(state.beta_powers or ())}
    if graph is None:
        return [name for name in sorted(numbers) if "/" not in name and name in source]
    # A scope of the variables' names; those of an optimizer's slots begin with the optimizer's.
    numbers |= {key for slots in state.slots.values() for keys in slots.values() for key in keys}
    full_names = graph.full_names_of_keys()
    return [name for key in sorted(numbers) for name in (path_of(key), full_names.get(key)) if name]


def _notes_on_scopes(
    target: ObjectProgram, graph: ObjectGraph, source: TensorSource, wanted: set[int], num_found: int
) -> Iterator[str]:
    """Objects of the checkpoint that the target may be a part of."""
    counts: dict[str, int] = {}
    for name in graph.nodes[0].children if graph.nodes else ():
        found = len(wanted & target.keys_of_objects(graph, source, (name,), ()).keys())
        if found > num_found:
            counts[name] = found
    for name, found in sorted(counts.items(), key=lambda item: -item[1])[:3]:
        yield f"scope={name!r} finds {found} of the {len(wanted)} variables as objects of the checkpoint"


def _labels(items: Sequence[ProgramVariable], target: Program) -> dict[ProgramVariable, str]:
    """For each variable the first of its names and paths that no other has; that a mapping can use, too."""
    spellings = {item: (*item.names, *target.paths(item)) for item in items}
    owners = Counter(name for name, _ in {(name, id(item.whole)) for item, names in spellings.items() for name in names})
    return {item: next((name for name in names if owners[name] == 1), names[0]) for item, names in spellings.items()}
