"""An open bundle: its index, its data files, and what can be read from them.

    bundle_index    which tensors there are, and where the bytes of each lie
    bundle_files    the files in which they lie: bounds, checksums, and whether they are this index's
    decoding        from bytes to numpy's elements
    read_many       tensors, and parts of them, put together from their entries
    mapped          a tensor on the pages of its file

Nothing is allocated for a tensor before its entry agrees with itself and with the size of its data file. A reader stays with
the checkpoint that it has opened: when that is replaced or removed meanwhile, it goes on as far as it has the files open,
and says so where it has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import StoredPiece, TensorForm, TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.lib.file_identity import FileIdentity
from tfsaver.lib.recycled_memory import RecycledMemory
from tfsaver.table.table import OnDamage, raise_damage
from tfsaver.tensor_bundle.bundle_files import BundleFiles
from tfsaver.tensor_bundle.bundle_index import BundleIndex
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.mapped import map_tensor
from tfsaver.tensor_bundle.read_many import OnDamagedTensor, check_places, read_many, stream

Array = np.ndarray[Any, Any]


class BundleReader:
    """An open V2 checkpoint. Several threads may read from it at once.

    Args:
        prefix: The checkpoint's path without suffix.

    Attributes:
        index: What it says of tensors.
        header: What the index says of the bundle as a whole.
        files: The data files.

    Raises:
        CheckpointNotFoundError: There is no index of that prefix.
        CheckpointReplacedError: It is being written over.
        DataLossError: The index is no table, or its header is damaged.
        UnimplementedError: It was written for newer readers.
    """

    def __init__(self, prefix: file_io.PathLike) -> None:
        self.prefix = file_io.as_path(prefix)
        self.index = self._open_index()
        self.header: BundleHeader = self.index.header
        self.files = BundleFiles(self.prefix, self.header, self.index.file)

    def _open_index(self) -> BundleIndex:
        return BundleIndex(self.prefix)

    @property
    def identities(self) -> tuple[FileIdentity | None, ...]:
        """Which version of the checkpoint is open: what its index was when it was opened."""
        return (self.index.file.identity,)

    @property
    def paths(self) -> list[str]:
        """The index and the data files, whether they are there or not."""
        return [self.index.path, *map(self.data_path, range(self.header.num_shards))]

    @property
    def names(self) -> list[str]:
        """The tensors' names in the order of their keys; a partitioned tensor's slices are not among them.

        Raises:
            DataLossError: A part of the index is damaged.
        """
        return self.index.names

    def __contains__(self, name: object) -> bool:
        return name in self.index

    def entry(self, name: str) -> BundleEntry:
        """What the index says of a tensor, without reading its bytes.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """
        return self.index.entry(name)

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        """A tensor's type and full shape."""
        entry = self.index.entry(name)
        return entry.dtype, entry.shape

    def forms(self, names: Sequence[str]) -> Iterator[TensorForm]:
        """The types and shapes of many tensors; see `BundleIndex.forms`."""
        return self.index.forms(names)

    def info(self, name: str) -> TensorInfo:
        """What the index says of a tensor, in the form that both formats share."""
        entry = self.index.entry(name)
        if not entry.slices:
            place = StoredPiece(self.data_path(entry.shard_id), entry.shard_id, entry.offset, entry.size, None)
            return TensorInfo(name, entry.dtype, entry.shape, entry.size, (place,))
        stored = self.slice_entries(name)
        pieces = tuple(
            StoredPiece(self.data_path(part.shard_id), part.shard_id, part.offset, part.size, stored_slice)
            for stored_slice, part in stored
        )
        return TensorInfo(name, entry.dtype, entry.shape, sum(part.size for _, part in stored), pieces)

    def slice_entries(self, name: str) -> list[tuple[TensorSlice, BundleEntry]]:
        """The stored slices of a partitioned tensor and their entries.

        Raises:
            DataLossError: A slice that the tensor's entry lists is not in the index, or is something else.
        """
        return self.index.slice_entries(name)

    def read(self, name: str, region: TensorSlice | None = None, *, out: Array | None = None, verify: bool = True) -> Array:
        """A tensor, or a region of it; see `read_many`."""
        arrays = None if out is None else {name: out}
        return read_many(self.index, self.files, {name: region}, out=arrays, verify=verify)[name]

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
        """Reads tensors, or parts of them, or checks their bytes; see `tfsaver.tensor_bundle.read_many`."""
        return read_many(
            self.index,
            self.files,
            wanted,
            out=out,
            verify=verify,
            verify_only=verify_only,
            num_workers=num_workers,
            memory=memory,
            on_damage=on_damage,
            progress=progress,
        )

    def check_places(self, names: Iterable[str], on_damage: OnDamagedTensor) -> None:
        """Checks where tensors lie, and reads none; see `tfsaver.tensor_bundle.read_many.check_places`."""
        check_places(self.index, self.files, names, on_damage)

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        """A tensor's elements, a bounded number at a time; see `tfsaver.tensor_bundle.read_many.stream`."""
        return stream(self.index, self.files, name, stored)

    def map(self, name: str, *, verify: bool = True) -> Array:
        """A tensor on the pages of its file; see `tfsaver.tensor_bundle.mapped`."""
        return map_tensor(self.index, self.files, name, verify=verify)

    def verify_index(self, on_damage: OnDamage = raise_damage) -> list[str]:
        """Reads every byte of the index, those included that nothing depends on; returns the names that can be read.

        Args:
            on_damage: Called with each damaged block. If it returns, the names in the other blocks are found all the same.
        """
        return self.index.verify(on_damage)

    @property
    def num_files(self) -> int:
        """How many data files the header counts."""
        return self.header.num_shards

    def missing_files(self) -> Iterator[str]:
        """The data files that the header counts and that are not there.

        TensorFlow opens one even for a tensor without elements. An index of some bytes may count a hundred thousand.

        Raises:
            CheckpointReplacedError: Another checkpoint has the name now.
        """
        for shard_id in range(self.header.num_shards):
            path = self.data_path(shard_id)
            if not file_io.exists(path):
                self.files.check_not_replaced()
                yield path

    def data_path(self, shard_id: int) -> str:
        """The file of a shard."""
        return self.files.path(shard_id)

    def close(self) -> None:
        """Closes the files; nothing can be read afterwards."""
        self.index.close()
        self.files.close()

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

