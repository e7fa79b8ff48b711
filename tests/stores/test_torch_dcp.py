"""`torch.distributed.checkpoint` with a V2 checkpoint as its storage: in one process, in several, and read by TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.stores.test_launchers import PROGRAM, check
from tfsaver.errors import InvalidArgumentError, UnimplementedError

torch = pytest.importorskip("torch")
dcp = pytest.importorskip("torch.distributed.checkpoint")
pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is:UserWarning", "ignore:ComplexHalf:UserWarning", "ignore::FutureWarning")

_PROGRAM = """
import sys
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from tfsaver.torch_dcp import BundleStorageReader, BundleStorageWriter

dist.init_process_group("gloo")
world_size = dist.get_world_size()
mesh = init_device_mesh("cpu", (world_size,))
table = torch.arange(7 * 6, dtype=torch.float32).reshape(7, 6)
placed = {"rows": Shard(0), "columns": Shard(1), "replicated": Replicate()}


def state(values):
    sharded = {name: distribute_tensor(values + number, mesh, [place]) for number, (name, place) in enumerate(placed.items())}
    return {"model": sharded, "half": torch.full((3,), 1.5, dtype=torch.bfloat16), "epoch": 3 * bool(values.any()), "extra": [torch.ones(2)]}


dcp.save(state(table), storage_writer=BundleStorageWriter(sys.argv[1] + "/dcp", durable=False))
# Each process loads other parts than it has saved.
placed = {"rows": Shard(1), "columns": Replicate(), "replicated": Shard(0)}
found = state(torch.zeros(7, 6))
dcp.load(found, storage_reader=BundleStorageReader(sys.argv[1] + "/dcp"))
for number, name in enumerate(["rows", "columns", "replicated"]):
    assert (found["model"][name].full_tensor() == table + number).all(), name
assert found["half"].tolist() == [1.5] * 3 and found["epoch"] == 3 and found["extra"][0].tolist() == [1, 1]
dist.destroy_process_group()
"""


def test_sharded_state_of_several_processes_is_read_by_others_and_by_tensorflow(tmp_path: Path) -> None:
    program, prefix = tmp_path / "program.py", str(tmp_path / "dcp")
    # torchrun and its processes start once: for the program of the page as well.
    program.write_text(PROGRAM + _PROGRAM)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(program), str(tmp_path)], capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    check(tmp_path)
    assert tfsaver.verify(prefix).ok and tfsaver.pending(prefix) == []
    assert sorted(path.name for path in tmp_path.glob("dcp*")) == [
        "dcp.data-00000-of-00002",
        "dcp.data-00001-of-00002",
        "dcp.index",
    ]
    # One process, where two have saved.
    state = {"model": {"rows": torch.zeros(7, 6)}, "epoch": 0}
    dcp.load(state, storage_reader=_reader(prefix))
    assert state["model"]["rows"].flatten().tolist() == list(range(42)) and state["epoch"] == 3
    tf = pytest.importorskip("tensorflow")
    reader = tf.train.load_checkpoint(prefix)
    table = np.arange(42, dtype=np.float32).reshape(7, 6)
    for number, name in enumerate(["rows", "columns", "replicated"]):
        assert (reader.get_tensor(f"model.{name}") == table + number).all()
    assert reader.get_tensor("half").tolist() == [1.5] * 3


def _writer(path: object, **options: Any) -> Any:
    from tfsaver.torch_dcp import BundleStorageWriter

    return BundleStorageWriter(str(path), durable=False, **options)


def _reader(path: object) -> Any:
    from tfsaver.torch_dcp import BundleStorageReader

    return BundleStorageReader(str(path))


def test_module_and_optimizer_come_back(tmp_path: Path) -> None:
    def made() -> tuple[Any, Any]:
        module = torch.nn.Linear(3, 2)
        optimizer = torch.optim.Adam(module.parameters())
        module(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        return module, optimizer

    module, optimizer = made()
    for _ in range(2):
        # The second save replaces the first.
        dcp.save({"module": module.state_dict(), "optimizer": optimizer.state_dict()}, storage_writer=_writer(tmp_path / "model"))
    other, other_optimizer = made()
    state = {"module": other.state_dict(), "optimizer": other_optimizer.state_dict()}
    dcp.load(state, storage_reader=_reader(tmp_path / "model"))
    other_optimizer.load_state_dict(state["optimizer"])
    assert (state["module"]["weight"] == module.weight).all()
    saved, loaded = optimizer.state_dict(), other_optimizer.state_dict()
    assert (saved["state"][0]["exp_avg"] == loaded["state"][0]["exp_avg"]).all()
    assert saved["param_groups"] == loaded["param_groups"]
    with tfsaver.load_checkpoint(tmp_path / "model") as reader:
        assert (reader["module.weight"] == module.weight.detach().numpy()).all()


def test_checkpoint_of_tensorflow_is_loaded(tmp_path: Path) -> None:
    tfsaver.save_checkpoint({"dense/kernel": np.eye(3, dtype=np.float32)}, tmp_path / "model", durable=False)
    state = {"dense/kernel": torch.zeros(3, 3)}
    dcp.load(state, storage_reader=_reader(tmp_path / "model"))
    assert (state["dense/kernel"] == torch.eye(3)).all()


def test_state_is_loaded_by_its_keys(tmp_path: Path) -> None:
    from torch.distributed.checkpoint.state_dict_loader import _load_state_dict_from_keys

    from tfsaver.torch_dcp import BundleStorageReader

    dcp.save({"a": {"b": torch.ones(2)}, "c": "text"}, storage_writer=_writer(tmp_path / "model"))
    found = _load_state_dict_from_keys({"a.b", "c"}, storage_reader=BundleStorageReader(tmp_path / "model"))
    assert found["a"]["b"].tolist() == [1, 1] and found["c"] == "text"


def test_types_that_differ_are_an_error(tmp_path: Path) -> None:
    dcp.save({"w": torch.full((2,), 1e30)}, storage_writer=_writer(tmp_path / "model"))
    with pytest.raises(BaseException, match=r"'w' is torch.float16, in the checkpoint torch.float32") as caught:
        dcp.load({"w": torch.zeros(2, dtype=torch.float16)}, storage_reader=_reader(tmp_path / "model"))
    assert isinstance(caught.value, InvalidArgumentError) or "InvalidArgumentError" in str(caught.value)


def test_type_that_no_checkpoint_has_leaves_the_old_one(tmp_path: Path) -> None:
    dcp.save({"w": torch.ones(2)}, storage_writer=_writer(tmp_path / "model"))
    with pytest.raises(BaseException, match=r"'w': a checkpoint has no torch.complex32") as caught:
        dcp.save({"w": torch.ones(2, dtype=torch.complex32)}, storage_writer=_writer(tmp_path / "model"))
    assert isinstance(caught.value, UnimplementedError) or "UnimplementedError" in str(caught.value)
    with tfsaver.load_checkpoint(tmp_path / "model") as reader:
        assert reader["w"].tolist() == [1, 1]


def test_checkpoint_id_is_the_prefix(tmp_path: Path) -> None:
    dcp.save({"w": torch.ones(2)}, checkpoint_id=str(tmp_path / "step-1"), storage_writer=_writer(tmp_path / "unused"))
    state = {"w": torch.zeros(2)}
    dcp.load(state, checkpoint_id=str(tmp_path / "step-1"), storage_reader=_reader(tmp_path / "unused"))
    assert state["w"].tolist() == [1, 1]
