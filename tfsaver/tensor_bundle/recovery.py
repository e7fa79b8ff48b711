"""Reads what is left of a damaged bundle, piece by piece: which of its bytes still are what was written.

Every way in which a `BundleReader` gives up is one way on here: an index whose end is lost is read block by block, a header
that is lost is made from the names of the data files, a slice that is lost leaves the others. What is read is checked all
the same; of what is found nothing can be wrong but the byte order of a bundle whose header is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tfsaver.errors import DataLossError, SaverError
from tfsaver.framework import tensor_slice
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.table.recovery import RecoveredTable
from tfsaver.table.table import Table
from tfsaver.tensor_bundle.bundle_index import BundleIndex
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.read_many import check_entry
from tfsaver.tensor_bundle.reader import BundleReader

_SHARD = re.compile(r"\.data-\d{5,}-of-(\d{5,})")


class RecoveredIndex(BundleIndex):
    """An index of which something can be read.

    Attributes:
        damage: What is wrong with it.
        assumptions: What was taken for granted, in words, because nothing says it any more.
    """

    def __init__(self, prefix: str) -> None:
        self.damage: list[SaverError] = []
        self.assumptions: list[str] = []
        super().__init__(prefix)

    def _open_table(self, file: file_io.RandomAccessFile) -> Table:
        # The tensors' own checksums are the second proof that a repaired entry is right.
        table = self._recovered_table = RecoveredTable(file, repair_bits=True)
        if table.damage is not None:
            self.damage.append(table.damage)
            if not table.num_blocks:
                raise table.damage
        return table

    def _read_header(self) -> BundleHeader:
        try:
            return super()._read_header()
        except DataLossError as error:
            self.damage.append(error)
            # A sound table without a header is another program's.
            if error.path is None and len(self.damage) == 1:
                raise
            num_shards = self._count_shards()
            if num_shards is None:
                raise
        self.assumptions.append(
            f"the header is lost: taken to be a bundle of {num_shards} data files, as their names say, and little-endian"
        )
        return BundleHeader(num_shards)

    def _count_shards(self) -> int | None:
        counts = {int(match[1]) for path in data_files(self.prefix) if (match := _SHARD.search(path[len(self.prefix) :]))}
        return counts.pop() if len(counts) == 1 else None

    def slice_entries(self, name: str) -> list[tuple[TensorSlice, BundleEntry]]:
        """The slices of a partitioned tensor that are in the index, and their entries."""
        full = self.entry(name)
        found = []
        for stored in full.slices:
            try:
                found.append((stored, self.slice_entry(name, full, stored)))
            except SaverError:
                continue
        return found

    @property
    def repairs(self) -> list[str]:
        """What was put right again, in words."""
        return list(self._recovered_table.repairs)


class RecoveredBundle(BundleReader):
    """A bundle that is opened if there is anything to be had from it.

    Args:
        prefix: The checkpoint's path without suffix.

    Attributes:
        damage: What is wrong with the index.
        assumptions: What was taken for granted, in words, because nothing says it any more.
        lost_slices: The names of tensors of which slices are in the index, and they themselves are not.

    Raises:
        CheckpointNotFoundError: There is no index of that prefix.
        DataLossError: Nothing in the index can be read.
        UnimplementedError: It was written for newer readers.
    """

    index: RecoveredIndex

    def __init__(self, prefix: file_io.PathLike) -> None:
        super().__init__(prefix)
        self.damage = self.index.damage
        self.assumptions = self.index.assumptions
        self.lost_slices: dict[str, None] = {}

    def _open_index(self) -> RecoveredIndex:
        return RecoveredIndex(self.prefix)

    def sound_names(self) -> list[str]:
        """The names in the blocks of the index that can be read, and no others; notes the blocks that cannot."""
        names = []
        for name in super().verify_index(self._note):
            whole = _whole_of_slice(name)
            if whole is None:
                names.append(name)
            else:
                # A slice whose tensor's own entry is lost would pass for a tensor of that strange name.
                self.lost_slices[whole] = None
        self.assumptions += self.index.repairs
        return names

    def check(self, name: str) -> Iterator[tuple[TensorSlice | None, int, Exception | None]]:
        """For each piece of a tensor its slice (None for all of it), its size in bytes, and what is wrong with it.

        Raises:
            DataLossError: Its entry is lost or damaged.
            UnimplementedError: A type that tfsaver does not know.
        """
        full = self.entry(name)
        if not full.is_sliced:
            yield None, full.size, self._damage_of(full)
            return
        for stored in full.slices:
            try:
                part = self.index.slice_entry(name, full, stored)
            except SaverError as error:
                yield stored, 0, error
            else:
                yield stored, part.size, self._damage_of(part)

    def _damage_of(self, entry: BundleEntry) -> Exception | None:
        try:
            check_entry(self.files, entry)
        except (SaverError, OSError) as error:
            return error
        return None

    def _note(self, error: SaverError) -> None:
        if all(str(error) != str(known) for known in self.damage):
            self.damage.append(error)


def _whole_of_slice(name: str) -> str | None:
    """The name of the tensor of which a name is the key of a slice; None where it is none."""
    if not name.startswith("\0"):
        return None
    try:
        return tensor_slice.decode_key(name.encode("utf-8", "surrogateescape"))[0].decode("utf-8", "surrogateescape")
    except DataLossError:
        return None


def data_files(prefix: str) -> list[str]:
    """The data files of a prefix, however many shards their names speak of."""
    directory, name = file_io.split(prefix)
    return [
        file_io.join(directory, each)
        for each in file_io.list_directory(directory)
        if each.startswith(name) and _SHARD.fullmatch(each[len(name) :])
    ]
