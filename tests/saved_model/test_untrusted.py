"""Graphs and SavedModels of strangers: no file outside of their directory is copied unless the caller says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tfsaver
from tests.saved_model.graphs import VALUES, dense
from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, UntrustedPathError
from tfsaver.graph.node_builder import string_const
from tfsaver.saved_model.loader import load_saved_model


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A file, and a directory with it, that no model may have."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "private.key").write_text("private")
    return tmp_path / "home" / "private.key"


def naming(path: str | Path) -> schemas.MetaGraphDef:
    """A graph that lists a file among those that it reads."""
    meta_graph = schemas.MetaGraphDef()
    meta_graph.graph_def.CopyFrom(dense())
    meta_graph.graph_def.node.append(string_const("vocabulary", str(path)))
    next(node for node in meta_graph.graph_def.node if node.name == "layer/y").input.append("^vocabulary")
    meta_graph.collection_def["asset_filepaths"].node_list.value.append("vocabulary:0")
    return meta_graph


def meta_file(directory: Path, named: Path) -> Path:
    directory.mkdir()
    tfsaver.save_checkpoint(VALUES, directory / "model", durable=False)
    (directory / "model.meta").write_bytes(naming(named).SerializeToString())
    return directory / "model"


def graph_file(directory: Path, named: Path) -> Path:
    directory.mkdir()
    (directory / "graph.pb").write_bytes(naming(named).graph_def.SerializeToString())
    return directory / "graph.pb"


def saved_model(directory: Path, named: Path) -> Path:
    tfsaver.export_saved_model(dense(), directory, outputs=["layer/y"], variables=VALUES, durable=False)
    model = load_saved_model(directory).proto
    del model.meta_graphs[0].asset_file_def[:]
    graph = model.meta_graphs[0]
    graph.graph_def.node.append(string_const("vocabulary", str(named)))
    next(node for node in graph.graph_def.node if node.name == "layer/y").input.append("^vocabulary")
    graph.collection_def["asset_filepaths"].node_list.value.append("vocabulary:0")
    (directory / "saved_model.pb").write_bytes(model.SerializeToString())
    return directory


def copied(directory: Path, name: str = "private.key") -> bool:
    return any(name in files for _, _, files in os.walk(directory))


OPTIONS: dict[Any, dict[str, Any]] = {
    meta_file: {"outputs": ["layer/y"]},
    saved_model: {},
}


@pytest.mark.parametrize("make", OPTIONS, ids=lambda make: make.__name__)
def test_a_file_that_a_graph_names_is_copied_only_if_trusted(
    make: Callable[[Path, Path], Path], private: Path, tmp_path: Path
) -> None:
    source = make(tmp_path / "source", private)
    for number, options in enumerate([{}, {"trusted": False}]):
        with pytest.raises(UntrustedPathError, match=r"asset '.*private.key' leads out of .* trusted=True") as caught:
            tfsaver.export_saved_model(source, tmp_path / f"{number}", durable=False, **OPTIONS[make], **options)
        assert caught.value.paths == (str(private),)
        assert not (tmp_path / f"{number}").exists()
    exported = tfsaver.export_saved_model(source, tmp_path / "trusted", trusted=True, durable=False, **OPTIONS[make])
    assert copied(Path(exported))


def test_a_file_that_a_graph_alone_names_is_not_followed(private: Path, tmp_path: Path) -> None:
    source = graph_file(tmp_path / "source", private)
    options: dict[str, Any] = {"outputs": ["layer/y"], "variables": VALUES, "durable": False, "assets": ["vocabulary:0"]}
    with pytest.raises(UntrustedPathError):
        tfsaver.export_saved_model(source, tmp_path / "export", **options)
    assert copied(Path(tfsaver.export_saved_model(source, tmp_path / "export", trusted=True, **options)))


def test_every_file_outside_is_listed(private: Path, tmp_path: Path) -> None:
    source = meta_file(tmp_path / "source", private)
    meta_graph = naming(private)
    meta_graph.graph_def.node.append(string_const("second", "/etc/second"))
    next(node for node in meta_graph.graph_def.node if node.name == "layer/y").input.append("^second")
    meta_graph.collection_def["asset_filepaths"].node_list.value.append("second:0")
    source.with_suffix(".meta").write_bytes(meta_graph.SerializeToString())
    with pytest.raises(UntrustedPathError) as caught:
        tfsaver.export_saved_model(source, tmp_path / "export", outputs=["layer/y"])
    assert caught.value.paths == (str(private), "/etc/second")


def test_the_callers_own_files_are_taken_from_anywhere(private: Path, tmp_path: Path) -> None:
    source = meta_file(tmp_path / "source", Path("/etc/hostname"))
    exported = tfsaver.export_saved_model(
        source, tmp_path / "export", outputs=["layer/y"], assets={"vocabulary:0": private}, trusted=False, durable=False
    )
    assert copied(Path(exported))


def test_files_beside_the_graph_are_taken(tmp_path: Path) -> None:
    source = meta_file(tmp_path / "source", tmp_path / "source" / "vocab.txt")
    (tmp_path / "source" / "vocab.txt").write_text("a\nb\n")
    exported = tfsaver.export_saved_model(source, tmp_path / "export", outputs=["layer/y"], trusted=False, durable=False)
    assert copied(Path(exported), "vocab.txt")
    os.replace(tmp_path / "source" / "vocab.txt", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", tmp_path / "source" / "vocab.txt")
    with pytest.raises(UntrustedPathError):
        tfsaver.export_saved_model(source, tmp_path / "linked", outputs=["layer/y"])


def test_pruning_copies_what_the_graph_names_only_if_trusted(private: Path, tmp_path: Path) -> None:
    model = saved_model(tmp_path / "source", private)
    for trusted in (None, False):
        with tfsaver.edit_saved_model(model, trusted=trusted) as edit, pytest.raises(UntrustedPathError):
            edit.prune()
    with tfsaver.edit_saved_model(model, trusted=True) as edit:
        edit.prune()
        assert copied(Path(edit.save(tmp_path / "pruned", durable=False)))


@pytest.mark.parametrize("link", ["directory", "file", "nested"])
def test_an_untrusted_model_is_edited_without_what_links_point_to(link: str, private: Path, tmp_path: Path) -> None:
    model = saved_model(tmp_path / "source", tmp_path / "source" / "vocab.txt")
    if link == "directory":
        os.symlink(private.parent, model / "assets.extra")
    else:
        (model / "assets.extra" / "sub").mkdir(parents=True)
        os.symlink(private, model / "assets.extra" / ("sub/private.key" if link == "nested" else "private.key"))
    with tfsaver.edit_saved_model(model, trusted=False) as edit:
        with pytest.raises(UntrustedPathError, match=r"assets\.extra.* leads out of"):
            edit.save(tmp_path / "edited", durable=False)
        assert not (tmp_path / "edited").exists()
    with tfsaver.edit_saved_model(model) as edit:
        assert copied(Path(edit.save(tmp_path / "edited", durable=False)))


def test_links_of_an_untrusted_model_stop_merging_and_freezing(private: Path, tmp_path: Path) -> None:
    model = saved_model(tmp_path / "source", tmp_path / "source" / "vocab.txt")
    data = model / "variables" / "variables.data-00000-of-00001"
    os.replace(data, tmp_path / "moved")
    os.symlink(tmp_path / "moved", data)
    acts: list[Callable[[bool], Any]] = [
        lambda trusted: tfsaver.merge_saved_models([model], tmp_path / "merged", trusted=trusted, durable=False),
        lambda trusted: tfsaver.freeze_saved_model(model, trusted=trusted),
        lambda trusted: tfsaver.export_saved_model(
            model, tmp_path / "export", assets={"vocabulary:0": private}, trusted=trusted, durable=False
        ),
    ]
    for act in acts:
        with pytest.raises(UntrustedPathError, match="variables.data-00000-of-00001 leads out of"):
            act(False)
        assert act(True)


def test_links_that_have_no_end_are_an_error(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "source", tmp_path / "source" / "vocab.txt")
    (model / "a").mkdir()
    (model / "b").mkdir()
    os.symlink("../b", model / "a" / "x")
    os.symlink("../a", model / "b" / "y")
    with tfsaver.edit_saved_model(model) as edit, pytest.raises(InvalidArgumentError, match="a directory that it is in"):
        edit.save(tmp_path / "edited", durable=False)


def test_exports_and_edits_report_progress(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    size = sum(value.nbytes for value in VALUES.values())
    options: dict[str, Any] = {"progress": lambda done, total: told.append((done, total)), "durable": False}
    exported = tfsaver.export_saved_model(dense(), tmp_path / "export", outputs=["layer/y"], variables=VALUES, **options)
    assert told[-1] == (size, size)
    told.clear()
    tfsaver.merge_saved_models([exported], tmp_path / "merged", **options)
    assert told[-1] == (size, size)
    told.clear()
    with tfsaver.edit_saved_model(exported) as edit:
        edit.save(tmp_path / "edited", **options)
    assert told[-1] == (size, size)


def test_dry_run_of_an_export_reads_values_where_it_is_asked_to(tmp_path: Path) -> None:
    prefix = Path(tfsaver.save_checkpoint(VALUES, tmp_path / "model", durable=False))
    data = prefix.with_name("model.data-00000-of-00001")
    data.write_bytes(bytes(byte ^ 1 for byte in data.read_bytes()))
    options: dict[str, Any] = {"outputs": ["layer/y"], "variables": prefix}
    tfsaver.export_saved_model(dense(), tmp_path / "export", dry_run=True, **options)
    with pytest.raises(DataLossError):
        tfsaver.export_saved_model(dense(), tmp_path / "export", dry_run="values", **options)
    assert not (tmp_path / "export").exists()
