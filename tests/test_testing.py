"""`tfsaver.testing`: our sources and targets pass its checks, and faulty ones do not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.guests import MissingPackageError, guest
from tests.conformance.routes import Subject
from tests.conformance.sources import OLD, SOURCES, Content, Kind, Source
from tfsaver import testing
from tfsaver.checkpoint.checkpoint_target import CheckpointTarget
from tfsaver.checkpoint.execution import Sink, Target
from tfsaver.checkpoint.tensor_source import Array, ArraySource, TensorSource
from tfsaver.formats.npz import NpzTarget
from tfsaver.formats.safetensors import SafetensorsTarget
from tfsaver.framework.region import Region
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.verbs.open_source import open_source


def name_of(check: Any) -> str:
    return str(check.__name__)


# Those whose names are not keys of objects.
NAMED = [source for source in SOURCES.values() if not source.objects and source.kind is not Kind.MEMORY]


@pytest.mark.parametrize("source", NAMED, ids=lambda source: source.name)
def test_every_source_of_the_table_passes(source: Source, tmp_path: Path) -> None:
    try:
        if source.needs:
            guest(source.needs)
    except MissingPackageError as error:
        pytest.skip(str(error))
    source.write(tmp_path, Content(source.all_of(OLD)))
    for check in testing.SOURCE_CHECKS:
        with contextlib.ExitStack() as stack:
            check(lambda: stack.enter_context(open_source(tmp_path / source.location)), source.all_of(OLD))


@pytest.mark.parametrize("check", testing.SOURCE_CHECKS, ids=name_of)
def test_arrays_in_memory_pass(check: Any) -> None:
    values = testing.tensors(strings=True)
    check(lambda: ArraySource(values), values)


def read_npz(path: str) -> Mapping[str, Any]:
    with np.load(f"{path}.npz") as file:
        return dict(file)


def read_safetensors(path: str) -> Mapping[str, Any]:
    return dict(guest("safetensors.numpy").load_file(path))


def read_checkpoint(path: str) -> Mapping[str, Any]:
    reader = guest("tensorflow").train.load_checkpoint(path)
    return {name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_dtype_map()}


TARGETS: dict[str, tuple[Callable[[str], Target], Callable[[str], Mapping[str, Any]]]] = {
    "npz": (lambda path: NpzTarget(f"{path}.npz", durable=False), read_npz),
    "safetensors": (lambda path: SafetensorsTarget(path, durable=False), read_safetensors),
    "V2": (lambda path: CheckpointTarget(path, replaces="anything", durable=False), read_checkpoint),
    "V1": (lambda path: CheckpointTarget(path, format="V1", replaces="anything", durable=False), read_checkpoint),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("check", testing.TARGET_CHECKS, ids=name_of)
def test_targets_pass(check: Any, target: str, tmp_path: Path) -> None:
    if target == "safetensors":
        pytest.importorskip("safetensors")
    try:
        check(*TARGETS[target], tmp_path)
    except MissingPackageError as error:
        pytest.skip(str(error))


# Faults that the checks have to find.


class Unsorted(ArraySource):
    @property
    def names(self) -> list[str]:
        return super().names[::-1]


class Swapped(ArraySource):
    def read(self, name: str, region: Region | None = None) -> Array:
        return super().read(name, region).byteswap()


class Ignorant(ArraySource):
    def read(self, name: str, region: Region | None = None) -> Array:
        return super().read(name)


class Generous(ArraySource):
    """Gives its own memory and calls it nobody's."""

    def is_stable(self, name: str) -> bool:
        return False


class Short(ArraySource):
    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        return iter([self.read(name).reshape(-1)[:-1]])


FAULTY: dict[type[TensorSource], Callable[..., None]] = {
    Unsorted: testing.names_are_a_mapping_s,
    Swapped: testing.read_gives_values,
    Ignorant: testing.regions_are_parts,
    Generous: testing.arrays_belong_to_the_caller,
    Short: testing.pieces_are_the_elements,
}


@pytest.mark.parametrize("kind", FAULTY, ids=name_of)
def test_faulty_source_fails_its_check(kind: Callable[..., TensorSource]) -> None:
    values = testing.tensors(["float32", "int16"])
    with pytest.raises(AssertionError):
        FAULTY[kind](lambda: kind(values), {name: value.copy() for name, value in values.items()})


class Careless(NpzTarget):
    """Keeps pieces that are valid until the next one."""

    takes_pieces = True

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        kept: dict[str, Any] = {}

        def add(info: TensorInfo, stored: TensorSlice | None, data: Any) -> None:
            kept[info.name] = info.shape, [data.reshape(-1)] if isinstance(data, np.ndarray) else list(data)

        yield add
        empty = np.zeros(0, np.float32)
        np.savez(self.path, **{name: np.concatenate([*data, empty]).reshape(shape) for name, (shape, data) in kept.items()})


class Torn(NpzTarget):
    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        Path(self.path).write_bytes(b"begun")
        with super().open(source) as add:
            yield add


@pytest.mark.parametrize(
    ("kind", "check"), [(Careless, testing.target_holds_what_it_is_given), (Torn, testing.target_is_all_or_nothing)]
)
def test_faulty_target_fails_its_check(kind: Callable[..., Target], check: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="pieces|after an error"):
        check(lambda path: kind(f"{path}.npz", durable=False), read_npz, tmp_path)


def test_damage_is_found_on_every_route(tmp_path: Path) -> None:
    source = SOURCES["v2"]
    source.write(tmp_path, Content(OLD))
    data = Path(f"{Subject(source, tmp_path, tmp_path).prefix}.data-00000-of-00001")
    raw = bytearray(data.read_bytes())
    raw[:] = bytes(byte ^ 1 for byte in raw)
    data.write_bytes(raw)
    with contextlib.ExitStack() as stack:
        for name in OLD:
            testing.check_damaged_source(lambda: stack.enter_context(open_source(tmp_path / source.location)), name)
    with pytest.raises(AssertionError, match="read gives a value"):
        testing.check_damaged_source(lambda: ArraySource(OLD), "step")
