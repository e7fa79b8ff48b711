"""Flipped bits and cut ends in the forms that tfsaver reads and does not write by itself: compressed blocks, big-endian files.

What holds for a compressed block: its checksum is of the bytes as they are stored, so a flipped bit is found before anything
is decompressed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.corruption.victims import HALVES, MATRIX, V2_TENSORS, num_errors, write_v1, write_v2
from tests.plugins.exhaustive import sample
from tests.table.stores import with_snappy
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import DataLossError
from tfsaver.tensor_bundle.writer import BundleWriter

# Bits and lengths of each file that are tried in every run.
_NUM_BITS = 120
_NUM_LENGTHS = 40


def write_compressed(write: Callable[[Path], dict[str, Any]], path: Path, table: Path) -> dict[str, Any]:
    expected = write(path)
    table.write_bytes(with_snappy(table.read_bytes()))
    return expected


def write_big_endian(prefix: Path) -> dict[str, Any]:
    """As `write_v2`, without variants, which have no big-endian form."""
    tensors = {name: value for name, value in V2_TENSORS.items() if name != "variant"}
    with BundleWriter(prefix, num_shards=1, byte_order="big", durable=False) as writer:
        for name, value in tensors.items():
            writer.add(name, value)
        for number, stored in enumerate(HALVES):
            writer.add_slice("parts", (2, 2), stored, MATRIX[number : number + 1])
    return {**tensors, "parts": MATRIX}


FORMS = {
    "compressed V2 index": ("model.index", lambda path: write_compressed(write_v2, path, path.with_name("model.index"))),
    "compressed V1 file": ("model", lambda path: write_compressed(write_v1, path, path)),
    "big-endian index": ("model.index", write_big_endian),
    "big-endian data": ("model.data-00000-of-00001", write_big_endian),
}


@pytest.fixture(params=FORMS)
def victim(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path, dict[str, Any]]:
    """The checkpoint's path, the file of it that is damaged, and its tensors."""
    name, write = FORMS[request.param]
    return tmp_path / "model", tmp_path / name, write(tmp_path / "model")


def test_form_is_sound_before_it_is_damaged(victim: tuple[Path, Path, dict[str, Any]]) -> None:
    path, _, expected = victim
    assert num_errors(path, expected) == 0
    assert verify_checkpoint(path).problems == []


def test_flipped_bit_is_data_loss_and_verification_finds_it(victim: tuple[Path, Path, dict[str, Any]]) -> None:
    path, file, expected = victim
    data = file.read_bytes()
    for bit in sample(range(8 * len(data)), _NUM_BITS):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        num_errors(path, expected)
        problems = verify_checkpoint(path).problems
        assert problems and all(isinstance(problem.error, DataLossError) for problem in problems), (bit, problems)


def test_truncated_file_is_data_loss(victim: tuple[Path, Path, dict[str, Any]]) -> None:
    path, file, expected = victim
    data = file.read_bytes()
    for size in sample(range(len(data)), _NUM_LENGTHS):
        file.write_bytes(data[:size])
        assert num_errors(path, expected) > 0, size
        assert not verify_checkpoint(path).ok
