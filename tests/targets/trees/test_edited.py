"""Trees that were edited as checkpoints: what is noted of their structure stays while it is true, and goes when it is not."""

from __future__ import annotations

import pathlib
import warnings
from collections import OrderedDict
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.names.name_map import Rule
from tfsaver.checkpoint.objects.object_graph import TREE_KEY

_WENT = "note: the structure that tfsaver.save noted fits no longer and went; load gives dicts and lists of arrays"


def tree(factor: float = 1.0) -> dict[str, Any]:
    layers = [{"w": np.arange(6, dtype=np.float32).reshape(2, 3) * np.float32(factor)}, {"w": np.ones(3, np.float32)}]
    return {"layers": layers, "epoch": int(10 * factor), "pair": (np.array([1, 2]), None), 7: "words"}


@pytest.fixture
def prefix(tmp_path: pathlib.Path) -> str:
    return tfsaver.save(tree(), tmp_path / "tree", durable=False)


def assert_tree(prefix: Any, expected: dict[str, Any], dtype: Any = np.float32) -> None:
    found = tfsaver.load(prefix)
    assert list(found) == ["layers", "epoch", "pair", 7]
    assert (found["epoch"], found["pair"][1], found[7]) == (expected["epoch"], None, "words")
    assert type(found["pair"]) is tuple and found["pair"][0].tolist() == [1, 2]
    for ours, theirs in zip(found["layers"], expected["layers"], strict=True):
        assert ours["w"].dtype == dtype
        np.testing.assert_array_equal(ours["w"], theirs["w"].astype(dtype))


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_cast_tree_is_the_same_tree(prefix: str, tmp_path: pathlib.Path, dtype: str) -> None:
    report = tfsaver.cast(prefix, tmp_path / "cast", dtype, durable=False)
    assert set(report.losses) == {f"layers/{index}/w/.ATTRIBUTES/VARIABLE_VALUE" for index in (0, 1)}
    assert_tree(tmp_path / "cast", tree(), ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float64)


def test_mean_of_trees_is_a_tree_with_the_values_of_the_last(prefix: str, tmp_path: pathlib.Path) -> None:
    other = tfsaver.save(tree(2.0), tmp_path / "other", durable=False)
    tfsaver.average([prefix, other], tmp_path / "mean", durable=False)
    layers = [
        {"w": (a["w"] + b["w"]) / np.float32(2)} for a, b in zip(tree()["layers"], tree(2.0)["layers"], strict=True)
    ]
    assert_tree(tmp_path / "mean", {**tree(2.0), "layers": layers})


def test_other_files_of_a_tree_are_the_tree(prefix: str, tmp_path: pathlib.Path) -> None:
    tfsaver.reshard(prefix, tmp_path / "shards", num_shards=3, durable=False)
    assert_tree(tmp_path / "shards", tree())
    report = tfsaver.select(prefix, tmp_path / "all", ".", durable=False)
    assert not report.left_out and not report.notes
    assert_tree(tmp_path / "all", tree())


def test_structure_goes_when_a_tensor_goes(prefix: str, tmp_path: pathlib.Path) -> None:
    report = tfsaver.select(prefix, tmp_path / "some", "^layers/", durable=False)
    assert _WENT in report.notes
    found = tfsaver.load(tmp_path / "some")
    assert list(found) == ["layers"] and [list(layer) for layer in found["layers"]] == [["w"], ["w"]]
    np.testing.assert_array_equal(found["layers"][0]["w"], tree()["layers"][0]["w"])


def test_structure_goes_when_names_change(prefix: str, tmp_path: pathlib.Path) -> None:
    report = tfsaver.rename(prefix, tmp_path / "renamed", [("^layers/", "blocks/")], durable=False)
    assert report.notes == ("note: rule '^layers/': 2 of 4 names", _WENT)
    found = tfsaver.load(tmp_path / "renamed")
    assert set(found) == {"blocks", "pair"}
    np.testing.assert_array_equal(found["blocks"][0]["w"], tree()["layers"][0]["w"])


def test_structure_stays_when_only_axes_change(prefix: str, tmp_path: pathlib.Path) -> None:
    rule = Rule("^layers/0/w$", "layers/0/w", transpose=True)
    tfsaver.rename(prefix, tmp_path / "turned", [rule], durable=False)
    np.testing.assert_array_equal(tfsaver.load(tmp_path / "turned")["layers"][0]["w"], tree()["layers"][0]["w"].T)


