"""Finding, asking for and removing checkpoints."""

from __future__ import annotations

import logging
import os
import pathlib
import shutil

import hypothesis
import pytest
from hypothesis import strategies

from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_management
from tfsaver.checkpoint.checkpoint_management import (
    checkpoint_exists,
    get_checkpoint_mtimes,
    latest_checkpoint,
    matching_files,
    meta_graph_filename,
    remove_checkpoint,
    update_checkpoint_state,
)
from tfsaver.checkpoint.checkpoint_state import format_checkpoint_state
from tfsaver.errors import InvalidArgumentError


def touch(directory: pathlib.Path, *names: str) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write_state(directory: pathlib.Path, *paths: str) -> None:
    state = schemas.CheckpointState(model_checkpoint_path=paths[-1], all_model_checkpoint_paths=paths)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "checkpoint").write_text(format_checkpoint_state(state), encoding="utf-8")


def listing(directory: pathlib.Path) -> list[str]:
    return sorted(os.listdir(directory))


# The newest checkpoint.


@pytest.mark.parametrize("name", ["m-1.index", "m-1"])
def test_latest_is_found_in_either_format(tmp_path, name):
    write_state(tmp_path, "m-0", "m-1")
    touch(tmp_path, name)
    assert latest_checkpoint(tmp_path) == str(tmp_path / "m-1")
    assert latest_checkpoint(os.fsencode(tmp_path)) == str(tmp_path / "m-1")


def test_latest_of_a_v1_checkpoint_in_several_files_is_its_pattern(tmp_path):
    write_state(tmp_path, "m-1-?????-of-00002")
    touch(tmp_path, "m-1-00000-of-00002", "m-1-00001-of-00002")
    assert latest_checkpoint(tmp_path) == str(tmp_path / "m-1-?????-of-00002")


def test_latest_is_none_without_a_state_file(tmp_path):
    touch(tmp_path, "m-1.index", "m-1.data-00000-of-00001")
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_latest_that_is_gone_is_none_and_the_log_says_what_was_looked_for(tmp_path, caplog):
    write_state(tmp_path, "m-1", "/elsewhere/m-2")
    touch(tmp_path, "m-1.index")
    assert latest_checkpoint(tmp_path) is None
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    for path in ("/elsewhere/m-2.index", str(tmp_path / "m-2.index"), str(tmp_path / "checkpoint")):
        assert path in record.getMessage()


def test_latest_of_a_moved_directory_is_found_beside_its_state_file(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    before, after = tmp_path / "before", tmp_path / "after"
    touch(before, "m-1.index", "m-2.index")
    update_checkpoint_state(before, before / "m-2", [before / "m-1"])
    assert latest_checkpoint(before) == str(before / "m-2")
    assert not caplog.records
    before.rename(after)
    assert latest_checkpoint(after) == str(after / "m-2")
    [record] = caplog.records
    assert record.levelno == logging.INFO
    assert str(before / "m-2") in record.getMessage()


def test_latest_of_a_copied_directory_is_the_recorded_one_as_long_as_that_is_there(tmp_path):
    touch(tmp_path / "old", "m-1.index")
    update_checkpoint_state(tmp_path / "old", tmp_path / "old" / "m-1")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    assert latest_checkpoint(tmp_path / "new") == str(tmp_path / "old" / "m-1")
    shutil.rmtree(tmp_path / "old")
    assert latest_checkpoint(tmp_path / "new") == str(tmp_path / "new" / "m-1")


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        (r"C:\models\run\m-1", "m-1"),
        (r"run\m-1", "m-1"),
        ("gs://bucket/run/m-1", "m-1"),
        ("sub/m-1", "m-1"),
        ("/old/m-1-?????-of-00002", "m-1-?????-of-00002"),
        ("/old/m[1]", "m[1]"),
    ],
)
def test_latest_is_found_by_name_whatever_the_recorded_path_looks_like(tmp_path, monkeypatch, recorded, name):
    # A store is not asked: what it answers is that nothing is there.
    monkeypatch.setattr(checkpoint_management.file_io, "is_remote", lambda path: False)
    write_state(tmp_path, recorded)
    touch(tmp_path, name.replace("?????", "00000") if "?" in name else f"{name}.index")
    assert latest_checkpoint(tmp_path) == str(tmp_path / name)


