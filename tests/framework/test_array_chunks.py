"""An array's bytes in small pieces, whatever its layout, against what numpy gives in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tfsaver.framework import array_chunks, dtypes

LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "C order": lambda a: a,
    "Fortran order": np.asfortranarray,
    "transposed": lambda a: a.T,
    "every other": lambda a: a[..., ::2] if a.ndim else a,
    "backwards": lambda a: a[::-1] if a.ndim else a,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "broadcast": lambda a: np.broadcast_to(a, (3, *a.shape)),
}


def chunks_of(array: Any, byte_order: str = "little") -> list[bytes]:
    return [bytes(chunk) for chunk in array_chunks.iterate_chunks(array, dtypes.from_numpy(array.dtype), byte_order)]


@pytest.mark.parametrize("layout", LAYOUTS)
@given(
    array=npst.arrays(st.sampled_from(["i1", "u2", "i4", "f8", "c8", "c16"]), npst.array_shapes(min_dims=0, max_side=5)),
    chunk_size=st.sampled_from([1, 16, 40, 1 << 20]),
    byte_order=st.sampled_from(["little", "big"]),
)
def test_chunks_are_the_arrays_bytes(layout: str, array: Any, chunk_size: int, byte_order: str) -> None:
    arranged = LAYOUTS[layout](array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_chunks, "CHUNK_SIZE", chunk_size)
        chunks = chunks_of(arranged, byte_order)
    order = "<" if byte_order == "little" else ">"
    assert b"".join(chunks) == arranged.astype(arranged.dtype.newbyteorder(order)).tobytes()
    assert all(len(chunk) <= max(chunk_size, array.dtype.itemsize) for chunk in chunks)


def test_contiguous_array_is_not_copied() -> None:
    array = np.arange(1000, dtype=np.float32)
    (chunk,) = array_chunks.iterate_chunks(array, dtypes.from_numpy(array.dtype))
    assert np.shares_memory(np.frombuffer(chunk, np.float32), array)


def test_array_is_left_as_it_was_when_its_bytes_are_swapped() -> None:
    array = np.arange(10, dtype=np.int32)
    assert b"".join(chunks_of(array, "big")) == array.astype(">i4").tobytes()
    assert array.tolist() == list(range(10))


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_array_without_elements_has_no_chunks(shape: tuple[int, ...]) -> None:
    assert chunks_of(np.zeros(shape, np.float32)) == []
    assert chunks_of(np.zeros(shape, np.float32, order="F")) == []
