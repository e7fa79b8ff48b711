"""What the index of a bundle says: which tensors there are, and where the bytes of each lie.

    key ""                       the header: how many data files, which byte order
    key "dense/kernel"           the entry of a tensor
    key "\\0..." (ordered code)   the entry of one slice of a partitioned tensor

Opening reads the header; an entry is looked up when somebody asks for it. A tensor's slices are no tensors, so their keys
are kept out of the names: a name may begin with a zero byte too, and what tells them apart is the tensor's own entry.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from tfsaver.errors import CheckpointReplacedError, DataLossError, SaverError, TensorNotFoundError, nearest_names
from tfsaver.framework import tensor_slice
from tfsaver.framework.tensor_info import TensorForm
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.lib.cached_property import cached_property
from tfsaver.lib.sorted_names import positions
from tfsaver.table.table import OnDamage, Table, raise_damage
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry, known_entry
from tfsaver.tensor_bundle.entry_forms import EntryForms
from tfsaver.tensor_bundle.header import HEADER_KEY, BundleHeader, decode_header
from tfsaver.tensor_bundle.index_file import Fate, IndexFile

# Some 400 bytes each.
_NUM_KEPT_ENTRIES = 1 << 14
# So many entries are looked at together.
_NUM_IN_BATCH = 1 << 12
# Keys of slices begin with a zero byte, so that they come before this.
_END_OF_SLICE_KEYS = b"\1"


class BundleIndex:
    """An open index. Several threads may ask it at once.

    Args:
        prefix: The checkpoint's path without suffix.

    Attributes:
        file: The file.
        header: What it says of the bundle as a whole.

    Raises:
        CheckpointNotFoundError: There is no index of that prefix.
        CheckpointReplacedError: It was written over while it was opened.
        DataLossError: The index is no table, or its header is damaged.
        UnimplementedError: It was written for newer readers.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.path = naming.index_path(prefix)
        # A tensor's slices lie side by side in the index: its entry need not be parsed for each of them.
        self._slices_in = functools.lru_cache(4)(_slices_in)
        # A tensor is asked about several times: whether it fits, where it is, what its bytes are.
        self._entries: dict[str, BundleEntry] = {}
        self.file = IndexFile(prefix, self.path)
        try:
            try:
                self._table = self._open_table(self.file)
                self.header = self._read_header()
            except DataLossError as error:
                # Half of an index is no damage when the other half is being written.
                if self.file.fate() is Fate.REPLACED:
                    raise self.file.replaced() from error
                raise
        except BaseException:
            self.close()
            raise

    def _open_table(self, file: file_io.RandomAccessFile) -> Table:
        return Table(file)

    def _read_header(self) -> BundleHeader:
        return decode_header(self._table.get(HEADER_KEY), self.path)

    @property
    def num_blocks(self) -> int:
        """How many blocks of entries there are."""
        return self._table.num_blocks

    @property
    def names(self) -> list[str]:
        """The tensors' names in the order of their keys.

        Raises:
            DataLossError: A part of the index is damaged.
        """
        return self._columns[0]

    @cached_property
    def _columns(self) -> tuple[list[str], EntryForms]:
        """The names, and the forms of their tensors."""
        return self._read_columns(raise_damage)

    def _read_columns(self, on_damage: OnDamage) -> tuple[list[str], EntryForms]:
        names: list[str] = []
        forms = EntryForms()
        values: list[bytes] = []
        for block in self._table.blocks(on_damage):
            kept = block.keys
            if kept and kept[0] < _END_OF_SLICE_KEYS:
                items = zip(block.keys, block.values, strict=True)
                sound = {key: value for key, value in items if key != HEADER_KEY and not self._is_slice_key(key)}
                kept = list(sound)
                values += sound.values()
            else:
                values += block.values
            names += [key.decode("utf-8", "surrogateescape") for key in kept]
            if len(values) >= _NUM_IN_BATCH:
                forms.add(values)
                values = []
        forms.add(values)
        return names, forms

    def forms(self, names: Sequence[str]) -> Iterator[TensorForm]:
        """The types and shapes of tensors, in the order of their names.

        An entry that contradicts itself in another way than in these may have a form; `entry` says what is wrong with it.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
            DataLossError: An entry is damaged.
            UnimplementedError: A type that tfsaver does not know.
        """
        own, forms = self._columns
        # Names that are not UTF-8 are not sorted by their letters, and may not be found here.
        known = forms.of(positions(own, names))
        return (form or self._form(name) for name, form in zip(names, known, strict=True))

    def _form(self, name: str) -> TensorForm:
        entry = self.entry(name)
        return TensorForm(entry.dtype, entry.shape, entry.is_sliced)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or not name:
            return False
        key = _as_key(name)
        return bool(key) and self._table.get(key) is not None and not self._is_slice_key(key)

    def entry(self, name: str) -> BundleEntry:
        """The entry of a tensor.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """
        entry = self._entries.get(name)
        if entry is None:
            key = _as_key(name)
            value = self._table.get(key) if key else None
            if value is None:
                raise TensorNotFoundError(name, checkpoint=self.prefix, near=nearest_names(name, self.names))
            # What most are, without the words for an error.
            entry = known_entry(value) or decode_entry(value, f"entry of {name!r} in {self.path}")
            if len(self._entries) < _NUM_KEPT_ENTRIES:
                self._entries[name] = entry
        return entry

    def slice_entries(self, name: str) -> list[tuple[TensorSlice, BundleEntry]]:
        """The slices that the entry of a tensor lists, and their entries.

        Raises:
            DataLossError: One of them is not in the index, or is something else.
        """
        full = self.entry(name)
        # Looked up in the order of their keys: each block is then decoded once, in whatever order they are listed.
        in_order = sorted(full.slices, key=lambda stored: stored.extents)
        entries = {stored: self.slice_entry(name, full, stored) for stored in in_order}
        return [(stored, entries[stored]) for stored in full.slices]

    def slice_entry(self, name: str, full: BundleEntry, stored: TensorSlice) -> BundleEntry:
        """The entry of one slice of a tensor; raises as `slice_entries`."""
        what = f"entry of {name!r} {stored} in {self.path}"
        key = tensor_slice.encode_key(_as_key(name), stored)
        value = self._table.get(key)
        if value is None:
            raise DataLossError(f"{what}: listed as a slice, but missing")
        part = decode_entry(value, what)
        if part.is_sliced or part.dtype is not full.dtype or part.shape != stored.resolve(full.shape, what).shape:
            raise DataLossError(f"{what}: {part.dtype} of shape {list(part.shape)} is not that slice of the tensor")
        return part

    def verify(self, on_damage: OnDamage = raise_damage) -> list[str]:
        """Reads every byte, those included that nothing depends on; returns the names that can be read.

        Args:
            on_damage: Called with each damaged block. If it returns, the names in the other blocks are found all the same.
        """
        names, _ = self._read_columns(on_damage)
        self._table.verify_unread_bytes(on_damage)
        return names

    def _is_slice_key(self, key: bytes) -> bool:
        if not key.startswith(b"\0"):
            return False
        try:
            name, stored = tensor_slice.decode_key(key)
        except DataLossError:
            return False
        try:
            value = self._table.get(name)
        except DataLossError:
            # The tensor's own entry is in a damaged block.
            return True
        try:
            return value is not None and bool(name) and stored in self._slices_in(value)
        except CheckpointReplacedError:
            raise
        except SaverError:
            return False

    def close(self) -> None:
        self.file.close()


def is_same_form(index: BundleIndex, other: BundleIndex) -> bool:
    """Whether two indexes have tensors of the same names, dtypes and shapes."""
    if index.names != other.names:
        return False
    pairs = ((index.entry(name), other.entry(name)) for name in index.names)
    return all(a.dtype is b.dtype and a.shape == b.shape for a, b in pairs)


def is_same_content(index: BundleIndex, other: BundleIndex) -> bool:
    """Whether two indexes say the same of all tensors, checksums included: then so are their values."""
    if index.header.byte_order != other.header.byte_order or index.names != other.names:
        return False
    return all(
        index.entry(name) == other.entry(name) and index.slice_entries(name) == other.slice_entries(name)
        for name in index.names
    )


def _as_key(name: str) -> bytes:
    """The key of a name; the empty one, which is no tensor's, for a text that has no UTF-8 form."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b""


def _slices_in(value: bytes) -> frozenset[TensorSlice]:
    """The slices that an entry lists; none where it is damaged, which is found out once as well."""
    try:
        return frozenset(decode_entry(value, "entry").slices)
    except SaverError:
        return frozenset()