@pytest.mark.parametrize("recorded", ["/old/run/", "/old/..", "/old/."])
def test_recorded_path_without_a_name_is_not_looked_for_beside_the_state_file(tmp_path, recorded):
    write_state(tmp_path, recorded)
    assert latest_checkpoint(tmp_path) is None


def test_directory_beside_the_state_file_is_no_moved_checkpoint(tmp_path):
    write_state(tmp_path, "/old/export")
    (tmp_path / "export").mkdir()
    assert latest_checkpoint(tmp_path) is None


def test_latest_in_a_directory_named_like_a_pattern(tmp_path):
    directory = tmp_path / "run[1]*"
    touch(directory, "m?-1.index")
    update_checkpoint_state(directory, directory / "m?-1")
    assert latest_checkpoint(directory) == str(directory / "m?-1")


def test_latest_with_another_state_file(tmp_path):
    touch(tmp_path, "m-1.index", "best.index")
    update_checkpoint_state(tmp_path, tmp_path / "m-1")
    update_checkpoint_state(tmp_path, tmp_path / "best", latest_filename="best_checkpoint")
    assert latest_checkpoint(tmp_path, "best_checkpoint") == str(tmp_path / "best")
    assert latest_checkpoint(tmp_path) == str(tmp_path / "m-1")


