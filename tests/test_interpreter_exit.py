"""An interpreter that ends while files are open says nothing about them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_OPEN = """
import sys
import numpy as np
import tfsaver
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.lib import file_io
from tfsaver.tensor_bundle.writer import BundleWriter

values = {"a": np.ones(1000)}
open_files = [file_io.open_temporary("open"), file_io.open_temporary("closed")]
open_files[1].close()
for number, writes in enumerate(("direct", "gathered", "overlapped")):
    open_files.append(BundleWriter(f"bundle{number}", writes=writes, durable=False))
    open_files[-1].add("a", values["a"])
open_files.append(TensorSliceWriter("v1"))
open_files[-1].add("a", values["a"])
"""
_READERS = """
for format in ("V1", "V2"):
    open_files.append(tfsaver.load_checkpoint(tfsaver.save_checkpoint(values, format, format=format, durable=False)))
    open_files[-1]["a"]
"""
_ENDS = {
    "in the program's own module": "",
    "in a cycle": "open_files.append(open_files)",
    "in a module that goes last": "sys.open_files = open_files",
    # What the interpreter does with modules that are still there when it ends.
    "after all modules were emptied": """
open_files.append(open_files)
names = [name for name in sys.modules if name.partition(".")[0] in ("tfsaver", "os", "contextlib", "fcntl")]
for module in [sys.modules[name] for name in names]:
    for name in list(vars(module)):
        if name != "__builtins__":
            vars(module)[name] = None
""",
}


def _check_ends_quietly(program: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("end", _ENDS.values(), ids=_ENDS)
def test_nothing_is_said_about_open_writers(end: str, tmp_path: Path) -> None:
    _check_ends_quietly(_OPEN + end, tmp_path)


@pytest.mark.parametrize("end", _ENDS.values(), ids=_ENDS)
def test_nothing_is_said_about_open_readers(end: str, tmp_path: Path) -> None:
    _check_ends_quietly(_OPEN + _READERS + end, tmp_path)


def test_a_descriptor_that_somebody_else_has_closed_is_no_error(tmp_path: Path) -> None:
    program = """
import os
from tfsaver.lib import file_io
file = file_io.open_temporary("file")
os.close(file.descriptor)
del file
"""
    _check_ends_quietly(program, tmp_path)
