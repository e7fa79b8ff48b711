"""The formats that tensors can be converted from and to, as one table.

    name          suffixes              read    written    through
    V2            (none), .ckpt         any checkpoint     itself
    V1                                                     itself
    object                                                 itself
    safetensors   .safetensors          yes     yes        safetensors
    npz           .npz                  yes     yes        numpy
    torch         .pt .pth              yes     yes        torch
    keras         .weights.h5 .h5 ...   yes     yes        h5py
    orbax         .orbax                yes     yes        orbax-checkpoint

What a file is called says what it is; a directory of Orbax is known by what is in it. Everything else is a checkpoint, whose
name may end in anything (``model.ckpt-100``, ``model.best``): but where it ends almost like a file of the table, or like
that of a neighbour that is not in it (``.npy``, ``.keras``, ``.onnx``), nothing is written before the caller says which.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.checkpoint_target import CheckpointTarget, checkpoint_format
from tfsaver.checkpoint.execution import Target
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import InvalidArgumentError, nearest_names
from tfsaver.formats import keras_h5, npz, orbax, safetensors, torch
from tfsaver.lib import file_io

_ORBAX_FILES = frozenset({"_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt"})
# What other programs call files that are like some of the table, and the suffix that ours would have.
_NEIGHBOURS = {
    ".pth.tar": ".pth",
    ".npy": ".npz",
    ".keras": ".weights.h5",
    ".onnx": ".safetensors",
    ".bin": ".pt",
}
# So alike are `safetensor` and `npzz` to a suffix, and `ckpt` and `part` to none.
_MIN_LIKENESS = 0.7


# What `convert` calls the rows of the table.
FormatName: TypeAlias = "Literal['V2', 'V1', 'object', 'safetensors', 'npz', 'torch', 'keras', 'orbax']"


class Format(NamedTuple):
    """A row of the table.

    Attributes:
        name: What `convert` calls it.
        description: What to call such a file.
        suffixes: The ends of paths that mean it, the first of them the usual one.
        open: Opens a path as a source of tensors.
        target: Makes the target of a path.
    """

    name: str
    description: str
    suffixes: tuple[str, ...]
    open: Callable[[str], TensorSource]
    target: Callable[..., Target]

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is one of TensorFlow's own."""
        return self.open is load_checkpoint


_TABLE = (
    Format("V2", "V2 checkpoint", (), load_checkpoint, CheckpointTarget),
    Format("V1", "V1 checkpoint", (), load_checkpoint, functools.partial(CheckpointTarget, format="V1")),
    Format("object", "object-based checkpoint", (), load_checkpoint, CheckpointTarget),
    Format(
        "safetensors", "safetensors file", (".safetensors",), safetensors.open_safetensors, safetensors.SafetensorsTarget
    ),
    Format("npz", "npz file", (".npz",), npz.open_npz, npz.NpzTarget),
    Format("torch", "file of torch", (".pt", ".pth"), torch.open_torch, torch.TorchTarget),
    Format("keras", "Keras weights file", (".weights.h5", ".h5", ".hdf5"), keras_h5.open_keras, keras_h5.KerasTarget),
    Format("orbax", "Orbax checkpoint", (".orbax",), orbax.open_orbax, orbax.OrbaxTarget),
)
FORMATS = {row.name: row for row in _TABLE}


def format_of_source(path: str, name: str | None = None) -> Format:
    """The format that a path is to be read as.

    Args:
        path: What is to be read.
        name: The format, when the caller says it.

    Raises:
        InvalidArgumentError: There is no format of that name.
    """
    if name is not None:
        return format_of_name(name)
    if file_io.is_directory(path):
        return FORMATS["V2" if _ORBAX_FILES.isdisjoint(file_io.list_directory(path)) else "orbax"]
    # A checkpoint may be called model.pt: nothing of that very name is there then.
    found = _of_suffix(path)
    return found if found is not None and (file_io.exists(path) or not file_io.exists(f"{path}.index")) else FORMATS["V2"]


def format_of_target(path: str, name: str | None = None) -> Format:
    """The format that a path is to be written in.

    Raises:
        InvalidArgumentError: There is no format of that name; or the path has a suffix that is almost that of one.
    """
    if name is not None:
        return format_of_name(name)
    if (found := _of_suffix(path)) is not None:
        return found
    if near := _near_suffix(path):
        suffix, known = near
        meant = _of_suffix(known)
        raise InvalidArgumentError(
            f"{path!r}: no format has the suffix {suffix}; the nearest is {known}"
            + (f" ({meant.description})" if meant else "")
            + ". For another, or a checkpoint of this very name, say so with format (--format), as in V2"
        )
    return FORMATS["V2"]


def format_of_name(name: Any) -> Format:
    """A row of the table.

    Raises:
        InvalidArgumentError: There is none of that name.
    """
    if isinstance(name, str) and name in FORMATS:
        return FORMATS[name]
    if name in ("v1", "v2"):
        return FORMATS[checkpoint_format(name)]
    near = nearest_names(str(name), FORMATS)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FORMATS)}"
    raise InvalidArgumentError(f"no format {name!r}; {hint}")


def _of_suffix(path: str) -> Format | None:
    name = path.lower()
    return next((row for row in _TABLE if any(name.endswith(suffix) for suffix in row.suffixes)), None)


def _near_suffix(path: str) -> tuple[str, str] | None:
    """The suffix of a path, and the one of the table that it looks like; None when it looks like none."""
    name = path.lower().rpartition("/")[2]
    if found := next((suffix for suffix in _NEIGHBOURS if name.endswith(suffix)), None):
        return found, _NEIGHBOURS[found]
    stem, dot, end = name.rpartition(".")
    if not stem or not dot:
        return None
    known = {suffix.rpartition(".")[2]: suffix for row in _TABLE for suffix in reversed(row.suffixes)}
    near = difflib.get_close_matches(end, known, n=1, cutoff=_MIN_LIKENESS)
    return (f".{end}", known[near[0]]) if near else None
