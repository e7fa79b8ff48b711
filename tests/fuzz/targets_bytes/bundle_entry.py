"""An index's values: the header, and entries with shapes and slices; and whether slices overlap."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz import seeds as files
from tests.table.stores import open_table
from tfsaver.errors import SaverError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet
from tfsaver.tensor_bundle import header
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry

NAME = "bundle_entry"
MAX_SIZE = 256


def seeds() -> Iterator[bytes]:
    for index in (files.own_files()["v2.index"], *files.case_files("*.index")):
        yield from (value for _, value in zip(range(5), (value for _, value in open_table(index).items()), strict=False))
    for slices in ([((0, 1), EVERYTHING), ((1, 1), EVERYTHING)], [((0, 2), (0, 1)), ((0, 2), (1, 3)), ((0, 1), (2, 1))]):
        stored = tuple(TensorSlice(tuple(extents)) for extents in slices)
        yield BundleEntry(dtypes.from_name("float32"), (2, 4), slices=stored).encode()
    yield header.BundleHeader(3, "big").encode()


def run(data: bytes) -> None:
    try:
        header.decode_header(data, "index")
    except SaverError:
        pass
    entry = decode_entry(data, "entry")
    assert decode_entry(entry.encode(), "entry") == entry
    TensorSliceSet("x", entry.shape, entry.slices).check_coverage()
