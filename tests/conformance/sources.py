"""What is read: one row for each kind of source. All of them hold the same tensors.

A source is written from a `Content` by code that does not read, so that what is expected comes from numpy alone. Next to it
lies an older, sound checkpoint and a state file, for the routes that choose among the checkpoints of a directory.
"""

from __future__ import annotations

import enum
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import tfsaver
from tests.conformance.guests import guest
from tests.table.stores import with_snappy
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter

KERNEL, BIAS, STEP = "dense/kernel", "dense/bias", "step"
SHAPE = (8, 3)
NAME, OLDER = "model-2", "model-1"

Values = dict[str, Any]


def _values(start: float) -> Values:
    kernel = np.random.default_rng(7).uniform(1, 2, SHAPE).astype(np.float32) + np.float32(start)
    return {KERNEL: kernel, BIAS: np.arange(3, dtype=np.float32) + np.float32(start), STEP: np.int64(start + 5)}


OLD, NEW = _values(0), _values(1000)
# In the range of float32, and out of that of float16 and of unsigned integers.
# What has no variable: some formats and routes take numbers alone.
WORDS = "a/words"
STRINGS = {WORDS: np.array([b"a", b"", b"longer than the others"], object)}
LOSSY = {**OLD, KERNEL: OLD[KERNEL] * np.float32(-1e6)}


class Content(NamedTuple):
    """What a source is to hold.

    Attributes:
        values: The tensors.
        rows: The rows of the kernel that each of its slices has, where the source is partitioned.
    """

    values: Values
    rows: Sequence[tuple[int, int]] = ((0, 4), (4, 8))


class Kind(enum.Enum):
    """What lies on the disk."""

    V1 = "V1"
    V2 = "V2"
    FOREIGN = "foreign"
    MEMORY = "memory"


class Source(NamedTuple):
    """One row.

    Attributes:
        name: What a cell's id calls it.
        kind: What lies on the disk.
        write: Writes a content to a directory; of a source in memory, makes it.
        location: Where it lies in the directory: what `load_checkpoint` or `convert` takes.
        prefix: Where its files are, if that differs.
        sliced: Whether the kernel is partitioned.
        mappable: Whether every tensor lies in the file as in memory.
        objects: Whether there is an object graph, and names are its keys.
        checked: Whether the format has a checksum of each value.
        extra: Tensors that are in every content.
        byte_order: Of a V2 checkpoint's values.
        needs: The package that writes it.
        is_variant: Whether its files are of the form of another source's: every run tries it with a few faults alone.
    """

    name: str
    kind: Kind
    write: Callable[[Path, Content], Any]
    location: str = NAME
    prefix: str = ""
    sliced: bool = False
    mappable: bool = True
    objects: bool = False
    checked: bool = True
    extra: Mapping[str, Any] = MappingProxyType({})
    byte_order: str = "little"
    needs: str = ""
    is_variant: bool = False

    def key(self, name: str) -> str:
        """What the source calls a tensor."""
        return f"{name}/.ATTRIBUTES/VARIABLE_VALUE" if self.objects else name

    def all_of(self, values: Values) -> Values:
        """A content's values and those that are in all of them."""
        return {**values, **self.extra}

    @property
    def has_state(self) -> bool:
        """Whether the state file of a directory can name it."""
        return not self.prefix

    def data_files(self, directory: Path) -> list[Path]:
        """The files that hold values."""
        path = directory / (self.prefix or self.location)
        if self.kind is Kind.V2:
            return sorted(path.parent.glob(f"{path.name}.data-*"))
        if path.is_dir():
            return sorted(file for file in path.rglob("*") if file.is_file())
        return sorted(path.parent.glob(path.name))

    def index_file(self, directory: Path) -> Path:
        """The file that holds names; in V1 the same."""
        path = directory / (self.prefix or self.location)
        return path.with_name(f"{path.name}.index") if self.kind is Kind.V2 else self.data_files(directory)[0]


def _add(writer: Any, content: Content, sliced: bool) -> None:
    """To a writer of either format."""
    for name, value in sorted(content.values.items()):
        if sliced and name == KERNEL:
            for start, stop in content.rows:
                writer.add_slice(name, SHAPE, np.s_[start:stop], value[start:stop])
        else:
            writer.add(name, value)


def v1(directory: Path, content: Content, *, sliced: bool = False) -> None:
    with TensorSliceWriter(directory / NAME, durable=False) as writer:
        _add(writer, content, sliced)


def v1_strings(directory: Path, content: Content) -> None:
    v1(directory, Content({**content.values, **STRINGS}))


def v2_strings(directory: Path, content: Content) -> None:
    v2(directory, Content({**content.values, **STRINGS}), byte_order="big")


