"""Random bytes and random changes in the place of a checkpoint's files: only tfsaver's own errors.

Changes are made below the checksums too, which are then made right again: what no accident does, a hostile file may.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.corruption.victims import write_v1, write_v2
from tests.table.stores import MemoryFile
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import SaverError
from tfsaver.table import format as table_format
from tfsaver.table.table import Table
from tfsaver.table.table_builder import TableBuilder

FILES = ["model.index", "model.data-00000-of-00002", "model"]
MAGIC = table_format.Footer(table_format.BlockHandle(0, 0), table_format.BlockHandle(0, 0)).encode()[-8:]

# The files are written anew for each example.
any_bytes = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def read_everything(path: Path) -> None:
    """Only errors of tfsaver's, in whatever is tried."""
    try:
        reader = load_checkpoint(path)
    except SaverError:
        return
    with reader:
        try:
            names = reader.names
        except SaverError:
            names = ["float", "parts"]
        for name in names:
            for step in (reader.info, reader.dtype, reader.shape, reader.get_tensor, lambda name: reader.read(name, ...)):
                try:
                    step(name)
                except SaverError:
                    pass
        try:
            reader.debug_string()
        except SaverError:
            pass
    try:
        verify_checkpoint(path)
    except SaverError:
        pass


@pytest.fixture
def sound(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path, bytes]:
    path = tmp_path / "model"
    if request.param == "model":
        write_v1(path)
    else:
        write_v2(path)
    file = tmp_path / request.param
    return path, file, file.read_bytes()


@pytest.mark.parametrize("sound", FILES, indirect=True)
@any_bytes
@given(data=st.binary(max_size=200), is_table=st.booleans())
@example(data=b"", is_table=False)
@example(data=b"\xff" * 40, is_table=True)
def test_random_bytes(sound: tuple[Path, Path, bytes], data: bytes, is_table: bool) -> None:
    path, file, _ = sound
    file.write_bytes(data + MAGIC if is_table else data)
    read_everything(path)


@st.composite
def changes(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with some bytes replaced, cut out or put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 1, 1, 2, 8, 30])))
        data = data[:start] + draw(st.binary(max_size=max(1, end - start))) + data[end:]
    return data


@pytest.mark.parametrize("sound", FILES, indirect=True)
@any_bytes
@given(draws=st.data())
def test_random_changes(sound: tuple[Path, Path, bytes], draws: st.DataObject) -> None:
    path, file, data = sound
    file.write_bytes(draws.draw(changes(data)))
    read_everything(path)


def with_changed_values(data: bytes, draws: st.DataObject) -> bytes:
    """A table whose values are changed and whose checksums are right."""
    file = MemoryFile()
    builder = TableBuilder(file)
    for key, value in Table(MemoryFile(data)).items():
        builder.add(key, draws.draw(changes(value)) if draws.draw(st.integers(0, 3)) == 0 else value)
    builder.finish()
    return bytes(file.data)


@pytest.mark.parametrize("sound", ["model.index", "model"], indirect=True)
@any_bytes
@given(draws=st.data())
def test_random_changes_under_right_checksums(sound: tuple[Path, Path, bytes], draws: st.DataObject) -> None:
    path, file, data = sound
    file.write_bytes(with_changed_values(data, draws))
    read_everything(path)


def with_changed_contents(data: bytes, draws: st.DataObject) -> bytes:
    """A table of one data block, changed, with the checksum and the handles made right."""
    footer = table_format.decode_footer(data[-48:], "table")
    index: Any = Table(MemoryFile(data))._handles[0]
    contents = draws.draw(changes(data[index.offset : index.offset + index.size]))
    block = contents + table_format.block_trailer(contents)
    metaindex = bytes(4) + b"\x01\0\0\0"
    entry = b"\x00\x01" + bytes((len(table_format.BlockHandle(0, len(contents)).encode()),)) + b"\xff"
    entries = entry + table_format.BlockHandle(0, len(contents)).encode() + bytes(4) + b"\x01\0\0\0"
    end = len(block)
    handles = table_format.BlockHandle(end, 8), table_format.BlockHandle(end + 13, len(entries))
    assert footer.metaindex_handle.size == 8
    return b"".join(
        (
            block,
            metaindex + table_format.block_trailer(metaindex),
            entries + table_format.block_trailer(entries),
            table_format.Footer(*handles).encode(),
        )
    )


@pytest.mark.parametrize("sound", ["model.index", "model"], indirect=True)
@any_bytes
@given(draws=st.data())
def test_random_changes_of_a_block_under_right_checksums(sound: tuple[Path, Path, bytes], draws: st.DataObject) -> None:
    path, file, data = sound
    file.write_bytes(with_changed_contents(data, draws))
    read_everything(path)
