"""Verbs and the Saver on object stores: the same files as on a disk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.stores.s3_server import S3Server

VALUES = {"a/w": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([b"x", b"yy"], object), "n": np.int64(7)}


@pytest.mark.parametrize("name", ["x.npz", "x.safetensors", "x.pt", "x.weights.h5"])
def test_foreign_files_are_converted_to_and_from_a_store(bucket: str, name: str) -> None:
    pytest.importorskip({"x.npz": "numpy", "x.pt": "torch", "x.weights.h5": "h5py"}.get(name, "safetensors"))
    report = tfsaver.convert({"a/w": VALUES["a/w"]}, f"{bucket}/{name}")
    assert report.target == f"{bucket}/{name}"
    tfsaver.convert(report.target, f"{bucket}/back")
    with tfsaver.load_checkpoint(f"{bucket}/back") as reader:
        assert (reader[reader.names[0]] == VALUES["a/w"]).all()


def test_edits_read_from_a_store_and_write_to_it(bucket: str) -> None:
    prefix = tfsaver.save_checkpoint(VALUES, f"{bucket}/old", num_shards=2)
    tfsaver.rename(prefix, f"{bucket}/new", {"a/w": "a/kernel"})
    tfsaver.merge([f"{bucket}/new", {"extra": np.ones(2)}], f"{bucket}/merged")
    assert tfsaver.verify(f"{bucket}/merged").ok
    with tfsaver.load_checkpoint(f"{bucket}/merged") as reader:
        assert reader.names == ["a/kernel", "b", "extra", "n"]
        assert (reader["a/kernel"] == VALUES["a/w"]).all() and list(reader["b"]) == [b"x", b"yy"]
    assert tfsaver.diff(prefix, prefix).ok


@pytest.mark.parametrize("has_options", [False, True])
def test_saver_saves_keeps_and_restores_in_a_store(
    server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, has_options: bool
) -> None:
    pytest.importorskip("tensorflow")
    import tensorflow.compat.v1 as tf

    options = None
    if has_options:
        # Its paths say how the store is reached, and nothing else does.
        options = {"key": "test", "secret": "test", "client_kwargs": {"endpoint_url": server.url}}
        for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
    with tf.Graph().as_default(), tf.Session() as session:
        variable: Any = tf.get_variable("v", initializer=np.arange(3, dtype=np.float32), use_resource=True)
        saver = tfsaver.Saver([variable], max_to_keep=2)
        session.run(variable.initializer)
        for step in (1, 2, 3):
            with server.counted() as requests:
                path = saver.save(session, tfsaver.StoragePath(f"{bucket}/run/model", storage_options=options), global_step=step)
            assert not [request for request in requests if request.method == "POST"]
        assert path == f"{bucket}/run/model-3" == tfsaver.latest_checkpoint(f"{bucket}/run", storage_options=options)
        session.run(variable.assign(variable * 0))
        saver.restore(session, path)
        assert session.run(variable).tolist() == [0, 1, 2]
    diagnosis = tfsaver.diagnose(f"{bucket}/run", storage_options=options)
    assert diagnosis.ok and len(diagnosis.checkpoints) == 2
