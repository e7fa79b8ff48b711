"""A V1 checkpoint's file, as its bytes are but with right checksums."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz import checksums
from tests.fuzz import seeds as files
from tests.fuzz.memory_files import mount
from tests.fuzz.reading import read_everything
from tests.table.stores import with_snappy

NAME = "v1_file"
MAX_SIZE = 800


def seeds() -> Iterator[bytes]:
    for folder in ("gen_dtypes_v1", "gen_partitioned_v1_single", "v1_*", "sm_*"):
        for data in files.case_files(f"{folder}/**/*"):
            if data.endswith(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb") and b"\x1a\x00" in data[:40]:
                yield data
    yield files.own_files()["v1"]
    yield with_snappy(files.own_files()["v1"])


def run(data: bytes) -> None:
    read_everything(mount({"m": checksums.right_table(data)}) + "/m", data)
