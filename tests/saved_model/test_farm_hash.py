"""FarmHash, by values that its reference implementation gives."""

from __future__ import annotations

import pytest

from tfsaver.saved_model.farm_hash import concatenate, fingerprint64

KNOWN = {
    0: 0x9AE16A3B2F90404F,
    1: 0xB3454265B6DF75E3,
    5: 0x4ABAC566D60D37B7,
    10: 0x94BE3ABB0E2B6525,
    20: 0xD1128F7D2CDB832E,
    40: 0x1E17B601E177E8EF,
    65: 0x6BF136A09F841C74,
    200: 0xCC4CACF059734921,
}


@pytest.mark.parametrize("size", KNOWN)
def test_each_way_by_length_gives_the_known_value(size: int) -> None:
    assert fingerprint64(b"a" * size) == KNOWN[size]


def test_order_matters_when_fingerprints_are_joined() -> None:
    assert concatenate(1, 2) == 0xC89A2574412AC8E4
    assert concatenate(2, 1) != concatenate(1, 2)


def test_every_byte_counts() -> None:
    for size in (*range(1, 70), 127, 128, 129, 200):
        values = {fingerprint64(bytes(i == changed for i in range(size))) for changed in range(size)}
        assert len(values | {fingerprint64(bytes(size))}) == size + 1
