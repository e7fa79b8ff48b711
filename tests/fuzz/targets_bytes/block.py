"""The inside of a table's block, where no checksum is in the way."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz import seeds as files
from tfsaver.errors import SaverError
from tfsaver.lib import coding
from tfsaver.table import flipped_bit
from tfsaver.table import format as table_format
from tfsaver.table.block import Block
from tfsaver.table.block_builder import BlockBuilder

NAME = "block"
MAX_SIZE = 512


def seeds() -> Iterator[bytes]:
    yield BlockBuilder(16).finish()
    for data in (*files.case_files("*.index"), files.own_files()["v2.index"], files.own_files()["v1"]):
        footer = table_format.decode_footer(data[-table_format.FOOTER_SIZE :], "table")
        for handle in footer:
            stored = data[handle.offset :][: handle.size + table_format.BLOCK_TRAILER_SIZE]
            yield table_format.decode_block(stored, "block")
        # Nearly always the one data block begins the file.
        yield data[: footer.metaindex_handle.offset - table_format.BLOCK_TRAILER_SIZE]


def run(data: bytes) -> None:
    if len(data) >= 4:
        number = flipped_bit.find_flipped_bit(data[4:], coding.read_fixed32(data, 0))
        assert number is None or number < 8 * len(data)
    try:
        block = Block(data, "block")
    except SaverError:
        return
    assert all(a < b for a, b in zip(block.keys, block.keys[1:], strict=False))
    builder = BlockBuilder(16)
    for position, key in enumerate(block.keys):
        assert block.lower_bound(key) == position
        builder.add(key, block.values[position])
    again = Block(builder.finish(), "block")
    assert (again.keys, again.values) == (block.keys, block.values)
