"""Conversions as a whole: any format to any other, chosen, renamed and cast on the way, and never half."""

from __future__ import annotations

import dataclasses
import inspect
import os
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.formats.neighbours import every_tensor, lines_of, types_but
from tests.tensor_bundle.tensors import assert_equal
from tfsaver.checkpoint.names.name_map import Rule
from tfsaver.checkpoint.objects.object_names import readable_names
from tfsaver.checkpoint.write_report import WriteReport
from tfsaver.errors import (
    AlreadyExistsError,
    CheckpointNotFoundError,
    DataLossError,
    InvalidArgumentError,
    MissingExtraError,
    NotFoundError,
    SaverError,
    UnimplementedError,
)
from tfsaver.formats.registry import FORMATS, format_of_source, format_of_target
from tfsaver.verbs.convert import convert

_ROOT = Path(__file__).parents[2]
_LIBRARIES = {"safetensors": "safetensors", "npz": "numpy", "torch": "torch", "keras": "h5py", "orbax": "orbax.checkpoint"}
# Types that all of the formats have.
_SHARED = types_but(
    *("complex64", "complex128", "qint8", "quint8", "qint16", "quint16", "qint32", "int4", "uint4", "int2", "uint2"),
    *("float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz", "float4_e2m1fn"),
)
_SHAPES: list[tuple[int, ...]] = [(), (7,), (2, 3, 4)]
_TRAINED = {
    "dense/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "dense/kernel/Adam": np.ones((3, 4), np.float32),
    "dense/kernel/Adam_1": np.ones((3, 4), np.float32),
    "dense/bias": np.array([1.5, 2.5, 3.5, 4.5], np.float32),
    "beta1_power": np.float32(0.9),
    "beta2_power": np.float32(0.999),
    "global_step": np.int64(7),
}


def path_of(name: str, directory: Path) -> Path:
    pytest.importorskip(_LIBRARIES.get(name, "numpy"))
    return directory / f"x{FORMATS[name].suffixes[0] if FORMATS[name].suffixes else ''}"


@pytest.fixture
def trained(tmp_path: Path) -> str:
    return tfsaver.save_checkpoint(_TRAINED, tmp_path / "model.ckpt-7", durable=False)


@pytest.fixture
def objects(tmp_path: Path) -> str:
    """Written from objects: a layer with a variable, its slot, a table's keys, the count of saves."""
    from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder

    builder = ObjectGraphBuilder()
    builder.variable(("net", "kernel"), "dense/kernel")
    builder.variable(("net", "bias"), "")
    builder.slot(("opt",), ("net", "kernel"), "m", "dense/kernel/m")
    builder.variable(("save_counter",), "save_counter")
    graph = builder.build()
    tensors: dict[str, Any] = {
        "net/kernel/.ATTRIBUTES/VARIABLE_VALUE": np.arange(4.0).reshape(2, 2),
        "net/bias/.ATTRIBUTES/VARIABLE_VALUE": np.ones(2),
        "net/kernel/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/VARIABLE_VALUE": np.zeros((2, 2)),
        "save_counter/.ATTRIBUTES/VARIABLE_VALUE": np.int64(3),
        "_CHECKPOINTABLE_OBJECT_GRAPH": graph.serialize(),
    }
    return tfsaver.save_checkpoint(tensors, tmp_path / "objects", durable=False)


@pytest.mark.parametrize("second", ["V2", "V1", "safetensors", "npz", "torch", "keras", "orbax"])
@pytest.mark.parametrize("first", ["V2", "V1", "safetensors", "npz", "torch", "keras", "orbax"])
def test_there_and_back_is_the_identity(first: str, second: str, tmp_path: Path) -> None:
    names = [name for name in _SHARED if not ({first, second} & {"V1"} and name in ("bfloat16", "uint32", "uint64"))]
    tensors = every_tensor(names, _SHAPES)
    one, two = path_of(first, tmp_path / "one"), path_of(second, tmp_path / "two")
    convert(tensors, one, format=first, durable=False)
    report = convert(one, two, format=second, durable=False)
    assert [item.name for item in report.tensors] == sorted(tensors)
    assert (report.left_out, report.renamed) == ({}, {})
    convert(two, tmp_path / "back", durable=False)
    with tfsaver.load_checkpoint(tmp_path / "back") as reader:
        assert reader.names == sorted(tensors)
        for name, expected in tensors.items():
            assert_equal(reader[name], expected)
    tfsaver.save_checkpoint(tensors, tmp_path / "expected", durable=False)
    for suffix in (".index", ".data-00000-of-00001"):
        assert (tmp_path / f"back{suffix}").read_bytes() == (tmp_path / f"expected{suffix}").read_bytes()


