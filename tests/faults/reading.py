"""What a program that starts finds in a directory: read by tfsaver and by TensorFlow, which must agree.

A reader returns the generation of the values that are there, None where there is nothing, and raises where there is
something that cannot be used. `unexplained` are the files that belong to nothing that can be: what killed saves leave.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import tfsaver
from tests.faults import values
from tests.faults.processes import in_child
from tfsaver.checkpoint.checkpoint_management import get_checkpoint_state
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.reader import BundleReader

# TensorFlow, in the processes that have imported it: `import_tensorflow`.
tf: Any = None

_STATE_FILES = {"checkpoint", "checkpoint.retention.json"}
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_MADE_TEMPORARILY = re.compile(r"tmp|temp")


def import_tensorflow() -> None:
    """Lets this process read with TensorFlow; forks of it are many times slower from then on."""
    global tf
    tf = importlib.import_module("tensorflow")
    importlib.import_module("tests.faults.savers")
    importlib.import_module("tensorflow.python.saved_model.loader_impl")


class ContradictionError(Exception):
    """What was found cannot be used, or the two readers do not agree."""


def whole(prefix: str) -> Mapping[str, Any]:
    """The tensors of a checkpoint of which every byte is right."""
    report = tfsaver.verify(prefix)
    if not report.ok:
        raise ContradictionError(str(report))
    with tfsaver.load_checkpoint(prefix) as reader:
        return {name: reader[name] for name in reader}


class Checkpoints:
    """Checkpoints beside a state file.

    Args:
        make: What each generation's values are.
        unpack: What makes these of a checkpoint's tensors.
    """

    def __init__(self, make: values.Make = values.few, unpack: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict) -> None:
        self._make = make
        self._unpack = unpack

    def _generation(self, tensors: Mapping[str, Any]) -> int:
        return values.generation_of(self._unpack(tensors), self._make)

    def ours(self, directory: str) -> int | None:
        """By `latest_checkpoint`, which must name one that verifies; all that the state file lists must."""
        latest = tfsaver.latest_checkpoint(directory)
        if latest is None:
            return None
        found = self._generation(whole(latest))
        verified = tfsaver.latest_checkpoint(directory, verified=True)
        if verified is None or self._generation(whole(verified)) != found:
            raise ContradictionError(f"latest_checkpoint finds {latest}, with verified=True {verified}")
        return found

    def listed(self, directory: str) -> None:
        """Every checkpoint that the state file lists is whole."""
        state = get_checkpoint_state(directory)
        for path in () if state is None else state.all_model_checkpoint_paths:
            whole(path)

    def tensorflows(self, directory: str) -> int | None:
        latest = tf.train.latest_checkpoint(directory)
        if latest is None:
            return None
        reader = tf.train.load_checkpoint(latest)
        return self._generation({name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()})

    def unexplained(self, directory: str) -> list[str]:
        """The files that are part of no whole checkpoint."""
        names = set(os.listdir(directory)) - _STATE_FILES
        for name in sorted(names):
            prefix = os.path.join(directory, name.removesuffix(".index"))
            if _MADE_TEMPORARILY.search(name) or ".data-" in name or name.endswith(".meta"):
                continue
            with contextlib.suppress(tfsaver.SaverError, ContradictionError):
                whole(prefix)
                names -= set(map(os.path.basename, _files_of(prefix)))
        return sorted(names)


def _files_of(prefix: str) -> list[str]:
    meta = re.sub(r"-\d{5}-of-\d{5}\Z", "", prefix) + ".meta"
    if not os.path.exists(naming.index_path(prefix)):
        return [prefix, meta]
    with contextlib.closing(BundleReader(prefix)) as bundle:
        num_shards = bundle.header.num_shards
    return [naming.index_path(prefix), meta, *(naming.data_path(prefix, number, num_shards) for number in range(num_shards))]


class Exports:
    """SavedModels: `export`, then `export-1` and so on; or versions, where `versions` names their directory."""

    def __init__(self, versions: bool = False) -> None:
        self._versions = versions

    def _newest(self, directory: str) -> str | None:
        if self._versions:
            names = [name for name in os.listdir(directory) if name.isdigit()]
        else:
            names = [name for name in os.listdir(directory) if re.fullmatch(r"export-\d+", name)]
        return os.path.join(directory, max(names, key=lambda name: int(name.split("-")[-1]))) if names else None

    def ours(self, directory: str) -> int | None:
        newest = self._newest(directory)
        return None if newest is None else _exported(newest)

    def listed(self, directory: str) -> None:
        for name in os.listdir(directory):
            if name not in self.unexplained(directory):
                _exported(os.path.join(directory, name))

    def tensorflows(self, directory: str) -> int | None:
        newest = self._newest(directory)
        return None if newest is None else in_child(lambda: _parsed_by_tensorflow(newest))

    def unexplained(self, directory: str) -> list[str]:
        pattern = r"\d+" if self._versions else r"export-\d+"
        return sorted(name for name in os.listdir(directory) if not re.fullmatch(pattern, name))


def _exported(path: str) -> int:
    files = {os.path.relpath(os.path.join(folder, name), path) for folder, _, names in os.walk(path) for name in names}
    with tfsaver.load_saved_model(path) as model:
        found = {name: model.variables[name] for name in model.variables}
        assert "serving_default" in model.signatures
    if strange := [name for name in files if _MADE_TEMPORARILY.search(name)]:
        raise ContradictionError(f"{path} has {strange}")
    return values.generation_of(dict(found), values.exported)


def _parsed_by_tensorflow(path: str) -> int:
    """By what loads a SavedModel into a session, but for the session."""
    saved_model = sys.modules["tensorflow.python.saved_model.loader_impl"].parse_saved_model(path)
    (meta_graph,) = saved_model.meta_graphs
    with tf.Graph().as_default():
        tf.graph_util.import_graph_def(meta_graph.graph_def, name="")
    reader = tf.train.load_checkpoint(os.path.join(path, "variables", "variables"))
    found = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return values.generation_of(found, values.exported)


class OneFile:
    """A file of another format, which has one name and is replaced."""

    def __init__(self, name: str, load: Callable[[str], Mapping[str, Any]], make: values.Make) -> None:
        self._name = name
        self._load = load
        self._make = make

    def ours(self, directory: str) -> int | None:
        path = os.path.join(directory, self._name)
        return values.generation_of(self._load(path), self._make) if os.path.exists(path) else None

    def listed(self, directory: str) -> None:
        """Nothing lists such files."""

    # TensorFlow does not read them.
    tensorflows = ours

    def unexplained(self, directory: str) -> list[str]:
        return sorted(set(os.listdir(directory)) - {self._name})


def load_safetensors(path: str) -> dict[str, values.Array]:
    """A safetensors file by its own library."""
    from safetensors.numpy import load_file

    found: dict[str, values.Array] = load_file(path)
    return found


def of_tree(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a tree by the names that they had before they were put into it."""
    found = {values.STEP: tensors[f"step{_VALUE}"]}
    rest = sorted(set(values.few(0)) - {values.STEP})
    return found | {name: tensors[f"model/{index}{_VALUE}"] for index, name in enumerate(rest)}


def load_npz(path: str) -> dict[str, values.Array]:
    """An npz file by numpy itself."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