def test_latest_of_an_empty_state_file_is_an_error(tmp_path):
    touch(tmp_path, "checkpoint")
    with pytest.raises(InvalidArgumentError, match="Invalid checkpoint state loaded from"):
        latest_checkpoint(tmp_path)


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(path=strategies.text(strategies.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_latest_names_only_what_is_there(tmp_path_factory, path):
    hypothesis.assume("://" not in path)
    directory = tmp_path_factory.mktemp("run")
    write_state(directory, f"nowhere/{path}")
    touch(directory, "m-1.index")
    try:
        latest = latest_checkpoint(directory)
    except InvalidArgumentError:
        assert "\0" in path
    else:
        assert latest is None or checkpoint_exists(latest)


# Whether one is there.


@pytest.mark.parametrize(
    ("files", "prefix"),
    [
        (["m-1.index"], "m-1"),
        (["m-1"], "m-1"),
        (["m-1-00000-of-00002"], "m-1-?????-of-00002"),
        (["m-1.index"], "m-[12]"),
        (["m-1.index"], "*"),
        (["m[1].index"], "m[1]"),
        (["a\\b.index"], "a\\b"),
    ],
)
def test_checkpoint_exists(tmp_path, files, prefix):
    touch(tmp_path, *files)
    assert checkpoint_exists(tmp_path / prefix)
    assert checkpoint_exists(os.fsencode(tmp_path / prefix))


@pytest.mark.parametrize("prefix", ["m", "m-2", "m-1-?????-of-00003", "nowhere/m-1", "nowhere/*", "[2]*", "M-1"])
def test_checkpoint_does_not_exist(tmp_path, prefix):
    touch(tmp_path, "m-1.index", "m-1-00000-of-00002")
    assert not checkpoint_exists(tmp_path / prefix)


def test_path_that_is_none_is_an_error():
    with pytest.raises(InvalidArgumentError, match="NoneType"):
        checkpoint_exists(None)


def test_literal_name_comes_before_the_pattern(tmp_path):
    touch(tmp_path, "m1.index", "m[1].index")
    assert matching_files(tmp_path / "m[1].index") == [str(tmp_path / "m[1].index")]
    assert matching_files(tmp_path / "m[12].index") == [str(tmp_path / "m1.index")]


def test_pattern_matches_sorted_and_in_the_last_part_only(tmp_path, monkeypatch):
    touch(tmp_path, "run/b", "run/a", "run/.c", "run/sub/a")
    assert matching_files(tmp_path / "run" / "*") == [str(tmp_path / "run" / name) for name in (".c", "a", "b", "sub")]
    assert matching_files(tmp_path / "run" / "[!a.]") == [str(tmp_path / "run" / "b")]
    assert matching_files(tmp_path / "r?n" / "a") == []
    monkeypatch.chdir(tmp_path / "run")
    assert matching_files("?") == ["a", "b"]
    assert matching_files("") == []


# When it was written.


def test_mtimes_are_whole_seconds_of_the_checkpoints_that_are_there(tmp_path):
    touch(tmp_path, "m-1.index", "m-2", "m-3-00000-of-00001")
    for seconds, name in enumerate(["m-1.index", "m-2", "m-3-00000-of-00001"], start=1000):
        os.utime(tmp_path / name, (seconds + 0.75, seconds + 0.75))
    prefixes = [tmp_path / "m-2", tmp_path / "gone", tmp_path / "m-3-?????-of-00001", tmp_path / "m-1"]
    assert get_checkpoint_mtimes(prefixes) == [1001.0, 1002.0, 1000.0]
    assert get_checkpoint_mtimes(os.fspath(prefix) for prefix in prefixes[:2]) == [1001.0]
    assert get_checkpoint_mtimes([]) == []


def test_mtimes_of_a_single_path_is_an_error(tmp_path):
    with pytest.raises(InvalidArgumentError, match="list of paths"):
        get_checkpoint_mtimes(str(tmp_path / "m-1"))
    with pytest.raises(InvalidArgumentError, match="list of paths"):
        get_checkpoint_mtimes(tmp_path / "m-1")


# Removing it.

V1, V2 = schemas.SaverDef.V1, schemas.SaverDef.V2


def test_remove_takes_a_v2_checkpoint_and_nothing_else(tmp_path):
    mine = ["m-1.index", "m-1.meta", "m-1.data-00000-of-00002", "m-1.data-00001-of-00002"]
    others = ["checkpoint", "m-1", "m-1.debug", "m-1.data-tmp", "m-10.index", "m-10.data-00000-of-00001", "xm-1.index"]
    touch(tmp_path, *mine, *others)
    remove_checkpoint(tmp_path / "m-1")
    assert listing(tmp_path) == sorted(others)
    remove_checkpoint(tmp_path / "m-1")
    assert listing(tmp_path) == sorted(others)


def test_remove_takes_a_v1_checkpoint_of_one_file(tmp_path):
    touch(tmp_path, "m-1", "m-1.meta", "m-1.index", "m-10")
    remove_checkpoint(os.fsencode(tmp_path / "m-1"), V1)
    assert listing(tmp_path) == ["m-1.index", "m-10"]


def test_remove_takes_every_file_of_a_v1_checkpoint_in_several(tmp_path):
    touch(tmp_path, "m-1.meta", "m-1-00000-of-00002", "m-1-00001-of-00002", "m-1-00000-of-00003", "m-2-00000-of-00002")
    remove_checkpoint(str(tmp_path / "m-1-?????-of-00002"), checkpoint_format_version=V1)
    assert listing(tmp_path) == ["m-1-00000-of-00003", "m-2-00000-of-00002"]


def test_remove_takes_the_meta_graph_of_the_given_suffix(tmp_path):
    touch(tmp_path, "m-1.index", "m-1.meta", "m-1.graph")
    remove_checkpoint(tmp_path / "m-1", V2, "graph")
    assert listing(tmp_path) == ["m-1.meta"]


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("prefix", ["m[1]", "m?", "*", "m[1]-?????-of-00001"])
def test_remove_never_takes_another_checkpoint_for_a_pattern(tmp_path, prefix, version):
    others = [f"m1{suffix}" for suffix in ("", ".index", ".meta", ".data-00000-of-00001", "-00000-of-00001")]
    touch(tmp_path, *others)
    remove_checkpoint(tmp_path / prefix, version)
    assert listing(tmp_path) == sorted(others)


@pytest.mark.parametrize(
    ("prefix", "version", "files"),
    [
        ("m[1]", V2, ["m[1].index", "m[1].data-00000-of-00001", "m[1].meta"]),
        ("m[1]-?????-of-00001", V1, ["m[1]-00000-of-00001", "m[1].meta"]),
        ("m*", V1, ["m*", "m*.meta"]),
    ],
)
def test_remove_takes_a_checkpoint_named_like_a_pattern(tmp_path, prefix, version, files):
    touch(tmp_path, *files)
    remove_checkpoint(tmp_path / prefix, version)
    assert listing(tmp_path) == []


def test_remove_that_is_interrupted_leaves_no_checkpoint(tmp_path, monkeypatch):
    touch(tmp_path, "m-1.index", "m-1.data-00000-of-00001", "m-1.meta")
    removed = []

    def remove_one(path: str) -> None:
        if removed:
            raise OSError("the power is gone")
        removed.append(path)
        os.remove(path)

    monkeypatch.setattr(checkpoint_management.file_io, "remove", remove_one)
    with pytest.raises(OSError, match="power"):
        remove_checkpoint(tmp_path / "m-1")
    assert not checkpoint_exists(tmp_path / "m-1")


def test_remove_of_an_unknown_version_is_an_error(tmp_path):
    touch(tmp_path, "m-1")
    with pytest.raises(InvalidArgumentError, match="CheckpointFormatVersion"):
        remove_checkpoint(tmp_path / "m-1", 3)
    assert listing(tmp_path) == ["m-1"]


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("m-1", "m-1.meta"),
        ("m-1-?????-of-00003", "m-1.meta"),
        ("m-00001-of-00002", "m.meta"),
        ("m-1-of-2", "m.meta"),
        ("m-x-of-2", "m-x-of-2.meta"),
        ("m-1-of-2/x", "m-1-of-2/x.meta"),
        (pathlib.Path("run/m.1"), "run/m.1.meta"),
    ],
)
def test_meta_graph_filename(prefix, path):
    assert meta_graph_filename(prefix) == path
    assert meta_graph_filename(prefix, "graph") == path.removesuffix("meta") + "graph"