def test_the_package_itself_is_the_verb(trained: str, tmp_path: Path) -> None:
    report = tfsaver.convert(trained, tmp_path / "x.npz")
    assert isinstance(report, WriteReport)
    assert tfsaver.verbs.convert.convert is convert  # type: ignore[attr-defined]


def test_report_says_what_went_and_what_did_not(trained: str, tmp_path: Path) -> None:
    report = convert(
        trained,
        tmp_path / "x.npz",
        essential=True,
        select=tfsaver.Selection(exclude="global"),
        dtype="float16",
        mapping=[Rule("dense/kernel$", "fc.weight", transpose=True), {"dense/bias": ["fc.bias", "copy"]}],
    )
    assert str(report).splitlines() == [
        f"{trained} (V2 checkpoint) -> {tmp_path / 'x.npz'} (npz file)",
        "written:   3 tensors, 40 bytes; 3 renamed, 1 transposed, 3 cast from float32 to float16",
        "left out:  5 tensors, 112 bytes",
        "  state of the optimizer Adam: 4 tensors, 104 bytes",
        "    beta1_power",
        "    beta2_power",
        "    dense/kernel/Adam",
        "    dense/kernel/Adam_1",
        "  excluded by 'global': 1 tensor, 8 bytes",
        "    global_step",
        "cast:      3 tensors",
        *(f"    {name}: {report.losses[name]}" for name in ("fc.weight", "copy", "fc.bias")),
        "note: rule 'dense/kernel$': 1 of 2 names",
        "note: names: 1 of 2 names",
    ]
    assert report.renamed == {"dense/bias": ("copy", "fc.bias"), "dense/kernel": ("fc.weight",)}
    with np.load(tmp_path / "x.npz") as loaded:
        assert sorted(loaded.files) == ["copy", "fc.bias", "fc.weight"]
        assert_equal(loaded["fc.weight"], _TRAINED["dense/kernel"].T.astype(np.float16))
        assert_equal(loaded["copy"], _TRAINED["dense/bias"].astype(np.float16))
    document = report.to_json()
    assert document["tensors"][2] == {
        "old_name": "dense/kernel",
        "name": "fc.weight",
        "old_dtype": "float32",
        "dtype": "float16",
        "shape": [4, 3],
        "num_bytes": 24,
        "changes": ["transposed [1, 0]"],
    }
    assert {item["name"] for item in document["left_out"]} == set(_TRAINED) - {"dense/kernel", "dense/bias"}


def test_cast_that_overflows_writes_nothing(tmp_path: Path) -> None:
    tensors = {"a": np.array([1e30]), "b": np.array([1.0]), "c": np.array([-1e300])}
    with pytest.raises(InvalidArgumentError) as error:
        convert(tensors, tmp_path / "x.npz", dtype="float16")
    assert "'a'" in str(error.value) and "'c'" in str(error.value) and "'b'" not in str(error.value)
    for name in ("safetensors", "torch", "keras", "orbax", "V2"):
        with pytest.raises(InvalidArgumentError):
            convert(tensors, path_of(name, tmp_path), dtype="float16")
    assert os.listdir(tmp_path) == []


def test_names_of_objects_are_paths_or_full_names(objects: str, tmp_path: Path) -> None:
    def names(**options: Any) -> list[str]:
        report = convert(objects, tmp_path / "x.npz", durable=False, **options)
        assert report.source_format == "object-based checkpoint"
        assert report.left_out["_CHECKPOINTABLE_OBJECT_GRAPH"].reason == "describes the objects of the program"
        with np.load(tmp_path / "x.npz") as loaded:
            assert sorted(loaded.files) == [item.name for item in report.tensors]
            return sorted(loaded.files)

    assert names() == ["net/bias", "net/kernel", "net/kernel/.OPTIMIZER_SLOT/opt/m", "save_counter"]
    assert names(names="full") == ["dense/kernel", "dense/kernel/m", "net/bias", "save_counter"]
    assert names(names="key")[0] == "net/bias/.ATTRIBUTES/VARIABLE_VALUE"
    assert names(essential=True) == ["net/bias", "net/kernel"]
    assert names(select="kernel$", mapping={"net/kernel": "w"}) == ["w"]
    with pytest.raises(InvalidArgumentError, match="names='short'; there are 'path', 'full', 'key'"):
        names(names="short")


