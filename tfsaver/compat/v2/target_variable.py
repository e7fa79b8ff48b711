"""One variable that is to be restored, whichever library made it: what it is called, what it holds, how it is assigned.

TensorFlow's variables, those of a distribution strategy among them, and Keras 3's, which hold one of TensorFlow's, differ in
how they spell their names and dtypes. A variable in shards is as many of these as it has shards.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfsaver.checkpoint.names.tensor_names import plain
from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import Binding, graph_variable, static_shape
from tfsaver.compat._transfer import Array, values_in
from tfsaver.compat._var_list import is_wrapper, unwrapped
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.targets.optimizers import SlotOf


@dataclasses.dataclass(eq=False)
class TargetVariable:
    """A variable of the target.

    Attributes:
        variable: The variable as its program has it.
        names: What its program calls it, the best first.
        slot: What it is to an optimizer.
        counts: ``steps`` or ``rate`` for an optimizer's numbers.
        optimizer: The optimizer that it belongs to.
        is_optional: Whether it may keep its value when a checkpoint has none for it.
        whole: The variable that it is a shard of; itself where it is none.
        session: Where it has its value, for a variable of a graph.
        rows: The first of the rows of `whole` that it has, and how many: for a shard that does not say so itself.
    """

    variable: Any
    names: tuple[str, ...]
    slot: SlotOf | None = None
    counts: str | None = None
    optimizer: Any = None
    is_optional: bool = False
    whole: Any = None
    session: Any = None
    rows: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.whole is None:
            self.whole = self.variable
        # A wrapper's own `assign` casts and checks as its library does; what is given here fits already.
        self._inner = unwrapped(self.variable)

    @property
    def dtype(self) -> dtypes.DType:
        """The dtype that a tensor must have."""
        return dtype_of(self._inner)

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """The shape, as far as it is fixed."""
        return static_shape(_tensorflow.tf.TensorShape(self._inner.shape))

    @property
    def part(self) -> tuple[tuple[int, ...], TensorSlice] | None:
        """The shape of the whole and which part of it this is, for a shard."""
        info = getattr(self._inner, "_save_slice_info", None)
        if info is None and self.rows is not None:
            full_shape = tuple(map(int, self.whole.shape))
            return full_shape, TensorSlice((self.rows, *((0, size) for size in full_shape[1:])))
        if info is None:
            return None
        extents = tuple(zip(map(int, info.var_offset), map(int, info.var_shape), strict=True))
        return tuple(map(int, info.full_shape)), TensorSlice(extents)

    def check(self) -> None:
        """Makes sure that it can be assigned here and now.

        Raises:
            UnimplementedError: It belongs to a graph.
        """
        is_of_graph = getattr(self._inner, "_in_graph_mode", False) or isinstance(self._inner, _tensorflow.RefVariable)
        name = self.names[0] if self.names else repr(self._inner)
        if is_of_graph and self.session is None:
            raise UnimplementedError(
                f"{name} is a variable of a graph, whose value a session has: give it, as in restore(..., session=sess), or "
                "use tfsaver.Saver"
            )
        if not is_of_graph and self.session is not None:
            raise UnimplementedError(f"{name} is an eager variable, which no session has: restore it without session=")

    @property
    def own_name(self) -> str:
        """What its library calls it, whatever the target does."""
        return name_of(self.variable)

    def numpy(self) -> Array:
        """The value."""
        if self.session is not None:
            return values_in(self.session, self.binding)
        value: Array = np.asarray(self._inner.numpy(), dtype=object if self.dtype.numpy.hasobject else None)
        return value

    @property
    def binding(self) -> Binding:
        """A variable of a graph as what a session can assign."""
        full_shape, tensor_slice = self.part or (None, None)
        variable = graph_variable(self._inner)
        if variable is None:
            raise UnimplementedError(f"{self.names[0]}: no session can assign {self._inner!r}")
        return Binding(self.names[0], variable, full_shape, tensor_slice)

    def assign(self, value: Any) -> None:
        """Gives it a value of its dtype and shape."""
        if isinstance(value, np.ndarray):
            value = _tensorflow.tf.constant(value, getattr(self._inner.dtype, "base_dtype", self._inner.dtype))
        self._inner.assign(value)

    def current(self) -> Any:
        """What `assign` takes to give it the value back that it has now."""
        read = getattr(self._inner, "read_value", None)
        return read() if read is not None else self._inner.numpy()


def dtype_of(variable: Any) -> dtypes.DType:
    """The dtype of a variable.

    Raises:
        UnimplementedError: No checkpoint can hold it.
    """
    return dtypes.from_data_type(int(_tensorflow.tf.as_dtype(variable.dtype).base_dtype.as_datatype_enum))


def name_of(variable: Any) -> str:
    """What its program calls a variable: ``dense/kernel``, in Keras 3 its path.

    Raises:
        InvalidArgumentError: It has no name.
    """
    name = variable.path if is_wrapper(variable) else getattr(variable, "name", None)
    if not isinstance(name, str):
        raise InvalidArgumentError(f"no variable, or one without a name: {variable!r}")
    return plain(name)
