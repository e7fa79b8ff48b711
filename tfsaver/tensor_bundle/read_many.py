"""Reads many tensors of a bundle at once, or parts of them, in the order of their bytes and on several threads.

    data file    [a][b][c] [      large      ][d][e] ...    [  part  of  f  ]
    tasks         one       one for each piece  one           one

Small tensors that lie close together are read by one system call and copied out of its buffer; large ones are cut into
pieces that several threads read into their places, and the checksums of the pieces are combined. A part of a tensor is
picked out of the pieces that meet it; its checksum covers all of the tensor's bytes, so these are all read once, and from
then on the pieces have checksums of their own. Strings are read whole.

`read_many` gives arrays, or checks bytes and keeps nothing; `stream` gives one tensor's elements piece by piece.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tfsaver.errors import CheckpointReplacedError, DataLossError, InvalidArgumentError, SaverError, UnimplementedError
from tfsaver.framework import array_pieces
from tfsaver.framework.array_pieces import blocks, cut, flat, recut
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib.recycled_memory import RecycledMemory
from tfsaver.lib.workers import Task, run_tasks
from tfsaver.tensor_bundle import out_array, region_pieces
from tfsaver.tensor_bundle.bundle_files import BundleFiles, Span, combined
from tfsaver.tensor_bundle.bundle_index import BundleIndex
from tfsaver.tensor_bundle.decoding import decode, decode_elements
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.slabs import Slabs

Array: TypeAlias = "np.ndarray[Any, Any]"
# Called with the name of a tensor and what is wrong with it.
OnDamagedTensor: TypeAlias = "Callable[[str, SaverError], object]"

# Large enough that a task's cost vanishes, small enough that the threads end together.
_PIECE_SIZE = 8 << 20
# Tensors up to this share a system call with those next to them, as long as what lies between them is little.
_SMALL_SIZE = 256 << 10
_GROUP_SIZE = 1 << 20
_MAX_GAP = 4 << 10
# The same of a store, where a request takes the time of a megabyte or more, and sixteen can be under way.
_REMOTE_PIECE_SIZE = 16 << 20
_REMOTE_SMALL_SIZE = 4 << 20
_REMOTE_GROUP_SIZE = 8 << 20
_REMOTE_MAX_GAP = 64 << 10
_REMOTE_WORKERS = 16
# A part of a tensor up to this size is cut out of all of it, which is kept for the next part: a program that reads a tensor
# part by part reads its bytes once.
_MAX_KEPT_SIZE = 64 << 20
# What is only checked passes through a buffer of this size, which stays in a processor's cache.
_SCRATCH_SIZE = 1 << 20


def read_many(
    index: BundleIndex,
    files: BundleFiles,
    wanted: Mapping[str, TensorSlice | None],
    *,
    out: Mapping[str, Array] | None = None,
    verify: bool = True,
    verify_only: bool = False,
    num_workers: int | None = None,
    memory: RecycledMemory | None = None,
    on_damage: OnDamagedTensor | None = None,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Array]:
    """Reads tensors, or parts of them.

    Args:
        index: The open index.
        files: Its data files.
        wanted: For each tensor the part that is wanted; all of it when None.
        out: Arrays to fill, by name, each of its part's shape; the others are made.
        verify: Whether bytes must match their checksum. Without it a part takes its own bytes, and what lies between them
            where that is little; but those of a doubtful data file (see `bundle_files`) are always checked.
        verify_only: Checks whole tensors and keeps nothing; what `wanted` says of parts does not matter.
        num_workers: How many threads read; None for as many as there are cores.
        memory: What the arrays that are made lie in; new memory when None.
        on_damage: Called for each tensor that is damaged, in the order of `wanted`, when all others have been read; the
            first damage is raised when None.
        progress: Called with how many bytes have been read.

    Returns:
        The arrays by name, in the order of `wanted`, without those of damaged tensors. Those that are made begin at
        multiples of 64 bytes, and small ones share their memory: all of it is kept as long as one of them is.

    Raises:
        TensorNotFoundError: There is no such tensor.
        DataLossError: The bytes are not those that were written, or some are missing; a tensor's slices overlap, or
            leave out a part of what is wanted.
        CheckpointReplacedError: The bytes are those of another checkpoint that has the name now.
        InvalidArgumentError: A part leaves its tensor; an array to fill has another dtype, or cannot be filled.
        ShapeMismatchError: An array to fill has another shape.
    """
    reading = _Reading(index, files, verify, on_damage)
    if verify_only:
        stored = [part for name in wanted for part in reading.parts_to_check(name)]
        reading.run(reading.present(stored), num_workers, progress)
        reading.report(wanted)
        return {}
    found = [tensor for name, region in wanted.items() if (tensor := reading.look_up(name, region)) is not None]
    # All have been promised by now: what has bytes in common with another is found before memory is taken for any.
    tensors = [tensor for tensor in found if reading.is_present(tensor)]
    slabs = Slabs(sum([tensor.size for tensor in tensors]), memory)
    arrays: dict[str, Array] = {}
    parts: list[_Part] = []
    for tensor in tensors:
        name, entry, region, shape, _ = tensor
        if out and name in out:
            arrays[name] = out_array.checked(out[name], name, shape, entry.dtype)
        elif entry.dtype.size:
            raw = slabs.empty_bytes(tensor.size)
            arrays[name] = array = raw.view(entry.dtype.numpy).reshape(shape)
            if region is None and not entry.slices:
                # What nearly all are.
                parts.append(_Part(name, entry, None, array, raw))
                continue
        else:
            arrays[name] = np.empty(shape, object)
        parts += reading.parts_of(tensor, arrays[name])
    reading.run(parts, num_workers, progress)
    if reading.damage:
        reading.report(wanted)
        return {name: array for name, array in arrays.items() if name not in reading.damage}
    return arrays


def check_places(index: BundleIndex, files: BundleFiles, names: Iterable[str], on_damage: OnDamagedTensor) -> None:
    """Checks without reading values that slices are whole tensors, and that the data files hold the bytes of all of them.

    Args:
        index: The open index.
        files: Its data files.
        names: The tensors.
        on_damage: Called for each tensor that is damaged.
    """
    reading = _Reading(index, files, verify=True, on_damage=on_damage)
    names = list(names)
    reading.present([part for name in names for part in reading.parts_to_check(name)])
    reading.report(names)


def stream(index: BundleIndex, files: BundleFiles, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
    """A tensor's elements in C order: one-dimensional arrays, all of `PIECE_ELEMENTS` but the last.

    The checksum covers all of the bytes: that they are damaged may be known only after the last piece. A piece shares its
    memory with the one that follows it.

    Args:
        index: The open index.
        files: Its data files.
        name: The tensor's name.
        stored: One of the slices in which it is stored; all of the tensor when None.

    Raises:
        SaverError: As `read_many`.
        InvalidArgumentError: The tensor is not stored in that slice.
    """
    entry = index.entry(name)
    if not entry.dtype.has_fixed_size:
        yield from cut(read_many(index, files, {name: stored})[name])
        return
    if entry.is_sliced and stored is None:
        # Each slice is checked by the first block that meets it.
        yield from recut(flat(read_many(index, files, {name: block})[name]) for block in blocks(entry.shape))
        return
    key = hash(name)
    if stored is not None:
        if stored not in entry.slices:
            raise InvalidArgumentError(f"{name!r} is not stored in a slice {stored}")
        key = hash((name, stored))
        entry = index.slice_entry(name, entry, stored)
    try:
        files.promise(key, entry)
        files.check_present(entry)
        yield from _stream(files, entry)
    except DataLossError as error:
        files.explain(error)
        error.add_context(f"tensor {name!r}")
        raise


def _stream(files: BundleFiles, entry: BundleEntry) -> Iterator[Array]:
    buffer = np.empty(min(num_elements(entry.shape), array_pieces.PIECE_ELEMENTS) * entry.dtype.size, np.uint8)
    crc = done = 0
    while done < entry.size:
        raw = buffer[: entry.size - done]
        crc = files.fill(Span(entry.shard_id, entry.offset + done, len(raw)), raw.data, crc)
        done += len(raw)
        if done == entry.size:
            files.check(entry, crc)
        decode(entry, raw, files.byte_order)
        yield raw.view(entry.dtype.numpy)
    if not entry.size:
        files.check(entry, crc)


def check_entry(files: BundleFiles, entry: BundleEntry) -> None:
    """Reads the bytes of one entry and compares their checksum.

    Raises:
        SaverError: As `read_many`.
    """
    files.check_present(entry)
    if entry.dtype.has_fixed_size:
        _check(files, entry)
    else:
        _read_elements(files, entry)


class _Tensor(NamedTuple):
    """A tensor of which something is wanted: the entries that have it, and the part of each that is wanted."""

    name: str
    entry: BundleEntry
    # None for all of it.
    region: TensorSlice | None
    shape: Shape
    # Of a tensor that is stored in slices: the entry of one, the part of that slice, and the part of the region that it is.
    slices: Sequence[tuple[BundleEntry, TensorSlice, TensorSlice]] = ()

    @property
    def size(self) -> int:
        if self.region is None and not self.entry.slices:
            return self.entry.size
        return num_elements(self.shape) * self.entry.dtype.size


class _Part(NamedTuple):
    """A part of an entry that is wanted, and where it goes.

    Attributes:
        name: The tensor.
        entry: The entry.
        region: The part, resolved; None for all of it.
        target: An array of the part's shape; None where nothing is kept.
        raw: The bytes of `target`, where all of the entry goes there in the order in which it is stored.
    """

    name: str
    entry: BundleEntry
    region: TensorSlice | None = None
    target: Array | None = None
    raw: Array | None = None


class _Reading:
    """One call of `read_many`.

    Attributes:
        damage: What is wrong, by the tensor's name.
    """

    def __init__(self, index: BundleIndex, files: BundleFiles, verify: bool, on_damage: OnDamagedTensor | None) -> None:
        self._index = index
        self._files = files
        self._verify = verify
        self._on_damage = on_damage
        self.damage: dict[str, list[SaverError]] = {}

    def _found(self, name: str, error: SaverError) -> None:
        """Notes what is wrong with a tensor, or raises it."""
        if self._on_damage is not None and not isinstance(error, CheckpointReplacedError):
            self.damage.setdefault(name, []).append(error)
            return
        if isinstance(error, DataLossError):
            self._files.explain(error)
            error.add_context(f"tensor {name!r}")
        raise error

    def report(self, names: Iterable[str]) -> None:
        """Tells the caller what was noted, in the order of the names."""
        if self._on_damage is not None and self.damage:
            for name in names:
                for error in self.damage.get(name, ()):
                    self._on_damage(name, error)

    # What is wanted.

    def look_up(self, name: str, region: TensorSlice | None) -> _Tensor | None:
        """What is wanted of a tensor; None where the index is damaged."""
        try:
            entry = self._index.entry(name)
            if region is not None:
                region = region.resolve(entry.shape, repr(name))
            if not entry.slices:
                self._files.promise(hash(name), entry)
                return _Tensor(name, entry, region, entry.shape if region is None else region.shape)
            whole = TensorSlice.full(len(entry.shape)).resolve(entry.shape)
            stored = self._index.slice_entries(name)
            slices = TensorSliceSet(name, entry.shape, [each for each, _ in stored])
            parts = slices.parts(region or whole)
            for number, _, _ in parts:
                self._files.promise(hash((name, stored[number][0])), stored[number][1])
            found = [(stored[number][1], part, target) for number, part, target in parts]
            return _Tensor(name, entry, region, (region or whole).shape, found)
        except SaverError as error:
            self._found(name, error)
            return None

    def is_present(self, tensor: _Tensor) -> bool:
        """Whether the files have all bytes that a tensor needs."""
        try:
            if not tensor.entry.slices:
                self._files.check_present(tensor.entry)
            for entry, _, _ in tensor.slices:
                self._files.check_present(entry)
        except SaverError as error:
            self._found(tensor.name, error)
            return False
        return True

    def parts_of(self, tensor: _Tensor, array: Array) -> list[_Part]:
        """What is read to fill an array with what is wanted of a tensor."""
        if not tensor.entry.slices:
            return [_part(tensor.name, tensor.entry, tensor.region, array)]
        parts = []
        for entry, part, target in tensor.slices:
            # The dots keep a scalar's part an array that can be filled.
            indices: tuple[Any, ...] = (*target.indices, ...)
            parts.append(_part(tensor.name, entry, part, array[indices]))
        return parts

    def parts_to_check(self, name: str) -> list[_Part]:
        """What is read to check all that is stored of a tensor; what is missing is noted at once."""
        try:
            entry = self._index.entry(name)
            if not entry.slices:
                self._files.promise(hash(name), entry)
                return [_Part(name, entry)]
            stored = self._index.slice_entries(name)
            slices = TensorSliceSet(name, entry.shape, [each for each, _ in stored])
        except SaverError as error:
            self._found(name, error)
            return []
        try:
            slices.check_coverage()
        except DataLossError as error:
            self._found(name, error)
        for each, part in stored:
            self._files.promise(hash((name, each)), part)
        return [_Part(name, part) for _, part in stored]

    def present(self, parts: list[_Part]) -> list[_Part]:
        """The parts whose bytes the files have; the others are noted."""
        found = []
        for part in parts:
            try:
                self._files.check_present(part.entry)
            except SaverError as error:
                self._found(part.name, error)
            else:
                found.append(part)
        return found

    # Reading.

    def run(self, parts: list[_Part], num_workers: int | None, progress: Callable[[int], object] | None) -> None:
        """Reads parts, whatever their order."""
        in_pieces: list[_PiecewisePart] = []
        if len(parts) == 1 and progress is None and parts[0].entry.size <= _PIECE_SIZE:
            # One look-up after the other is what many programs do.
            for task in self._tasks(parts, in_pieces):
                task.run()
        else:
            parts.sort(key=lambda part: (part.entry.shard_id, part.entry.offset))
            tasks = list(self._tasks(parts, in_pieces) if self._files.is_remote else _in_runs(self._tasks(parts, in_pieces)))
            if self._files.is_remote and num_workers is None:
                num_workers = _REMOTE_WORKERS
            run_tasks(tasks, num_workers, progress)
        for part in in_pieces:
            try:
                if self._must_check(part.part.entry):
                    part.check(self._files)
            except SaverError as error:
                self._found(part.part.name, error)

    def _tasks(self, parts: list[_Part], in_pieces: list[_PiecewisePart]) -> Iterator[Task]:
        group: list[_Part] = []
        is_remote = self._files.is_remote
        small_size = _REMOTE_SMALL_SIZE if is_remote else _SMALL_SIZE
        near = (_REMOTE_MAX_GAP, _REMOTE_GROUP_SIZE) if is_remote else (_MAX_GAP, _GROUP_SIZE)
        for part in parts:
            entry = part.entry
            if not entry.dtype.has_fixed_size:
                yield Task(functools.partial(self._guarded, part, self._read_elements), entry.size)
            elif part.raw is None and part.target is not None:
                read_part = functools.partial(self._read_part, part.region or _all_of(entry), part.target)
                yield Task(functools.partial(self._guarded, part, read_part), entry.size)
            elif entry.size > small_size:
                large = _PiecewisePart(part, _REMOTE_PIECE_SIZE if is_remote else _PIECE_SIZE)
                in_pieces.append(large)
                for number in range(large.num_pieces):
                    read_piece = functools.partial(large.read, self._files, number)
                    yield Task(functools.partial(self._guarded, part, read_piece), large.size(number))
            else:
                if group and not _is_near(group, entry, *near):
                    yield Task(functools.partial(self._read_group, group), _size_of(group))
                    group = []
                group.append(part)
        if group:
            yield Task(functools.partial(self._read_group, group), _size_of(group))

    def _guarded(self, part: _Part, read: Callable[[_Part], None]) -> None:
        try:
            read(part)
        except SaverError as error:
            self._found(part.name, error)

    def _must_check(self, entry: BundleEntry) -> bool:
        return self._verify or self._files.is_doubtful(entry.shard_id)

    def _read_part(self, region: TensorSlice, target: Array, part: _Part) -> None:
        """Picks a part out of an entry."""
        entry = part.entry
        elements = self._files.kept(entry)
        if elements is None and entry.size <= _MAX_KEPT_SIZE and self._must_check(entry):
            elements = self._read_to_keep(entry)
        if elements is None:
            self._read_pieces(entry, region, target)
        else:
            # The dots keep a scalar an array.
            indices: tuple[Any, ...] = (*region.indices, ...)
            target[...] = elements[indices]

    def _read_to_keep(self, entry: BundleEntry) -> Array:
        """All elements of an entry, which are checked, and kept for the next part."""
        version = self._files.version(entry.shard_id)
        raw = np.empty(entry.size, np.uint8)
        self._files.check(entry, self._files.fill(Span(entry.shard_id, entry.offset, entry.size), raw.data))
        decode(entry, raw, self._files.byte_order)
        elements: Array = raw.view(entry.dtype.numpy).reshape(entry.shape)
        self._files.keep(entry, version, elements)
        return elements

    def _read_pieces(self, entry: BundleEntry, region: TensorSlice, target: Array) -> None:
        """Picks a part of an entry out of the pieces that meet it."""
        files = self._files
        must_check = self._must_check(entry)
        expected = files.piece_checksums(entry) if must_check else None
        checksums: list[tuple[int, int]] = []
        buffer = np.empty(min(entry.size, region_pieces.MAX_PIECE_SIZE), np.uint8)
        pieces = region_pieces.iterate_pieces(entry.shape, entry.dtype, region, only_wanted=not must_check)
        for number, piece in enumerate(pieces):
            if expected is not None and not piece.is_wanted:
                continue
            raw = buffer[: piece.size]
            span = Span(entry.shard_id, entry.offset + piece.offset, piece.size)
            crc = files.fill(span, raw.data)
            if expected is not None:
                files.check_piece(span, expected[number], crc)
            checksums.append((crc, piece.size))
            if piece.is_wanted:
                decode(entry, raw, files.byte_order)
                target[piece.target] = raw.view(entry.dtype.numpy).reshape(piece.shape)[piece.source]
        if must_check and expected is None:
            files.check(entry, combined(checksums))
            files.note_pieces(entry, [crc for crc, _ in checksums])

    def _read_elements(self, part: _Part) -> None:
        elements = _read_elements(self._files, part.entry)
        if part.target is not None:
            values = np.empty(len(elements), object)
            values[:] = elements
            part.target[...] = values.reshape(part.entry.shape)[(part.region or _all_of(part.entry)).indices]

    def _read_group(self, group: list[_Part]) -> None:
        """Reads small entries that lie close together."""
        files, first = self._files, group[0].entry
        if len(group) == 1 and group[0].raw is not None:
            self._guarded(group[0], self._read_alone)
            return
        buffer = np.empty(_size_of(group), np.uint8)
        places = [(part.entry.offset - first.offset, part.entry.offset - first.offset + part.entry.size) for part in group]
        try:
            checksums = files.fill_run(Span(first.shard_id, first.offset, len(buffer)), buffer.data, places)
        except DataLossError:
            # Some of it is there, perhaps: each by itself says which.
            for part in group:
                self._guarded(part, self._read_alone)
            return
        must_check = self._must_check(first)
        for part, (start, end), crc in zip(group, places, checksums, strict=True):
            entry, raw = part.entry, part.raw
            if must_check:
                try:
                    files.check(entry, crc)
                except SaverError as error:
                    self._found(part.name, error)
                    continue
            if raw is not None:
                raw[:] = buffer[start:end]
                decode(entry, raw, files.byte_order)

    def _read_alone(self, part: _Part) -> None:
        if part.raw is None:
            _check(self._files, part.entry)
            return
        files, entry = self._files, part.entry
        crc = files.fill(Span(entry.shard_id, entry.offset, entry.size), part.raw.data)
        if self._must_check(entry):
            files.check(entry, crc)
        decode(entry, part.raw, files.byte_order)


class _PiecewisePart:
    """A large entry, of which several threads read pieces into their places, or to check them."""

    def __init__(self, part: _Part, piece_size: int) -> None:
        self.part = part
        self._piece_size = piece_size
        self.num_pieces = -(-part.entry.size // piece_size)
        self._checksums: list[int | None] = [None] * self.num_pieces

    def size(self, number: int) -> int:
        return min(self._piece_size, self.part.entry.size - number * self._piece_size)

    def read(self, files: BundleFiles, number: int, part: _Part) -> None:
        entry, start, size = part.entry, number * self._piece_size, self.size(number)
        if part.raw is None:
            self._checksums[number] = _hash(files, Span(entry.shard_id, entry.offset + start, size))
            return
        raw = part.raw[start : start + size]
        self._checksums[number] = files.fill(Span(entry.shard_id, entry.offset + start, size), raw.data)
        decode(entry, raw, files.byte_order)

    def check(self, files: BundleFiles) -> None:
        checksums = [crc for crc in self._checksums if crc is not None]
        # A piece that could not be read has been reported.
        if len(checksums) == self.num_pieces:
            files.check(self.part.entry, combined(zip(checksums, map(self.size, range(self.num_pieces)), strict=True)))


def _part(name: str, entry: BundleEntry, region: TensorSlice | None, target: Array) -> _Part:
    raw = None
    if entry.dtype.has_fixed_size and (region is None or region.shape == entry.shape) and target.flags.c_contiguous:
        raw = target.reshape(-1).view(np.uint8)
    return _Part(name, entry, region, target, raw)


def _all_of(entry: BundleEntry) -> TensorSlice:
    return TensorSlice.full(len(entry.shape)).resolve(entry.shape)


def _check(files: BundleFiles, entry: BundleEntry) -> None:
    files.check(entry, _hash(files, Span(entry.shard_id, entry.offset, entry.size)))


def _hash(files: BundleFiles, span: Span) -> int:
    """The checksum of bytes that nobody wants to keep."""
    scratch_size = _REMOTE_PIECE_SIZE if files.is_remote else _SCRATCH_SIZE
    scratch = np.empty(min(span.size, scratch_size), np.uint8)
    crc = 0
    for start in range(0, span.size, scratch_size):
        piece = scratch[: span.size - start]
        crc = files.fill(Span(span.shard_id, span.offset + start, len(piece)), piece.data, crc)
    return crc


def _read_elements(files: BundleFiles, entry: BundleEntry) -> list[bytes]:
    """The elements of a type whose elements differ in size; always checked."""
    buffer = np.empty(entry.size, np.uint8)
    files.fill(Span(entry.shard_id, entry.offset, entry.size), buffer.data)
    try:
        elements, crc = decode_elements(entry, buffer.data, files.byte_order)
    except DataLossError as error:
        error.add_context(f"bytes {entry.offset} to {entry.offset + entry.size} of {files.path(entry.shard_id)}")
        raise files.damage(entry, error) from None
    except UnimplementedError as error:
        error.add_context(files.path(entry.shard_id))
        raise
    files.check(entry, crc)
    return elements


def _in_runs(tasks: Iterator[Task]) -> Iterator[Task]:
    """Tasks next to each other as one: two threads that fill one huge page would both ask for it, and clear it."""
    run: list[Task] = []
    size = 0
    for task in tasks:
        if run and size + task.size > _PIECE_SIZE:
            yield Task(functools.partial(_one_after_the_other, run), size)
            run, size = [], 0
        run.append(task)
        size += task.size
    if run:
        yield Task(functools.partial(_one_after_the_other, run), size)


def _one_after_the_other(tasks: list[Task]) -> None:
    for task in tasks:
        task.run()


def _size_of(group: list[_Part]) -> int:
    first, last = group[0].entry, group[-1].entry
    return last.offset + last.size - first.offset


def _is_near(group: list[_Part], entry: BundleEntry, max_gap: int, group_size: int) -> bool:
    first, last = group[0].entry, group[-1].entry
    if entry.shard_id != last.shard_id or not 0 <= entry.offset - (last.offset + last.size) <= max_gap:
        return False
    return entry.offset + entry.size - first.offset <= group_size
