"""One checkpoint as several: each tensor goes to the first part that it belongs to.

Parts of a checkpoint that was written from objects have their parts of the description of these, and each the count of
saves, so that each restores by itself into the objects that it has values for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tfsaver.checkpoint.checkpoint_target import resolved
from tfsaver.checkpoint.editing.edit import Checkpoint, describe, notes_on_tree, open_sources, write_result
from tfsaver.checkpoint.editing.select import SAVE_COUNTER, selected
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.plan import tensor_names
from tfsaver.checkpoint.selection import Selectable, Selection, as_selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.checkpoint.write_report import WriteReport, contents_of
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tfsaver.checkpoint.editing.edit import WriteOptions

Rules = Mapping[str, "Selection | str | Sequence[str]"]


def split(
    checkpoint: Checkpoint,
    parts: Rules,
    *,
    rest: file_io.PathLike | None = None,
    **options: Unpack[WriteOptions],
) -> WriteReport:
    """Writes a checkpoint's tensors as several checkpoints.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        parts: For each prefix to write which tensors it gets: a `Selection` or patterns. The first that fits gets a tensor.
        rest: The prefix for tensors that no part gets; without it, these are an error.
        **options: See `WriteOptions`.

    Raises:
        InvalidArgumentError: A pattern is in no name, a part gets nothing, tensors are left and have no place, or a result
            would lie over the checkpoint or over another result.

    Example:
        >>> tfsaver.split("model.ckpt-1000", {"bert": "^bert/", "head": "^cls/"}, rest="training")  # doctest: +SKIP
    """
    with open_sources([checkpoint]) as [source]:
        shares = _deal_out(source, parts, None if rest is None else file_io.as_path(rest))
        plans = {prefix: selected(source, names) for prefix, names in shares.items()}
        # Whatever is wrong with one part is known before another is written.
        for prefix, plan in plans.items():
            write_result(plan, prefix, **(options | {"dry_run": True}))
        sources, before = (describe(source),), contents_of([source])
        reports = {}
        for prefix, plan in plans.items():
            written = write_result(plan, prefix, **options)
            notes = notes_on_tree(plan, [source])
            reports[prefix] = WriteReport("split", sources, written, before, contents_of([plan]), notes=notes)
        return WriteReport("split", sources, None, before, contents_of(plans.values()), parts=reports)


def _deal_out(source: TensorSource, parts: Rules, rest: str | None) -> dict[str, list[str]]:
    """The names of the tensors that each prefix gets."""
    graph = read_object_graph(source)
    full_names = None if graph is None else graph.full_names_of_keys()
    infos = {name: source.info(name) for name in tensor_names(source)}
    counter = [SAVE_COUNTER] if graph is not None and infos.pop(SAVE_COUNTER, None) is not None else []
    tensors = {name: Selectable(info.shape, info.num_bytes) for name, info in infos.items()}
    left = dict.fromkeys(tensors)
    shares: dict[str, list[str]] = {}
    if not parts:
        raise InvalidArgumentError("a split needs at least one part")
    # However they are spelled, and through whatever links.
    spellings = {} if rest is None else {resolved(rest): rest}
    for prefix, rule in parts.items():
        path = file_io.as_path(prefix)
        place = resolved(path)
        if place in spellings:
            other = spellings[place]
            also = "" if other == path else f", also spelled {other!r}"
            raise InvalidArgumentError(f"{path!r}{also} is the prefix of two parts")
        spellings[place] = path
        # Patterns are looked for in all names, so that only a part which others leave nothing to is an error.
        kept = [name for name in as_selection(rule).select(tensors, full_names=full_names).kept if name in left]
        if not kept:
            raise InvalidArgumentError(f"{path!r} gets no tensor: the parts before it have all that fit")
        for name in kept:
            del left[name]
        shares[path] = [*kept, *counter]
    if left and rest is None:
        more = f", and {len(left) - 5:,} more" if len(left) > 5 else ""
        raise InvalidArgumentError(
            f"{len(left):,} tensors belong to no part, and there is none for the rest: {', '.join(list(left)[:5])}{more}"
        )
    if left and rest is not None:
        shares[rest] = [*left, *counter]
    return shares
