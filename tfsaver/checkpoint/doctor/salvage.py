"""Writes what is left of a damaged checkpoint as a new one.

Every piece of the old one is read and compared with its checksum. What fits is written, bit for bit; what does not is left
out and listed with the reason. The old files are not touched.

    data with flipped bytes           the tensors that have them are lost, the others are not
    a data file that ends early       the tensors behind its end
    a data file that is missing       its tensors
    one flipped bit in the index      nothing: its checksum shows which bit it was, and those of the tensors that it was
    a damaged block of the index      the tensors whose entries are in it; mostly an index has one block, and all is lost
    an index that ends early          the tensors of the blocks that are not whole
    an index that is missing          all: nothing else has the names. See `borrow_index`
    a damaged block of a V1 file      the tensors in it; all of the file if it is the first block

Of a partitioned tensor the sound slices alone can be kept, if that is asked for. What a checkpoint that was written from
objects says of them is made true of what is left.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

from tfsaver.checkpoint import checkpoint_files, checkpoint_location, saved_tensor_slices
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.checkpoint_target import CheckpointTarget
from tfsaver.checkpoint.doctor.damage import listed
from tfsaver.checkpoint.doctor.recovered_slices import RecoveredSlices
from tfsaver.checkpoint.editing.object_graph_parts import TensorsOfKeys
from tfsaver.checkpoint.editing.object_graph_pruning import prune_object_graph
from tfsaver.checkpoint.execution import DryRun, Execution
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, OBJECT_GRAPH_KEY, TREE_KEY, parse_object_graph
from tfsaver.checkpoint.one_checkpoint import OneCheckpoint, taken_for_v1
from tfsaver.checkpoint.plan import Plan, object_graph_of
from tfsaver.checkpoint.recipes import Take
from tfsaver.checkpoint.untrusted import confined_checkpoint
from tfsaver.checkpoint.write_report import Contents, WriteReport, WrittenTensor
from tfsaver.errors import AlreadyExistsError, CheckpointNotFoundError, DataLossError, SaverError
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.recovery import RecoveredBundle, data_files

# Called with the tensors that were checked and how many there are.
Progress = Callable[[int, int], None]

_V1_SHARD = re.compile(r"(.*)-(?:\d{5,}|\?{5,})-of-(\d{5,})\Z", re.DOTALL)
_DATA = re.compile(r"(.+)\.data-\d{5,}-of-\d{5,}\Z", re.DOTALL)


@renamed_options(out="target")
@takes_storage_options("checkpoint", "target")
def salvage_checkpoint(
    checkpoint: file_io.PathLike,
    target: file_io.PathLike,
    *,
    keep_partial: bool = False,
    dry_run: DryRun = False,
    durable: bool = True,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> WriteReport:
    """Writes the tensors of a damaged checkpoint that are still what was written.

    Args:
        checkpoint: Its prefix, or one of its files.
        target: The prefix of the new checkpoint, a V2 one; nothing of that name may be there.
        keep_partial: Keeps the sound slices of a partitioned tensor of which others are lost. Programs that read all of it
            refuse it then; `load_checkpoint` and TensorFlow read the slices that are there.
        dry_run: If true, nothing is written. The report is the same, since every value is read in any case.
        durable: Whether to fsync before returning.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        progress: Called with the bytes checked and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        CheckpointNotFoundError: There is none, or its index is missing.
        AlreadyExistsError: There is something at `target` already.
        DataLossError: Nothing can be saved; a NotACheckpointError where the file is of another kind.
        UnimplementedError: It was written for newer readers.
    """
    prefix = file_io.as_path(target)
    if checkpoint_files.checkpoint_exists(prefix) or data_files(prefix):
        raise AlreadyExistsError(f"{prefix} is there already: what is salvaged goes to a new place")
    if not trusted:
        checkpoint = confined_checkpoint(checkpoint)
    with _open(file_io.as_path(checkpoint)) as reader:
        salvage = _Salvage(reader, keep_partial, progress)
        if dry_run:
            return salvage.report(None)
        written = CheckpointTarget(prefix, allow_missing_slices=keep_partial, durable=durable)
        Execution(_salvaged(reader, salvage), written).run()
        return salvage.report(written.path)


class RecoveredReader(CheckpointReader):
    """A damaged checkpoint, open as far as it can be."""

    def __init__(self, recovered: RecoveredBundle | RecoveredSlices, version: str) -> None:
        self.recovered = recovered
        self._one = OneCheckpoint(recovered)
        self._location = checkpoint_location.CheckpointLocation(recovered.prefix, version)
        self.version = version
        self._sound_names = recovered.sound_names()

    @property
    def names(self) -> list[str]:
        return self._sound_names


def _salvaged(reader: RecoveredReader, salvage: _Salvage) -> Plan:
    """The tensors, and the slices of tensors, that are sound."""
    names = [name for name in (*salvage.saved, *salvage.partial) if name not in DESCRIPTIONS]
    graph = None
    if salvage.has_graph and (known := object_graph_of(reader)) is not None:
        # Tensors whose index entries are lost are not among the reader's names, and must leave the graph too.
        graph = prune_object_graph(known, [*salvage.saved, *salvage.partial, *salvage.lost], frozenset(names))
    tree = reader[TREE_KEY] if TREE_KEY in salvage.saved else None
    plan = Plan([reader], sorted(names), sorted(names), graph=graph, tree=tree)
    return plan.with_recipes({name: Take(reader, name, slices) for name, slices in salvage.sound_slices.items()})


class _Salvage:
    """Checks everything, and notes what came of it."""

    def __init__(self, reader: RecoveredReader, keep_partial: bool, progress: Progress | None) -> None:
        self._reader = reader
        self._keep_partial = keep_partial
        # The size of each tensor that is complete.
        self.saved: dict[str, int] = {}
        self.partial: dict[str, tuple[str, ...]] = {}
        self.lost: dict[str, str] = {}
        self.damage: list[str] = []
        self.notes: list[str] = []
        self.sound_slices: dict[str, tuple[TensorSlice, ...]] = {}
        self.has_graph = False
        for number, name in enumerate(reader.names):
            self._check(name)
            if progress is not None:
                progress(number + 1, len(reader.names))
        self._check_graph()
        self._note_damage()
        self._check_tree()
        if not self.saved and not self.partial:
            reason = "; ".join(self.damage or list(self.lost.values())[:3]) or "it holds no tensors"
            raise DataLossError(f"nothing of {reader.prefix} can be saved: {reason}")

    def report(self, target: str | None) -> WriteReport:
        """What came of it, when it is written to a target."""
        reader, infos = self._reader, [self._reader.info(name) for name in self.saved]
        tensors = tuple(
            WrittenTensor(info.name, info.name, info.dtype, info.shape, self.saved[info.name], (), info.dtype)
            for info in infos
        )
        return WriteReport(
            "salvage",
            (reader.prefix,),
            target,
            before=self._known(),
            after=Contents(len(tensors), sum(self.saved.values())),
            notes=tuple(self.notes),
            source_format=f"{reader.version} checkpoint",
            format="V2 checkpoint",
            tensors=tensors,
            lost=self.lost,
            partial=self.partial,
            damage=tuple(self.damage),
        )

    def _known(self) -> Contents:
        """The tensors that are known to have been there, and as much of their sizes as the index still says."""
        known = {*self._reader.names, *self.lost}
        num_bytes = 0
        for name in self._reader.names:
            with contextlib.suppress(SaverError):
                num_bytes += self._reader.info(name).num_bytes
        return Contents(len(known), num_bytes)

    @property
    def _is_complete(self) -> bool:
        return not (self.lost or self.partial or self.damage)

    def _check(self, name: str) -> None:
        sound: list[tuple[TensorSlice | None, int]] = []
        damaged: list[tuple[TensorSlice | None, Exception]] = []
        try:
            shape = self._reader.shape(name)
            for piece, size, error in self._reader.recovered.check(name):
                if error is None:
                    sound.append((piece, size))
                else:
                    damaged.append((piece, error))
        except (SaverError, OSError) as error:
            self.lost[name] = str(error)
            return
        slices = tuple(piece for piece, _ in sound if piece is not None)
        missing = num_elements(shape) - sum(num_elements(piece.resolve(shape).shape) for piece in slices)
        is_whole = not damaged and (not missing or any(piece is None for piece, _ in sound))
        if is_whole:
            self.saved[name] = sum(size for _, size in sound)
        elif slices and self._keep_partial:
            self.sound_slices[name] = slices
            self.partial[name] = tuple(str(piece) for piece, _ in damaged) or (f"{missing} elements in files that are lost",)
        else:
            reasons = [str(error) if piece is None else f"{piece}: {error}" for piece, error in damaged]
            kept = f" ({len(slices)} of its {len(slices) + len(damaged)} slices are sound)" if slices else ""
            self.lost[name] = (reasons[0] if reasons else f"{missing} elements are in files that are lost") + kept

    def _check_graph(self) -> None:
        """Whether what is said of objects can be kept, and which names it knows that are lost."""
        if OBJECT_GRAPH_KEY not in self.saved:
            if OBJECT_GRAPH_KEY in self.lost:
                self.notes.append("the description of the objects is lost: what is saved is found by its keys alone")
            return
        try:
            graph = parse_object_graph(self._reader[OBJECT_GRAPH_KEY].item())
        except (SaverError, AttributeError, ValueError) as error:
            del self.saved[OBJECT_GRAPH_KEY]
            self.lost[OBJECT_GRAPH_KEY] = str(error)
            return
        self.has_graph = True
        tensors = TensorsOfKeys(self._reader.names)
        for attribute in graph.attributes:
            if not tensors.of(attribute.key):
                self.lost.setdefault(attribute.key, "its entry in the index is lost; the objects have it")

    def _check_tree(self) -> None:
        """Lets go of the structure that `tfsaver.save` noted, where it may name what is lost."""
        if TREE_KEY in self.saved and not self._is_complete:
            del self.saved[TREE_KEY]
            self.notes.append("the structure that tfsaver.save noted may name what is lost, and went")

    def _note_damage(self) -> None:
        recovered = self._reader.recovered
        self.damage = [str(error) for error in recovered.damage]
        if isinstance(recovered, RecoveredBundle):
            self.notes += recovered.assumptions
            for name in recovered.lost_slices:
                self.lost.setdefault(name, "its entry in the index is lost; only slices of it are named")
        if recovered.damage and not self.has_graph:
            known = {*self._reader.names, *self.lost}
            neighbour, names = _names_of_neighbour(self._reader.prefix)
            if unknown := [name for name in names if name not in known]:
                self.notes.append(f"names that {neighbour} has and that are not found here: {listed(unknown, 10)}")
            elif neighbour is None:
                self.notes.append("which other tensors there were, nothing here says")


def _open(path: str) -> RecoveredReader:
    """The checkpoint that a path means, damaged as it may be."""
    if match := re.fullmatch(r"(.+)\.index", path, re.DOTALL) or _DATA.fullmatch(path):
        path = path[: match.end(1)]
    if file_io.exists(naming.index_path(path)):
        return _opened(RecoveredBundle(path), "V2")
    if files := data_files(path):
        found = f"{listed([file_io.split(file)[1] for file in files])} without it: nothing else says which tensors these are"
        raise CheckpointNotFoundError(path, looked_for=[naming.index_path(path)], found=found)
    if match := _V1_SHARD.fullmatch(path):
        prefix, num_shards = path[: match.end(1)], int(match[2])
        paths = [saved_tensor_slices.shard_path(prefix, number, num_shards) for number in range(num_shards)]
        if any(map(file_io.exists, paths)):
            return _opened(RecoveredSlices(saved_tensor_slices.shard_pattern(prefix, num_shards), paths), "V1")
    location = checkpoint_location.locate_checkpoint(path)
    if location.version == "V2":
        return _opened(RecoveredBundle(location.prefix), "V2")
    with taken_for_v1(location):
        return _opened(RecoveredSlices(location.prefix, location.paths), "V1")


def _opened(recovered: RecoveredBundle | RecoveredSlices, version: str) -> RecoveredReader:
    try:
        return RecoveredReader(recovered, version)
    except BaseException:
        recovered.close()
        raise


def _names_of_neighbour(prefix: str) -> tuple[str | None, list[str]]:
    """The names in another checkpoint of the same series and directory, which most likely are this one's too."""
    directory, own = file_io.split(prefix)
    for name in file_io.list_directory(directory):
        base = name.removesuffix(".index")
        if base in (name, own) or checkpoint_files.series_of(base) != checkpoint_files.series_of(own):
            continue
        with contextlib.suppress(SaverError, OSError), BundleReader(file_io.join(directory, base)) as reader:
            return reader.prefix, reader.names
    return None, []
