"""The recorded models of `recorded/record.py`, and what becomes of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import tfsaver
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.tensor_source import ArraySource

_FOLDER = pathlib.Path(__file__).parent / "recorded"
FAMILIES = sorted(path.name.removesuffix(".tar.xz") for path in _FOLDER.glob("*.tar.xz"))


class Recording:
    """A checkpoint of a family's own package, and what its graph computes.

    Attributes:
        family: Its name.
        prefix: The checkpoint.
        arrays: What was fed, and what came out.
        versions: The packages that made it.
        witness: What transformers makes of it; empty where it does not know the family.
    """

    def __init__(self, family: str, folder: pathlib.Path) -> None:
        self.family = family
        self.prefix = folder / "model.ckpt"
        with np.load(folder / "recorded.npz") as arrays:
            self.arrays: dict[str, np.ndarray] = dict(arrays)
        self.versions: dict[str, str] = json.loads((folder / "versions.json").read_text())
        self._tensors: dict[str, np.ndarray] = {}
        said = folder / "transformers.json"
        self.witness: dict[str, Any] = json.loads(said.read_text()) if said.exists() else {}

    def tensors(self) -> dict[str, np.ndarray]:
        """The tensors as TensorFlow stored them."""
        if not self._tensors:
            with tfsaver.load_checkpoint(self.prefix) as reader:
                self._tensors = {name: reader[name] for name in reader.names}
        return dict(self._tensors)

    def mapped(self, mapping: NameMapLike) -> dict[str, np.ndarray]:
        """The tensors after a mapping."""
        plan = renamed(ArraySource(self.tensors()), mapping).plan
        return {name: plan[name] for name in plan.names}


@contextlib.contextmanager
def recording(family: str) -> Iterator[Recording]:
    """A recording, unpacked for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(_FOLDER / f"{family}.tar.xz") as packed:
            for member in packed.getmembers():
                file = packed.extractfile(member)
                assert file is not None and "/" not in member.name
                (pathlib.Path(folder) / member.name).write_bytes(file.read())
        yield Recording(family, pathlib.Path(folder))


def hashed(array: np.ndarray) -> list[Any]:
    """What `recorded/record.py` says of a tensor."""
    return [str(array.dtype), list(array.shape), hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]


def differing(found: Mapping[str, np.ndarray], witness: Mapping[str, Any]) -> list[str]:
    """The names of tensors that are not bit for bit those of transformers.

    A tensor that transformers has twice (tied weights) may be there once, and what it computes itself no checkpoint has.
    """
    wanted: dict[str, list[Any]] = witness["tensors"]
    hashes = {name: hashed(array) for name, array in found.items()}
    wrong = [name for name, value in hashes.items() if wanted.get(name) != value]
    everything = list(hashes.values())
    return wrong + [
        name
        for name, value in wanted.items()
        if name not in hashes
        and not name.endswith(("position_ids", ".attn.bias"))
        and value not in everything
    ]
