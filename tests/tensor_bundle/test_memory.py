"""A tensor of 512 MiB is written and read with little more memory than its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
SIZE = 512 * MIB
ALLOWED = 64 * MIB

PRELUDE = """
import sys
import numpy as np
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.writer import BundleWriter
from tfsaver.checkpoint.verify import verify_checkpoint
prefix = sys.argv[1]
rows, columns = 16384, 8192

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
"""

# Each prints how many bytes its peak lay above what it had before, its own arrays subtracted.
SCRIPTS = {
    # One row seen 16384 times: 512 MiB of elements in 32 KiB of memory, and not contiguous.
    "write a view": """
view = np.broadcast_to(np.arange(columns, dtype=np.float32), (rows, columns))
before = peak()
with BundleWriter(prefix, durable=False) as writer:
    writer.add("w", view)
print(peak() - before)
""",
    "read all": """
reader = BundleReader(prefix)
before = peak()
array = reader.read("w")
assert array.shape == (rows, columns) and array[-1, -1] == columns - 1
print(peak() - before - array.nbytes)
""",
    "read a region": """
reader = BundleReader(prefix)
before = peak()
array = reader.read("w", TensorSlice(((0, rows), (4000, 3))))
assert (array == [4000, 4001, 4002]).all()
print(peak() - before)
""",
    "verify": """
before = peak()
assert verify_checkpoint(prefix).ok
print(peak() - before)
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process's memory is read from /proc, which this system has not")
    folder = tmp_path_factory.mktemp("huge")
    status = os.statvfs(folder)
    if status.f_bavail * status.f_frsize < 2 * SIZE:
        pytest.skip(f"{folder} has no room for a checkpoint of {SIZE} bytes")
    return folder


def test_peak_stays_bounded(folder: Path) -> None:
    prefix = folder / "model"
    peaks = {}
    for name, script in SCRIPTS.items():
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + script, str(prefix)], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, (name, done.stderr)
        peaks[name] = int(done.stdout)
    data = folder / "model.data-00000-of-00001"
    assert data.stat().st_size == SIZE
    data.unlink()
    assert all(peak < ALLOWED for peak in peaks.values()), peaks
