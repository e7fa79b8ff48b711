"""Some of a checkpoint's tensors: a plan builder, and the verb that writes what it plans.

What a selection leaves out is decided by `selection`, which see for the rules; here the tensors go, and with them what the
descriptions say of them, see `plan`. Two tensors are none of the model's and are kept whatever is included:

    _CHECKPOINTABLE_OBJECT_GRAPH    the description of the objects, without what went
    save_counter/...                TensorFlow 2 counts a checkpoint's saves in it, and misses it when it asserts that all
                                    of a program was restored; it goes when a pattern to exclude says so
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

from tfsaver.checkpoint.editing.edit import notes_on_saved_model, notes_on_tree
from tfsaver.checkpoint.editing.object_graph_pruning import prune_object_graph
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, read_object_graph
from tfsaver.checkpoint.plan import Plan, as_plan, tensor_names
from tfsaver.checkpoint.selection import Selectable, Selection, SelectionReport, as_selection, occurs_in
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.checkpoint.write_report import LeftOut, WriteReport, contents_of
from tfsaver.errors import NothingSelectedError
from tfsaver.framework.tensor_shape import num_elements

SAVE_COUNTER = "save_counter/.ATTRIBUTES/VARIABLE_VALUE"


def selected(source: TensorSource, names: Collection[str]) -> Plan:
    """Some tensors of a source.

    Args:
        source: The source.
        names: The names of those to keep.

    Raises:
        TensorNotFoundError: The source has no tensor of one of the names.
    """
    plan = as_plan(source)
    described = {name for name in DESCRIPTIONS if name in source}
    kept = [name for name, _ in itertools.groupby(sorted(names)) if name not in described]
    graph = plan.graph and prune_object_graph(plan.graph, plan.tensor_names, frozenset(kept))
    return plan.with_columns(kept, kept, graph=graph)


def report_of_selection(
    source: TensorSource,
    selection: Selection | str | Sequence[str] | None,
    left_out: Mapping[str, str],
    training: Mapping[str, str] | None = None,
) -> SelectionReport:
    """What of a source is kept and what is left out; see `select`.

    Args:
        source: The source.
        selection: The rules; None for all.
        left_out: What is left out besides, with the reasons.
        training: For `without_optimizer`, what a graph was asked about; see `Selection.select`.

    Raises:
        InvalidArgumentError: A pattern is in no name, or nothing is kept.
    """
    names = tensor_names(source)
    infos = {name: source.info(name) for name in names}
    tensors = {name: Selectable(info.shape, info.num_bytes, info.dtype.name) for name, info in infos.items()}
    rest = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    reasons = {name: left_out[name] for name in names if name in left_out}
    notes: tuple[str, ...] = ()
    if selection is not None:
        rules = as_selection(selection)
        graph = read_object_graph(source)
        counter = {SAVE_COUNTER: rest.pop(SAVE_COUNTER)} if SAVE_COUNTER in rest and not _is_excluded(rules) else {}
        full_names = None if graph is None else graph.full_names_of_keys()
        report = rules.select(rest, full_names=full_names, training=training, others=[*left_out, *counter])
        reasons.update(report.left_out)
        notes = report.notes
        rest.update(counter)
    kept = tuple(name for name in names if name not in reasons)
    if names and not kept:
        raise NothingSelectedError(f"nothing is kept of {len(names):,} tensors")
    return SelectionReport(
        kept,
        {name: reasons[name] for name in names if name in reasons},
        num_parameters_kept=sum(num_elements(infos[name].shape) for name in kept),
        num_parameters_left_out=sum(num_elements(infos[name].shape) for name in reasons),
        num_bytes_kept=sum(infos[name].num_bytes for name in kept),
        num_bytes_left_out=sum(infos[name].num_bytes for name in reasons),
        notes=notes,
    )


def _is_excluded(rules: Selection) -> bool:
    return any(occurs_in(pattern, SAVE_COUNTER) for pattern in rules.exclude)


def report_of_selected(
    verb: str, source: TensorSource, selection: SelectionReport, plan: Plan, written: str | None
) -> WriteReport:
    """The report of a verb that leaves tensors out.

    Args:
        verb: The verb.
        source: What was read.
        selection: What is kept of it.
        plan: The tensors that were written.
        written: The checkpoint's name; None for a dry run.
    """
    return WriteReport(
        verb,
        (source.description,),
        written,
        contents_of([source]),
        contents_of([plan]),
        left_out={name: LeftOut(reason, source.info(name).num_bytes) for name, reason in selection.left_out.items()},
        notes=(*selection.notes, *notes_on_tree(plan, [source]), *notes_on_saved_model(source)),
    )
