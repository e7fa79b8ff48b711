"""What is durable when a save returns: every file and the directory, unless the caller does without."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from tfsaver.tensor_bundle.merge import merge_bundles
from tfsaver.tensor_bundle.renaming import rename_bundle
from tfsaver.tensor_bundle.writer import BundleWriter


def write(prefix: pathlib.Path, **options: bool) -> None:
    with BundleWriter(prefix, num_shards=2, **options) as writer:
        writer.add("a", np.ones(3))
        writer.add("b", np.ones(4), shard_id=1)


def rename(prefix: pathlib.Path, **options: bool) -> None:
    rename_bundle(f"{prefix}-before", str(prefix), **options)


def merge(prefix: pathlib.Path, **options: bool) -> None:
    merge_bundles([f"{prefix}-before"], prefix, **options)


@pytest.mark.parametrize("is_replaced", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("save", [write, rename, merge])
def test_every_file_and_the_directory_are_synced_unless_the_caller_does_without(
    tmp_path: pathlib.Path, synced: set[int], save: Callable[..., None], is_replaced: bool
) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        write(tmp_path / place / "m-before", durable=False)
        if is_replaced:
            write(tmp_path / place / "m", durable=False)
    assert not synced
    save(tmp_path / "a" / "m", durable=False)
    assert not synced
    save(tmp_path / "b" / "m")
    files = [path for path in (tmp_path / "b").iterdir() if "before" not in path.name]
    assert len(files) == 3
    assert {path.stat().st_ino for path in (*files, tmp_path / "b")} <= synced
