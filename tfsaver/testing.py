"""Checks for a `TensorSource` or a `Target` of your own, with numpy as the witness.

    @pytest.mark.parametrize("check", tfsaver.testing.SOURCE_CHECKS)
    def test_source(check, tmp_path):
        values = tfsaver.testing.tensors()
        write_with_your_library(tmp_path / "model.mine", values)
        check(lambda: MySource(tmp_path / "model.mine"), values)

    @pytest.mark.parametrize("check", tfsaver.testing.TARGET_CHECKS)
    def test_target(check, tmp_path):
        check(lambda path: MyTarget(path), read_with_your_library, tmp_path)

A check that fails raises an AssertionError that names the tensor. What passes all of them works in every verb: a source can
be edited, converted, compared and restored from, and a target written to. tfsaver's own sources and targets pass them too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.execution import Execution, Target
from tfsaver.checkpoint.plan import as_plan
from tfsaver.checkpoint.recipes import Rearrange
from tfsaver.checkpoint.tensor_source import Array, ArraySource, TensorSource
from tfsaver.errors import DataLossError, InvalidArgumentError, TensorNotFoundError
from tfsaver.framework.array_pieces import PIECE_ELEMENTS
from tfsaver.framework.region import Region
from tfsaver.framework.tensor_slice import TensorSlice

__all__ = ["SOURCE_CHECKS", "TARGET_CHECKS", "check_damaged_source", "is_same", "tensors"]

OpenSource: TypeAlias = "Callable[[], TensorSource]"
MakeTarget: TypeAlias = "Callable[[str], Target]"
ReadResult: TypeAlias = "Callable[[str], Mapping[str, Any]]"

_DTYPES = ("bool", "int8", "uint8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64")


def tensors(dtypes: Iterable[str] = _DTYPES, *, strings: bool = False) -> dict[str, Array]:
    """Tensors that find mistakes: scalars, empty ones, several pieces, values that compare unequal to themselves.

    Args:
        dtypes: The names of the types that the format can hold.
        strings: Whether it can hold strings too.
    """
    made: dict[str, Array] = {}
    for name in dtypes:
        dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
        made[f"matrix/{name}"] = np.arange(6).reshape(2, 3).astype(dtype)
        made[f"scalar/{name}"] = np.ones((), dtype)
    if "float32" in dtypes:
        made["odd/empty"] = np.zeros((0, 3), np.float32)
        made["odd/values"] = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45], np.float32)
        made["odd/pieces"] = np.arange(2 * PIECE_ELEMENTS + 3, dtype=np.float32)
    if strings:
        made["odd/strings"] = np.array([[b"a", b""], [b"\x00\xff", b"long" * 100]], object)
    return made


def is_same(found: Any, wanted: Any) -> bool:
    """Whether two tensors have one type, one shape and the same bits."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    return bool(found.tolist() == wanted.tolist() if wanted.dtype == object else found.tobytes() == wanted.tobytes())


def _expect(condition: bool, sentence: str) -> None:
    # Not an assert statement, which Python leaves out with -O.
    if not condition:
        raise AssertionError(sentence)


def _expect_same(found: Any, wanted: Any, what: str) -> None:
    if not is_same(found, wanted):
        found, wanted = np.asarray(found), np.asarray(wanted)
        forms = f"{found.dtype} {list(found.shape)} instead of {wanted.dtype} {list(wanted.shape)}"
        is_form = found.dtype == wanted.dtype and found.shape == wanted.shape
        raise AssertionError(f"{what}: {'another value' if is_form else forms}")


# Sources.


def names_are_a_mapping_s(open_source: OpenSource, expected: Mapping[str, Any]) -> None:
    """Names are sorted, and a source is a mapping that reads nothing to say what it has."""
    with open_source() as source:
        _expect(source.names == sorted(expected), f"names: {source.names} instead of {sorted(expected)}")
        _expect(list(source) == source.names and len(source) == len(expected), "iteration and length are not those of names")
        _expect(all(name in source for name in expected), "a name is not in the source")
        _expect("no/such/tensor" not in source, "'no/such/tensor' is in the source")


def info_is_true(open_source: OpenSource, expected: Mapping[str, Any]) -> None:
    """`info` and `forms` say the type, the shape and the size that `read` gives."""
    with open_source() as source:
        for form, (name, value) in zip(source.forms(list(expected)), expected.items(), strict=True):
            info, wanted = source.info(name), np.asarray(value)
            _expect(info.name == name, f"info({name!r}) is that of {info.name!r}")
            for what in (info, form):
                _expect(what.dtype.numpy == wanted.dtype, f"{name!r}: {what.dtype} instead of {wanted.dtype}")
                _expect(tuple(what.shape) == wanted.shape, f"{name!r}: {what.shape} instead of {wanted.shape}")
            if wanted.dtype != object:
                _expect(info.num_bytes == wanted.nbytes, f"{name!r}: {info.num_bytes} bytes instead of {wanted.nbytes}")


