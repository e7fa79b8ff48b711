"""Tensors as both sides of an exchange describe them: a name, a dtype, a shape, a seed, and slices where partitioned.

Values are made from the seed on whichever side writes; the fingerprints of guest/digests.py are what is compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.interop.guest.digests import digest
from tests.interop.guest.values import random_values
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import parse_shape_and_slice
from tfsaver.tensor_bundle.writer import BundleWriter

Tensor = dict[str, Any]
Described = dict[str, list[Any]]

# Two ways to cut a 4 x 6 tensor. A Saver's variables spell their slices out, never "-".
ROWS = ["4 6 0,1:0,6", "4 6 1,3:0,6"]
GRID = ["4 6 0,2:0,4", "4 6 0,2:4,2", "4 6 2,2:0,4", "4 6 2,2:4,2"]

# TensorFlow puts a tensor of these types together from slices; of others it only finds the very slice again.
ASSEMBLED = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", "complex64", "complex128", "bfloat16")


def of_every_kind(names: list[str]) -> list[Tensor]:
    """A matrix, a scalar and an empty tensor of each dtype."""
    tensors = []
    for seed, name in enumerate(names):
        for kind, shape in (("matrix", [3, 4]), ("scalar", []), ("nothing", [0, 3])):
            tensors.append({"name": f"{name}/{kind}", "dtype": name, "shape": shape, "seed": seed})
    return tensors


def partitioned(names: list[str], slices: list[str]) -> list[Tensor]:
    """A 4 x 6 tensor of each dtype, cut into these slices."""
    return [
        {"name": f"{name}/parts", "dtype": name, "shape": [4, 6], "seed": seed, "slices": slices}
        for seed, name in enumerate(names)
    ]


def v1_names(names: list[str]) -> list[str]:
    """Those of the dtypes that a V1 checkpoint can hold."""
    return [name for name in names if dtypes.from_name(name).in_v1]


def values_of(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The whole tensor's values."""
    return random_values(tensor["dtype"], dtypes.from_name(tensor["dtype"]).numpy, tensor["shape"], tensor["seed"])


def region(text: str) -> tuple[slice, ...]:
    """What to index the whole tensor with for a shape-and-slice text."""
    shape, piece = parse_shape_and_slice(text)
    return tuple(slice(start, start + length) for start, length in piece.resolve(shape).extents)


def described(tensors: list[Tensor]) -> Described:
    """{name: [dtype, shape, digest]} of what the seeds say."""
    return {each["name"]: [each["dtype"], each["shape"], digest(values_of(each), each["dtype"])] for each in tensors}


def part_digests(tensors: list[Tensor]) -> dict[str, list[str]]:
    """{name: [digest of each slice]} of what the seeds say."""
    return {
        each["name"]: [digest(values_of(each)[region(text)], each["dtype"]) for text in each["slices"]]
        for each in tensors
    }


def read_by_us(prefix: str | Path) -> Described:
    """{name: [dtype, shape, digest]} of what tfsaver reads."""
    with load_checkpoint(prefix) as reader:
        infos = [reader.info(name) for name in reader.names]
        return {
            info.name: [info.dtype.name, list(info.shape), digest(reader.read(info.name), info.dtype.name)]
            for info in infos
        }


def write_by_us(prefix: str | Path, tensors: list[Tensor], version: int = 2, num_shards: int = 1) -> str:
    """Writes the tensors in order of their names, their slices to the shards in turn; returns the prefix."""
    if version == 1:
        with TensorSliceWriter(prefix) as writer:
            for name, full_shape, piece, values in _pieces(tensors):
                if piece is None:
                    writer.add(name, values)
                else:
                    writer.add_slice(name, full_shape, piece, values)
        return str(prefix)
    with BundleWriter(prefix, num_shards=num_shards) as writer:
        for position, (name, full_shape, piece, values) in enumerate(_pieces(tensors)):
            shard_id = position % num_shards
            if piece is None:
                writer.add(name, values, shard_id=shard_id)
            else:
                writer.add_slice(name, full_shape, piece, values, shard_id=shard_id)
    return str(prefix)


def _pieces(tensors: list[Tensor]) -> list[tuple[str, list[int], Any, np.ndarray[Any, Any]]]:
    pieces: list[tuple[str, list[int], Any, np.ndarray[Any, Any]]] = []
    for tensor in sorted(tensors, key=lambda each: each["name"]):
        values = values_of(tensor)
        if "slices" not in tensor:
            pieces.append((tensor["name"], tensor["shape"], None, values))
        for text in tensor.get("slices", ()):
            pieces.append((tensor["name"], tensor["shape"], parse_shape_and_slice(text)[1], values[region(text)]))
    return pieces