def test_names_that_are_not_of_one_tensor_alone_are_not_used() -> None:
    from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder

    builder = ObjectGraphBuilder()
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    for path, full_name in {"a": "Variable", "b": "Variable", "c": "d", "d": "", "e": "a"}.items():
        builder.variable((path,), full_name)
    graph = builder.build()
    keys = [f"{path}{end}" for path in "abcde"]
    assert list(readable_names(keys, graph, "full").values()) == ["a", "b", "c", "d", "e"]
    assert list(readable_names([*keys, "t/.ATTRIBUTES/table-keys"], graph).values()) == ["a", "b", "c", "d", "e", "t/table-keys"]


def test_objects_keep_their_description_in_their_own_format(objects: str, tmp_path: Path) -> None:
    report = convert(objects, tmp_path / "copy", format="object", select="net/", mapping={"net/kernel": "net/w"})
    with tfsaver.load_checkpoint(tmp_path / "copy") as reader:
        assert "net/w/.ATTRIBUTES/VARIABLE_VALUE" in reader
        assert "_CHECKPOINTABLE_OBJECT_GRAPH" in reader
    assert report.left_out == {"save_counter": ("not included", 8)}


def test_tensors_become_objects_like_others(objects: str, tmp_path: Path) -> None:
    convert(objects, tmp_path / "x.npz")
    report = convert(tmp_path / "x.npz", tmp_path / "back", format="object", like=objects)
    assert {item.old_name for item in report.tensors} >= {"net/kernel", "net/bias"}
    with tfsaver.load_checkpoint(tmp_path / "back") as back, tfsaver.load_checkpoint(objects) as first:
        assert back.names == first.names
        for name in first:
            assert_equal(back[name], first[name])
    with pytest.raises(NotFoundError, match="net/kernel"):
        convert({"w": np.ones(1)}, tmp_path / "other", format="object", like=objects)
    with pytest.raises(InvalidArgumentError, match="like .--like. says which objects"):
        convert({"w": np.ones(1)}, tmp_path / "other", format="object")
    assert not (tmp_path / "other.index").exists()


