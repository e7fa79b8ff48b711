"""Saving and restoring on a cluster: two parameter servers and a worker, each a process of its own, on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.compat import _transports
from tfsaver.compat.v1.train import Saver

# Imports TensorFlow once, and forks a server for each task before anything has threads. The servers live until standard
# input ends, which it does even when the test is killed; if one ends before that, all do.
SERVERS = """
import json, os, signal, sys
import tensorflow as tf
cluster, tasks = map(json.loads, sys.argv[1:])
for job, task in tasks:
    if os.fork() == 0:
        server = tf.distribute.Server(cluster, job_name=job, task_index=task)
        os.write(1, b"ready\\n")
        while os.read(0, 1):
            pass
        os._exit(0)
os.wait()
os.killpg(0, signal.SIGKILL)
"""

TASKS = (("ps", 0), ("ps", 1), ("worker", 0))
SECONDS = 120
KERNEL = np.arange(12, dtype=np.float32).reshape(4, 3)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_at_once:
        sockets = [open_at_once.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the servers, and the process that forked them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def target(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The worker's address, for a session; the servers end with the fixture."""
    directory = tmp_path_factory.mktemp("servers")
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(TASKS))]
    cluster = {"ps": addresses[:2], "worker": addresses[2:]}
    # Proxies are for other machines, devices for other programs.
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    with open(directory / "servers.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVERS, json.dumps(cluster), json.dumps(TASKS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, cwd=directory, start_new_session=True,
        )  # fmt: skip
    deadline = threading.Timer(SECONDS, kill, [process])
    deadline.start()
    try:
        assert process.stdout is not None
        for _ in TASKS:
            assert process.stdout.readline() == b"ready\n", (directory / "servers.log").read_text()[-2000:]
        deadline.cancel()
        yield f"grpc://{addresses[-1]}"
    finally:
        deadline.cancel()
        kill(process)
        process.communicate(timeout=SECONDS)


@pytest.fixture
def program(tf: Any, target: str) -> Iterator[tuple[Any, Any]]:
    """A graph with variables on both parameter servers, and a session of it on the cluster."""
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        with v1.device(v1.train.replica_device_setter(ps_tasks=2)):
            v1.get_variable("kernel", initializer=KERNEL, use_resource=True)
            v1.get_variable("bias", initializer=[1.0, 2.0, 3.0], use_resource=False)
            parts = v1.fixed_size_partitioner(2)
            v1.get_variable("table", [6, 2], initializer=v1.ones_initializer(), partitioner=parts, use_resource=True)
            v1.train.get_or_create_global_step()
        config = v1.ConfigProto(operation_timeout_in_ms=SECONDS * 1000, device_filters=["/job:ps", "/job:worker/task:0"])
        with v1.Session(target, config=config) as session:
            session.run(v1.global_variables_initializer())
            yield v1, session


def spoil(v1: Any, session: Any) -> None:
    session.run([variable.assign(variable * 0) for variable in v1.global_variables()])


def check_restored(v1: Any, session: Any) -> None:
    values = {variable.op.name: value for variable, value in zip(v1.global_variables(), _values(v1, session), strict=True)}
    np.testing.assert_array_equal(values["kernel"], KERNEL)
    assert values["bias"].tolist() == [1.0, 2.0, 3.0]
    assert values["table/part_0"].tolist() == values["table/part_1"].tolist() == [[1.0, 1.0]] * 3
    assert values["global_step"] == 0


def _values(v1: Any, session: Any) -> Any:
    return session.run(v1.global_variables())


@pytest.fixture
def runtime_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was left to TensorFlow's runtime."""
    calls: list[str] = []
    for name in ("save", "restore"):
        done = getattr(_transports, f"run_{name}")
        monkeypatch.setattr(
            _transports, f"run_{name}", lambda *arguments, name=name, done=done: (calls.append(name), done(*arguments))[1]
        )
    return calls


