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
from typing import TYPE_CHECKING

from tfsaver.checkpoint.editing.edit import Checkpoint, describe, notes_on_tree, open_sources, write_result
from tfsaver.checkpoint.editing.object_graph_pruning import prune_object_graph
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, read_object_graph
from tfsaver.checkpoint.plan import Plan, as_plan, tensor_names
from tfsaver.checkpoint.selection import Selectable, Selection, SelectionReport, as_selection, occurs_in
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.checkpoint.write_report import LeftOut, WriteReport, contents_of
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.lib import file_io

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tfsaver.checkpoint.editing.edit import WriteOptions

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


def select(
    checkpoint: Checkpoint,
    prefix: file_io.PathLike,
    selection: Selection | str | Sequence[str] | None = None,
    *,
    verb: str = "select",
    left_out: Mapping[str, str] | None = None,
    **options: Unpack[WriteOptions],
) -> WriteReport:
    """Writes some of a checkpoint's tensors.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        prefix: The checkpoint to write.
        selection: Which tensors: a `Selection`, or patterns of which one must occur in a name; None for all.
        verb: What the report calls it.
        left_out: Tensors to leave out before the selection is asked, and why.
        **options: See `WriteOptions`.

    Raises:
        InvalidArgumentError: A pattern is in no name, nothing is kept, or the result would lie over its source.

    Example:
        >>> print(tfsaver.select("model.ckpt-1000", "bert", "^bert/"))  # doctest: +SKIP
    """
    with open_sources([checkpoint]) as [source]:
        report = report_of_selection(source, selection, left_out or {})
        view = selected(source, report.kept)
        written = write_result(view, prefix, **options)
        return WriteReport(
            verb,
            (describe(source),),
            written,
            contents_of([source]),
            contents_of([view]),
            left_out={name: LeftOut(reason, source.info(name).num_bytes) for name, reason in report.left_out.items()},
            notes=(*report.notes, *notes_on_tree(view, [source])),
        )


def report_of_selection(
    source: TensorSource, selection: Selection | str | Sequence[str] | None, left_out: Mapping[str, str]
) -> SelectionReport:
    """What of a source is kept and what is left out; see `select`.

    Raises:
        InvalidArgumentError: A pattern is in no name, or nothing is kept.
    """
    names = tensor_names(source)
    infos = {name: source.info(name) for name in names}
    rest = {name: Selectable(info.shape, info.num_bytes) for name, info in infos.items() if name not in left_out}
    reasons = {name: left_out[name] for name in names if name in left_out}
    notes: tuple[str, ...] = ()
    if selection is not None:
        rules = as_selection(selection)
        graph = read_object_graph(source)
        counter = {SAVE_COUNTER: rest.pop(SAVE_COUNTER)} if SAVE_COUNTER in rest and not _is_excluded(rules) else {}
        report = rules.select(rest, full_names=None if graph is None else graph.full_names_of_keys())
        reasons.update(report.left_out)
        notes = report.notes
        rest.update(counter)
    kept = tuple(name for name in names if name not in reasons)
    if names and not kept:
        raise InvalidArgumentError(f"nothing is kept of {len(names):,} tensors")
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
