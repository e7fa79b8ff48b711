"""Makes one bundle of several: how a sharded save ends.

Each writer of a sharded save makes a bundle of its own under a temporary prefix. Merging renames their data files to be
the shards of one bundle, in the order in which entries first mention them, and writes one index: whole tensors must be
in one input only, the slices of a partitioned tensor may be spread over several.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from tfsaver.errors import (
    CheckpointNotFoundError,
    DataLossError,
    DuplicateKeyError,
    InvalidArgumentError,
    ShapeMismatchError,
)
from tfsaver.framework import tensor_slice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.table.table import Table
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry
from tfsaver.tensor_bundle.header import HEADER_KEY, BundleHeader, decode_header
from tfsaver.tensor_bundle.placement import place_bundle


@renamed_options(prefixes="checkpoints", prefix="target")
@takes_storage_options("checkpoints", "target")
def merge_bundles(
    checkpoints: Sequence[file_io.PathLike],
    target: file_io.PathLike,
    *,
    allow_missing_files: bool = False,
    durable: bool = True,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> str:
    """Merges bundles into one at `target`; the inputs' files are gone afterwards.

    Nothing is renamed before all inputs have been read and found to fit together.

    Args:
        checkpoints: The prefixes of the inputs, in the order in which their shards are numbered.
        target: Where the result goes; not one of the inputs.
        allow_missing_files: Whether inputs that do not exist are left out, as long as one does.
        durable: Whether to fsync before returning.
        trusted: If false, an input of which a file is a symbolic link out of its directory is an error.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        `target`.

    Raises:
        CheckpointNotFoundError: An input, or one of its data files, does not exist.
        DuplicateKeyError: Two inputs hold one tensor.
        DataLossError: Slices of a partitioned tensor overlap, or all inputs together lack some.
        InvalidArgumentError: The inputs differ in byte order, or there are none, or the result is one of them.
        UntrustedPathError: An input is not trusted, and one of its files leads out of its directory.
    """
    inputs = [file_io.as_path(item) for item in checkpoints]
    prefix = file_io.as_path(target)
    if os.path.realpath(prefix) in map(os.path.realpath, inputs):
        raise InvalidArgumentError(f"merging into {prefix!r}, which is one of the inputs, would lose its index")
    present = [item for item in inputs if file_io.exists(naming.index_path(item))]
    if not present or (len(present) < len(inputs) and not allow_missing_files):
        missing = next((item for item in inputs if item not in present), prefix)
        raise CheckpointNotFoundError(missing, looked_for=[naming.index_path(missing)])
    merged = _MergedIndex(prefix)
    for item in present:
        merged.add(item, Confinement.around(item, trusted))
    merged.check_slices()
    missing_paths = [path for path in merged.shard_ids if not file_io.exists(path)]
    if missing_paths:
        raise CheckpointNotFoundError(prefix, looked_for=missing_paths, found="an input's index is there, its data are not")
    # An input without tensors has a data file that nobody mentions. Counted as a shard, as its header does, it would
    # make the shards' names say a number that no file carries.
    if not merged.shard_ids and merged.data_paths:
        merged.shard_ids = {merged.data_paths[0]: 0}
    num_shards = len(merged.shard_ids)
    sources = sorted(merged.shard_ids, key=merged.shard_ids.__getitem__)
    if durable:
        for source in sources:
            file_io.sync_file(source)
    entries = [(key, merged.entries[key].encode()) for key in sorted(merged.entries)]
    # Until the result is there the inputs are, whatever stops it.
    place_bundle(prefix, sources, BundleHeader(num_shards, merged.byte_order), entries, durable=durable, keeps_data=True)
    for path in (*map(naming.index_path, present), *dict.fromkeys((*merged.data_paths, *sources))):
        file_io.remove(path)
    return prefix


class _MergedIndex:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.entries: dict[bytes, BundleEntry] = {}
        self.shard_ids: dict[str, int] = {}
        self.data_paths: list[str] = []
        self.byte_order = ""

    def add(self, prefix: str, confinement: Confinement) -> None:
        path = naming.index_path(prefix)
        confinement.check(path)
        with contextlib.closing(file_io.open_for_reading(path)) as file:
            table = Table(file)
            header = decode_header(table.get(HEADER_KEY), path)
            if self.byte_order not in ("", header.byte_order):
                raise InvalidArgumentError(f"{path} is {header.byte_order}-endian, those before it {self.byte_order}-endian")
            self.byte_order = header.byte_order
            data_paths = [naming.data_path(prefix, number, header.num_shards) for number in range(header.num_shards)]
            confinement.check(*data_paths)
            self.data_paths += data_paths
            for key, value in table.items():
                if key != HEADER_KEY:
                    self._add_entry(key, decode_entry(value, f"entry of {key!r} in {path}"), prefix, header.num_shards)

    def _add_entry(self, key: bytes, entry: BundleEntry, prefix: str, num_shards: int) -> None:
        name = tensor_slice.readable_key(key)
        source = naming.data_path(prefix, entry.shard_id, num_shards)
        known = self.entries.get(key)
        if known is None:
            # The entry of a partitioned tensor has no bytes, yet TensorFlow numbers its shard like any other.
            shard_id = self.shard_ids.setdefault(source, len(self.shard_ids))
            self.entries[key] = entry._replace(shard_id=shard_id)
            return
        if not known.is_sliced or not entry.is_sliced or set(known.slices) & set(entry.slices):
            raise DuplicateKeyError(name, prefix=self.prefix)
        if known.shape != entry.shape:
            raise ShapeMismatchError(name, expected=known.shape, actual=entry.shape)
        if known.dtype is not entry.dtype:
            raise InvalidArgumentError(f"{name!r}: slices of {entry.dtype} beside slices of {known.dtype}")
        self.entries[key] = known._replace(slices=known.slices + entry.slices)


    def check_slices(self) -> None:
        """Checks that the slices of each partitioned tensor, of whatever inputs, are the whole tensor.

        Raises:
            DataLossError: Two of them overlap.
            MissingSlicesError: They leave out a part of it.
        """
        for key, entry in self.entries.items():
            if entry.is_sliced:
                try:
                    TensorSliceSet(tensor_slice.readable_key(key), entry.shape, entry.slices).check_coverage()
                except DataLossError as error:
                    error.add_context(f"merged into {self.prefix}")
                    raise
