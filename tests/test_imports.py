"""What an import takes with it: nothing at the front door, and TensorFlow nowhere in the core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
HEAVY = ["numpy", "google", "google.protobuf", "ml_dtypes", "tensorflow", "keras", "crc32c", "cramjam", "fsspec", "rich"]


def modules_after(code: str) -> set[str]:
    """The modules that a new interpreter has after running `code`."""
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_package_alone_takes_nothing() -> None:
    found = modules_after("import tfsaver; tfsaver.__version__; dir(tfsaver)")
    assert found.isdisjoint(HEAVY)
    assert {name for name in found if name.startswith("tfsaver")} == {"tfsaver", "tfsaver._lazy_imports", "tfsaver._version"}


def test_errors_take_nothing() -> None:
    assert modules_after("import tfsaver; tfsaver.SaverError; import tfsaver.errors").isdisjoint(HEAVY)


@pytest.mark.parametrize("name", ["lib.file_io", "lib.ordered_code", "table.table", "table.table_builder"])
def test_bytes_know_neither_numpy_nor_protobuf(name: str) -> None:
    found = modules_after(f"import tfsaver.{name}")
    assert found.isdisjoint({"numpy", "ml_dtypes", "google.protobuf", "tensorflow"})


CORE = """
import sys
sys.modules["tensorflow"] = None
import numpy as np, tfsaver
prefix = tfsaver.save_checkpoint({"w": np.arange(3)}, FOLDER + "/model")
assert tfsaver.load_checkpoint(prefix)["w"].tolist() == [0, 1, 2]
assert tfsaver.list_variables(prefix) == [("w", [3])]
assert tfsaver.load_variable(prefix, "w").tolist() == [0, 1, 2]
assert tfsaver.verify(prefix).ok
assert tfsaver.checkpoint_exists(prefix)
tfsaver.merge_bundles([prefix], FOLDER + "/merged")
assert tfsaver.latest_checkpoint(FOLDER) is None
"""


def test_core_works_where_tensorflow_cannot_be_imported(tmp_path: Path) -> None:
    found = modules_after(f"FOLDER = {str(tmp_path)!r}\n{CORE}")
    assert not {name for name in found if name.startswith(("tensorflow.", "keras"))}
    assert "fsspec" not in found and "rich" not in found


def test_compat_names_are_reached_without_imports_of_submodules() -> None:
    found = modules_after("import tfsaver; tfsaver.compat.v1.train.Saver; tfsaver.compat.v1.saved_model.Builder; tfsaver.compat.v2")
    assert {"tfsaver.compat.v1.train", "tfsaver.compat.v1.saved_model"} <= found
    assert "tensorflow" not in found


def test_compat_packages_take_nothing() -> None:
    assert modules_after("import tfsaver.compat.v1; dir(tfsaver.compat), dir(tfsaver.compat.v1)").isdisjoint(HEAVY)
