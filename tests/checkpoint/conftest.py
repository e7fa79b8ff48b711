"""Checkpoints to edit."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tfsaver import save_checkpoint
from tfsaver.tensor_bundle.writer import BundleWriter

Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: pathlib.Path) -> Save:
    """Writes arrays as a checkpoint of a name; returns its prefix."""

    def write(name: str, arrays: Mapping[str, Any], **options: Any) -> str:
        return save_checkpoint(arrays, tmp_path / name, durable=False, **options)

    return write


@pytest.fixture
def partitioned(tmp_path: pathlib.Path) -> str:
    """A checkpoint in two shards with a tensor in rows, one in columns, strings in slices, and a whole one."""
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    words = np.array([b"a", b"bb", b"", b"dddd"], object)
    with BundleWriter(tmp_path / "parts", num_shards=2, durable=False) as writer:
        writer.add_slice("rows", (10, 4), np.s_[:6], rows[:6])
        writer.add_slice("rows", (10, 4), np.s_[6:], rows[6:], shard_id=1)
        writer.add_slice("columns", (10, 4), np.s_[:, 1:], rows[:, 1:], shard_id=1)
        writer.add_slice("columns", (10, 4), np.s_[:, :1], rows[:, :1])
        writer.add_slice("words", (4,), np.s_[:1], words[:1])
        writer.add_slice("words", (4,), np.s_[1:], words[1:], shard_id=1)
        writer.add("whole", np.int64(7))
    return str(tmp_path / "parts")
