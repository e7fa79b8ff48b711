"""Trees of tensors come back as they were saved, and all that cannot be saved is said at once."""

from __future__ import annotations

import enum
import pathlib
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict, namedtuple
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

import tfsaver
from tests.plugins.exhaustive import sample_size
from tests.targets.trees.trees import same
from tfsaver.checkpoint.names.name_map import Rule
from tfsaver.checkpoint.objects.object_graph import TREE_KEY, read_object_graph
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import (
    CheckpointNotFoundError,
    InvalidArgumentError,
    MissingExtraError,
    TensorNotFoundError,
)
from tfsaver.targets.trees.building import build
from tfsaver.targets.trees.of_checkpoint import read_tree
from tfsaver.targets.trees.plan import PlannedTree
from tfsaver.targets.trees.structure import MAX_DEPTH, Leaf
from tfsaver.targets.trees.tensors import read_tensors

Point = namedtuple("Point", "x y")


def round_trip(tree: Any, directory: pathlib.Path) -> Any:
    return tfsaver.load(tfsaver.save(tree, directory / "tree", durable=False))


NAN_WITH_PAYLOAD = np.array([0x7FC12345, 0xFF800001, 0x80000000], np.uint32).view(np.float32)


@pytest.mark.parametrize(
    "tree",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.float64(-0.0),
        7,
        None,
        "text",
        [],
        (),
        {},
        OrderedDict(),
        [np.arange(3), [np.ones(2), (np.zeros(1), None)], {}],
        {"b": np.ones(1), "a": {"z": 1, "y": [True, 2, 3.5, "four", b"five", None, 1 + 2j]}},
        {0: np.ones(1), -1: {10: "ten"}, "one": np.zeros(0)},
        OrderedDict(z=np.ones(1), a=OrderedDict(c=2, b=np.ones(2))),
        Point(np.ones(2), Point(y=3, x=(np.zeros(2),))),
        {"a/b": np.ones(1), "a": {"b": np.zeros(1)}, "x.y": np.ones(2), "": np.ones(3), "\u96ea\0": np.ones(4)},
        {"save_counter": np.ones(3)},
        {"VARIABLE_VALUE": np.ones(3)},
        [
            10**30,
            -(2**63),
            2**63,
            -(2**64),
            float("inf"),
            float("-inf"),
            float("nan"),
            -0.0,
            5e-324,
            "\ud800",
            "\ud83d\ude00",
            "\udcc3\udca9" * 40_000,
        ],
        ["x" * 70_000, b"\0\xff" * 40_000, "\u96ea" * 70_000, [b""]],
        [np.array(["a", "snow \u96ea"]), np.array([b"a", b"bc"]), np.array(["a", ""], object), np.array([[b"a"]], object)],
        [np.array([], "U7"), np.array(["short"], "U30"), np.str_("scalar"), np.bytes_(b"scalar")],
        NAN_WITH_PAYLOAD,
    ],
    ids=repr,
)
def test_tree_comes_back_as_it_was(tree: Any, tmp_path: pathlib.Path) -> None:
    loaded = round_trip(tree, tmp_path)
    assert same(loaded, tree), loaded


DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
    *("bfloat16", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
    *("int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
]


@pytest.mark.parametrize("name", DTYPES)
def test_every_bit_of_every_dtype_comes_back(name: str, tmp_path: pathlib.Path) -> None:
    try:
        dtype = np.dtype(getattr(ml_dtypes, name, name))
    except TypeError:
        pytest.skip(f"ml_dtypes {ml_dtypes.__version__} has no {name}")
    # Bytes that are no bool, and more bits than a narrow type has, are nobody's.
    num_values = {"bool": 2, "int4": 8, "uint4": 16, "int2": 2, "uint2": 4, "float4_e2m1fn": 16}.get(name, 256)
    array = np.resize(np.arange(num_values, dtype=np.uint8), 256 * dtype.itemsize).view(dtype)
    tree = {"array": array, "scalar": array[3], "zero": array[1:2].reshape(()), "none": array[:0].reshape(0, 3)}
    assert same(round_trip(tree, tmp_path), tree)


def test_layout_of_an_array_does_not_matter(tmp_path: pathlib.Path) -> None:
    array = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    tree = [
        array.T,
        array[:, ::-1],
        array[..., 1],
        np.asfortranarray(array),
        array.astype(">i4"),
        np.broadcast_to(array[0], (5, 3, 4)),
    ]
    loaded = round_trip(tree, tmp_path)
    for given_array, found in zip(tree, loaded, strict=True):
        np.testing.assert_array_equal(found, given_array, strict=False)
        assert found.flags.c_contiguous and found.flags.writeable and found.dtype == np.int32


def test_arrays_that_are_one_memory_are_stored_once_and_are_one_again(tmp_path: pathlib.Path) -> None:
    weight = np.ones((4, 4))
    tree = {"embed": {"w": weight}, "head": weight, "view": weight[:], "turned": weight.T, "other": weight.copy()}
    loaded = round_trip(tree, tmp_path)
    assert loaded["embed"]["w"] is loaded["head"] is loaded["view"]
    assert loaded["turned"] is not loaded["head"] is not loaded["other"]
    names = [name for name, _ in tfsaver.list_variables(tmp_path / "tree") if not name.startswith(("_", "save_counter"))]
    assert names == [f"{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in ("head", "other", "turned")]


def test_keys_are_readable_and_the_file_verifies(tmp_path: pathlib.Path) -> None:
    tree = {"layers": [{"weight": np.ones((2, 3), np.float32)}], "x.y": np.ones(1), "epoch": 3}
    prefix = tfsaver.save(tree, tmp_path / "new" / "tree", num_shards=2)
    assert prefix == str(tmp_path / "new" / "tree")
    with tfsaver.load_checkpoint(prefix) as reader:
        assert reader.shape("layers/0/weight/.ATTRIBUTES/VARIABLE_VALUE") == (2, 3)
        assert reader["x..y/.ATTRIBUTES/VARIABLE_VALUE"].tolist() == [1]
        graph = read_object_graph(reader)
        assert graph is not None
        assert graph.keys_of_full_names()["layers/0/weight"] == "layers/0/weight/.ATTRIBUTES/VARIABLE_VALUE"
        assert all(attribute.key in reader for attribute in graph.attributes)
    assert tfsaver.verify(prefix).ok


def test_everything_that_cannot_be_saved_is_said_at_once_and_nothing_is_written(tmp_path: pathlib.Path) -> None:
    class Model:
        def state_dict(self) -> dict[str, Any]:
            return {}

    circle: list[Any] = [1]
    circle.append(circle)
    tree = {
        "set": {1, 2},
        "deep": [0, {"object": object()}],
        "model": Model(),
        "keys": {(1, 2): 3},
        "twice": {1: 0, "1": 0},
        "surrogate": {"\ud800": 0},
        "circle": circle,
        "dates": np.array(["2020-01-01"], "M8[D]"),
        "masked": np.ma.masked_array([1.0], [True]),
        "halves": np.array(["\udcc3\udca9"]),
        "objects": np.array([1, "a"], object),
        "fine": np.ones(3),
    }
    with pytest.raises(InvalidArgumentError, match="nothing was written") as caught:
        tfsaver.save(tree, tmp_path / "new" / "tree")
    said = str(caught.value)
    for path in (
        "set",
        "deep/1/object",
        "model",
        "keys",
        "twice",
        "surrogate",
        "circle/1",
        "dates",
        "masked",
        "halves",
        "objects",
    ):
        assert f"\n  {path}: " in said
    assert "fine" not in said and "pass its state_dict()" in said and "the keys 1 and '1'" in said
    assert list(tmp_path.iterdir()) == []


def test_subclasses_are_not_taken_for_what_they_are_not(tmp_path: pathlib.Path) -> None:
    class Color(enum.IntEnum):
        RED = 1

    for tree in (
        defaultdict(int),
        Counter("a"),
        Color.RED,
        frozenset(),
        bytearray(b"1"),
        range(3),
        type("L", (list,), {})(),
    ):
        with pytest.raises(InvalidArgumentError, match="the tree"):
            tfsaver.save(tree, tmp_path / "tree")


def test_nesting_has_an_end(tmp_path: pathlib.Path) -> None:
    tree: Any = np.ones(1)
    for _ in range(MAX_DEPTH):
        tree = [tree]
    loaded = round_trip(tree, tmp_path)
    for _ in range(MAX_DEPTH):
        (loaded,) = loaded
    assert loaded.tolist() == [1]
    with pytest.raises(InvalidArgumentError, match="nested deeper than"):
        tfsaver.save([tree], tmp_path / "deeper")


def test_too_many_python_values_are_refused_before_anything_is_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfsaver.targets.trees.structure.MAX_SIZE", 1000)
    with pytest.raises(InvalidArgumentError, match="make arrays of long lists"):
        tfsaver.save(list(range(1000)), tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def nested(tmp_path: pathlib.Path) -> str:
    layers = [{"w": np.full((2, 3), index, np.float32), "b": np.full(3, index, np.float64)} for index in range(4)]
    tree = {"epoch": 3, "layers": layers, "pair": (np.int32(1), np.int32(2)), "empty": {}, "names": np.array(["a"])}
    return tfsaver.save(tree, tmp_path / "nested")


def test_only_what_is_included_is_read(nested: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole, together = tfsaver.CheckpointReader.read, tfsaver.CheckpointReader.read_tensors

    def spy(self: tfsaver.CheckpointReader, name: str, *arguments: Any, **options: Any) -> Any:
        read.append(name)
        return whole(self, name, *arguments, **options)

    def spy_on_many(self: tfsaver.CheckpointReader, names: list[str], **options: Any) -> Any:
        read.extend(names)
        return together(self, names, **options)

    monkeypatch.setattr(tfsaver.CheckpointReader, "read", spy)
    monkeypatch.setattr(tfsaver.CheckpointReader, "read_tensors", spy_on_many)
    loaded = tfsaver.load(nested, select=["^layers/1/", "^epoch$"])
    assert same(
        loaded, {"epoch": 3, "layers": [None, {"w": np.full((2, 3), 1, np.float32), "b": np.full(3, 1.0)}, None, None]}
    )
    keys = sorted(name for name in read if name != TREE_KEY)
    assert keys == [f"layers/1/{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in "bw"]
    assert same(tfsaver.load(nested, select="^pair/1"), {"pair": (None, np.int32(2))})
    assert same(tfsaver.load(nested, select=""), tfsaver.load(nested, select=".")) is True


def test_pattern_that_occurs_nowhere_is_an_error_with_a_hint(nested: str) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"'layers/9/w', to be included, is in none.*did you mean 'layers/3/w'.*; 'x\{9\}', to be included, is in none"
    ):
        tfsaver.load(nested, select=["layers/9/w", "epoch", "x{9}"])
    with pytest.raises(InvalidArgumentError, match=r"'\(' is no regular"):
        tfsaver.load(nested, select="(")


def test_mapping_gives_a_dict_of_new_names(nested: str) -> None:
    rules: list[Any] = [
        Rule(r"^layers/(\d)/w$", r"block\1.weight", True),
        (r"^layers/(\d)/b$", r"block\1.bias"),
        ("^pair/1$", None),
    ]
    loaded = tfsaver.load(nested, select=["^layers/[01]/", "pair", "epoch"], mapping=rules)
    assert list(loaded) == ["epoch", "pair/0", "block0.weight", "block0.bias", "block1.weight", "block1.bias"]
    assert loaded["epoch"] == 3 and loaded["pair/0"] == 1
    assert same(np.ascontiguousarray(loaded["block1.weight"]), np.full((3, 2), 1, np.float32))
    copies = tfsaver.load(nested, select="pair/0", mapping={"pair/0": ["one", "two"]})
    assert copies["one"] is copies["two"]
    with pytest.raises(InvalidArgumentError, match="layers/0/ww"):
        tfsaver.load(nested, mapping={"layers/0/ww": "x"})
    with pytest.raises(InvalidArgumentError, match="does not have the 3 axes to be transposed"):
        tfsaver.load(nested, select="layers/0/w", mapping=[Rule("w", "w", (2, 1, 0))])


def test_leaves_of_one_name_cannot_be_mapped(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save({"a/b": 1, "a": {"b": 2}}, tmp_path / "tree")
    with pytest.raises(InvalidArgumentError, match="two leaves have the name 'a/b'"):
        tfsaver.load(prefix, mapping=str.upper)


def test_unknown_framework_is_named(nested: str) -> None:
    with pytest.raises(InvalidArgumentError, match="'touch' is none of 'numpy', 'torch', 'jax'; did you mean 'torch'"):
        tfsaver.load(nested, framework="touch")


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_missing_framework_names_the_pip_line(nested: str, framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (framework, f"{framework}.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"framework='numpy' loads .*pip install 'tfsaver\[{framework}\]'"):
        tfsaver.load(nested, framework=framework)
    assert tfsaver.load(nested)["epoch"] == 3


def test_missing_checkpoint_is_not_found(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointNotFoundError):
        tfsaver.load(tmp_path / "nothing")


def test_no_pickle_is_involved(nested: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle")

    for name in ("load", "loads", "Unpickler", "dump", "dumps", "Pickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    tree = {"a": np.array(["x", "y"], object), "b": Point(1, np.ones(2)), "c": "s" * 100_000}
    assert same(round_trip(tree, tmp_path), tree)
    assert tfsaver.load(nested)["epoch"] == 3


def test_saving_over_a_tree_replaces_it(tmp_path: pathlib.Path) -> None:
    tfsaver.save({"a": np.ones(5), "b": 1}, tmp_path / "tree")
    tfsaver.save([np.zeros(2)], tmp_path / "tree")
    assert same(tfsaver.load(tmp_path / "tree"), [np.zeros(2)])


def test_planned_tree_is_a_source_of_tensors() -> None:
    planned = PlannedTree({"w": np.arange(12).reshape(3, 4), "t": "x" * 100_000})
    key = "w/.ATTRIBUTES/VARIABLE_VALUE"
    assert planned.names == sorted(planned.names) and key in planned and "w" not in planned
    assert planned.read(key, np.s_[1:, 2]).tolist() == [6, 10]
    assert (planned.info(key).num_bytes, planned.info("t/.ATTRIBUTES/VARIABLE_VALUE").num_bytes) == (96, 100_000)
    with pytest.raises(TensorNotFoundError, match="did you mean 'w/.ATTRIBUTES"):
        planned.info("w/.ATTRIBUTES/VARIABLE_VALU")


def test_thousands_of_leaves_are_one_walk(tmp_path: pathlib.Path) -> None:
    tree = {f"layer{index}": {"w": np.full(2, index), "step": index} for index in range(5000)}
    assert same(round_trip(tree, tmp_path), tree)


_ARRAYS = np_st.arrays(
    st.sampled_from([np.float32, np.int64, np.bool_, np.complex64, np.dtype(ml_dtypes.bfloat16)]),
    np_st.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    elements=st.integers(0, 1),
)
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(),
    st.text(st.characters()), st.integers(-(2**200), 2**200),
)  # fmt: skip
_KEYS = st.text(max_size=6) | st.integers(-3, 3)


def _distinct(keys: list[Any]) -> bool:
    return len(set(map(str, keys))) == len(keys)


def _containers(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.lists(_KEYS, max_size=4).filter(_distinct)
    dicts = keys.flatmap(
        lambda found: st.tuples(*[items] * len(found)).map(lambda values: dict(zip(found, values, strict=True)))
    )
    lists = st.lists(items, max_size=4)
    return st.one_of(dicts, dicts.map(OrderedDict), lists, lists.map(tuple), st.builds(Point, items, items))


@settings(max_examples=sample_size(40) or 150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(_ARRAYS | _VALUES, _containers, max_leaves=12))
def test_any_tree_comes_back(tree: Any) -> None:
    planned = PlannedTree(tree)
    source = ArraySource({name: planned[name] for name in planned})
    nodes = read_tree(source)
    assert all(node.key in source for node in nodes if isinstance(node, Leaf))
    wanted = {node_id: node for node_id, node in enumerate(nodes) if isinstance(node, Leaf)}
    assert same(build(nodes, read_tensors(source, wanted, None), range(len(nodes))), tree)


@settings(max_examples=sample_size(15) or 50, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=3), st.recursive(st.integers() | st.none(), lambda i: st.lists(i) | st.sets(st.integers()))
    )
)
def test_a_tree_is_planned_or_an_error_of_ours(tree: Any) -> None:
    try:
        planned = PlannedTree(tree)
    except InvalidArgumentError as error:
        planned = None
        said = str(error)
    assert TREE_KEY in planned if planned is not None else "a set is neither" in said
