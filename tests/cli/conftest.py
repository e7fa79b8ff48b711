"""Checkpoints to look into."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

import tfsaver

TRAINED = {
    "dense/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "dense/kernel/Adam": np.ones((3, 4), np.float32),
    "dense/kernel/Adam_1": np.ones((3, 4), np.float32),
    "dense/kernel/ExponentialMovingAverage": np.zeros((3, 4), np.float32),
    "dense/bias": np.array([1.5, np.nan, -np.inf, 2.5], np.float32),
    "beta1_power": np.float32(0.9),
    "global_step": np.int64(1000),
    "labels": np.array([b"cat", "hæl".encode(), b"\xff\x00", b"x" * 500], object),
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The prefix of a small V2 checkpoint with optimizer state, an average, strings and numbers that are none."""
    prefix = str(tmp_path_factory.mktemp("trained") / "model.ckpt-1000")
    tfsaver.save_checkpoint(TRAINED, prefix, durable=False)
    return prefix


@pytest.fixture
def damaged(tmp_path: pathlib.Path) -> str:
    """The prefix of a checkpoint of which two tensors are damaged."""
    prefix = str(tmp_path / "damaged")
    values = {name: np.full(4, number, np.uint8) for number, name in enumerate(("a", "b", "c\n"))}
    tfsaver.save_checkpoint(values, prefix, durable=False)
    data = tmp_path / "damaged.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    content[-1] ^= 1
    data.write_bytes(content)
    return prefix
