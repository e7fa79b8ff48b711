"""Values of Python's own have one form in JSON, and come back exactly."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.targets.trees.trees import same
from tfsaver.targets.trees.values import from_record, is_unicode, is_value, to_record

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**300), 2**300),
    st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack(">d", bits.to_bytes(8, "big"))[0]),
    st.complex_numbers(),
    st.binary(),
    st.text(st.characters(codec=None)),
)


@pytest.mark.parametrize(
    ("value", "record"),
    [
        (None, {"value": None}),
        (True, {"value": True}),
        (2**63 - 1, {"value": 2**63 - 1}),
        (2**63, {"int": "0x8000000000000000"}),
        (-0.0, {"value": -0.0}),
        (float("inf"), {"float": "7ff0000000000000"}),
        (1 - 1j, {"complex": "3ff0000000000000bff0000000000000"}),
        (b"hi", {"bytes": "aGk="}),
        ("\udcc3", {"str": "7bOD"}),
    ],
    ids=repr,
)
def test_value_has_the_documented_form(value: Any, record: dict[str, Any]) -> None:
    assert to_record(value) == record
    assert same(from_record(record), value)


@given(_VALUES)
def test_any_value_comes_back_through_json(value: Any) -> None:
    assert is_value(value)
    assert same(from_record(json.loads(json.dumps(to_record(value), allow_nan=False))), value)


@given(st.text(st.characters(codec=None)))
def test_unicode_is_what_has_a_utf_8_form(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        assert not is_unicode(text)
    else:
        assert is_unicode(text)
