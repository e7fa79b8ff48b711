"""Asset files: where they are found, what they are called, and which names are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, NotFoundError
from tfsaver.saved_model.assets import Asset, arrange_assets, arrange_extra_assets, is_inside, read_assets, write_assets


@pytest.mark.parametrize("name", ["vocab.txt", "a/b.txt", "..vocab", "a..b", "häuser.txt", "vocab.txt_1", "a b"])
def test_names_inside_are_taken(name: str) -> None:
    assert is_inside(name)


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "./a", "C:\\x", "C:x", "..\\x", "\\x", "gs://b/x", "a\0b", "a/"]
)
def test_names_that_lead_out_are_refused(name: str) -> None:
    assert not is_inside(name)
    graph = schemas.MetaGraphDef(asset_file_def=[schemas.AssetFileDef(filename=name)])
    with pytest.raises(DataLossError, match="no file inside of assets/"):
        read_assets(graph)


def test_written_assets_stand_in_both_places() -> None:
    graph = schemas.MetaGraphDef(asset_file_def=[schemas.AssetFileDef(filename="old")])
    expected = [Asset("Const:0", "vocab.txt"), Asset("Const_1:0", "labels.txt")]
    write_assets(graph, expected)
    assert read_assets(graph) == expected
    del graph.asset_file_def[:]
    assert read_assets(graph) == expected
    write_assets(graph, [])
    assert read_assets(graph) == [] and not graph.collection_def


def test_a_collection_of_something_else_is_data_loss() -> None:
    graph = schemas.MetaGraphDef()
    item = graph.collection_def["saved_model_assets"].any_list.value.add()
    item.type_url = "type.googleapis.com/tensorflow.SaverDef"
    with pytest.raises(DataLossError, match="SaverDef"):
        read_assets(graph)
    item.type_url, item.value = "type.googleapis.com/tensorflow.AssetFileDef", b"\xff"
    with pytest.raises(DataLossError, match="saved_model_assets"):
        read_assets(graph)


def test_equal_files_are_stored_once_and_others_get_a_number(tmp_path: Path) -> None:
    paths = {}
    for name, content in {"a": "one", "b": "two", "c": "one", "d": "three"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "vocab.txt").write_text(content)
        paths[f"{name}:0"] = str(tmp_path / name / "vocab.txt")
    paths["e:0"] = paths["b:0"]
    assets, sources = arrange_assets(paths)
    stored = ["vocab.txt", "vocab.txt_1", "vocab.txt", "vocab.txt_2", "vocab.txt_1"]
    assert assets == [Asset(tensor, name) for tensor, name in zip(paths, stored, strict=True)]
    assert sources == {"vocab.txt": paths["a:0"], "vocab.txt_1": paths["b:0"], "vocab.txt_2": paths["d:0"]}


def test_a_missing_file_is_named_with_its_tensor(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"asset of Const:0: no file at .*gone"):
        arrange_assets({"Const:0": str(tmp_path / "gone")})
    with pytest.raises(InvalidArgumentError, match="no file"):
        arrange_assets({"Const:0": str(tmp_path)})


def test_extra_assets_may_be_nested_but_not_outside(tmp_path: Path) -> None:
    (tmp_path / "warmup").write_text("x")
    assert arrange_extra_assets({"a/b": tmp_path / "warmup"}) == {"a/b": str(tmp_path / "warmup")}
    with pytest.raises(InvalidArgumentError, match=r"assets\.extra"):
        arrange_extra_assets({"../b": tmp_path / "warmup"})
    with pytest.raises(NotFoundError, match="extra asset 'b'"):
        arrange_extra_assets({"b": tmp_path / "gone"})
