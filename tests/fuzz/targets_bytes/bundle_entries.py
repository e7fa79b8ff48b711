"""A V2 checkpoint whose index has the input's entries, in a sound table; tensors' checksums are made right.

The parts of an input: flags, the data file, then key, value, key, value ...
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz import checksums, pieces
from tests.fuzz import seeds as files
from tests.fuzz.memory_files import mount
from tests.fuzz.reading import read_everything
from tests.table.stores import open_table
from tfsaver.tensor_bundle.header import BundleHeader

NAME = "bundle_entries"
MAX_SIZE = 800
mutate = pieces.mutate

_BIG_ENDIAN = 1
_KEEPS_CHECKSUMS = 2


def seeds() -> Iterator[bytes]:
    own = files.own_files()
    indexes = [(own["v2.index"], own["v2.data-00000-of-00002"]), (own["v2.index"], own["v2.data-00001-of-00002"])]
    for path in files.case_paths("*.index"):
        data = path.with_name(f"{path.stem}.data-00000-of-00001")
        if data.exists() and data.stat().st_size < 1500:
            indexes.append((path.read_bytes(), data.read_bytes()))
    for flags in (0, _BIG_ENDIAN, _KEEPS_CHECKSUMS):
        for index, data_bytes in indexes:
            entries = [item for item in open_table(index).items() if item[0]]
            for start in range(0, len(entries), 3):
                parts = [part for item in entries[start : start + 3] for part in item]
                yield pieces.pack([bytes((flags,)), data_bytes[:300], *parts])
            slices = [part for item in entries if item[0].startswith((b"\0", b"parts")) for part in item]
            yield pieces.pack([bytes((flags,)), data_bytes[:300], *slices])


def run(data: bytes) -> None:
    flags_bytes, *rest = pieces.unpack(data)
    flags = flags_bytes[0] if flags_bytes else 0
    shard = rest[0] if rest else b""
    order = "big" if flags & _BIG_ENDIAN else "little"
    pairs = dict(zip(rest[1::2], rest[2::2], strict=False))
    if not flags & _KEEPS_CHECKSUMS:
        pairs = {key: checksums.right_entry(value, shard, order) for key, value in pairs.items()}
    if b"" not in pairs:
        pairs[b""] = BundleHeader(2, order).encode()
    shards = {f"m.data-0000{number}-of-00002": shard for number in (0, 1)}
    read_everything(mount({"m.index": checksums.table_of(pairs), **shards}) + "/m", data)
