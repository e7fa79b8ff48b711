"""``tfsaver reshard`` writes the same tensors into other files."""

from __future__ import annotations

import pathlib

import pytest

import tfsaver
from tfsaver.cli.main import main


def test_shards_slices_and_formats(cases: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = str(cases / "gen_partitioned_v2_sharded" / "model.ckpt-1")
    for number, arguments in enumerate((["--shards", "5"], ["--merge-slices"], ["--format", "v1"], ["--with-meta"])):
        out = str(tmp_path / f"out{number}")
        assert main(["reshard", case, out, *arguments]) == 0
        assert tfsaver.diff(case, out).ok
    printed = capsys.readouterr().out
    assert "result:    5 data files, format V2" in printed
    assert "slices:    4 partitioned tensors made whole" in printed
    assert "slices:    4 partitioned tensors left in their slices" in printed
    assert (tmp_path / "out3.meta").read_bytes() == pathlib.Path(f"{case}.meta").read_bytes()
    assert len(list(tmp_path.glob("out0.data-*-of-00005"))) == 5


def test_what_v1_cannot_hold_is_an_error(cases: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reshard", str(cases / "gen_tf2_object_bf16_fp8"), str(tmp_path / "out"), "--format", "v1"]) == 3
    assert "a V1 checkpoint cannot hold" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
