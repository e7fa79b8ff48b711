"""Writes a SavedModel's directory so that it appears whole or not at all.

    export_dir.tmp0123456789/       while it is written, beside its place     variables, assets, then saved_model.pb
    export_dir/                     once it has been read back: one rename

    export_dir/new.tmp0123456789/   with versions; servers that watch a directory pass over what is no number
    export_dir/1732230000/          the seconds since 1970, or one more than the highest version that is there

The directory is locked while it is written; what a killed process has left of one, the next export to the same place
removes.
An object store renames nothing: there the files get their names at once, and ``saved_model.pb``, by which every reader
knows a SavedModel, comes last.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.execution import Progress
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import AlreadyExistsError, DataLossError
from tfsaver.lib import file_io
from tfsaver.lib.temporary_directory import temporary_directory
from tfsaver.saved_model import constants, fingerprint, saved_model_file
from tfsaver.saved_model.loader import list_versions

_COPIED_AT_ONCE = 1 << 22
# Servers keep versions as signed numbers of 64 bits.
_MAX_VERSION = (1 << 63) - 1


class SavedModelBuilder:
    """A SavedModel being written; a context manager, which leaves nothing behind where an error ends it.

    Args:
        export_dir: Where the SavedModel shall be; nothing may be there but an empty directory. With `versioned`, the
            directory of its versions, which may be there.
        versioned: Whether to make a new version in `export_dir`, named by the time.
        durable: Whether to return only once disks have the bytes.

    Raises:
        AlreadyExistsError: Something is in the place where the SavedModel shall be, or a version has the highest number
            that there is.
        WriteError: The system does not let anything be written there.

    Example:
        >>> with SavedModelBuilder("export") as builder:  # doctest: +SKIP
        ...     builder.write_variables(values)
        ...     path = builder.finish(saved_model)
    """

    def __init__(self, export_dir: file_io.PathLike, *, versioned: bool = False, durable: bool = True) -> None:
        # Without the slash at its end a directory has a name to write beside.
        self._target = file_io.as_path(export_dir).rstrip("/") or "/"
        self._versioned = versioned
        self._durable = durable
        self._is_remote = file_io.is_remote(self._target)
        self._temporary = contextlib.ExitStack()
        self._made_directories: list[str] = []
        check_target(self._target, versioned=versioned)
        if self._is_remote:
            self.directory = _next_version(self._target) if versioned else self._target
            file_io.make_directory(self.directory, durable=durable)
            return
        target = file_io.join(self._target, "new") if versioned else self._target
        if parent := file_io.split(target)[0]:
            self._made_directories = file_io.make_directory(parent, durable=durable)
        try:
            self.directory = self._temporary.enter_context(temporary_directory(target))
        except BaseException:
            self.discard()
            raise

    @property
    def variables_prefix(self) -> str:
        """The checkpoint's prefix while the SavedModel is written, for whoever writes it without `write_variables`."""
        directory = file_io.join(self.directory, constants.VARIABLES_DIRECTORY)
        return file_io.join(directory, constants.VARIABLES_FILE_NAME)

    def write_variables(
        self, values: Mapping[str, Any], *, num_shards: int = 1, progress: Progress | None = None
    ) -> None:
        """Writes the variables; their values are taken from the mapping one at a time.

        Raises:
            WriteError: The system refuses it, or there is no room.
        """
        save_checkpoint(values, self.variables_prefix, num_shards=num_shards, durable=self._durable, progress=progress)

    def add_assets(self, sources: Mapping[str, str]) -> None:
        """Copies files to ``assets/``: paths by the names that they shall have there."""
        self._copy(sources, constants.ASSETS_DIRECTORY)

    def add_extra_assets(self, sources: Mapping[str, str]) -> None:
        """Copies files to ``assets.extra/``."""
        self._copy(sources, constants.EXTRA_ASSETS_DIRECTORY)

    def add_files(self, sources: Mapping[str, str]) -> None:
        """Copies files to the SavedModel itself: paths by their names in it."""
        self._copy(sources, "")

    def add_fingerprint(self, saved_model: schemas.SavedModel) -> None:
        """Writes ``fingerprint.pb`` for what `finish` will write, once the variables are written."""
        index = self.variables_prefix + ".index"
        made = fingerprint.compute_fingerprint(saved_model, file_io.read_file(index) if file_io.exists(index) else None)
        made.uuid = fingerprint.new_uuid()
        self.add_file(constants.FINGERPRINT_FILE_NAME, made.SerializeToString(deterministic=True))

    def add_file(self, name: str, data: bytes) -> None:
        """Writes a small file of a given name, such as ``fingerprint.pb``."""
        path = file_io.join(self.directory, name)
        if "/" in name:
            file_io.make_directory(file_io.split(path)[0], durable=False)
        file_io.write_file(path, data, durable=self._durable)

    def finish(self, saved_model: schemas.SavedModel, *, as_text: bool = False) -> str:
        """Writes the SavedModel itself, reads everything back, and gives the directory its name.

        Returns:
            The directory where the SavedModel now is.

        Raises:
            DataLossError: What is read back is not what was written.
            AlreadyExistsError: Someone else has taken the place meanwhile.
        """
        name = constants.FILE_NAME_PBTXT if as_text else constants.FILE_NAME_PB
        self.add_file(name, saved_model_file.format_saved_model(saved_model, as_text=as_text))
        self._check(saved_model)
        if self._is_remote:
            return self.directory
        if self._durable:
            for directory in _directories(self.directory):
                file_io.sync_directory(directory)
        temporary = self.directory
        self._rename()
        try:
            if self._durable:
                file_io.sync_directory(file_io.split(self._target)[0])
                file_io.sync_directory(self._target)
        except BaseException:
            # Nobody knows whether the disk has the name: then nobody is to find it.
            with contextlib.suppress(OSError):
                file_io.replace(self.directory, temporary)
            raise
        return self.directory

    def discard(self) -> None:
        """Removes what was written, and the directories that were made for it, unless it is finished."""
        self._temporary.close()
        file_io.remove_directories(self._made_directories)

    def _copy(self, sources: Mapping[str, str], folder: str) -> None:
        for name, source in sources.items():
            target = file_io.join(file_io.join(self.directory, folder) if folder else self.directory, name)
            # With everything else in it, the directory is synced at the end.
            file_io.make_directory(file_io.split(target)[0], durable=False)
            with (
                contextlib.closing(file_io.open_for_reading(source)) as reading,
                file_io.atomic_writer(target, durable=self._durable) as writing,
            ):
                for offset in range(0, reading.size, _COPIED_AT_ONCE):
                    writing.append(reading.read(offset, _COPIED_AT_ONCE))

    def _check(self, saved_model: schemas.SavedModel) -> None:
        # As bytes: two messages with a NaN in them are never equal.
        found = saved_model_file.read_saved_model(self.directory)
        if found.SerializeToString(deterministic=True) != saved_model.SerializeToString(deterministic=True):
            raise DataLossError(f"{self.directory}: the SavedModel that is read back is not the one that was written")
        if not file_io.exists(self.variables_prefix + ".index"):
            return
        problems = verify_checkpoint(self.variables_prefix).problems
        if problems:
            raise DataLossError(f"{self.variables_prefix}: {problems[0]}")

    def _rename(self) -> None:
        while True:
            target = _next_version(self._target) if self._versioned else self._target
            try:
                file_io.replace(self.directory, target)
            except OSError as error:
                if not file_io.exists(target):
                    raise
                # Taken in the meantime: a new version takes the next number, anything else is the caller's affair.
                if not self._versioned:
                    raise AlreadyExistsError(f"{target} exists already") from error
            else:
                self.directory = target
                # From here on there is nothing to discard.
                self._target = target
                return

    def __enter__(self) -> SavedModelBuilder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.discard()


