"""The column of forms says of an entry what decoding it says, or leaves it to that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfsaver import schemas
from tfsaver.errors import SaverError, TensorNotFoundError
from tfsaver.framework import dtypes, tensor_shape
from tfsaver.framework.tensor_info import TensorForm
from tfsaver.tensor_bundle import bundle_index, entry_forms
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry
from tfsaver.tensor_bundle.entry_forms import EntryForms
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.writer import BundleWriter

FLOAT = dtypes.from_name("float32")

numbers = st.sampled_from([0, 1, 127, 128, 300, 1 << 20, (1 << 31) - 1, 1 << 40])
shapes = st.lists(st.integers(0, 300), max_size=4).map(tuple)


def value_of(shape: tuple[int, ...] = (2, 3), shard_id: int = 0, offset: int = 300, crc: int = 7) -> bytes:
    size = tensor_shape.num_elements(shape) * FLOAT.size
    return BundleEntry(FLOAT, shape, min(shard_id, (1 << 31) - 1), offset, size, crc).encode()


entries = st.builds(value_of, shapes, numbers, numbers, st.integers(0, (1 << 32) - 1))


def forms_of(values: list[bytes]) -> list[TensorForm | None]:
    forms = EntryForms()
    forms.add(values)
    return forms.of(range(len(values)))


def assert_true(value: bytes, form: TensorForm | None) -> None:
    """A form is what the entry says, if it can be decoded."""
    try:
        entry = decode_entry(value, "it")
    except SaverError:
        return
    assert form is None or (form.dtype, form.shape, form.is_sliced) == (entry.dtype, entry.shape, entry.is_sliced)


@given(st.lists(entries, min_size=1, max_size=20))
def test_forms_are_those_of_the_entries(values: list[bytes]) -> None:
    for value, form in zip(values, forms_of(values), strict=True):
        entry = decode_entry(value, "it")
        # A checksum of zero is left out, which is not the usual way.
        assert form == (TensorForm(entry.dtype, entry.shape) if entry.crc32c else None)


@given(st.lists(entries, min_size=1, max_size=5), st.integers(0), st.binary(max_size=8), st.integers(0, 8))
@example([value_of()], 8, b"\x08\x03", 0)
@example([value_of()], 4 + value_of()[3], b"\x08\x03", 0)
@example([value_of()], 4 + value_of()[3], b"\x20\x05\x08\x03", 0)
@example([value_of()], len(value_of()), b"\x08\x03", 0)
@example([value_of(), value_of()], 0, b"", 3)
@example([value_of()], 0, b"", 200)
def test_entry_with_other_bytes_has_no_wrong_form(values: list[bytes], place: int, inserted: bytes, removed: int) -> None:
    number = place % len(values)
    place %= len(values[number]) + 1
    values[number] = values[number][:place] + inserted + values[number][place + removed :]
    for value, form in zip(values, forms_of(values), strict=True):
        assert_true(value, form)


def test_slices_have_no_form_in_the_column() -> None:
    proto = schemas.BundleEntryProto(dtype=1, shape=tensor_shape.to_proto((4,)))
    proto.slices.add()
    assert forms_of([proto.SerializeToString(), b"", b"\x08"]) == [None, None, None]


def test_more_forms_than_numbers_are_left_to_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_forms, "_MAX_FORMS", 2)
    found = forms_of([value_of((size,)) for size in (1, 2, 3, 1)])
    assert [form and form.shape for form in found] == [(1,), (2,), None, (1,)]


@pytest.mark.parametrize("batch", [1, 3, 1 << 12])
def test_an_index_gives_forms_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(bundle_index, "_NUM_IN_BATCH", batch)
    with BundleWriter(tmp_path / "model", durable=False) as writer:
        writer.add_slice("a/sliced", (4,), np.s_[:2], np.zeros(2, np.float32))
        writer.add_slice("a/sliced", (4,), np.s_[2:], np.zeros(2, np.float32))
        writer.add("b", np.zeros((2, 3), np.int64))
        writer.add("c", np.array([b"text"], object))
        writer.add("d\udc80", np.float32(1))
        writer.add("\ue000", np.float64(1))
    with BundleReader(tmp_path / "model") as reader:
        for names in (reader.names, reader.names[::-1], ["b", "b", "a/sliced"], []):
            infos = map(reader.info, names)
            assert list(reader.forms(names)) == [TensorForm(info.dtype, info.shape, bool(info.slices)) for info in infos]
        with pytest.raises(TensorNotFoundError, match="'bb'"):
            list(reader.forms(["b", "bb"]))