def test_checkpoints_in_a_store(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    directory = f"memory://{tmp_path.name}"
    store = fsspec.filesystem("memory")
    for name in ("m-1.index", "m-1.data-00000-of-00001", "m-1.meta", "v-00000-of-00001"):
        store.pipe_file(f"/{tmp_path.name}/{name}", b"x")
    update_checkpoint_state(directory, "/tmp/of/another/machine/m-1")
    assert latest_checkpoint(directory) == f"{directory}/m-1"
    assert checkpoint_exists(f"{directory}/v-?????-of-00001")
    assert len(get_checkpoint_mtimes([f"{directory}/m-1"])) == 1
    remove_checkpoint(f"{directory}/m-1")
    assert latest_checkpoint(directory) is None
    assert checkpoint_management.file_io.list_directory(directory) == ["checkpoint", "v-00000-of-00001"]


# Files that other programs wrote.


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("v1_bad_half_plus_two/00000123", "export"),
        ("v2_tfx_estimator_ckpt", "model.ckpt-1000"),
        ("v2_t2t_transformer_two_shards", "model.ckpt-1"),
        ("gen_tf2_object_mutable_table_and_list", "ckpt-3"),
        ("gen_partitioned_v1_single", "model.ckpt-1"),
        ("gen_partitioned_v2_sharded", "model.ckpt-1"),
        ("gen_many_variables_v2", "many.ckpt"),
    ],
)
def test_latest_of_the_cases(cases, directory, name):
    assert latest_checkpoint(cases / directory) == str(cases / directory / name)
