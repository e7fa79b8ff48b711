"""A V2 checkpoint's index, as its bytes are but with right checksums, and one data file."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz import checksums, pieces
from tests.fuzz import seeds as files
from tests.fuzz.memory_files import mount
from tests.fuzz.reading import read_everything
from tests.table.stores import with_snappy

NAME = "bundle_files"
MAX_SIZE = 800
mutate = pieces.mutate


def seeds() -> Iterator[bytes]:
    for path in files.case_paths("*.index"):
        data = path.with_name(f"{path.stem}.data-00000-of-00001")
        if data.exists() and data.stat().st_size < 2000:
            yield pieces.pack([path.read_bytes(), data.read_bytes()])
    own = files.own_files()
    yield pieces.pack([own["v2.index"], own["v2.data-00000-of-00002"]])
    yield pieces.pack([with_snappy(own["v2.index"]), own["v2.data-00001-of-00002"]])


def run(data: bytes) -> None:
    index, *shard = pieces.unpack(data, 2)
    shard = shard or [b""]
    index = checksums.right_table(index)
    names = {f"m.data-0000{number}-of-0000{count}": shard[0] for count in (1, 2) for number in range(count)}
    read_everything(mount({"m.index": index, **names}) + "/m", data)
