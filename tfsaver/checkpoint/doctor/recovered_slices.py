"""Reads what is left of a damaged V1 checkpoint: the files that open, and in them the blocks that are sound.

A file's first block says what tensors it has; without that block nobody knows what its other bytes mean, and the file is
lost. Everything else is lost block by block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfsaver.checkpoint.tensor_slice_reader import TensorSliceReader
from tfsaver.errors import DataLossError, NotFoundError, SaverError
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.table.recovery import RecoveredTable
from tfsaver.table.table import Table


class RecoveredSlices(TensorSliceReader):
    """A V1 checkpoint that is opened if there is anything to be had from it.

    Args:
        prefix: The checkpoint's name.
        paths: Its files, those included that are not there.

    Attributes:
        damage: What is wrong with the files.

    Raises:
        DataLossError: Nothing can be read.
        UnimplementedError: It was written for newer readers.
    """

    def __init__(self, prefix: str, paths: Sequence[str]) -> None:
        self.damage: list[Exception] = []
        self._opened: list[str] = []
        super().__init__(prefix, paths)
        self.paths = self._opened
        if not self._opened:
            self.close()
            raise self.damage[0]

    def _open(self, path: str) -> None:
        num_files, num_tables = len(self._files), len(self._tables)
        try:
            super()._open(path)
        except (DataLossError, NotFoundError, OSError) as error:
            self._note(error)
            for file in self._files[num_files:]:
                file.close()
            del self._files[num_files:], self._tables[num_tables:]
            self._forget(num_tables)
        else:
            self._opened.append(path)

    def _forget(self, shard_id: int) -> None:
        """Takes back what a file had said before it was given up."""
        for name, tensor in list(self.tensors.items()):
            others = [number for number, other in enumerate(tensor.shard_ids) if other != shard_id]
            if len(others) < len(tensor.slices):
                tensor.slices[:] = [tensor.slices[number] for number in others]
                tensor.shard_ids[:] = [tensor.shard_ids[number] for number in others]
                if not others:
                    del self.tensors[name]

    def _open_table(self, file: file_io.RandomAccessFile) -> Table:
        table = RecoveredTable(file)
        if table.damage is not None:
            self._note(table.damage)
        return table

    def sound_names(self) -> list[str]:
        """The names of the tensors of all files that open; notes the blocks that are damaged."""
        return super().verify_index(self._note)

    def check(self, name: str) -> Iterator[tuple[TensorSlice | None, int, Exception | None]]:
        """For each piece of a tensor its slice (None for all of it), its size in bytes, and what is wrong with it."""
        tensor = self.tensor(name)
        for number, stored in enumerate(tensor.slices):
            piece = None if len(tensor.slices) == 1 and stored.is_full else stored
            try:
                yield piece, self._read_slice(name, tensor, number).nbytes, None
            except (SaverError, OSError) as error:
                yield piece, 0, error

    def _note(self, error: Exception) -> None:
        if all(str(error) != str(known) for known in self.damage):
            self.damage.append(error)
