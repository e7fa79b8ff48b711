"""The same tensors in other files."""

from __future__ import annotations

import pathlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tfsaver
from tests.checkpoint.editing.edited import assert_same, read
from tfsaver import load_checkpoint
from tfsaver.errors import InvalidArgumentError, UnimplementedError


@pytest.mark.parametrize("merge_slices", [False, True])
@pytest.mark.parametrize("options", [{}, {"num_shards": 3}, {"format": "V1"}, {"format": "V1", "num_shards": 2}])
def test_tensors_are_the_same_in_all_files(
    partitioned: str, tmp_path: pathlib.Path, merge_slices: bool, options: dict[str, Any]
) -> None:
    report = tfsaver.reshard(partitioned, tmp_path / "out", merge_slices=merge_slices, **options)
    assert_same(read(report.target), read(partitioned))
    with load_checkpoint(report.target or "") as reader:
        assert [len(reader.info(name).slices) for name in ("rows", "columns", "words")] == [0 if merge_slices else 2] * 3
        assert len(reader.paths) == options.get("num_shards", 1) + (reader.version == "V2")
        assert reader.version == options.get("format", "V2")
    assert "3 partitioned tensors" in str(report)
    assert tfsaver.verify(report.target or "").ok


@pytest.mark.parametrize("case", ["gen_partitioned_v1_single", "gen_partitioned_v2_sharded", "v1_session_bundle_half_plus_two/00000123/export"])
def test_there_and_back_between_formats(cases: pathlib.Path, tmp_path: pathlib.Path, case: str) -> None:
    v2 = tfsaver.reshard(cases / case, tmp_path / "v2", num_shards=2).target
    v1 = tfsaver.reshard(v2, tmp_path / "v1", format="V1").target
    assert tfsaver.diff(cases / case, v1).ok
    with load_checkpoint(cases / case) as old, load_checkpoint(v1 or "") as new:
        for name in old.names:
            assert set(old.info(name).slices) == set(new.info(name).slices)


def test_types_that_v1_has_not_are_named_before_anything_is_written(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"a": np.zeros(2, ml_dtypes.bfloat16), "b": np.zeros(2, np.uint32), "c": [1.0]})
    with pytest.raises(UnimplementedError, match=r"no type for uint32, which V2 checkpoints have: 'b'"):
        tfsaver.reshard(prefix, tmp_path / "new" / "out", format="V1")
    assert not (tmp_path / "new").exists()


def test_options_are_checked(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"a": [1.0]})
    with pytest.raises(InvalidArgumentError, match="format 'v3'"):
        tfsaver.reshard(prefix, tmp_path / "out", format="v3")
    with pytest.raises(InvalidArgumentError, match="num_shards is 0"):
        tfsaver.reshard(prefix, tmp_path / "out", num_shards=0)


def test_meta_is_copied_when_asked_for(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"a": [1.0]})
    assert "no .meta" in str(tfsaver.reshard(prefix, tmp_path / "one", with_meta=True))
    (tmp_path / "m.meta").write_bytes(b"graph")
    tfsaver.reshard(prefix, tmp_path / "two", with_meta=True)
    assert (tmp_path / "two.meta").read_bytes() == b"graph"
    assert not (tmp_path / "one.meta").exists()


@pytest.mark.parametrize("written", ["V2", "V1"])
def test_progress_counts_all_bytes(save: Any, tmp_path: pathlib.Path, written: str) -> None:
    seen: list[tuple[int, int]] = []
    prefix = save("m", {"a": np.zeros(100), "words": [b"x" * 30] * 5})
    tfsaver.reshard(prefix, tmp_path / "out", format=written, progress=lambda *item: seen.append(item))
    assert seen[-1][0] == seen[-1][1] > 800
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
