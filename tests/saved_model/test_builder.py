"""A SavedModel's directory appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from tests.saved_model.graphs import VALUES
from tfsaver import schemas
from tfsaver.errors import AlreadyExistsError, DataLossError
from tfsaver.lib import file_io
from tfsaver.saved_model.builder import SavedModelBuilder
from tfsaver.saved_model.loader import load_saved_model

MODEL = schemas.SavedModel(saved_model_schema_version=1)


def build(target: Path | str, **options: Any) -> str:
    with SavedModelBuilder(target, **options) as builder:
        builder.write_variables(VALUES)
        return builder.finish(MODEL)


@pytest.mark.parametrize("durable", [False, True])
def test_nothing_is_there_before_the_end(tmp_path: Path, durable: bool) -> None:
    with SavedModelBuilder(tmp_path / "deep" / "export", durable=durable) as builder:
        builder.write_variables(VALUES)
        assert not (tmp_path / "deep" / "export").exists()
        path = builder.finish(MODEL)
    assert path == str(tmp_path / "deep" / "export")
    assert os.listdir(tmp_path / "deep") == ["export"] and sorted(os.listdir(path)) == ["saved_model.pb", "variables"]


@pytest.mark.parametrize("versioned", [False, True])
def test_an_error_leaves_nothing_behind(tmp_path: Path, versioned: bool) -> None:
    class Unreadable(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), SavedModelBuilder(tmp_path / "export", versioned=versioned) as builder:
        builder.write_variables({"a": np.ones(3)})
        builder.write_variables(Unreadable(b=1))
    assert list(tmp_path.rglob("*")) == []


def test_an_empty_directory_is_a_free_place_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    build(f"{tmp_path / 'empty'}/")
    assert (tmp_path / "empty" / "saved_model.pb").exists()
    with pytest.raises(AlreadyExistsError, match="not empty"):
        build(tmp_path / "empty")
    (tmp_path / "file").touch()
    with pytest.raises(AlreadyExistsError, match="no directory"):
        build(tmp_path / "file")
    assert sorted(os.listdir(tmp_path)) == ["empty", "file"]


@pytest.mark.parametrize("versioned", [False, True])
def test_a_place_that_is_taken_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versioned: bool) -> None:
    original = file_io.replace
    raced = []

    def replace(source: str, target: str) -> None:
        if not raced and "export" in target and file_io.is_directory(source):
            raced.append(target)
            build(target)
        original(source, target)

    monkeypatch.setattr(file_io, "replace", replace)
    if versioned:
        path = build(tmp_path / "export", versioned=True)
        assert int(Path(path).name) == int(Path(raced[0]).name) + 1
    else:
        with pytest.raises(AlreadyExistsError, match="exists already"):
            build(tmp_path / "export")
        assert sorted(os.listdir(tmp_path)) == ["export"]


def test_a_version_in_progress_is_no_version_for_a_server(tmp_path: Path) -> None:
    with SavedModelBuilder(tmp_path, versioned=True) as builder:
        builder.write_variables(VALUES)
        assert not any(name.isdecimal() for name in os.listdir(tmp_path))
        path = builder.finish(MODEL)
    assert os.listdir(tmp_path) == [Path(path).name] and Path(path).name.isdecimal()


def test_what_is_read_back_must_be_what_was_written(tmp_path: Path) -> None:
    with pytest.raises(DataLossError, match="variables"), SavedModelBuilder(tmp_path / "export") as builder:
        builder.write_variables(VALUES)
        data = Path(f"{builder.variables_prefix}.data-00000-of-00001")
        data.write_bytes(b"\xff" + data.read_bytes()[1:])
        builder.finish(MODEL)
    assert os.listdir(tmp_path) == []


def test_a_number_that_is_none_is_read_back(tmp_path: Path) -> None:
    model = schemas.SavedModel()
    model.meta_graphs.add().graph_def.node.add(name="n").attr["f"].f = float("nan")
    for as_text in (False, True):
        with SavedModelBuilder(tmp_path / str(as_text)) as builder:
            builder.finish(model, as_text=as_text)


def test_the_message_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed: list[str] = []
    original = file_io.replace
    monkeypatch.setattr(file_io, "replace", lambda source, target: (renamed.append(target), original(source, target)))
    (tmp_path / "vocab").write_text("x")
    with SavedModelBuilder(tmp_path / "export") as builder:
        builder.write_variables(VALUES)
        builder.add_assets({"vocab": str(tmp_path / "vocab")})
        builder.add_fingerprint(MODEL)
        builder.finish(MODEL)
    assert renamed[-1] == str(tmp_path / "export") and renamed[-2].endswith("saved_model.pb")


def test_an_object_store_is_written_in_the_order_of_reading(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    path = build("memory://bucket/export")
    assert path == "memory://bucket/export"
    assert sorted(store.find("/bucket/export")) == [
        "/bucket/export/saved_model.pb",
        "/bucket/export/variables/variables.data-00000-of-00001",
        "/bucket/export/variables/variables.index",
    ]
    with load_saved_model(path) as model:
        assert model.variables["bias"].tolist() == [1, 2]
    with pytest.raises(AlreadyExistsError):
        build("memory://bucket/export")
    store.rm("/bucket", recursive=True)
