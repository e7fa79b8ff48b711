"""An index of hundreds of thousands of entries: opening it and reading one tensor touch a few blocks of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tfsaver.errors import TensorNotFoundError
from tfsaver.framework import dtypes
from tfsaver.lib import crc32c, file_io
from tfsaver.lib.local_file_system import LocalRandomAccessFile
from tfsaver.table.table_builder import TableBuilder
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import HEADER_KEY, BundleHeader
from tfsaver.tensor_bundle.reader import BundleReader

NUM_ENTRIES = 200_000


def name_of(number: int) -> str:
    return f"model/layer_{number:07d}/kernel"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of as many scalars, made of one entry's bytes: to encode each on its own would take most of the test."""
    prefix = tmp_path_factory.mktemp("scale") / "model"
    values = np.arange(NUM_ENTRIES, dtype=np.float32)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(values.tobytes())
    with file_io.atomic_writer(f"{prefix}.index", durable=False) as file:
        table = TableBuilder(file)
        table.add(HEADER_KEY, BundleHeader(1, "little").encode())
        for number in range(NUM_ENTRIES):
            crc = crc32c.mask(crc32c.value(values[number : number + 1].data))
            entry = BundleEntry(dtypes.from_numpy(values.dtype), (), 0, 4 * number, 4, crc)
            table.add(name_of(number).encode(), entry.encode())
        table.finish()
    return prefix


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of the reads from the index."""
    sizes: list[int] = []
    read = LocalRandomAccessFile.read

    def counted(self: LocalRandomAccessFile, offset: int, size: int) -> bytes:
        if self.path.endswith(".index"):
            sizes.append(size)
        return read(self, offset, size)

    monkeypatch.setattr(LocalRandomAccessFile, "read", counted)
    return sizes


@pytest.mark.parametrize("number", [0, 1, NUM_ENTRIES // 2, NUM_ENTRIES - 1])
def test_one_tensor_takes_a_few_blocks(number: int, prefix: Path, reads: list[int]) -> None:
    with BundleReader(prefix) as reader:
        assert reader.read(name_of(number)) == number
    size = os.path.getsize(f"{prefix}.index")
    assert size > 5_000_000
    # Footer, the index of the blocks, the header's block and the entry's.
    assert len(reads) <= 6
    assert sum(reads) < size // 10


def test_a_thousand_tensors_side_by_side_take_their_blocks(prefix: Path, reads: list[int]) -> None:
    names = [name_of(number) for number in range(70_000, 71_000)]
    with BundleReader(prefix) as reader:
        found = reader.read_many(dict.fromkeys(names))
    assert [float(value) for value in found.values()] == list(range(70_000, 71_000))
    assert sum(reads) < os.path.getsize(f"{prefix}.index") // 5


def test_what_is_not_there_is_known_from_one_block(prefix: Path, reads: list[int]) -> None:
    with BundleReader(prefix) as reader:
        reads.clear()
        assert name_of(NUM_ENTRIES) not in reader
        assert name_of(5) + "x" not in reader
        assert len(reads) <= 2


def test_every_name_is_found(prefix: Path) -> None:
    with BundleReader(prefix) as reader:
        assert reader.names == [name_of(number) for number in range(NUM_ENTRIES)]
        with pytest.raises(TensorNotFoundError, match="did you mean"):
            reader.read("model/layer_0000005/kernle")
