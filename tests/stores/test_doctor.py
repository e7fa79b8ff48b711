"""The doctor in a store: what killed saves left, and saves of several processes that nobody has committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.stores.s3_server import S3Server
from tfsaver.checkpoint.doctor.leftovers import clean_leftovers
from tfsaver.cli.main import main
from tfsaver.lib import file_io


def _write_part(prefix: str, rank: int, save_id: str = "1") -> None:
    with tfsaver.ShardWriter(prefix, rank=rank, world_size=2, save_id=save_id) as shard:
        shard.add(f"w{rank}", np.arange(3))


def _names(bucket: str) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in file_io.files_beginning(f"{bucket}/run/"))


def test_clean_removes_orphans_and_uploads_and_leaves_parts(
    server: S3Server, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import fsspec

    tfsaver.save_checkpoint({"w": np.ones(3)}, f"{bucket}/run/model-1")
    _write_part(f"{bucket}/run/model-1", 0)
    _write_part(f"{bucket}/run/model-2", 1)
    kept = _names(bucket)
    file_io.write_file(f"{bucket}/run/model-1.data-00000-of-00007", b"replaced")
    file_io.write_file(f"{bucket}/run/model-3.data-00000-of-00001", b"killed")
    system: Any = fsspec.filesystem("s3", use_listings_cache=False)
    name = bucket.removeprefix("s3://")
    for key in ("run/model-4.data-00000-of-00001", "run/other.bin", "elsewhere/model-4.index"):
        system.call_s3("create_multipart_upload", Bucket=name, Key=key)

    diagnosis = tfsaver.diagnose(f"{bucket}/run")
    assert [(each.path.rpartition("/")[2], bool(each.upload)) for each in diagnosis.survey.leftovers] == [
        ("model-3.data-00000-of-00001", False),
        ("model-1.data-00000-of-00007", False),
        ("model-4.data-00000-of-00001", True),
    ]
    assert [(prefix.rpartition("/")[2], save.ranks, save.missing) for prefix, save in diagnosis.survey.pending] == [
        ("model-1", (0,), (1,)),
        ("model-2", (1,), (0,)),
    ]
    assert "model-2" not in [found.found.name for found in diagnosis.checkpoints]
    # What was written just now may belong to a save that is at work.
    assert not [each for each in clean_leftovers(diagnosis.survey.leftovers, dry_run=True).removed if not each.upload]
    main(["doctor", f"{bucket}/run", "--clean", "--min-age", "0", "--json"])
    report = json.loads(capsys.readouterr().out)["report"]
    assert [each["removed"] for each in report["leftovers"]] == [True] * 3
    assert [each["save_id"] for each in report["pending"]] == ["1", "1"]
    assert _names(bucket) == kept
    assert {each["Key"] for each in system.list_multipart_uploads(name)} == {"run/other.bin", "elsewhere/model-4.index"}
    _write_part(f"{bucket}/run/model-2", 0)
    tfsaver.commit(f"{bucket}/run/model-2", world_size=2, save_id="1")
    assert tfsaver.verify(f"{bucket}/run/model-2").ok


def test_doctor_lists_a_save_of_ranks_and_never_picks_a_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = tfsaver.save_checkpoint({"w": np.ones(3)}, tmp_path / "model-1", durable=False)
    _write_part(str(tmp_path / "model-2"), 1)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model-1"\n')
    assert main(["doctor", str(tmp_path), "--fix", "--clean", "--min-age", "0"]) == 0
    out = capsys.readouterr().out
    assert "the save '1' of 2 processes is not committed: 1 have written their parts, 1 have not" in " ".join(out.split())
    assert tfsaver.latest_checkpoint(tmp_path, verified=True) == prefix
    _write_part(str(tmp_path / "model-2"), 0)
    tfsaver.commit(tmp_path / "model-2", world_size=2, save_id="1", durable=False)
    assert tfsaver.diagnose(tmp_path).newest_sound.found.name == "model-2"  # type: ignore[union-attr]
    assert tfsaver.diagnose(tmp_path).survey.pending == []
