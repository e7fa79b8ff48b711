"""One reader for every checkpoint: a Mapping from names to arrays, whatever the format behind it.

Opening reads the index; a tensor's dtype and shape come from there; its bytes are read when it is asked for, checked, and
not kept. TensorFlow's own method names stand beside Python's, for programs that know them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfsaver.checkpoint import checkpoint_location
from tfsaver.checkpoint.one_checkpoint import MAX_ATTEMPTS, FormatReader, Given, OneCheckpoint, open_location
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.checkpoint.untrusted import confined_checkpoint
from tfsaver.errors import CheckpointNotFoundError, CheckpointReplacedError, InvalidArgumentError, ShapeMismatchError
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorForm, TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.lib.file_identity import FileIdentity
from tfsaver.lib.recycled_memory import RecycledMemory
from tfsaver.lib.renamed_options import renamed_options


class CheckpointReader(TensorSource):
    """An open checkpoint; use `load_checkpoint` to get one. Several threads may read from it at once.

    Example:
        >>> reader = load_checkpoint("/tmp/model")  # doctest: +SKIP
        >>> reader["dense/kernel"].shape  # doctest: +SKIP
        (784, 10)
        >>> reader.read("dense/kernel", np.s_[:3, 0])  # doctest: +SKIP
    """

    def __init__(self, location: checkpoint_location.CheckpointLocation) -> None:
        self._one = OneCheckpoint(open_location(location))
        self._location = location
        self.version = location.version

    @property
    def prefix(self) -> str:
        """The checkpoint's path without suffix; of a V1 checkpoint its file, or the pattern of several."""
        return self._location.prefix

    @property
    def description(self) -> str:
        return self._location.prefix

    @property
    def _identity(self) -> tuple[object, ...]:
        """Which checkpoint is open, and which version of it."""
        prefix = self.prefix if file_io.is_remote(self.prefix) else os.path.realpath(self.prefix)
        return self.version, prefix, self._one.reader.identities

    def __eq__(self, other: object) -> bool:
        """Whether both read the same version of the same checkpoint."""
        return isinstance(other, CheckpointReader) and (self is other or self._identity == other._identity)

    def __hash__(self) -> int:
        return hash(self._identity[:2])

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled reader is the path and which version of the checkpoint was open; it is opened again elsewhere."""
        return _open_again, (checkpoint_location.absolute(self._location), self._one.reader.identities)

    @property
    def names(self) -> list[str]:
        """The tensors' names, sorted."""
        return self._one.give(Given.FORM, lambda reader: reader.names)

    @property
    def paths(self) -> list[str]:
        """The checkpoint's files that hold names and values."""
        return self._one.reader.paths

    @property
    def implementation(self) -> FormatReader:
        """The reader of the format itself, for what only one of the formats has."""
        return self._one.give(Given.READER, lambda reader: reader)

    def __contains__(self, name: object) -> bool:
        return self._one.give(Given.FORM, lambda reader: name in reader)

    def info(self, name: str) -> TensorInfo:
        """What the checkpoint says of a tensor.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """
        return self._one.give(Given.FORM, lambda reader: reader.info(name))

    def infos(self, names: Iterable[str] | None = None) -> Iterable[TensorInfo]:
        """What the checkpoint says of tensors.

        Args:
            names: Which, all at once; each of them in turn, in the order of their names, when None.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """
        if names is None:
            return map(self.info, self.names)
        return self._one.give(Given.FORM, lambda reader: list(map(reader.info, names)))

    def forms(self, names: Sequence[str]) -> Iterable[TensorForm]:
        return self._one.give(Given.FORM, lambda reader: list(reader.forms(names)))

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        return self._one.give(Given.FORM, lambda reader: reader.dtype_and_shape(name))

    def read(self, name: str, region: Region | None = None, *, out: Array | None = None, verify: bool = True) -> Array:
        """A tensor, or part of it.

        Args:
            name: The tensor's name.
            region: Which part: slices with step 1, integers and an Ellipsis, as in ``np.s_[2:5, :]``; or a TensorSlice, or
                its text (``"2,3:-"``). All of the tensor when None.
            out: An array of the part's shape and dtype to fill, instead of a new one.
            verify: Whether the tensor's bytes must match their checksum, for which all of them are read. Without it, a
                part of a large tensor takes its own bytes, and what lies between them where that is little; but where the
                files leave a doubt that these are the checkpoint's, all are read and compared once.

        Returns:
            An array of the part's shape; an integer in `region` drops its dimension, as in numpy.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
            DataLossError: The bytes are not those that were written, or some are missing.
            CheckpointReplacedError: They are those of another checkpoint that has the name now; see `one_checkpoint`.
            InvalidArgumentError: The region leaves the tensor or is not of that form, or the checkpoint holds only some
                slices of it.
            ShapeMismatchError: `out` has another shape.
        """
        if out is not None and not isinstance(out, np.ndarray):
            raise InvalidArgumentError(f"out for {name!r} is a {type(out).__name__}, an array is needed")
        return self._one.give(Given.VALUES, lambda reader: _read(reader, name, region, out, verify))

    def map(self, name: str, *, verify: bool = True) -> Array:
        """A tensor where it lies: a read-only array on the pages of its file, which takes no memory of its own.

        It stays valid when the reader is closed and when the file is removed or replaced; nobody may change the file in
        place meanwhile. The format pads nothing, so that the array may begin at any address: numpy takes that, what
        copies or wants alignment is told by ``array.flags.aligned``.

        Args:
            name: The tensor's name.
            verify: Whether the tensor's bytes must match their checksum, for which all of them are looked at, once.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
            DataLossError: The bytes are not those that were written, or some are missing.
            UnimplementedError: They do not lie in one local file as in memory: strings, slices, elements of the other byte
                order or of 4 bits, V1 checkpoints. `read` reads these.
        """
        return self._one.give(Given.VALUES, lambda reader: reader.map(name, verify=verify))

    def read_tensors(
        self,
        names: Iterable[str] | None = None,
        *,
        out: Mapping[str, Array] | None = None,
        num_workers: int | None = None,
        memory: RecycledMemory | None = None,
    ) -> dict[str, Array]:
        """Many tensors at once, whole and verified, on as many threads as there are cores: the fast way to read.

        Args:
            names: Which tensors; all of them when None.
            out: Arrays to fill, by name; the others are made.
            num_workers: How many threads read.
            memory: What the arrays that are made lie in; new memory when None, and always for V1.

        Returns:
            The arrays by name, in the order of `names`. Small ones share their memory with their neighbours in the file.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
            DataLossError: The bytes are not those that were written, or some are missing.
            ShapeMismatchError: An array to fill has another shape.
        """
        wanted = None if names is None else list(names)
        return self._one.give(
            Given.VALUES,
            lambda reader: reader.read_many(
                dict.fromkeys(reader.names if wanted is None else wanted), out=out, num_workers=num_workers, memory=memory
            ),
        )

    def read_regions(
        self, regions: Mapping[str, Region | None], *, out: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Parts of many tensors at once, verified: each as `read` gives it.

        Args:
            regions: For each tensor the part to read; None for all of it.
            out: Arrays to fill, by name, each of its part's shape; the others are made.

        Returns:
            The arrays by name, in the order of `regions`.

        Raises:
            TensorNotFoundError: There is no such tensor.
            InvalidArgumentError: A region leaves its tensor.
            DataLossError: The bytes are not those that were written, or some are missing.
            ShapeMismatchError: An array to fill has another shape.
        """
        return self._one.give(Given.VALUES, lambda reader: _read_regions(reader, regions, out or {}))

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        return self._one.stream(lambda reader: reader.pieces(name, stored))

    def verify_tensors(self, names: Iterable[str], *, num_workers: int | None = None) -> None:
        """Reads tensors and compares their checksums, on as many threads as there are cores; keeps nothing of them.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
            DataLossError: The bytes are not those that were written, or some are missing.
        """
        wanted = dict.fromkeys(names)
        # The caller takes these tensors for sound from now on, so that the files must not be replaced meanwhile.
        self._one.give(
            Given.VALUES, lambda reader: reader.read_many(wanted, verify_only=True, num_workers=num_workers)
        )

    def close(self) -> None:
        """Closes the files; nothing can be read afterwards."""
        self._one.reader.close()

    def __repr__(self) -> str:
        return f"<CheckpointReader of {self.prefix!r}, {self.version}>"


@renamed_options(path="checkpoint")
def load_checkpoint(checkpoint: file_io.PathLike, *, trusted: bool = True) -> CheckpointReader:
    """Opens a checkpoint of either format; `tfsaver.load_checkpoint` opens files of other formats too.

    Args:
        checkpoint: A prefix, a directory with a state file, a SavedModel's directory, a V1 pattern, or any of its
            files; local, or a URL that fsspec knows.
        trusted: Whether a state file's entry, or a symbolic link, may lead out of the directory that is given, or that a
            prefix is in.

    Raises:
        CheckpointNotFoundError: There is none; names what was looked for and what is there.
        InvalidArgumentError: It is not trusted, and leads out of its directory; names what does.
        CheckpointReplacedError: It is replaced again and again.
        DataLossError: What is there is no checkpoint, or its index is damaged.
    """
    if not trusted:
        checkpoint = confined_checkpoint(checkpoint)
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return CheckpointReader(checkpoint_location.locate_checkpoint(checkpoint))
        except CheckpointNotFoundError as error:
            # What a directory named may have been removed by now, and the directory may name another.
            if error.prefix == file_io.as_path(checkpoint):
                raise
    return CheckpointReader(checkpoint_location.locate_checkpoint(checkpoint))


def _read_regions(
    reader: FormatReader, regions: Mapping[str, Region | None], out: Mapping[str, Array]
) -> dict[str, Array]:
    parts: dict[str, TensorSlice | None] = {}
    dropped: dict[str, tuple[int, ...]] = {}
    for name, region in regions.items():
        parts[name], dropped[name] = None, ()
        if region is not None:
            parts[name], dropped[name] = as_tensor_slice(region, reader.dtype_and_shape(name)[1], name)
    arrays = {name: array if not dropped[name] else np.expand_dims(array, dropped[name]) for name, array in out.items()}
    found = reader.read_many(parts, out=arrays)
    return {name: out[name] if name in out else found[name].squeeze(dropped[name]) for name in regions}


def _read(reader: FormatReader, name: str, region: Region | None, out: Array | None, verify: bool) -> Array:
    if region is None:
        return reader.read(name, out=out, verify=verify)
    _, shape = reader.dtype_and_shape(name)
    part, dropped = as_tensor_slice(region, shape, name)
    if out is not None and dropped:
        lengths = part.resolve(shape).shape
        expected = tuple(length for axis, length in enumerate(lengths) if axis not in dropped)
        if out.shape != expected:
            raise ShapeMismatchError(f"out for {name}", expected=expected, actual=out.shape)
        out = np.expand_dims(out, dropped)
    return reader.read(name, part, out=out, verify=verify).squeeze(dropped)


def _open_again(
    location: checkpoint_location.CheckpointLocation, identities: tuple[FileIdentity | None, ...]
) -> CheckpointReader:
    """A pickled reader.

    Raises:
        CheckpointReplacedError: Another checkpoint has the name now.
        CheckpointNotFoundError: It is not there, or is not there on this machine.
    """
    reader = CheckpointReader(location)
    # Devices have other numbers on other machines.
    before, now = ([each and each[1:] for each in which] for which in (identities, reader._one.reader.identities))
    if before != now:
        reader.close()
        what = "its files are others than when the reader was pickled; pickle the path to open any version"
        raise CheckpointReplacedError(location.prefix, what=what)
    return reader
