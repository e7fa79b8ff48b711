"""From any format to any other: a reader, views over it, and a writer.

    open -> choose (include, exclude, essential) -> rename (mapping) -> cast (dtype) -> check -> write

Everything between the two files is lazy: what is not written is not read, and what is written is in memory in pieces where
the libraries of both formats can take and give them. The check comes before the first byte: a tensor that the target cannot
hold as it is, is an error that names all such, and nothing is ever changed to make it fit but what the caller asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.editing.cast import casted
from tfsaver.checkpoint.editing.edit import casts_of
from tfsaver.checkpoint.editing.rename import Renaming, renamed
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.execution import DryRun, Execution, Progress, Target
from tfsaver.checkpoint.fitting import check_fits
from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.names.mapped_tensors import infos_of
from tfsaver.checkpoint.names.name_map import NameMap, NameMapLike, as_name_map
from tfsaver.checkpoint.names.name_steps import RenameByDict, Step
from tfsaver.checkpoint.objects.object_based import for_objects
from tfsaver.checkpoint.objects.object_graph import (
    DESCRIPTIONS,
    OBJECT_GRAPH_KEY,
    TREE_KEY,
    ObjectGraph,
    read_object_graph,
)
from tfsaver.checkpoint.objects.object_graph_like import SAVE_COUNTER_KEY
from tfsaver.checkpoint.objects.object_names import NamesKind, keys_of_readable_names, readable_names, with_readable_names
from tfsaver.checkpoint.restoring.likeness import Likeness, likeness
from tfsaver.checkpoint.selection import Select, Selectable, as_selection, select_of_patterns
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.checkpoint.write_report import Contents, LeftOut, WriteReport, WrittenTensor
from tfsaver.errors import InvalidArgumentError, NothingSelectedError, OptionError, UnimplementedError
from tfsaver.formats.hf import table_for
from tfsaver.formats.registry import Format, FormatName, format_of_source, format_of_target
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.graph.training_state import training_state, training_state_for
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.saved_model.graph_constants import GraphConstants
from tfsaver.verbs.objects import objects_of, values_by_key
from tfsaver.verbs.open_source import Checkpoint, open_source


@dataclasses.dataclass(frozen=True)
class _Origin:
    """What is converted, and what it is."""

    source: TensorSource
    path: str
    format: str
    graph: ObjectGraph | None
    names: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """The tensors that go, as the source calls them, and by the names that people read why the others do not."""

    keys: tuple[str, ...]
    left_out: Mapping[str, LeftOut]
    notes: tuple[str, ...]
    before: Contents


@dataclasses.dataclass(frozen=True)
class _Objects:
    """The objects that are written for."""

    graph: ObjectGraph
    allow_unused: bool
    defaults: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class _Edited:
    """What is written, and what became of what."""

    view: TensorSource
    losses: Mapping[str, Losses]
    old_names: Mapping[str, str]
    old_dtypes: Mapping[str, DType]
    changes: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, LeftOut]
    notes: tuple[str, ...]

    def tensors(self) -> tuple[WrittenTensor, ...]:
        """The tensors that were written."""
        infos = (self.view.info(name) for name in self.view.names if name not in DESCRIPTIONS)
        return tuple(
            WrittenTensor(
                self.old_names.get(info.name, info.name),
                info.name,
                info.dtype,
                info.shape,
                info.num_bytes,
                self.changes.get(info.name, ()),
                self.old_dtypes.get(info.name, info.dtype),
            )
            for info in infos
        )


@renamed_options(select_of_patterns, replaces=("include", "exclude"), source="checkpoint")
@takes_storage_options("checkpoint", "target")
def convert(
    checkpoint: Checkpoint,
    target: file_io.PathLike,
    *,
    format: FormatName | None = None,  # noqa: A002 - the word every saver uses for it
    source_format: FormatName | None = None,
    mapping: NameMapLike = None,
    select: Select = None,
    essential: bool = False,
    allow_unmatched: bool = False,
    dtype: str | None = None,
    names: NamesKind = "path",
    like: Any = None,
    under: str | Sequence[str] = (),
    allow_unused: bool = False,
    defaults: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    num_shards: int = 1,
    overwrite: bool = False,
    durable: bool = True,
    dry_run: DryRun = False,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> WriteReport:
    """Writes the tensors of one file as another, in another format or in the same.

    Args:
        checkpoint: A checkpoint of any kind, a SavedModel, a file of one of the formats in `tfsaver.formats`; an open
            source, or arrays by name.
        target: Where to: a path, or for a checkpoint its prefix. A file is replaced in one step, a directory or a
            checkpoint only with `overwrite`.
        format: What to write: ``V2``, ``V1``, ``object``, ``safetensors``, ``npz``, ``torch``, ``keras``, ``orbax``, ``hf``.
            By default what the target's suffix says, and ``V2`` where it says nothing. ``hf`` is a directory that
            transformers' ``from_pretrained`` opens: the names of a family that it knows (BERT, ALBERT, GPT-2, T5, MobileNet)
            become its own after `mapping`, and training state is left out.
        source_format: What the source is, when its name does not say it.
        mapping: From old names to new ones, with changes of the tensors; see `name_map`.
        select: The tensors to take: a `Selection`, or patterns of which one must occur in an old name; None for all.
        essential: Whether what only training needs is left out: the state of optimizers, told from the `.meta` beside the
            checkpoint, where there is one, and from names.
        allow_unmatched: Whether it is right that a rule, a table or a name of the mapping, or a pattern, matches nothing.
        dtype: What floating-point tensors become, as in ``bfloat16``.
        names: What to call the tensors of an object-based checkpoint: by ``path``, by ``full`` name, by ``key``.
        like: For ``object``, the objects: an object-based checkpoint or a SavedModel, with or without its variables, a
            nested dict of names, a graph. For any other format, a file of the same model, whose names and shapes the tensors
            are to have: what differs is mapped where names, shapes and one change of axes agree, and the mapping is written
            next to `target`, as ``target.mapping.toml``, to look at and to edit. What is left over is an error. For
            ``keras`` that is a file of weights or a ``.keras``, and gives what the model's `load_weights` takes.
        under: With `like` for ``object``, where the root of the objects is to be, as in ``model`` for what
            `tf.train.Checkpoint(model=...)` restores; by default the root is the root.
        allow_unused: With `like`, whether tensors that are for nothing in the model are left out; otherwise they are an
            error.
        defaults: With `like` for ``object``, values for what the source has nothing for, by the paths of the objects: a
            learning rate that TensorFlow 1 never saved, ``{"optimizer/_learning_rate": 0.001}``. For ``hf``, what no shape
            says of the model: ``{"num_attention_heads": 12}``.
        metadata: For ``safetensors``, texts for the header; programs around PyTorch look for ``{"format": "pt"}``.
        num_shards: How many data files a checkpoint, or a directory for transformers, gets.
        overwrite: Whether a directory or a checkpoint that is there may be replaced.
        durable: Whether to return only once disks have the bytes.
        dry_run: Whether to write nothing and give the report alone. All is checked that is known without reading values, and
            the values that a cast may not hold; ``"values"`` reads all others too.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        progress: Called with how many bytes are done and how many there are.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        What was written and what was left out; printed, it is a few lines.

    Raises:
        UnimplementedError: The target cannot hold some of the tensors; names all of them. Nothing is written.
        InvalidArgumentError: The arguments, the mapping or the objects do not fit; nothing is written.
        FileNotFoundError: The source is not there.
        NotFoundError: Objects of `like` have no tensor.
        AlreadyExistsError: The target is there and may not be replaced.
        DataLossError: The source is damaged; the target is as it was.
        MissingExtraError: The library of a format is not installed.

    Example:
        >>> print(tfsaver.convert("bert_model.ckpt", "bert.safetensors", essential=True))  # doctest: +SKIP
        bert_model.ckpt (V2 checkpoint) -> bert.safetensors (safetensors file)
        written:   47 tensors, 96,488 bytes
        left out:  92 tensors, 192,960 bytes
          state of the optimizer Adam: 92 tensors, 192,960 bytes
            bert/embeddings/LayerNorm/beta/adam_m
            ...
    """
    path = file_io.as_path(target)
    written = format_of_target(path, format)
    if num_shards != 1 and not written.is_checkpoint and written.name != "hf":
        raise OptionError(f"num_shards is for checkpoints and hf, and a {written.description} is to be written")
    if like is not None and written.name == "hf":
        raise OptionError("like is for any format but hf, whose names follow from the family of the model")
    if allow_unused and like is None:
        raise OptionError("allow_unused is for tensors that are for nothing in the model that like names")
    is_for_objects = written.name == "object" and like is not None
    if (under or (defaults and written.name != "hf")) and not is_for_objects:
        raise OptionError("under and defaults are for the format object with like, defaults for hf")
    if metadata and written.name != "safetensors":
        raise OptionError(f"metadata is for the format safetensors, and a {written.description} is to be written")
    with _opened(checkpoint, source_format, names, trusted) as origin:
        rules = None if select is None else as_selection(select, allow_unmatched=allow_unmatched)
        chosen = _choose(origin, rules, essential or written.name == "hf", is_object=written.name == "object")
        objects = None
        if written.name == "object" and like is not None:
            objects = _Objects(objects_of(like, under, trusted=trusted), allow_unused, defaults or {})
        name_map = None if mapping is None else as_name_map(mapping, allow_unmatched=allow_unmatched)
        proposed = None
        if like is not None and objects is None:
            model = _Model(like, allow_unused, written, trusted)
            name_map, proposed = _like_model(origin, chosen, name_map, model, path, is_dry=bool(dry_run))
        edited = _edit(origin, chosen, written, name_map, dtype, objects)
        to = _target(
            path,
            written,
            like=like,
            paths=getattr(origin.source, "file_paths", None),
            metadata=metadata,
            num_shards=num_shards,
            config=defaults if written.name == "hf" else None,
            beside=origin.path,
            overwrite=overwrite,
            durable=durable,
        )
        Execution(edited.view, to, progress=progress).run(dry_run=dry_run)
        told = () if proposed is None else (_note_on_proposal(proposed, None if dry_run else path),)
        tensors = edited.tensors()
        left_out = {**chosen.left_out, **edited.left_out}
        return WriteReport(
            "convert",
            (origin.path,),
            None if dry_run else to.path,
            chosen.before,
            Contents(len(tensors), sum(tensor.num_bytes for tensor in tensors)),
            left_out=left_out,
            renamed=_renamed(tensors),
            losses=edited.losses,
            notes=(*chosen.notes, *edited.notes, *told, *to.notes),
            source_format=origin.format,
            format=written.description,
            tensors=tensors,
        )


@contextlib.contextmanager
def _opened(checkpoint: Checkpoint, source_format: str | None, names: str, trusted: bool) -> Iterator[_Origin]:
    if isinstance(checkpoint, Mapping):
        path, kind = getattr(checkpoint, "prefix", None) or "tensors in memory", "tensors"
    else:
        path = file_io.as_path(checkpoint)
        kind = format_of_source(path, source_format, trusted=trusted).description
    with open_source(checkpoint, format=source_format, trusted=trusted) as opened:
        if isinstance(opened, CheckpointReader):
            kind = f"{opened.version} checkpoint"
        elif isinstance(opened, GraphConstants):
            kind = "constants of a graph"
        graph = read_object_graph(opened)
        if graph is None:
            yield _Origin(opened, path, kind, None, {name: name for name in opened.names})
        else:
            yield _Origin(opened, path, "object-based checkpoint", graph, readable_names(opened.names, graph, names))


def _choose(
    origin: _Origin,
    select: Select,
    essential: bool,
    *,
    is_object: bool,
) -> _Chosen:
    left_out: dict[str, LeftOut] = {}
    notes: tuple[str, ...] = ()
    tensors = {key: _selectable(origin.source, key) for key in origin.names}
    before = Contents(len(tensors), sum(tensor.num_bytes for tensor in tensors.values()))
    if origin.graph is not None and not is_object:
        left_out[OBJECT_GRAPH_KEY] = _left_out(origin.source, OBJECT_GRAPH_KEY, "describes the objects of the program")
        if TREE_KEY in origin.source:
            left_out[TREE_KEY] = _left_out(origin.source, TREE_KEY, "describes what tfsaver.load gives back")
        if essential and SAVE_COUNTER_KEY in tensors:
            counter = tensors.pop(SAVE_COUNTER_KEY)
            left_out[origin.names[SAVE_COUNTER_KEY]] = LeftOut("the count of saves", counter.num_bytes)
    if essential:
        for key, reason in training_state(origin.source).items():
            if key in tensors:
                left_out[origin.names[key]] = LeftOut(reason, tensors.pop(key).num_bytes)
        if not tensors and origin.names:
            raise NothingSelectedError(f"{origin.path} holds nothing but what only training needs")
    if select is not None:
        # Patterns see the names that people read.
        by_name = {origin.names[key]: tensor for key, tensor in tensors.items()}
        training = training_state_for(origin.source, select)
        named = training and {origin.names[key]: why for key, why in training.items() if key in origin.names}
        report = as_selection(select).select(by_name, training=named, others=list(left_out))
        left_out.update({name: LeftOut(why, by_name[name].num_bytes) for name, why in report.left_out.items()})
        notes = report.notes
        kept = frozenset(report.kept)
        tensors = {key: tensor for key, tensor in tensors.items() if origin.names[key] in kept}
    return _Chosen(tuple(tensors), left_out, notes, before)


def _selectable(source: TensorSource, name: str) -> Selectable:
    try:
        info = source.info(name)
    except UnimplementedError:
        # Something else than a tensor, which may be left out like one.
        return Selectable(None, 0)
    return Selectable(info.shape, info.num_bytes, info.dtype.name)


def _left_out(source: TensorSource, name: str, reason: str) -> LeftOut:
    return LeftOut(reason, _selectable(source, name).num_bytes)


def _renamed(tensors: Sequence[WrittenTensor]) -> dict[str, tuple[str, ...]]:
    """The new names of the tensors that have others than before, by the old ones."""
    found: dict[str, tuple[str, ...]] = {}
    for tensor in tensors:
        if tensor.old_name != tensor.name:
            found[tensor.old_name] = (*found.get(tensor.old_name, ()), tensor.name)
    return found


class _Model(NamedTuple):
    """The file whose names and shapes tensors are to have.

    Attributes:
        path: The file.
        allow_unused: Whether tensors that are for nothing in it are left out.
        written: The format that is written.
        trusted: See `convert`.
    """

    path: Any
    allow_unused: bool
    written: Format
    trusted: bool

    def infos(self, given: Container[str]) -> dict[str, TensorInfo]:
        """Its tensors, under those of their names that the given tensors have.

        Raises:
            OptionError: It was written from objects.
        """
        with open_source(self.path, trusted=self.trusted) as source:
            if OBJECT_GRAPH_KEY in source:
                raise OptionError(
                    f"{self.path} was written from objects, and a {self.written.description} is to be written: "
                    "format='object' (--to object) writes for objects"
                )
            paths: Mapping[str, str] = getattr(source, "file_paths", None) or {}
            infos = {}
            for name in source.names:
                path = paths.get(name, name)
                if path.startswith("optimizer/vars/") and name not in given:
                    # A program that loads weights alone keeps its optimizer.
                    continue
                infos[path if path in given and name not in given else name] = source.info(name)
            return infos


def _like_model(
    origin: _Origin, chosen: _Chosen, name_map: NameMap | None, model: _Model, path: str, *, is_dry: bool
) -> tuple[NameMap | None, str | None]:
    """The mapping to the names and shapes of a model, and as text what of it was proposed.

    Raises:
        InvalidArgumentError: Something is left over, or in doubt; says all. What can be proposed is in a file then.
    """
    view = _readable_view(origin, chosen, model.written)
    seen, said, olds = view, frozenset[str](), dict[str, str]()
    if name_map is not None:
        by_steps = name_map.apply(infos_of(view)).made()
        renaming = _renamed_view(view, origin, chosen, model.written, name_map)
        made = renaming.new_names.made()
        seen, said = renaming.plan, frozenset(made)
        olds = {name: each.inputs[0] for name, each in made.items() if name not in by_steps and each.inputs}
    tensors = {name: seen.info(name) for name in seen.names if name not in DESCRIPTIONS}
    found = likeness(tensors, model.infos(tensors), said)
    names: dict[str, Any] = dict(found.names)
    followed = {}
    if model.allow_unused:
        names.update(dict.fromkeys(found.unused))
        # Slots follow their variables only once all steps are done: what they are called before is left out.
        followed = {name: olds[name] for name in found.unused if name in olds}
        names = {name: target for name, target in names.items() if name not in followed}
    mapping, text = name_map, None
    if names or followed or found.doubts:
        steps: list[Step] = [RenameByDict(dict.fromkeys(followed.values()))] if followed else []
        steps += () if name_map is None else name_map.steps
        steps += [RenameByDict(names)] if names else []
        mapping = NameMap(steps, allow_unmatched=name_map is not None and name_map.allow_unmatched)
        text = _proposal(mapping.to_toml(infos_of(view)), found)
    unused = () if model.allow_unused else found.unused
    lines = []
    for name, near in found.missing.items():
        lines.append(f"  {name} is missing" + (f"; did you mean {', '.join(map(repr, near))}?" if near else ""))
    lines += [f"  {misfit}" for misfit in found.misfits]
    lines += [f"  {name} is for nothing in the model" for name in unused]
    lines += [f"  {name} fits {target} as it is, and with its axes turned" for name, target in found.doubts.items()]
    if not lines:
        return mapping, text
    what = f"{origin.path} does not have the tensors of {model.path}; nothing was written"
    hints = [f"note: {note}" for note in found.notes]
    if text is not None:
        hints.append(_note_on_proposal(text, None if is_dry else path))
    if unused:
        hints.append(
            "essential=True (--essential) leaves out what only training needs, allow_unused=True (--allow-unused) all "
            "that is for nothing in the model"
        )
    raise InvalidArgumentError.of_lines([f"{what}:", *lines, *hints])


def _proposal(text: str, found: Likeness) -> str:
    """A mapping as a file to edit."""
    about = [
        "# Proposed by names, shapes and the order of axes. Two errors cannot be seen from these: two tensors of one shape",
        "# whose names were exchanged, and a square matrix that was stored transposed.",
        "",
    ]
    head, names, rest = text.partition("[names]\n")
    open_lines = []
    if found.doubts:
        open_lines.append("# Square: which of the two lines?")
        for name, target in found.doubts.items():
            open_lines.append(f"# {_quoted(name)} = {_quoted(target)}")
            open_lines.append(f"# {_quoted(name)} = {{to = {_quoted(target)}, transpose = true}}")
    if found.missing or found.unused:
        open_lines.append("# Left over: what the model has, and what may be one of these.")
        open_lines += [f"# ? = {_quoted(name)}" for name in found.missing]
        open_lines += [f"# {_quoted(name)} = ?" for name in found.unused]
    return "\n".join(about) + head + names + "".join(f"{line}\n" for line in open_lines) + rest


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _note_on_proposal(text: str, path: str | None) -> str:
    """Where a proposed mapping is: in a file next to what was to be written, and never in the place of another."""
    if path is None:
        return "note: a mapping was proposed, which a run that is no trial writes to a file"
    target = f"{path}.mapping.toml"
    number = 1
    while file_io.exists(target) and file_io.read_file(target) != text.encode():
        number += 1
        target = f"{path}.mapping-{number}.toml"
    directory, _ = file_io.split(target)
    file_io.make_directory(directory or ".")
    file_io.write_file(target, text.encode())
    return f"note: a mapping was proposed: look at {target}, which mapping= (--map) takes"


def _readable_view(origin: _Origin, chosen: _Chosen, written: Format) -> TensorSource:
    """The chosen tensors under the names that a mapping sees."""
    view: TensorSource = selected(origin.source, chosen.keys)
    if origin.graph is not None and written.name != "object":
        view = with_readable_names(view, {key: origin.names[key] for key in chosen.keys})
    return view


def _renamed_view(
    view: TensorSource, origin: _Origin, chosen: _Chosen, written: Format, mapping: NameMapLike
) -> Renaming:
    """The same under the names that a mapping gives."""
    is_readable = origin.graph is not None and written.name != "object"
    return renamed(
        view,
        mapping,
        keys={origin.names[key]: key for key in chosen.keys} if is_readable else None,
        full_names=origin.graph.full_names_of_keys() if origin.graph is not None and is_readable else None,
    )


def _edit(
    origin: _Origin, chosen: _Chosen, written: Format, mapping: NameMapLike, dtype: Any, objects: _Objects | None
) -> _Edited:
    view = _readable_view(origin, chosen, written)
    if written.name == "hf":
        mapping = _for_transformers(view, mapping)
    old_names = {name: name for name in view.names}
    left_out: dict[str, LeftOut] = {}
    changes: dict[str, tuple[str, ...]] = {}
    notes: tuple[str, ...] = ()
    old_dtypes: dict[str, DType] = {}
    if mapping is not None and objects is None:
        old = view
        renaming = _renamed_view(old, origin, chosen, written, mapping)
        view = renaming.plan
        made = renaming.new_names.made()
        old_names = {name: name for name in view.names}
        old_names.update((name, ", ".join(item.inputs) or "(constant)") for name, item in made.items())
        changes = {name: item.changes for name, item in made.items() if item.is_changed}
        gone = renaming.left_out("left out by the mapping")
        left_out = {name: _left_out(old, name, why) for name, why in gone.items()}
        notes = tuple(f"note: {note}" for note in renaming.new_names.notes())
        old_dtypes = {name: old.info(item.inputs[0]).dtype for name, item in made.items() if item.is_changed and item.inputs}
    before = view
    if dtype is not None:
        # What cannot be read at all is said before anything asks for types.
        check_fits(view, f"a {written.description}", lambda _: None, is_text=False)
        view = casted(view, dtype, raises=False)
        old_dtypes = {**{name: before.info(name).dtype for name in before.names}, **old_dtypes}
    losses = casts_of(view)
    if objects is not None:
        keys = keys_of_readable_names(objects.graph)
        offered = view
        view, found = for_objects(
            offered,
            objects.graph,
            [mapping, lambda name: keys.get(name, name)],
            allow_unused=objects.allow_unused,
            defaults=values_by_key(objects.graph, objects.defaults),
        )
        old_names = {item.name: item.key for item in found.matched}
        changes = {item.name: item.changes for item in found.matched if item.changes}
        notes = tuple(f"note: {note}" for note in found.notes)
        left_out = {name: _left_out(offered, name, "for none of the objects") for name in found.unexpected}
        old_dtypes = {name: old_dtypes[key] for name, key in old_names.items() if key in old_dtypes}
    elif written.name == "object" and origin.graph is None:
        raise InvalidArgumentError(
            f"{origin.path} was written from names: like (--like) says which objects its tensors are for, as an "
            "object-based checkpoint or a SavedModel of the model, or a nested dict of names"
        )
    return _Edited(view, losses, old_names, old_dtypes, changes, left_out, notes)


def _for_transformers(view: TensorSource, mapping: NameMapLike) -> NameMapLike:
    """The mapping, and after it the table of the family."""
    names = view.names if mapping is None else renamed(view, mapping).plan.names
    table = table_for([name for name in names if name not in DESCRIPTIONS])
    if table is None:
        return mapping
    return table if mapping is None else [mapping, table]


def _target(
    path: str,
    written: Format,
    *,
    like: Any,
    paths: Mapping[str, str] | None,
    metadata: Mapping[str, str] | None,
    num_shards: int,
    config: Mapping[str, Any] | None,
    beside: str,
    overwrite: bool,
    durable: bool,
) -> Target:
    """Where the tensors go."""
    options: dict[str, Any] = {"durable": durable}
    if written.is_checkpoint:
        # The caller has said that it is one, or the name has.
        options |= {"any_name": True, "num_shards": num_shards, "replaces": "others" if overwrite else "nothing"}
    elif written.name == "keras":
        options |= {"like": like, "paths": paths}
    elif written.name == "safetensors":
        options["metadata"] = metadata
    elif written.name == "orbax":
        options["overwrite"] = overwrite
    elif written.name == "hf":
        options |= {"config": config, "beside": beside, "num_shards": num_shards, "overwrite": overwrite}
    return written.target(path, **options)