def v1_files(directory: Path, content: Content) -> None:
    tfsaver.save_checkpoint(content.values, directory / NAME, format="V1", num_shards=2, durable=False)


def v2(directory: Path, content: Content, *, sliced: bool = False, prefix: str = NAME, byte_order: str = "little") -> None:
    with tfsaver.BundleWriter(directory / prefix, byte_order=byte_order, durable=False) as writer:
        _add(writer, content, sliced)


def v2_sliced(directory: Path, content: Content) -> None:
    v2(directory, content, sliced=True)


def v2_shards(directory: Path, content: Content) -> None:
    with tfsaver.BundleWriter(directory / NAME, num_shards=3, durable=False) as writer:
        for shard_id, (name, value) in enumerate(sorted(content.values.items())):
            writer.add(name, value, shard_id=shard_id)


def v2_snappy(directory: Path, content: Content, *, sliced: bool = False) -> None:
    v2(directory, content, sliced=sliced)
    index = directory / f"{NAME}.index"
    index.write_bytes(with_snappy(index.read_bytes()))


def objects(directory: Path, content: Content) -> None:
    names = {"dense": {"kernel": KERNEL, "bias": BIAS}, STEP: STEP}
    tfsaver.save_checkpoint(content.values, directory / NAME, object_graph=names, durable=False)


def tree(directory: Path, content: Content) -> None:
    tfsaver.save(_nested(content), directory / NAME, durable=False)


def _nested(content: Content) -> dict[str, Any]:
    values = content.values
    return {"dense": {"kernel": values[KERNEL], "bias": values[BIAS]}, STEP: np.asarray(values[STEP])}


def saved_model(directory: Path, content: Content) -> None:
    (directory / NAME / "variables").mkdir(parents=True, exist_ok=True)
    # The version of its schema, and one graph with nothing in it.
    (directory / NAME / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    v2(directory, content, prefix=f"{NAME}/variables/variables")


def npz(directory: Path, content: Content) -> None:
    np.savez(directory / f"{NAME}.npz", **content.values)


def safetensors(directory: Path, content: Content) -> None:
    values = {name: np.asarray(value) for name, value in content.values.items()}
    guest("safetensors.numpy").save_file(values, directory / f"{NAME}.safetensors")


def hf(directory: Path, content: Content) -> None:
    values = {name: np.asarray(value) for name, value in content.values.items()}
    place = directory / NAME
    place.mkdir()
    weight_map = {}
    for number, (name, value) in enumerate(values.items(), 1):
        shard = f"model-{number:05d}-of-{len(values):05d}.safetensors"
        guest("safetensors.numpy").save_file({name: value}, place / shard)
        weight_map[name] = shard
    (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), "utf-8")
    (place / "config.json").write_text("{}", "utf-8")


def torch(directory: Path, content: Content) -> None:
    library = guest("torch")
    values = {name: library.from_numpy(np.array(value)) for name, value in content.values.items()}
    library.save(values, directory / f"{NAME}.pt")


def keras(directory: Path, content: Content) -> None:
    with guest("h5py").File(directory / f"{NAME}.weights.h5", "w") as file:
        for name, value in content.values.items():
            file[name] = value


def orbax(directory: Path, content: Content) -> None:
    with guest("orbax.checkpoint").StandardCheckpointer() as checkpointer:
        checkpointer.save(directory.absolute() / f"{NAME}.orbax", _nested(content))
        checkpointer.wait_until_finished()


def arrays(_directory: Path, content: Content) -> Values:
    return dict(content.values)


