"""The page "More than one machine": its examples run, its programs under the launchers; torchrun is in `test_torch_dcp`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfsaver
from tests.document_blocks import blocks
from tfsaver.cli.main import main

PAGE = Path(tfsaver.__file__).parents[1] / "docs" / "more_than_one_machine.md"
PROGRAM = next(text for language, text in blocks(PAGE) if language == "python" and "ShardWriter" in text)


def check(run: Path) -> None:
    """What two processes of the page's program have written."""
    assert tfsaver.verify(run / "model-100").ok
    with tfsaver.load_checkpoint(run / "model-100") as reader:
        assert reader["embedding"].shape == (2000, 64) and reader["step"] == 100
        assert (reader["embedding"][:1000] == 0).all() and (reader["embedding"][1000:] == 1).all()


def _variables(launcher: str) -> tuple[str, str]:
    """What the page's table says of a launcher."""
    (row,) = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| `{launcher} ")]
    _, rank, world_size = re.findall("`([^`]+)`", row)
    return rank, world_size


def test_mpirun(tmp_path: Path) -> None:
    if (mpirun := shutil.which("mpirun")) is None:
        pytest.skip("needs mpirun: apt-get install openmpi-bin")
    rank, world_size = _variables("mpirun")
    program = tmp_path / "train.py"
    program.write_text(PROGRAM.replace('"RANK"', f'"{rank}"').replace('"WORLD_SIZE"', f'"{world_size}"'))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMPI_ALLOW_RUN_AS_ROOT": "1"}
    environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    done = subprocess.run(
        [mpirun, "--oversubscribe", "-n", "2", sys.executable, str(program), str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    check(tmp_path)


def test_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "fsspec"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "run"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        exec(compile(PROGRAM, "train.py", "exec"), {})
    check(tmp_path / "run")
    num_run = 0
    for language, text in blocks(PAGE):
        if language == "sh":
            for line in text.splitlines():
                assert main(line.partition("#")[0].split()[1:]) == 0
                num_run += 1
        elif language == "python" and text != PROGRAM and "import ray" not in text:
            namespace: dict[str, object] = {}
            with pytest.warns() if "dcp.save" in text else monkeypatch.context():
                exec(compile(text, PAGE.name, "exec"), namespace)
            if "load_slices" in text:
                assert (namespace["part"] == np.repeat([0, 1], 500)[:, None]).all()
            num_run += 1
    assert num_run == 5
    assert tfsaver.load_checkpoint("local/model").names == ["w"]


def test_examples_with_ray_run(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    namespace: dict[str, object] = {}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}})
    try:
        for language, text in blocks(PAGE):
            if language == "python" and "import ray" in text:
                exec(compile(text, PAGE.name, "exec"), namespace)
        prefix = str(tmp_path / "model")
        namespace["save"](prefix, 3)  # type: ignore[operator]
        assert tfsaver.load_checkpoint(prefix)["part_2"].tolist() == [2] * 3
        (tmp_path / "damaged.index").write_bytes(b"x" * 100)
        assert namespace["damaged"]([prefix, str(tmp_path / "damaged.index")]) == [str(tmp_path / "damaged.index")]  # type: ignore[operator]
    finally:
        ray.shutdown()
