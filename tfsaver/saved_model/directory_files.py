"""The files of a SavedModel beside its message and its variables: assets, those of a server, whatever else lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.lib.confinement import ANYWHERE, Confinement
from tfsaver.saved_model import assets, constants, saved_model_file

_OWN = {*saved_model_file.FILE_NAMES, constants.FINGERPRINT_FILE_NAME, constants.VARIABLES_DIRECTORY}


def other_files(directory: str, confinement: Confinement = ANYWHERE) -> dict[str, str]:
    """The paths of the files by their names in the directory, folders with slashes; without the model's own.

    Raises:
        InvalidArgumentError: A symbolic link leads to a directory that it is in.
        UntrustedPathError: Symbolic links lead out of the directory, which is not trusted; names all of them.
    """
    refused: list[str] = []
    # A link to a directory that it is in has no end.
    above = frozenset({_real(directory)})
    found = {
        name: file_io.join(directory, name)
        for top in file_io.list_directory(directory)
        if top not in _OWN
        for name in _walk(directory, top, confinement, refused, above)
    }
    confinement.check(*refused)
    return found


def _walk(
    directory: str, name: str, confinement: Confinement, refused: list[str], above: frozenset[str]
) -> Iterator[str]:
    path = file_io.join(directory, name)
    if not confinement.admits(path):
        refused.append(path)
        return
    if not file_io.is_directory(path):
        yield name
        return
    real = _real(path)
    if real in above:
        raise InvalidArgumentError(f"{path} is a link to {real}, a directory that it is in: its files would have no end")
    for inner in file_io.list_directory(path):
        yield from _walk(directory, f"{name}/{inner}", confinement, refused, above | {real})


def _real(path: str) -> str:
    return path if file_io.is_remote(path) else os.path.realpath(path)


def asset_paths(directory: str, meta_graph: schemas.MetaGraphDef) -> dict[str, str]:
    """The path of each asset's file by the name of its tensor.

    Raises:
        DataLossError: A file would be outside of the SavedModel.
    """
    folder = file_io.join(directory, constants.ASSETS_DIRECTORY)
    return {asset.tensor_name: file_io.join(folder, asset.filename) for asset in assets.read_assets(meta_graph)}


def is_text(directory: str) -> bool:
    """Whether the SavedModel is written as text."""
    return (saved_model_file.find_saved_model(directory) or "").endswith(constants.FILE_NAME_PBTXT)