def test_slices_and_shards_are_whole_tensors_elsewhere(cases: Path, tmp_path: Path) -> None:
    report = convert(cases / "gen_partitioned_v2_sharded", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as loaded, tfsaver.load_checkpoint(cases / "gen_partitioned_v2_sharded") as reader:
        assert [item.name for item in report.tensors] == reader.names
        for name in reader:
            assert_equal(loaded[name], reader[name])


def test_checkpoint_gets_as_many_shards_as_asked_for(trained: str, tmp_path: Path) -> None:
    convert(trained, tmp_path / "x.npz")
    convert(tmp_path / "x.npz", tmp_path / "many", num_shards=3)
    assert len(list(tmp_path.glob("many.data-*-of-00003"))) == 3
    assert tfsaver.verify(tmp_path / "many").ok
    with pytest.raises(InvalidArgumentError, match="num_shards is for checkpoints"):
        convert(trained, tmp_path / "y.npz", num_shards=2)


def test_v1_says_all_that_it_cannot_hold(tmp_path: Path) -> None:
    tensors = every_tensor(["bfloat16", "uint32", "uint64", "float32", "float16"], [()])
    with pytest.raises(UnimplementedError) as error:
        convert(tensors, tmp_path / "x", format="V1")
    assert lines_of(error)[:-1] == [
        "a V1 checkpoint cannot hold 3 of 5 tensors, and nothing was written:",
        "no type for bfloat16, which V2 checkpoints have: 'bfloat16/0'",
        "no type for uint32, which V2 checkpoints have: 'uint32/0'",
        "no type for uint64, which V2 checkpoints have: 'uint64/0'",
    ]
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_read_can_be_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", w=np.ones(2), times=np.zeros(2, "M8[s]"), objects=np.array([None]))
    for options in ({}, {"dtype": "float16"}, {"essential": True}):
        with pytest.raises(UnimplementedError, match="cannot hold 2 of 3 tensors") as error:
            convert(tmp_path / "x.npz", tmp_path / "model", **options)  # type: ignore[arg-type]
        assert "'times'" in str(error.value) and "'objects'" in str(error.value)
    convert(tmp_path / "x.npz", tmp_path / "model", select=tfsaver.Selection(exclude=["times", "objects"]), dtype="float16")
    assert tfsaver.list_variables(tmp_path / "model") == [("w", [2])]


def test_existing_checkpoint_is_replaced_only_when_asked_to(trained: str, tmp_path: Path) -> None:
    convert({"w": np.ones(1)}, tmp_path / "x")
    with pytest.raises(AlreadyExistsError):
        convert(trained, tmp_path / "x")
    convert(trained, tmp_path / "x", overwrite=True)
    assert "dense/kernel" in dict(tfsaver.list_variables(tmp_path / "x"))
    with pytest.raises(InvalidArgumentError, match="is the checkpoint that is read"):
        convert(trained, trained, overwrite=True)


def test_file_can_replace_itself(tmp_path: Path) -> None:
    for name in ("npz", "safetensors", "torch", "keras"):
        path = path_of(name, tmp_path)
        convert({"w": np.ones(3), "v": np.zeros(3)}, path)
        convert(path, path, mapping={"w": "u", "v": None})
        convert(path, tmp_path / name)
        assert tfsaver.list_variables(tmp_path / name) == [("u", [3])]


def test_damaged_checkpoint_leaves_no_file(trained: str, tmp_path: Path) -> None:
    data = tmp_path / "model.ckpt-7.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    (tmp_path / "out").mkdir()
    for name in ("npz", "safetensors", "torch", "orbax", "V2", "V1"):
        with pytest.raises(DataLossError, match="global_step"):
            convert(trained, path_of(name, tmp_path / "out"), format=name)
    with pytest.raises(DataLossError, match="global_step"):
        convert(trained, path_of("keras", tmp_path / "out"), essential=True)
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("path", "read", "written"),
    [
        ("model.ckpt-1000", "V2", "V2"),
        ("x.SAFETENSORS", "safetensors", "safetensors"),
        ("x.npz", "npz", "npz"),
        ("x.pt", "torch", "torch"),
        ("x.pth", "torch", "torch"),
        ("x.weights.h5", "keras", "keras"),
        ("x.orbax", "orbax", "orbax"),
        ("x.best", "V2", "V2"),
        ("x.part", "V2", "V2"),
        ("v1.5", "V2", "V2"),
    ],
)
def test_suffix_says_the_format(path: str, read: str, written: str, tmp_path: Path) -> None:
    assert format_of_source(str(tmp_path / path)).name == read
    assert format_of_target(str(tmp_path / path)).name == written
    assert format_of_target(str(tmp_path / path), "V1").name == "V1"
    # A checkpoint may be called anything, if somebody says that it is one.
    tfsaver.convert({"w": 1.0}, tmp_path / path, format="V2", durable=False)
    assert format_of_source(str(tmp_path / path)).name == "V2"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("q.safetensor", ".safetensors"),
        ("q.npzz", ".npz"),
        ("q.npy", ".npz"),
        ("q.pth.tar", ".pth"),
        ("q.bin", ".pt"),
        ("q.hd5", ".hdf5"),
        ("q.keras", ".weights.h5"),
        ("q.onnx", ".safetensors"),
    ],
)
def test_suffix_that_is_almost_one_is_no_checkpoint_by_accident(name: str, nearest: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"the nearest is \{nearest} .*--format"):
        convert({"w": np.ones(1)}, tmp_path / name)
    assert os.listdir(tmp_path) == []
    convert({"w": np.ones(1)}, tmp_path / name, format="V2", durable=False)
    assert format_of_source(str(tmp_path / name)).name == "V2"


def test_help_shows_the_signature_of_the_function() -> None:
    assert inspect.isfunction(tfsaver.convert) and tfsaver.convert is convert
    text = pydoc.plain(pydoc.render_doc(tfsaver.convert))
    assert "convert(\n    checkpoint:" in text or "convert(checkpoint:" in text
    assert "num_shards: How many" in text and "options" not in inspect.signature(convert).parameters