def test_structure_of_one_does_not_hide_the_tensors_of_another(prefix: str, tmp_path: pathlib.Path) -> None:
    head = tfsaver.save({"head": np.ones(4, np.float32)}, tmp_path / "head", durable=False)
    report = tfsaver.merge([prefix, head], tmp_path / "merged", durable=False)
    assert _WENT in report.notes
    found = tfsaver.load(tmp_path / "merged")
    assert set(found) == {"layers", "pair", "head"}
    assert found["head"].tolist() == [1, 1, 1, 1]


def test_parts_of_a_split_load_by_themselves(prefix: str, tmp_path: pathlib.Path) -> None:
    split = tfsaver.split(prefix, {str(tmp_path / "a"): "^layers/"}, rest=tmp_path / "b", durable=False)
    assert all(_WENT in part.notes for part in split.parts.values())
    assert set(tfsaver.load(tmp_path / "a")) == {"layers"}
    assert set(tfsaver.load(tmp_path / "b")) == {"pair"}


def test_structure_alone_is_no_difference_of_tensors(prefix: str, tmp_path: pathlib.Path) -> None:
    with tfsaver.load_checkpoint(prefix) as reader:
        tfsaver.save_checkpoint({name: reader[name] for name in reader if name != TREE_KEY}, tmp_path / "bare", durable=False)
    assert tfsaver.diff(prefix, tmp_path / "bare").ok
    assert tfsaver.diff(tmp_path / "bare", prefix).ok
    other = tfsaver.save({**tree(), "epoch": 11}, tmp_path / "other", durable=False)
    assert [item.name for item in tfsaver.diff(prefix, other).different] == [TREE_KEY]


def test_conversion_leaves_the_structure_out_and_says_so(prefix: str, tmp_path: pathlib.Path) -> None:
    report = tfsaver.convert(prefix, tmp_path / "x.npz", durable=False)
    assert report.left_out[TREE_KEY].reason == "describes what tfsaver.load gives back"
    with np.load(tmp_path / "x.npz") as loaded:
        assert set(loaded.files) == {"layers/0/w", "layers/1/w", "pair/0", "save_counter"}


def test_salvaged_tree_has_its_structure_only_where_all_is_saved(prefix: str, tmp_path: pathlib.Path) -> None:
    report = tfsaver.salvage(prefix, tmp_path / "whole")
    assert report.ok
    assert_tree(tmp_path / "whole", tree())
    data = pathlib.Path(f"{prefix}.data-00000-of-00001")
    with tfsaver.load_checkpoint(prefix) as reader:
        offset = reader.info("layers/1/w/.ATTRIBUTES/VARIABLE_VALUE").pieces[0].offset
    content = bytearray(data.read_bytes())
    content[offset] ^= 1
    data.write_bytes(content)
    report = tfsaver.salvage(prefix, tmp_path / "rest")
    assert set(report.lost) == {"layers/1/w/.ATTRIBUTES/VARIABLE_VALUE"}
    assert TREE_KEY not in {tensor.name for tensor in report.tensors}
    assert "the structure that tfsaver.save noted may name what is lost, and went" in report.notes
    np.testing.assert_array_equal(tfsaver.load(tmp_path / "rest")["layers"][0]["w"], tree()["layers"][0]["w"])


def test_pairs_of_halves_may_become_wider(tmp_path: pathlib.Path) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        halves = torch.tensor([1 + 2j, 3 - 4j]).to(torch.complex32)
    state = OrderedDict(z=halves, w=torch.nn.Parameter(torch.ones(2)))
    tfsaver.save(state, tmp_path / "state", durable=False)
    tfsaver.cast(tmp_path / "state", tmp_path / "cast", "float32", durable=False)
    found = tfsaver.load(tmp_path / "cast")
    assert type(found) is OrderedDict and found["z"].dtype == torch.complex64
    assert found["z"].tolist() == [1 + 2j, 3 - 4j] and type(found["w"]) is torch.nn.Parameter


def test_structure_is_nothing_that_a_restore_did_not_expect(prefix: str) -> None:
    tf = pytest.importorskip("tensorflow")
    layers = [{"w": tf.Variable(tf.zeros([2, 3]))}, {"w": tf.Variable(tf.zeros([3]))}]
    target = {"layers": layers, "pair": [tf.Variable([0, 0], dtype=tf.int64)]}
    report = tfsaver.restore(target, prefix)
    assert report.ok and TREE_KEY not in report.unexpected
    np.testing.assert_array_equal(layers[0]["w"].numpy(), tree()["layers"][0]["w"])
