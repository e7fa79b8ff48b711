"""More data files than a process may open are refused before anything is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import descriptor_limit
from tfsaver.lib.descriptor_limit import check_descriptors

resource = pytest.importorskip("resource")

_HEAD = """
import os, resource
import numpy as np
import tfsaver
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter, finish_together
from tfsaver.tensor_bundle.writer import BundleWriter

values = {f"v{number:03}": np.full(3, number) for number in range(120)}
V1_PATHS = [f"new-{number:05}-of-00120" for number in range(120)]

def write_bundle():
    with BundleWriter("new", num_shards=120, durable=False) as writer:
        for number, (name, value) in enumerate(values.items()):
            writer.add(name, value, shard_id=number)

def write_v1():
    writers = [TensorSliceWriter(path, durable=False) for path in V1_PATHS]
    for writer, (name, value) in zip(writers, values.items()):
        writer.add(name, value)
    finish_together(writers)

def limit(number):
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
"""
_WRITES = {
    "BundleWriter": "write_bundle()",
    "TensorSliceWriter": "write_v1()",
    "save_checkpoint v2": "tfsaver.save_checkpoint(values, 'folder/new', num_shards=120, durable=False)",
    "save_checkpoint v1": "tfsaver.save_checkpoint(values, 'folder/new', format='V1', num_shards=120, durable=False)",
    "save_checkpoint of a reader": "tfsaver.save_checkpoint(tfsaver.load_checkpoint('source'), 'new', num_shards=120, durable=False)",
    "reshard v2": "tfsaver.reshard('source', 'folder/new', num_shards=120, durable=False, overwrite=True)",
    "reshard v1": "tfsaver.reshard('source', 'folder/new', format='V1', num_shards=120, durable=False, overwrite=True)",
}


def _run(program: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + program], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


# One process for all ways to write, each in a folder of its own.
_ALL = "\n".join(
    f"""
os.makedirs({name!r})
os.chdir({name!r})
limit(4000)
tfsaver.save_checkpoint(values, "source", durable=False)
check(lambda: {write})
os.chdir("..")
"""
    for name, write in _WRITES.items()
)


def test_too_many_files_are_an_error_that_says_what_to_type_and_leaves_nothing(tmp_path: Path) -> None:
    check = """
def check(write):
    limit(100)
    try:
        write()
    except tfsaver.SaverError as error:
        said = str(error)
    assert "120 data files need 136 open files, and this process may open " in said, said
    assert "(ulimit -n is 100, " in said, said
    assert "type `ulimit -n 1000` before starting it, or use num_shards=" in said, said
    assert sorted(os.listdir()) == ["source.data-00000-of-00001", "source.index"]
"""
    _run(check + _ALL, tmp_path)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not say what is open")
def test_what_is_not_refused_is_written(tmp_path: Path) -> None:
    # At the lowest limit that is not refused, also over a checkpoint that is there, when every file is there twice.
    check = """
def check(write):
    for _ in range(2):
        for number in range(132, 999):
            limit(number)
            try:
                write()
            except tfsaver.SaverError as error:
                assert "need 136 open files" in str(error), error
            else:
                break
        assert 136 < number < 170
    found = "folder/new" if os.path.isdir("folder") else "new"
    found = found if os.path.exists(found + ".index") else found + "-?????-of-00120"
    with tfsaver.load_checkpoint(found) as reader:
        assert {name: reader[name].tolist() for name in reader} == {name: value.tolist() for name, value in values.items()}
"""
    _run(check + _ALL, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]


def test_bundles_of_many_ranks_are_merged_one_at_a_time(tmp_path: Path) -> None:
    program = """
prefixes = [tfsaver.save_checkpoint({name: value}, f"rank-{name}", durable=False) for name, value in values.items()]
limit(64)
with tfsaver.load_checkpoint(tfsaver.merge_bundles(prefixes, "merged", durable=False)) as reader:
    assert len(reader) == 120
"""
    _run(program, tmp_path)


def test_descriptors_that_are_open_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (100, 200))
    monkeypatch.setattr(descriptor_limit, "_num_open", lambda limit: 20)
    check_descriptors("model", 64)
    with pytest.raises(InvalidArgumentError, match=r"open 80 more \(ulimit -n is 100, 20 are .*is 200\), or use num_shards=64 or"):
        check_descriptors("model", 65)


def test_a_process_without_a_limit_opens_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    check_descriptors("model", 10**6)


def test_a_system_that_knows_no_limit_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor_limit, "resource", None)
    check_descriptors("model", 10**6)