class OneBuffer(Mapping[str, Any]):
    """Makes each array on demand in the same memory: what was given before is gone."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._memory = bytearray(max(np.asarray(value).nbytes for value in values.values()))

    def __getitem__(self, name: str) -> Any:
        value = np.asarray(self._values[name])
        made = np.frombuffer(self._memory, value.dtype, value.size).reshape(value.shape)
        made[...] = value
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def on_demand(_directory: Path, content: Content) -> OneBuffer:
    return OneBuffer(content.values)


# The results of edits. Each begins with a partitioned checkpoint that is not yet what the edit makes of it.


def _edited(change: Callable[[Values], Values], edit: Callable[[str, Path], Any]) -> Callable[[Path, Content], None]:
    def write(directory: Path, content: Content) -> None:
        with tempfile.TemporaryDirectory() as other:
            v2(Path(other), Content(change(content.values), content.rows), sliced=KERNEL in change(content.values))
            edit(f"{other}/{NAME}", directory / NAME)

    return write


def _wide(values: Values) -> Values:
    return {name: value.astype(np.float64) if name != STEP else value for name, value in values.items()}


def _with_more(name: str, like: str = KERNEL) -> Callable[[Values], Values]:
    return lambda values: {**values, name: np.zeros_like(values[like])}


_QUIET = {"durable": False, "overwrite": True}

EDITED = {
    "renamed": _edited(
        lambda values: {f"old/{name}" if name != KERNEL else name: value for name, value in values.items()},
        lambda path, target: tfsaver.rename(path, target, [("^old/", "")], **_QUIET),
    ),
    "selected": _edited(
        _with_more("other/kernel"), lambda path, target: tfsaver.select(path, target, ["^dense/", "^step$"], **_QUIET)
    ),
    "cast": _edited(_wide, lambda path, target: tfsaver.cast(path, target, "float32", **_QUIET)),
    "averaged": _edited(lambda values: values, lambda path, target: tfsaver.average([path, path], target, **_QUIET)),
    "merged": _edited(
        lambda values: {KERNEL: values[KERNEL], BIAS: values[BIAS], STEP: values[STEP]},
        lambda path, target: tfsaver.merge([path, path], target, on_conflict="first", **_QUIET),
    ),
    "split": _edited(
        _with_more("other/kernel"),
        lambda path, target: tfsaver.split(path, {str(target): ["^dense/", "^step$"]}, rest=f"{path}-rest", **_QUIET),
    ),
    "resharded": _edited(lambda values: values, lambda path, target: tfsaver.reshard(path, target, num_shards=2, **_QUIET)),
    "stripped": _edited(
        _with_more(f"{KERNEL}/Adam"), lambda path, target: tfsaver.strip(path, target, meta=False, **_QUIET)
    ),
}

SOURCES = {
    source.name: source
    for source in (
        Source("v1", Kind.V1, v1, mappable=False),
        Source("v1-sliced", Kind.V1, lambda *given: v1(*given, sliced=True), sliced=True, mappable=False),
        Source("v1-files", Kind.V1, v1_files, location=f"{NAME}-?????-of-00002", mappable=False, is_variant=True),
        Source("v2", Kind.V2, v2),
        Source("v2-sliced", Kind.V2, v2_sliced, sliced=True, mappable=False),
        Source("v2-shards", Kind.V2, v2_shards),
        Source("v2-big-endian", Kind.V2, lambda *given: v2(*given, byte_order="big"), mappable=False, byte_order="big", is_variant=True),
        Source("v2-snappy", Kind.V2, v2_snappy, is_variant=True),
        Source("v2-sliced-snappy", Kind.V2, lambda *given: v2_snappy(*given, sliced=True), sliced=True, mappable=False, is_variant=True),
        Source("objects", Kind.V2, objects, objects=True),
        Source("tree", Kind.V2, tree, objects=True, is_variant=True),
        Source("saved-model", Kind.V2, saved_model, prefix=f"{NAME}/variables/variables", is_variant=True),
        Source("v1-strings", Kind.V1, v1_strings, extra=STRINGS, mappable=False, is_variant=True),
        Source("v2-strings", Kind.V2, v2_strings, extra=STRINGS, mappable=False, is_variant=True, byte_order="big"),
        Source("npz", Kind.FOREIGN, npz, location=f"{NAME}.npz"),
        Source("safetensors", Kind.FOREIGN, safetensors, f"{NAME}.safetensors", needs="safetensors", checked=False),
        Source("hf", Kind.FOREIGN, hf, location=NAME, needs="safetensors", checked=False, is_variant=True),
        # Its archive has checksums, which PyTorch does not compare.
        Source("torch", Kind.FOREIGN, torch, location=f"{NAME}.pt", needs="torch", checked=False),
        Source("keras", Kind.FOREIGN, keras, location=f"{NAME}.weights.h5", needs="h5py", checked=False),
        Source("orbax", Kind.FOREIGN, orbax, location=f"{NAME}.orbax", needs="orbax.checkpoint", checked=False),
        Source("arrays", Kind.MEMORY, arrays),
        Source("on-demand", Kind.MEMORY, on_demand),
        *(Source(name, Kind.V2, write, mappable=False, is_variant=True) for name, write in EDITED.items()),
    )
}


def write_directory(source: Source, directory: Path, content: Content) -> Any:
    """Writes a source and its older neighbour; returns what was made in memory."""
    directory.mkdir(parents=True, exist_ok=True)
    if source.kind in (Kind.V1, Kind.V2):
        is_v1 = source.kind is Kind.V1
        older = {source.key(name): np.zeros_like(value) for name, value in OLD.items()}
        tfsaver.save_checkpoint(older, directory / OLDER, format="V1" if is_v1 else "V2", durable=False)
        state = f'model_checkpoint_path: "{source.location}"\nall_model_checkpoint_paths: "{OLDER}"\n'
        (directory / "checkpoint").write_text(f'{state}all_model_checkpoint_paths: "{source.location}"\n', "utf-8")
    return source.write(directory, content)
