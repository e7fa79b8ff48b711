"""Named tensors that are read when they are asked for: what editing and conversion take in and give out.

An open checkpoint is a source of tensors; so are arrays in memory, an open file of another format, and a `Plan`: an edit of
other sources. A plan reads from what it stands on when somebody reads from it, so that it and a writer behind it hold one
tensor, or one piece of one, at a time.

Ownership:

    read()       the array belongs to the caller; the source never changes it
    pieces()     an array is valid until the next one is asked for, which may lie in the same memory
    is_stable    a tensor that lies in memory and stays as it is: an array of it may be borrowed until a write is committed
"""

from __future__ import annotations

import abc
import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from tfsaver import schemas
from tfsaver._lazy_imports import lazy_import
from tfsaver.checkpoint.losses import Losses
from tfsaver.errors import InvalidArgumentError, MissingExtraError, TensorNotFoundError, nearest_names
from tfsaver.framework import tensor_util
from tfsaver.framework.array_pieces import cut
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorForm, TensorInfo
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import html_tables
from tfsaver.tensor_bundle import strings

Array = np.ndarray[Any, Any]
_Self = TypeVar("_Self", bound="TensorSource")


class TensorSource(Mapping[str, Array]):
    """A Mapping from names to arrays that also says what each tensor is without reading it.

    Two sources are equal when they are the same one: comparing their tensors is what `tfsaver.diff` does.
    """

    @property
    def prefix(self) -> str | None:
        """The checkpoint that the tensors come from; None where they come from none."""
        return None

    @property
    def description(self) -> str:
        """What to call the source in a report: its file if it knows one that a caller named, else its kind."""
        return f"<{type(self).__name__}>"

    @property
    def makes_on_demand(self) -> bool:
        """Whether `info` has to make a tensor to say what it is; then each is asked for once, when it is needed."""
        return False

    @property
    def inputs(self) -> tuple[TensorSource, ...]:
        """The sources that bytes come from in the end: of a plan those that it stands on."""
        return (self,)

    def losses(self) -> Iterator[tuple[str, Losses]]:
        """What each tensor that is cast has lost so far, by name. What is read twice is counted twice."""
        return iter(())

    @property
    @abc.abstractmethod
    def names(self) -> list[str]:
        """The tensors' names, sorted."""

    @abc.abstractmethod
    def info(self, name: str) -> TensorInfo:
        """A tensor's dtype, shape and size; `pieces` is empty where the tensor lies in no file as it is.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """

    def forms(self, names: Sequence[str]) -> Iterable[TensorForm]:
        """What tensors are, in the order of their names; of a million of them it takes less than `info` of each.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
        """
        return (TensorForm(info.dtype, tuple(info.shape), bool(info.slices)) for info in map(self.info, names))

    @abc.abstractmethod
    def read(self, name: str, region: Region | None = None) -> Array:
        """A tensor, or the part of it that `region` says, as in ``np.s_[2:5, :]``.

        Raises:
            TensorNotFoundError: There is no such tensor; names the nearest ones.
            DataLossError: The bytes behind it are damaged.
            InvalidArgumentError: The region leaves the tensor.
        """

    def read_tensors(self, names: Iterable[str]) -> dict[str, Array]:
        """Many whole tensors; see `read`. A source that has several threads for it is faster than asking for one by one."""
        return {name: self.read(name) for name in names}

    def slices(self, name: str) -> tuple[TensorSlice, ...]:
        """The slices in which a tensor is stored; none where it is stored whole."""
        return self.info(name).slices

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        """A tensor's elements in C order: one-dimensional arrays, all of `PIECE_ELEMENTS` but the last.

        Args:
            name: The tensor's name.
            stored: One of its slices; all of the tensor when None.

        Raises:
            TensorNotFoundError: There is no such tensor.
            DataLossError: The bytes are damaged, which may be known only after the last piece.
        """
        return cut(self.read(name, stored))

    def is_stable(self, name: str) -> bool:
        """Whether a tensor lies in memory, and stays there as it is while the source is used: reading it makes nothing."""
        return False

    def names_of_tensors(self) -> list[str]:
        """The names of what is a tensor: all, but in files of formats that hold other things as well."""
        return self.names

    def dtype(self, name: str) -> np.dtype[Any]:
        """The numpy dtype of a tensor; `object` for strings, whose elements are bytes."""
        return self.dtype_and_shape(name)[0].numpy

    def shape(self, name: str) -> Shape:
        """The full shape of a tensor."""
        return self.dtype_and_shape(name)[1]

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        """The type and the full shape of a tensor."""
        info = self.info(name)
        return info.dtype, info.shape

    def to_pandas(self) -> Any:
        """A pandas DataFrame of the tensors, by name: dtype, shape, number of elements and bytes. No value is read.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            with lazy_import():
                import pandas  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError("pandas", extra="pandas", purpose="to_pandas()") from error
        rows = [_facts_of(self.info(name)) for name in self.names_of_tensors()]
        return pandas.DataFrame(rows, columns=["name", "dtype", "shape", "num_elements", "num_bytes"]).set_index("name")

    def _repr_html_(self) -> str:
        """What a notebook shows: the tensors, from the index alone."""
        if self.makes_on_demand:
            return html_tables.lines([repr(self)])
        names = self.names_of_tensors()
        shown = (_facts_of(self.info(name)) for name in names)
        rows = ((name, dtype, list(shape), f"{elements:,}", f"{size:,}") for name, dtype, shape, elements, size in shown)
        caption = f"{self.prefix or type(self).__name__}: {len(names):,} tensors"
        return html_tables.table(caption, ["name", "dtype", "shape", "elements", "bytes"], rows, len(names), numbers=2)

    # TensorFlow's names.

    def has_tensor(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self

    def get_tensor(self, name: str) -> Any:
        """A tensor as TensorFlow's reader gives it: a scalar as a numpy scalar, or as bytes."""
        array = self.read(name)
        return array[()] if array.ndim == 0 else array

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """The shape of every tensor by name."""
        return {name: list(self.shape(name)) for name in self.names_of_tensors()}

    def get_variable_to_dtype_map(self) -> dict[str, np.dtype[Any]]:
        """The numpy dtype of every tensor by name."""
        return {name: self.dtype(name) for name in self.names_of_tensors()}

    def debug_string(self) -> bytes:
        """A line for each tensor, as in ``kernel (DT_FLOAT) [784,10]``."""
        lines = []
        for name in self.names_of_tensors():
            dtype, shape = self.dtype_and_shape(name)
            data_type = schemas.DataType.Name(dtype.data_type)
            lines.append(f"{name} ({data_type}) [{','.join(map(str, shape))}]\n")
        return "".join(lines).encode("utf-8", "surrogateescape")

    def close(self) -> None:
        """Closes what the source reads from; nothing can be read afterwards."""

    def __contains__(self, name: object) -> bool:
        # Not by reading it, as a Mapping does.
        return name in self.names

    def __getitem__(self, name: str) -> Array:
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class ArraySource(TensorSource):
    """Arrays by name as a source.

    The values of a dict are there and stay as they are. Any other mapping may make each array when it is asked for, even in
    memory that it uses again for the next, or that another mapping uses too: what it gives is copied at once.

    Args:
        arrays: Names to arrays, or to what numpy makes arrays of.
        description: What to call it in an error.

    Raises:
        InvalidArgumentError: A name is not a str, or is empty.
        UnimplementedError: A value of a type that no checkpoint can hold.
    """

    def __init__(self, arrays: Mapping[str, Any], description: str = "the arrays") -> None:
        for name in arrays:
            if not isinstance(name, str) or not name:
                raise InvalidArgumentError(f"a tensor's name must be a str that is not empty, not {name!r}")
        self._arrays = arrays
        # Asked instead of the mapping, which may make an array to say whether it has it.
        self._names = dict.fromkeys(sorted(arrays))
        self._description = description
        self._is_dict = type(arrays) in (dict, collections.OrderedDict)
        self._infos: dict[str, TensorInfo] = {}
        # The last one that was made, which is asked for again: what it is, then its elements.
        self._last: tuple[str, Array, DType] | None = None

    @property
    def names(self) -> list[str]:
        return list(self._names)

    @property
    def makes_on_demand(self) -> bool:
        return not self._is_dict

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def info(self, name: str) -> TensorInfo:
        info = self._infos.get(name)
        if info is None:
            array, dtype = self._tensor(name)
            size = array.nbytes if dtype.has_fixed_size else strings.stored_size(array.reshape(-1).tolist())
            info = self._infos[name] = TensorInfo(name, dtype, array.shape, size, ())
        return info

    def read(self, name: str, region: Region | None = None) -> Array:
        array, _ = self._tensor(name)
        if region is not None:
            part, dropped = as_tensor_slice(region, array.shape, name)
            # With the dots it is an array even if it is a scalar of objects.
            indices: tuple[Any, ...] = (*part.resolve(array.shape).indices, ...)
            array = array[indices].squeeze(dropped)
        return array if self._is_dict else array.copy()

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        if stored is not None or self._is_dict:
            return super().pieces(name, stored)
        # Not copied once more, as `read` would: nobody else has the last one that was made.
        return cut(self._tensor(name)[0])

    def is_stable(self, name: str) -> bool:
        return self._is_dict and name in self._names

    def _tensor(self, name: str) -> tuple[Array, DType]:
        last = self._last
        if last is not None and last[0] == name:
            return last[1:]
        if name not in self._names:
            raise TensorNotFoundError(name, checkpoint=self._description, near=nearest_names(name, self._names))
        array, dtype = tensor_util.as_tensor(self._arrays[name], name)
        if not self._is_dict:
            array = array.copy()
        self._last = name, array, dtype
        return array, dtype


def as_source(tensors: Any) -> TensorSource:
    """A source as it is, another mapping from names to arrays as a source.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if isinstance(tensors, TensorSource):
        return tensors
    if isinstance(tensors, Mapping):
        return ArraySource(tensors)
    raise InvalidArgumentError(f"a source of tensors or a mapping is needed, not {type(tensors).__name__}")


def _facts_of(info: TensorInfo) -> tuple[str, str, Shape, int, int]:
    return info.name, info.dtype.name, tuple(info.shape), num_elements(info.shape), info.num_bytes
