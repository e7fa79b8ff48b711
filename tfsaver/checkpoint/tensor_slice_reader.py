"""Reads a V1 checkpoint: one table file, or the files that match a pattern.

Each file lists the tensors, and the slices of them, that it holds; together the lists must agree on every tensor's shape
and type and may not overlap. A record is only read when its tensor is. What TensorFlow's own CheckpointReader refuses is
read too: slices, and all the types of the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.checkpoint import saved_tensor_slices
from tfsaver.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    DataLossError,
    InvalidArgumentError,
    MissingSlicesError,
    SaverError,
    TensorNotFoundError,
    UnimplementedError,
    nearest_names,
)
from tfsaver.framework import dtypes, tensor_shape, tensor_slice, tensor_util, wire_format
from tfsaver.framework.array_pieces import cut
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import StoredPiece, TensorForm, TensorInfo
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import file_identity, file_io
from tfsaver.lib.file_identity import FileIdentity
from tfsaver.lib.local_file_system import DescriptorCache
from tfsaver.lib.recycled_memory import RecycledMemory
from tfsaver.table.table import OnDamage, Table, raise_damage
from tfsaver.tensor_bundle import out_array
from tfsaver.tensor_bundle.header import check_version
from tfsaver.tensor_bundle.read_many import OnDamagedTensor

Array = np.ndarray[Any, Any]


class StoredTensor(NamedTuple):
    """What the files say of one tensor; `shard_ids` has the number of the file that holds each slice."""

    dtype: DType
    shape: Shape
    slices: list[TensorSlice]
    shard_ids: list[int]

    @property
    def is_whole(self) -> bool:
        """Whether the tensor is stored in one slice that is all of it."""
        return len(self.slices) == 1 and self.slices[0].is_full


class TensorSliceReader:
    """An open V1 checkpoint. Several threads may read from it at once.

    Args:
        prefix: The checkpoint's name: a file, or the pattern of several.
        paths: Its files.

    Attributes:
        names: The tensors' names, sorted.
        identities: Which version of the checkpoint is open: what its files were when they were opened.

    Raises:
        CheckpointNotFoundError: There is no file.
        DataLossError: A file is no V1 checkpoint, or the files contradict each other.
    """

    def __init__(self, prefix: str, paths: Sequence[str]) -> None:
        self.prefix = prefix
        self.paths = list(paths)
        if not paths:
            raise CheckpointNotFoundError(prefix, looked_for=[prefix])
        self._descriptors = DescriptorCache()
        self._is_closed = False
        self._files: list[file_io.RandomAccessFile] = []
        self._tables: list[Table] = []
        self.tensors: dict[str, StoredTensor] = {}
        try:
            for path in paths:
                self._open(path)
            self._slice_sets = {
                name: TensorSliceSet(name, tensor.shape, tensor.slices) for name, tensor in self.tensors.items()
            }
        except BaseException:
            self.close()
            raise
        self.names = sorted(self.tensors, key=str.encode)
        self.identities: tuple[FileIdentity | None, ...] = tuple(map(file_identity.of_open, self._files))

    def _open(self, path: str) -> None:
        try:
            file = file_io.open_for_reading(path, self._descriptors)
        except FileNotFoundError:
            raise CheckpointNotFoundError(self.prefix, looked_for=[path]) from None
        self._files.append(file)
        table = self._open_table(file)
        self._tables.append(table)
        what = f"meta record of {path}"
        value = table.get(saved_tensor_slices.META_KEY)
        if value is None:
            raise DataLossError(f"{path} has no meta record: it is a table, but no V1 checkpoint")
        try:
            meta = schemas.SavedTensorSlices.FromString(value).meta
        except DecodeError as error:
            raise DataLossError(f"{what}: {error}") from error
        check_version(meta.versions, path)
        for saved in meta.tensor:
            self._register(saved, len(self._tables) - 1, f"{what}: {saved.name!r}")

    def _open_table(self, file: file_io.RandomAccessFile) -> Table:
        return Table(file)

    def _register(self, saved: schemas.SavedSliceMeta, shard_id: int, what: str) -> None:
        try:
            dtype = dtypes.from_data_type(saved.type)
        except UnimplementedError as error:
            error.add_context(what)
            raise
        shape = tensor_shape.from_proto(saved.shape, what)
        slices = [tensor_slice.from_proto(item, what) for item in saved.slice]
        known = self.tensors.setdefault(saved.name, StoredTensor(dtype, shape, [], []))
        if known.dtype is not dtype or known.shape != shape:
            raise DataLossError(
                f"{what}: {dtype} of shape {list(shape)} in one file, {known.dtype} of shape {list(known.shape)} in another"
            )
        known.slices.extend(slices)
        known.shard_ids.extend([shard_id] * len(slices))

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def tensor(self, name: str) -> StoredTensor:
        """What the files say of a tensor, without reading its values.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """
        try:
            return self.tensors[name]
        except KeyError:
            raise TensorNotFoundError(name, checkpoint=self.prefix, near=nearest_names(name, self.tensors)) from None

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        """A tensor's type and full shape."""
        tensor = self.tensor(name)
        return tensor.dtype, tensor.shape

    def forms(self, names: Sequence[str]) -> Iterator[TensorForm]:
        """The types and shapes of many tensors."""
        for tensor in map(self.tensor, names):
            yield TensorForm(tensor.dtype, tensor.shape, bool(tensor.slices) and not tensor.is_whole)

    def info(self, name: str) -> TensorInfo:
        """What the files say of a tensor, in the form that both formats share."""
        tensor = self.tensor(name)
        pieces = [
            StoredPiece(self.paths[shard_id], shard_id, None, None, None if tensor.is_whole else stored)
            for stored, shard_id in zip(tensor.slices, tensor.shard_ids, strict=True)
        ]
        num_bytes = num_elements(tensor.shape) * tensor.dtype.size
        return TensorInfo(name, tensor.dtype, tensor.shape, num_bytes, tuple(pieces))

    def read(self, name: str, region: TensorSlice | None = None, *, out: Array | None = None, verify: bool = True) -> Array:
        """A tensor, or a region of it; the checksum of a record's block is checked in any case.

        Raises:
            TensorNotFoundError: There is no such tensor.
            DataLossError: The bytes are not those that were written, or some are missing; the region is not wholly stored.
            InvalidArgumentError: The region leaves the tensor.
            ShapeMismatchError: `out` has another shape.
        """
        tensor = self.tensor(name)
        resolved = (region or TensorSlice.full(len(tensor.shape))).resolve(tensor.shape, repr(name))
        # An array for a region is only made when the records for it are there: shapes alone may promise anything.
        # In the order of their keys: each block is then decoded once, in whatever order the slices are listed.
        parts = sorted(
            self._slice_sets[name].parts(resolved),
            key=lambda item: (tensor.shard_ids[item[0]], tensor.slices[item[0]].extents),
        )
        values = [(self._read_slice(name, tensor, number), part, target) for number, part, target in parts]
        if out is None:
            out = np.empty(resolved.shape, tensor.dtype.numpy)
        else:
            out = out_array.checked(out, name, resolved.shape, tensor.dtype)
        for value, part, target in values:
            # The dots keep a scalar's part an array that can be filled.
            indices: tuple[Any, ...] = (*target.indices, ...)
            out[indices] = value[part.indices]
        return out

    def read_many(
        self,
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
        """Reads tensors, or parts of them, or checks their records; see `tfsaver.tensor_bundle.read_many`.

        Records are decoded by one thread into arrays of their own: `num_workers` and `memory` do not matter.
        """
        arrays: dict[str, Array] = {}
        done = 0
        for name, region in wanted.items():
            damage: list[SaverError] = []
            if verify_only:
                self._check_records(name, damage)
            else:
                try:
                    arrays[name] = self.read(name, region, out=None if out is None else out.get(name), verify=verify)
                except SaverError as error:
                    damage.append(error)
            for found in damage:
                if on_damage is None or isinstance(found, CheckpointReplacedError):
                    raise found
                on_damage(name, found)
            if progress is not None:
                done += self.info(name).num_bytes
                progress(done)
        return arrays

    def _check_records(self, name: str, damage: list[SaverError]) -> None:
        """Decodes all records of a tensor, and notes which are damaged and whether some are missing."""
        tensor = self.tensor(name)
        order = range(len(tensor.slices))
        for number in sorted(order, key=lambda number: (tensor.shard_ids[number], tensor.slices[number].extents)):
            try:
                self._read_slice(name, tensor, number)
            except SaverError as error:
                damage.append(error)
        try:
            self._slice_sets[name].check_coverage()
        except MissingSlicesError as error:
            damage.append(error)

    def check_places(self, names: Iterable[str], on_damage: OnDamagedTensor) -> None:
        """Checks that slices are whole tensors; where their records lie is not known before they are read."""
        for name in names:
            try:
                self._slice_sets[name].check_coverage()
            except MissingSlicesError as error:
                on_damage(name, error)

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        """A tensor's elements, a bounded number at a time; a record cannot be read in part, and all of them are held."""
        return cut(self.read(name, stored))

    def map(self, name: str, *, verify: bool = True) -> Array:
        """Raises:
            UnimplementedError: Always: records do not lie in a file as tensors do in memory.
        """
        raise UnimplementedError(f"{self.prefix}: a V1 checkpoint cannot be mapped into memory; read() reads it")

    @property
    def num_files(self) -> int:
        """How many files there are."""
        return len(self.paths)

    def missing_files(self) -> Iterator[str]:
        """The files that are not there any more."""
        return (path for path in self.paths if not file_io.exists(path))

    def verify_index(self, on_damage: OnDamage = raise_damage) -> list[str]:
        """Reads every byte of every file; returns the tensors' names.

        Args:
            on_damage: Called with a damaged block, or a record that its file does not list.
        """
        listed = {
            (shard_id, tensor_slice.encode_key(name.encode(), stored))
            for name, tensor in self.tensors.items()
            for stored, shard_id in zip(tensor.slices, tensor.shard_ids, strict=True)
        }
        for shard_id, table in enumerate(self._tables):
            for key, _ in table.items(on_damage):
                if key != saved_tensor_slices.META_KEY and (shard_id, key) not in listed:
                    on_damage(DataLossError(f"{table.path}: record {key!r} belongs to no tensor"))
            table.verify_unread_bytes(on_damage)
        return self.names

    def _read_slice(self, name: str, tensor: StoredTensor, number: int) -> Array:
        if self._is_closed:
            # The last blocks are still decoded.
            raise InvalidArgumentError(f"{self.prefix} is closed")
        stored = tensor.slices[number]
        shape = stored.resolve(tensor.shape, repr(name)).shape
        table = self._tables[tensor.shard_ids[number]]
        what = f"record of {name!r} {stored} in {table.path}"
        value = table.get(tensor_slice.encode_key(name.encode(), stored))
        if value is None:
            raise DataLossError(f"{what}: listed in the meta record, but missing")
        try:
            values = _decode_record(memoryview(value), name, stored, tensor.dtype)
        except DataLossError as error:
            error.add_context(what)
            raise
        if len(values) != num_elements(shape):
            raise DataLossError(f"{what}: {len(values)} values stored, {num_elements(shape)} needed for shape {list(shape)}")
        return values.reshape(shape)

    def close(self) -> None:
        """Closes the files; nothing can be read afterwards."""
        self._is_closed = True
        for file in self._files:
            file.close()

    def __enter__(self) -> TensorSliceReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _decode_record(value: memoryview, name: str, stored: TensorSlice, dtype: DType) -> Array:
    data = _last_payload(value, saved_tensor_slices.DATA_FIELD, "data")
    found_name = bytes(_last_payload(data, saved_tensor_slices.NAME_FIELD, "name"))
    if found_name != name.encode():
        raise DataLossError(f"holds the tensor {found_name!r}")
    try:
        proto = schemas.TensorSliceProto.FromString(bytes(_last_payload(data, saved_tensor_slices.SLICE_FIELD, "slice")))
    except DecodeError as error:
        raise DataLossError(f"slice: {error}") from error
    if (found := tensor_slice.from_proto(proto)) != stored:
        raise DataLossError(f"holds the slice {found}")
    return tensor_util.decode_values(_last_payload(data, saved_tensor_slices.VALUES_FIELD, "values"), dtype, name)


def _last_payload(message: memoryview, field: int, what: str) -> memoryview:
    found = None
    for number, wire_type, payload in wire_format.iterate_fields(message):
        if number == field and wire_type == wire_format.LENGTH_DELIMITED:
            found = payload
    if found is None:
        raise DataLossError(f"has no {what}")
    return found