def missing_names_are_errors(open_source: OpenSource, expected: Mapping[str, Any]) -> None:
    """`info` and `read` raise a TensorNotFoundError, which is a KeyError, for a name that is not there."""
    with open_source() as source:
        for call in (source.info, source.read, source.__getitem__):
            try:
                call("no/such/tensor")
            except TensorNotFoundError:
                continue
            raise AssertionError(f"{call.__name__} finds 'no/such/tensor'")


def read_gives_values(open_source: OpenSource, expected: Mapping[str, Any]) -> None:
    """`read`, indexing and `read_tensors` give the values, and twice the same."""
    with open_source() as source:
        many = source.read_tensors(list(expected))
        _expect(set(many) == set(expected), "read_tensors gives other names")
        for name, value in expected.items():
            for found in (source.read(name), source[name], source.read(name), many[name]):
                _expect_same(found, value, f"read({name!r})")


def arrays_belong_to_the_caller(open_source: OpenSource, expected: Mapping[str, Any]) -> None:
    """An array from `read` may be changed, unless it is stable and is the source's own."""
    with open_source() as source:
        for name, value in expected.items():
            found = source.read(name)
            if source.is_stable(name) or not found.size:
                continue
            if found.flags.writeable:
                found[...] = np.zeros((), found.dtype) if found.dtype != object else b"changed"
            _expect_same(source.read(name), value, f"read({name!r}) after the array from an earlier one was changed")


