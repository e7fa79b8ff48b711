"""Files that a graph reads when it is initialised: vocabularies, mostly.

    AssetFileDef   filename: relative to assets/    tensor_info.name: the tensor that a loader feeds with the file's path

They stand in the MetaGraph's `asset_file_def`, or, as older writers have it, packed in its collection
``saved_model_assets``. A name that leads out of ``assets/`` is refused: a loader would open whatever it points to.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import NamedTuple

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, NotFoundError
from tfsaver.lib import file_io
from tfsaver.saved_model import constants, warmup

_TYPE = "tensorflow.AssetFileDef"


class Asset(NamedTuple):
    """A file of a SavedModel: the tensor that is fed its path, and its name below ``assets/``."""

    tensor_name: str
    filename: str


def read_assets(meta_graph: schemas.MetaGraphDef) -> list[Asset]:
    """The assets of a MetaGraph, the field before the collection, as loaders have it.

    Raises:
        DataLossError: One's file is outside of the directory for assets, or the collection holds something else.
    """
    protos = list(meta_graph.asset_file_def) or _from_collection(meta_graph)
    for proto in protos:
        if not is_inside(proto.filename):
            raise DataLossError(f"asset {proto.filename!r} is no file inside of {constants.ASSETS_DIRECTORY}/")
    return [Asset(proto.tensor_info.name, proto.filename) for proto in protos]


def _from_collection(meta_graph: schemas.MetaGraphDef) -> list[schemas.AssetFileDef]:
    if constants.ASSETS not in meta_graph.collection_def:
        return []
    protos = []
    for item in meta_graph.collection_def[constants.ASSETS].any_list.value:
        if item.type_url.rpartition("/")[2] != _TYPE:
            raise DataLossError(f"collection {constants.ASSETS}: an item is a {item.type_url!r}, no {_TYPE}")
        try:
            protos.append(schemas.AssetFileDef.FromString(item.value))
        except DecodeError as error:
            raise DataLossError(f"collection {constants.ASSETS}: {error}") from error
    return protos


def is_inside(filename: str) -> bool:
    """Whether a name, joined to a directory, is that of a file in it, on every system."""
    if not filename or "\0" in filename or "://" in filename or filename.startswith("/") or filename[1:2] == ":":
        return False
    return not {"", ".", ".."}.intersection(filename.replace("\\", "/").split("/"))


def write_assets(meta_graph: schemas.MetaGraphDef, assets: list[Asset]) -> None:
    """Puts assets into a MetaGraph in the place of those that it has, in both of the forms that loaders look for."""
    del meta_graph.asset_file_def[:]
    meta_graph.collection_def.pop(constants.ASSETS, None)
    for asset in assets:
        proto = schemas.AssetFileDef(filename=asset.filename, tensor_info=schemas.TensorInfo(name=asset.tensor_name))
        meta_graph.asset_file_def.append(proto)
        packed = meta_graph.collection_def[constants.ASSETS].any_list.value.add()
        packed.type_url = f"type.googleapis.com/{_TYPE}"
        packed.value = proto.SerializeToString(deterministic=True)


def arrange_assets(paths: Mapping[str, str]) -> tuple[list[Asset], dict[str, str]]:
    """Gives files their names in a SavedModel.

    A file keeps its own name. Where two files of different content have one name, the later gets a number at its end:
    vocab.txt, vocab.txt_1. Equal files are stored once.

    Args:
        paths: The path of the file that each tensor stands for.

    Returns:
        The assets, and the path to copy from by name below ``assets/``.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: It is a directory, or its path has no name at its end.
    """
    sources: dict[str, str] = {}
    assets = []
    for tensor_name, path in paths.items():
        _check_file(path, f"the asset of {tensor_name}")
        base = file_io.split(path)[1]
        name, number = base, 0
        while name in sources and not _same_file(sources[name], path):
            number += 1
            name = f"{base}_{number}"
        sources.setdefault(name, path)
        assets.append(Asset(tensor_name, name))
    return assets, sources


def arrange_extra_assets(extra_assets: Mapping[str, file_io.PathLike]) -> dict[str, str]:
    """The paths to copy from by name below ``assets.extra/``.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: A name leads out of the directory, or the warmup requests are no TFRecord of PredictionLogs.
    """
    sources = {}
    for name, path in extra_assets.items():
        if not is_inside(name):
            raise InvalidArgumentError(f"extra asset {name!r} is no file inside of {constants.EXTRA_ASSETS_DIRECTORY}/")
        sources[posixpath.normpath(name)] = file_io.as_path(path)
        _check_file(sources[posixpath.normpath(name)], f"the extra asset {name!r}")
        if posixpath.normpath(name) == warmup.FILE_NAME:
            warmup.check_warmup_requests(sources[warmup.FILE_NAME])
    return sources


def _check_file(path: str, what: str) -> None:
    if not file_io.exists(path):
        raise NotFoundError(f"{what}: no file at {path!r}")
    if file_io.is_directory(path) or not file_io.split(path)[1]:
        raise InvalidArgumentError(f"{what}: {path!r} is no file")


def _same_file(left: str, right: str) -> bool:
    return left == right or file_io.read_file(left) == file_io.read_file(right)
