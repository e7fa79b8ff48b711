"""Launchers that people have: each of their processes writes a part, and one commits; torchrun is in `test_torch_dcp`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfsaver

_PROGRAM = """
import os, sys
import numpy as np
import tfsaver

rank, world_size = (int(os.environ[name]) for name in sys.argv[2:4])
table = np.arange(8 * 3, dtype=np.float32).reshape(8, 3)
rows = slice(8 // world_size * rank, 8 // world_size * (rank + 1))
with tfsaver.ShardWriter(sys.argv[1], rank=rank, world_size=world_size, save_id="1", durable=False) as shard:
    shard.add_slice("table", table.shape, np.s_[rows, :], table[rows])
    shard.add("step", 7, replicated=True)
if rank == 0:
    tfsaver.commit(sys.argv[1], world_size=world_size, save_id="1", wait=60, durable=False)
"""


def _run(tmp_path: Path, launcher: list[str], *variables: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    prefix = tmp_path / "model"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMPI_ALLOW_RUN_AS_ROOT": "1"}
    environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    done = subprocess.run(
        [*launcher, str(program), str(prefix), *variables], capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert tfsaver.verify(prefix).ok
    with tfsaver.load_checkpoint(prefix) as reader:
        assert (reader["table"] == np.arange(24, dtype=np.float32).reshape(8, 3)).all() and reader["step"] == 7


def test_mpirun(tmp_path: Path) -> None:
    if (mpirun := shutil.which("mpirun")) is None:
        pytest.skip("mpirun is not installed")
    launcher = [mpirun, "--oversubscribe", "-n", "2", sys.executable]
    _run(tmp_path, launcher, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")