def test_directories_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    pytest.importorskip("orbax.checkpoint")
    convert({"w": np.ones(1)}, tmp_path / "step_7", format="orbax")
    assert format_of_source(str(tmp_path / "step_7")).name == "orbax"
    assert format_of_source(str(tmp_path)).name == "V2"


def test_arguments_that_make_no_sense(trained: str, tmp_path: Path) -> None:
    for options, words in (
        ({"format": "npy"}, "no format 'npy'; did you mean 'npz'?"),
        ({"source_format": "zarr"}, "no format 'zarr'; there are V2, "),
        ({"allow_unused": True}, "allow_unused is for tensors that are for nothing in the model"),
        ({"under": "model", "like": trained}, "under and defaults are for the format object"),
        ({"metadata": {"format": "pt"}}, "metadata is for the format safetensors"),
        ({"mapping": {"nothing": "w"}}, "'nothing' names nothing"),
        ({"select": "nothing"}, "'nothing', to be included, is in none"),
        ({"select": tfsaver.Selection(exclude=".")}, "keeps none"),
    ):
        with pytest.raises(InvalidArgumentError, match=words):
            convert(trained, tmp_path / "x.npz", **options)  # type: ignore[arg-type]
    with pytest.raises(CheckpointNotFoundError):
        convert(tmp_path / "missing", tmp_path / "x.npz")
    with pytest.raises(FileNotFoundError):
        convert(tmp_path / "missing.npz", tmp_path / "y.npz")
    with pytest.raises(UnimplementedError, match="is elsewhere"):
        convert(trained, "gs://bucket/x.orbax")
    (tmp_path / "directory.npz").mkdir()
    with pytest.raises(AlreadyExistsError, match="is a directory"):
        convert(trained, tmp_path / "directory.npz")
    assert sorted(os.listdir(tmp_path)) == ["directory.npz", "model.ckpt-7.data-00000-of-00001", "model.ckpt-7.index"]


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("safetensors", "safetensors", "safetensors"),
        ("torch", "torch", "torch"),
        ("keras", "h5py", "keras"),
        ("orbax", "orbax-checkpoint", "orbax"),
    ],
)
def test_missing_library_names_the_pip_line(
    name: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, _LIBRARIES[name], None)
    for source, target in (({"w": np.ones(1)}, "x"), (tmp_path / "x", "y")):
        with pytest.raises(MissingExtraError, match=rf"needs {package}: pip install 'tfsaver\[{extra}\]'"):
            convert(source, tmp_path / target, format=name if target == "x" else None, source_format=name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", sorted(_LIBRARIES))
def test_no_format_takes_the_library_of_another(name: str, tmp_path: Path) -> None:
    target = path_of(name, tmp_path)
    code = (
        "import sys, numpy as np, tfsaver\n"
        f"tfsaver.convert({{'w': np.ones(2)}}, {str(target)!r})\n"
        f"tfsaver.convert({str(target)!r}, {str(tmp_path / 'back')!r})\n"
        "print(*sorted({'torch', 'safetensors', 'h5py', 'orbax', 'jax', 'tensorflow', 'keras'} & set(sys.modules)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = {"npz": "", "keras": "h5py", "orbax": "jax orbax"}.get(name, name)
    assert done.stdout.strip() == expected


def test_a_dry_run_says_the_same_and_writes_nothing(trained: str, tmp_path: Path) -> None:
    for name, options in (("x.npz", {}), ("y", {"dtype": "float16"}), ("z", {"select": "dense", "num_shards": 2})):
        before = sorted(os.listdir(tmp_path))
        dry = convert(trained, tmp_path / name, dry_run=True, **options)
        assert sorted(os.listdir(tmp_path)) == before and dry.target is None and "nothing written" in str(dry)
        written = convert(trained, tmp_path / name, **options)
        assert dataclasses.replace(dry, target=written.target) == written


def test_a_dry_run_refuses_what_a_conversion_refuses(tmp_path: Path) -> None:
    tensors = {"w": np.array([1e9]), "x": np.array(["text"]), "y": np.uint32(1)}
    for options in ({"format": "V1"}, {"format": "safetensors"}, {"dtype": "float16"}):
        with pytest.raises(SaverError) as dry:
            convert(tensors, tmp_path / "x", dry_run=True, **options)
        with pytest.raises(SaverError) as error:
            convert(tensors, tmp_path / "x", **options)
        assert str(dry.value) == str(error.value) and not os.listdir(tmp_path)