@pytest.mark.parametrize("sharded", [True, False], ids=["sharded", "whole"])
def test_servers_write_and_read_their_own_variables(
    program: tuple[Any, Any], tmp_path: pathlib.Path, runtime_calls: list[str], sharded: bool
) -> None:
    v1, session = program
    saver = Saver(sharded=sharded, max_to_keep=2)
    for step in (1, 2, 3):
        path = saver.save(session, str(tmp_path / "model"), step)
    assert path == str(tmp_path / "model-3")
    files = ["data-00000-of-00002", "data-00001-of-00002"] if sharded else ["data-00000-of-00001"]
    assert sorted(item.name for item in tmp_path.iterdir()) == [
        "checkpoint",
        *(f"model-{step}.{suffix}" for step in (2, 3) for suffix in [*files, "index", "meta"]),
    ]
    report = verify_checkpoint(path)
    assert report.ok and report.num_tensors == 4, report
    with load_checkpoint(path) as reader:
        np.testing.assert_array_equal(reader["kernel"], KERNEL)
        assert reader.info("table").shape == (6, 2)
    spoil(v1, session)
    saver.restore(session, path)
    check_restored(v1, session)
    assert runtime_calls == ["save"] * 3 + ["restore"]


def test_checkpoint_of_a_cluster_restores_in_this_process_and_back(
    tf: Any, program: tuple[Any, Any], tmp_path: pathlib.Path, runtime_calls: list[str]
) -> None:
    v1, session = program
    path = Saver(sharded=True).save(session, str(tmp_path / "cluster"))
    with tf.Graph().as_default(), v1.Session() as local:
        v1.get_variable("kernel", initializer=np.zeros_like(KERNEL))
        v1.get_variable("bias", [3])
        v1.get_variable("table", [6, 2])
        v1.train.get_or_create_global_step()
        Saver().restore(local, path)
        local.run(v1.global_variables()[1].assign([1.0, 2.0, 3.0]))
        back = Saver(sharded=True).save(local, str(tmp_path / "local"))
        assert runtime_calls == ["save"]
    spoil(v1, session)
    Saver(sharded=True).restore(session, back)
    check_restored(v1, session)


def test_what_does_not_fit_is_found_before_a_server_changes_anything(
    tf: Any, program: tuple[Any, Any], tmp_path: pathlib.Path
) -> None:
    v1, session = program
    with tf.Graph().as_default(), v1.Session() as local:
        for name, value in (("kernel", KERNEL * 2), ("bias", [9.0]), ("table", np.zeros((6, 2), np.float32))):
            v1.get_variable(name, initializer=value)
        v1.train.get_or_create_global_step()
        local.run(v1.global_variables_initializer())
        path = Saver().save(local, str(tmp_path / "other"))
    saver = Saver(sharded=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"lhs shape= \[3\] rhs shape= \[1\]"):
        saver.restore(session, path)
    check_restored(v1, session)
    with pytest.raises(tf.errors.NotFoundError, match="Key scale not found in checkpoint"):
        Saver({"scale": v1.global_variables()[1]}, sharded=True).restore(session, path)
    check_restored(v1, session)


def test_variables_that_are_nowhere_in_particular_are_saved_by_this_process(
    tf: Any, target: str, tmp_path: pathlib.Path, runtime_calls: list[str]
) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session(target) as session:
        variable = v1.get_variable("nowhere", initializer=[1.0, 2.0], use_resource=True)
        session.run(variable.initializer)
        saver = Saver()
        path = saver.save(session, str(tmp_path / "model"))
        session.run(variable.assign([0.0, 0.0]))
        saver.restore(session, path)
        assert session.run(variable).tolist() == [1.0, 2.0]
    assert runtime_calls == []
    assert verify_checkpoint(path).ok


def test_missing_directory_and_uninitialized_variables_are_told_apart(
    tf: Any, program: tuple[Any, Any], tmp_path: pathlib.Path
) -> None:
    v1, session = program
    saver = Saver(sharded=True)
    with pytest.raises(ValueError, match="^Parent directory of .* doesn't exist, can't save.$"):
        saver.save(session, str(tmp_path / "no" / "where" / "model"))
    with v1.device("/job:ps/task:0"):
        v1.get_variable("uninitialized", [1], use_resource=True)
    with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized"):
        Saver(sharded=True).save(session, str(tmp_path / "model"))
    assert saver.last_checkpoints == []
