"""The formats that tensors can be converted from and to, as one table.

    name          suffixes              read    written    through
    V2            (none), .ckpt         any checkpoint     itself
    V1                                                     itself
    object                                                 itself
    safetensors   .safetensors          yes     yes        safetensors
    npz           .npz                  yes     yes        numpy
    torch         .pt .pth              yes     yes        torch
    keras         .weights.h5 .h5 ...   yes     yes        h5py
                  .keras                yes                h5py
    orbax         .orbax                yes     yes        orbax-checkpoint
    hf            (none)                yes     yes        safetensors

`identify` says what is to be read, by content and whatever the name. For what is to be written there is only the name, and a
checkpoint's may end in anything (``model.ckpt-100``, ``model.best``): but where it ends almost like a file of the table, or
like a file of another program (``.npy``, ``.keras``, ``.onnx``), nothing is written before the caller says which.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.checkpoint_target import CheckpointTarget, checkpoint_format
from tfsaver.checkpoint.execution import Target
from tfsaver.checkpoint.identify import identify
from tfsaver.checkpoint.target_names import odd_suffix
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import CheckpointNotFoundError, OptionError, nearest_names
from tfsaver.formats import hf, keras_h5, npz, orbax, safetensors, torch
from tfsaver.lib import file_io

# What `convert` calls the rows of the table.
FormatName: TypeAlias = "Literal['V2', 'V1', 'object', 'safetensors', 'npz', 'torch', 'keras', 'orbax', 'hf']"


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
    Format("hf", "directory for transformers", (), hf.open_hf, hf.HfTarget),
)
FORMATS = {row.name: row for row in _TABLE}


def format_of_source(path: str, name: str | None = None, *, trusted: bool = True) -> Format:
    """The format that a path is to be read as: by content, or by name where the content says nothing.

    Args:
        path: What is to be read.
        name: The format, when the caller says it.
        trusted: See `identify`.

    Raises:
        InvalidArgumentError: There is no format of that name, or the path leads out of its directory.
    """
    if name is not None:
        return format_of_name(name)
    try:
        found = identify(path, trusted=trusted)
    except CheckpointNotFoundError:
        # The library of the format, or the reader of checkpoints, says what it has looked for.
        return _of_suffix(path) or FORMATS["V2"]
    if found.format is not None:
        return FORMATS[found.format]
    is_file = file_io.exists(path) and not file_io.is_directory(path)
    # A damaged file is still what its name says; what is known to be something else is not.
    return (_of_suffix(path) if is_file and found.kind in ("unknown", "zip", "text", "json") else None) or FORMATS["V2"]


def format_of_target(path: str, name: str | None = None) -> Format:
    """The format that a path is to be written in.

    Raises:
        InvalidArgumentError: There is no format of that name; or the path has a suffix that is almost that of one.
    """
    if name is not None:
        return format_of_name(name)
    if (found := _of_suffix(path)) is not None:
        return found
    if (odd := odd_suffix(path)) is not None:
        meant = None if odd.nearest is None else _of_suffix(odd.nearest)
        nearest = f"the nearest is {odd.nearest} ({meant.description})" if meant else f"there are {', '.join(_suffixes())}"
        raise OptionError(
            f"{path!r}: no format has the suffix {odd.suffix}; {nearest}. "
            "For another, or a checkpoint of this very name, say so with format (--format), as in V2"
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
    raise OptionError(f"no format {name!r}; {hint}")


def _of_suffix(path: str) -> Format | None:
    name = path.lower()
    return next((row for row in _TABLE if any(name.endswith(suffix) for suffix in row.suffixes)), None)


def _suffixes() -> list[str]:
    return [row.suffixes[0] for row in _TABLE if row.suffixes]
