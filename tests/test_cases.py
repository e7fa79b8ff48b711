"""Files that other programs wrote over the years, and malformed ones that fuzzers found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format

from tests.table.stores import build
from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import SaverError

_ROOT = Path(__file__).parents[1]


def test_every_checkpoint_reads_as_tensorflow_reads_it(cases: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        [sys.executable, str(_ROOT / "tests" / "read_cases.py"), str(cases)],
        capture_output=True, text=True, check=False, timeout=300, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    expected = [
        f"{listing.parent.name}/{prefix}"
        for listing in cases.rglob("expected.json")
        for prefix in json.loads(listing.read_text())["checkpoints"]
    ]
    assert set(results) == set(expected) and len(results) >= 50
    assert {name: found for name, found in results.items() if found} == {}


def fuzz_inputs() -> list[str]:
    """The names of TensorFlow's own corpus for its V1 reader."""
    return [
        "extent_end_overflow",
        "missing_extent_length",
        "missing_tensor_data",
        "missing_tensor_type",
        "negative_dimension",
        "negative_extent_start",
        "tensor_size_overflow",
        "unsupported_tensor_type",
        "valid",
    ]


@pytest.mark.parametrize("name", fuzz_inputs())
def test_fuzzers_input_is_read_or_an_error_of_ours(name: str, cases: Path, tmp_path: Path) -> None:
    text = (cases / "v1_reader_fuzz_inputs" / f"{name}.textproto").read_text()
    record = text_format.Parse(text, schemas.SavedTensorSlices()).SerializeToString()
    # The fuzzer's file: a table whose one record, under the empty key, is the message.
    path = tmp_path / "model"
    path.write_bytes(build([(b"", record)]))
    errors = []
    try:
        with load_checkpoint(path) as reader:
            for each in reader.names:
                try:
                    reader.read(each)
                except SaverError as error:
                    errors.append(str(error))
        assert not verify_checkpoint(path).ok or not errors
    except SaverError as error:
        errors.append(str(error))
    # Even the valid one lists a tensor whose values the file has not.
    assert errors and all(str(path) in error or "'" in error for error in errors), errors
