"""Every bit of a small checkpoint flipped in turn, every length tried: the right value or a DataLossError.

Most of a table is under a checksum. What is not is its footer: where the index block is, which a flipped bit moves to
bytes that no checksum fits; the magic; and zeros that fill it up. Nothing reads those and their bits harm nothing, but
verification finds even them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.corruption.victims import num_errors, write_v1, write_v2
from tests.plugins.exhaustive import sample
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import CheckpointNotFoundError, DataLossError, SaverError, TruncatedError
from tfsaver.table import format as table_format

V2_FILES = ["model.index", "model.data-00000-of-00002", "model.data-00001-of-00002"]
FILES = [*V2_FILES, "model"]


@pytest.fixture
def victim(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path, dict[str, object]]:
    """The checkpoint's path, the file of it that is damaged, and its tensors."""
    path = tmp_path / "model"
    expected = write_v1(path) if request.param == "model" else write_v2(path)
    return path, tmp_path / request.param, expected


@pytest.mark.parametrize("victim", FILES, indirect=True)
def test_checkpoint_is_sound_before_it_is_damaged(victim: tuple[Path, Path, dict[str, object]]) -> None:
    path, file, expected = victim
    assert file.stat().st_size < 1000
    assert num_errors(path, expected) == 0
    assert verify_checkpoint(path).problems == []


@pytest.mark.parametrize("victim", FILES, indirect=True)
def test_flipped_bit_is_data_loss_and_verification_finds_it(victim: tuple[Path, Path, dict[str, object]]) -> None:
    path, file, expected = victim
    data = file.read_bytes()
    for bit in sample(range(8 * len(data)), 3 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        failed = num_errors(path, expected)
        problems = verify_checkpoint(path).problems
        assert problems, f"bit {bit}: verification finds nothing"
        assert all(isinstance(problem.error, DataLossError) for problem in problems), (bit, problems)
        assert all(str(file) in str(problem) for problem in problems), (bit, problems)
        if ".data-" in file.name:
            # One tensor is damaged, and both say which.
            assert failed == len(problems) == 1, (bit, problems)
            assert problems[0].where in expected


@pytest.mark.parametrize("victim", FILES, indirect=True)
def test_truncated_file_is_data_loss_and_verification_finds_it(victim: tuple[Path, Path, dict[str, object]]) -> None:
    path, file, expected = victim
    data = file.read_bytes()
    for size in range(len(data)):
        file.write_bytes(data[:size])
        assert num_errors(path, expected) > 0, size
        report = verify_checkpoint(path)
        assert not report.ok
        is_short = ".data-" in file.name or size < table_format.FOOTER_SIZE
        # Of an empty file more is said than that it is short.
        kind = TruncatedError if is_short and size else DataLossError
        assert all(isinstance(problem.error, kind) for problem in report.problems), (size, report.problems)


@pytest.mark.parametrize("victim", FILES, indirect=True)
def test_bytes_added_in_front_are_data_loss(victim: tuple[Path, Path, dict[str, object]]) -> None:
    path, file, expected = victim
    file.write_bytes(b"\0" + file.read_bytes())
    assert num_errors(path, expected) > 0
    assert not verify_checkpoint(path).ok


@pytest.mark.parametrize("victim", V2_FILES[1:], indirect=True)
def test_data_file_that_is_gone_is_a_missing_checkpoint(victim: tuple[Path, Path, dict[str, object]]) -> None:
    path, file, expected = victim
    file.unlink()
    assert num_errors(path, expected, CheckpointNotFoundError) > 0
    problems = verify_checkpoint(path).problems
    assert problems and all(isinstance(problem.error, CheckpointNotFoundError) for problem in problems)
    assert all(file.name in str(problem) for problem in problems)


@pytest.mark.parametrize("victim", V2_FILES[:1], indirect=True)
def test_data_files_of_each_other_are_data_loss(victim: tuple[Path, Path, dict[str, object]], tmp_path: Path) -> None:
    path, _, expected = victim
    first, second = (tmp_path / name for name in V2_FILES[1:])
    shutil.copy(first, tmp_path / "kept")
    shutil.copy(second, first)
    shutil.copy(tmp_path / "kept", second)
    assert num_errors(path, expected) > 0
    assert not verify_checkpoint(path).ok


@pytest.mark.parametrize("victim", FILES, indirect=True)
def test_every_pair_of_swapped_neighbours_is_an_error_of_ours(victim: tuple[Path, Path, dict[str, object]]) -> None:
    path, file, expected = victim
    data = file.read_bytes()
    for position in range(len(data) - 1):
        swapped = bytearray(data)
        swapped[position], swapped[position + 1] = data[position + 1], data[position]
        if swapped != data:
            file.write_bytes(swapped)
            num_errors(path, expected, SaverError)
