"""The order of map entries in the bytes that are hashed."""

from __future__ import annotations

import pytest

from tfsaver import schemas
from tfsaver.saved_model import deterministic


def test_a_text_that_another_begins_with_comes_first() -> None:
    node = schemas.NodeDef(name="n", op="Reshape")
    for name in ("Tshape", "T", "_output_shapes", "Ta"):
        node.attr[name].i = 1
    data = deterministic.serialize(node)
    positions = [data.index(b"\n" + bytes([len(name)]) + name) for name in (b"T", b"Ta", b"Tshape", b"_output_shapes")]
    assert positions == sorted(positions)
    assert schemas.NodeDef.FromString(data) == node


def test_numbers_ascend_and_deep_maps_are_sorted_too() -> None:
    model = schemas.SavedModel()
    function = model.meta_graphs.add().graph_def.library.function.add()
    for number in (300, 0, 2):
        for name in ("Tx", "T"):
            function.arg_attr[number].attr[name].i = number
    data = deterministic.serialize(model)
    positions = [data.index(b"\x08" + key) for key in (b"\x00\x12", b"\x02\x12", b"\xac\x02\x12")]
    assert positions == sorted(positions)
    assert data.index(b"\n\x01T") < data.index(b"\n\x02Tx")
    assert schemas.SavedModel.FromString(data) == model


@pytest.mark.parametrize("entry", [b"\x08\x01\x12\x00", b"\x08\x01\x12\x02\x18\x05", b"\x12\x02\x18\x05", b"\x0a\x00\x08\x01\x12\x00", b""])
def test_entries_with_a_key_of_another_kind_or_none_are_sorted_too(entry: bytes) -> None:
    data = b"\x0a\x01n" + b"".join(b"\x2a" + bytes([len(each)]) + each for each in (b"\x0a\x01b\x12\x00", entry, b"\x0a\x01a\x12\x00"))
    node = schemas.NodeDef.FromString(data)
    again = schemas.NodeDef.FromString(deterministic.serialize(node))
    assert again == node
    # A message whose entry is told by its field's number alone, as unknown fields are.
    unsorted = deterministic._sorted(memoryview(data), schemas.NodeDef.DESCRIPTOR)
    assert len(unsorted) == len(data) and unsorted.index(b"\x0a\x01a") < unsorted.index(b"\x0a\x01b")


def test_fields_of_every_kind_and_unknown_ones_survive() -> None:
    tensor = schemas.TensorProto(dtype=1, float_val=[1.5, 2.5], double_val=[0.1], int64_val=[-1], string_val=[b"\0x"])
    node = schemas.NodeDef(name="c")
    node.attr["value"].tensor.CopyFrom(tensor)
    node.attr["f"].f = 1.5
    data = node.SerializeToString(deterministic=True) + b"\xfa\x7f\x03abc"
    again = deterministic.serialize(schemas.NodeDef.FromString(data))
    assert sorted(again) == sorted(data) and again.endswith(b"abc")


def test_a_message_without_maps_is_what_the_library_writes() -> None:
    shape = schemas.TensorShapeProto(dim=[schemas.TensorShapeProto.Dim(size=3)])
    assert deterministic.serialize(shape) == shape.SerializeToString()