def regions_are_parts(open_source: OpenSource, expected: Mapping[str, Any]) -> None:
    """`read` with a region gives what numpy's indexing gives; one outside of the tensor is an InvalidArgumentError."""
    with open_source() as source:
        for name, value in expected.items():
            wanted = np.asarray(value)
            regions: list[Any] = [np.s_[...]]
            if wanted.ndim:
                regions += [np.s_[:0], np.s_[1:], np.s_[: max(1, len(wanted) // 2)]]
            if wanted.ndim and len(wanted):
                regions += [np.s_[0], np.s_[-1:]]
            if wanted.ndim > 1:
                regions += [np.s_[:, 1:2], np.s_[..., 0]]
            for region in regions:
                _expect_same(source.read(name, region), _part(wanted, region), f"read({name!r}, {region})")
            outside: Region = np.s_[len(wanted) + 1] if wanted.ndim else np.s_[0]
            try:
                source.read(name, outside)
            except InvalidArgumentError:
                continue
            raise AssertionError(f"read({name!r}, {outside}) gives something outside of the tensor")


def _part(array: Array, region: Any) -> Array:
    """A part of an array, as an array: numpy gives what is in a scalar of objects."""
    part = array[region]
    if isinstance(part, np.ndarray):
        return part
    scalar = np.empty((), array.dtype)
    scalar[()] = part
    return scalar


def pieces_are_the_elements(open_source: OpenSource, expected: Mapping[str, Any]) -> None:
    """`pieces` gives the elements in C order, all of PIECE_ELEMENTS but the last; and of each slice its own."""
    with open_source() as source:
        for name, value in expected.items():
            wanted = np.asarray(value)
            parts: list[tuple[TensorSlice | None, Array]] = [(None, wanted)]
            parts += [(stored, wanted[stored.resolve(wanted.shape).indices]) for stored in source.slices(name)]
            for stored, part in parts:
                sizes = []
                copies = []
                for piece in source.pieces(name, stored):
                    _expect(piece.ndim == 1, f"pieces({name!r}): an array of {piece.ndim} dimensions")
                    sizes.append(len(piece))
                    copies.append(piece.copy())
                _expect(set(sizes[:-1]) <= {PIECE_ELEMENTS}, f"pieces({name!r}): pieces of {sizes} elements")
                found = np.concatenate(copies) if copies else part.reshape(-1)[:0]
                _expect_same(found, part.reshape(-1), f"pieces({name!r}, {stored})")


def plans_read_from_it(open_source: OpenSource, expected: Mapping[str, Any]) -> None:
    """A renamed and a transposed plan on the source read the same elements, whole and in parts."""
    with open_source() as source:
        moved = renamed(source, [("^", "moved/")]).plan
        for name, value in expected.items():
            _expect_same(moved.read(f"moved/{name}"), value, f"{name!r}, renamed")
        plan = as_plan(source)
        matrices = {name: np.asarray(value) for name, value in expected.items() if np.ndim(value) == 2}
        turned = plan.with_recipes({name: Rearrange(plan.recipe(name), axes=(1, 0)) for name in matrices})
        for name, value in matrices.items():
            _expect_same(turned.read(name), value.T, f"{name!r}, transposed")
            _expect_same(turned.read(name, np.s_[1:, :1]), value.T[1:, :1], f"a part of {name!r}, transposed")


SOURCE_CHECKS: tuple[Callable[[OpenSource, Mapping[str, Any]], None], ...] = (
    names_are_a_mapping_s,
    info_is_true,
    missing_names_are_errors,
    read_gives_values,
    arrays_belong_to_the_caller,
    regions_are_parts,
    pieces_are_the_elements,
    plans_read_from_it,
)


def check_damaged_source(open_source: OpenSource, name: str) -> None:
    """A tensor whose bytes are damaged is a DataLossError on every route to it, and never a value.

    Args:
        open_source: Opens the source; it may refuse with a DataLossError.
        name: The damaged tensor.
    """
    routes: dict[str, Callable[[TensorSource], Any]] = {
        "read": lambda source: source.read(name),
        "read of a region": lambda source: source.read(name, np.s_[...]),
        "read_tensors": lambda source: source.read_tensors([name]),
        "pieces": lambda source: list(source.pieces(name)),
        "a renamed plan": lambda source: renamed(source, [("^", "moved/")]).plan.read(f"moved/{name}"),
    }
    for label, route in routes.items():
        try:
            with open_source() as source:
                route(source)
        except DataLossError:
            continue
        raise AssertionError(f"{label} gives a value of {name!r}, which is damaged")


# Targets.


class _Streamed(ArraySource):
    """Tensors that come in pieces, each in the memory of the one before: what a target borrows too long is overwritten."""

    def __init__(self, arrays: Mapping[str, Any], *, fails_at: str | None = None) -> None:
        super().__init__(arrays, "the tensors of a test")
        self._fails_at = fails_at

    def is_stable(self, name: str) -> bool:
        return False

    def read(self, name: str, region: Region | None = None) -> Array:
        if name == self._fails_at:
            raise DataLossError(f"{name!r} is damaged")
        array: Array = super().read(name, region).copy()
        return array

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        if name == self._fails_at:
            raise DataLossError(f"{name!r} is damaged")
        memory: Array | None = None
        for piece in super().pieces(name, stored):
            if memory is None or len(memory) < len(piece):
                memory = np.empty_like(piece)
            memory[: len(piece)] = piece
            yield memory[: len(piece)]
            if piece.dtype != object:
                memory.view(np.uint8).fill(0xA5)


def _path(directory: os.PathLike[str] | str) -> str:
    return str(Path(directory) / "model")


def _contents(directory: os.PathLike[str] | str) -> dict[str, bytes]:
    root = Path(directory)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def _expect_tensors(found: Mapping[str, Any], wanted: Mapping[str, Any], what: str) -> None:
    _expect(set(found) == set(wanted), f"{what}: {sorted(found)} instead of {sorted(wanted)}")
    for name, value in wanted.items():
        _expect_same(found[name], value, f"{what}: {name!r}")


def target_holds_what_it_is_given(
    make: MakeTarget, read: ReadResult, directory: os.PathLike[str] | str, values: Mapping[str, Any] | None = None
) -> None:
    """Arrays in memory, and tensors that come piece by piece, end up with their types, shapes and bits.

    Args:
        make: Makes the target of a path, which replaces what is there.
        read: Reads what is at the path with the format's own library.
        directory: An empty directory.
        values: What to write; `tensors` of float32 when None.
    """
    wanted = dict(tensors(["float32"]) if values is None else values)
    for label, source in (("arrays", ArraySource(wanted)), ("pieces", _Streamed(wanted))):
        Execution(source, make(_path(directory))).run()
        _expect_tensors(read(_path(directory)), wanted, label)


def target_is_all_or_nothing(
    make: MakeTarget, read: ReadResult, directory: os.PathLike[str] | str, values: Mapping[str, Any] | None = None
) -> None:
    """An error in the middle leaves no file; or, where there was a result, that result. The arguments are those above."""
    wanted = dict(tensors(["float32"]) if values is None else values)
    last = max(wanted)
    for before in ({}, wanted):
        if before:
            Execution(ArraySource(before), make(_path(directory))).run()
        there = _contents(directory)
        try:
            Execution(_Streamed(wanted, fails_at=last), make(_path(directory))).run()
        except DataLossError:
            pass
        else:
            raise AssertionError(f"the target swallows the error of {last!r}")
        left = _contents(directory)
        _expect(left == there, f"after an error there is {sorted(left)}, not {sorted(there)}")
    _expect_tensors(read(_path(directory)), wanted, "the result of before the error")


def dry_run_of_a_target_writes_nothing(
    make: MakeTarget, read: ReadResult, directory: os.PathLike[str] | str, values: Mapping[str, Any] | None = None
) -> None:
    """A dry run, also one that reads all values, leaves the directory as it is. The arguments are those above."""
    wanted = dict(tensors(["float32"]) if values is None else values)
    Execution(ArraySource(wanted), make(_path(directory))).run(dry_run=True)
    Execution(_Streamed(wanted), make(_path(directory))).run(dry_run="values")
    _expect(not os.listdir(directory), f"a dry run leaves {sorted(os.listdir(directory))}")


TARGET_CHECKS: tuple[Callable[..., None], ...] = (
    target_holds_what_it_is_given,
    target_is_all_or_nothing,
    dry_run_of_a_target_writes_nothing,
)
