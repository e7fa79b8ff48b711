"""Whole tables under right checksums: footer, index, blocks as they are and compressed; sound, and recovered."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz import checksums
from tests.fuzz import seeds as files
from tests.table.stores import MemoryFile, build, with_snappy
from tfsaver.errors import SaverError
from tfsaver.table.recovery import RecoveredTable
from tfsaver.table.table import Table

NAME = "table"
MAX_SIZE = 700


def seeds() -> Iterator[bytes]:
    yield from files.case_files("*.index")
    own = files.own_files()
    small = build([(b"", b"x"), *((b"key/%d" % number, b"value" * number) for number in range(9))], block_size=60)
    for data in (own["v2.index"], own["v1"], build([]), small):
        yield data
        yield with_snappy(data)
        yield with_snappy(data, only_odd=True)
        yield data[:-50]


def run(data: bytes) -> None:
    # The last bytes of a file are its magic, which is made right anyway.
    kind = data[-1] % 4 if data else 0
    table = data if kind == 3 else checksums.right_table(data)
    problems: list[SaverError] = []
    if kind & 1:
        _read(RecoveredTable(MemoryFile(table), repair_bits=True), problems)
    else:
        _read(Table(MemoryFile(table)), problems)


def _read(table: Table, problems: list[SaverError]) -> None:
    entries = list(table.items(problems.append))
    table.verify_unread_bytes(problems.append)
    for key, value in entries[:8]:
        # What lies behind a block's index entry is told, and is not found.
        assert problems or table.get(key) == value