def check_target(target: str, *, versioned: bool) -> None:
    """Checks that a SavedModel can appear in a place, before anything is written.

    Raises:
        AlreadyExistsError: Something is there, or a version has the highest number that there is.
    """
    if versioned:
        _next_version(target)
    else:
        _check_free(target)


def _next_version(directory: str) -> str:
    """A path above all versions that are there: a server, like `load_saved_model`, takes the highest."""
    there = max(map(int, list_versions(directory)), default=0)
    version = max(int(time.time()), there + 1)
    if version > _MAX_VERSION:
        raise AlreadyExistsError(
            f"{directory} holds version {there}: a server cannot read a higher number, so a new version would "
            "never be served; rename that directory, or export to another one"
        )
    return file_io.join(directory, str(version))


def _check_free(directory: str) -> None:
    if not file_io.exists(directory):
        return
    if not file_io.is_directory(directory):
        raise AlreadyExistsError(f"{directory} exists already, and is no directory")
    if file_io.list_directory(directory):
        raise AlreadyExistsError(
            f"{directory} exists already and is not empty; a new version beside older ones takes versioned=True"
        )


def _directories(directory: str) -> Iterator[str]:
    """A local directory after all that are inside of it."""
    for path, _, _ in os.walk(directory, topdown=False):
        yield path
