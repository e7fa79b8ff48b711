"""Every way to name a checkpoint, and one clear sentence for what names none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tfsaver
from tests.table.stores import build
from tfsaver.checkpoint.checkpoint_location import locate_checkpoint
from tfsaver.checkpoint.checkpoint_management import latest_checkpoint, update_checkpoint_state
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.doctor.doctor import diagnose
from tfsaver.checkpoint.doctor.state_repair import repair_state_file
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError, SaverError

TENSORS = {"w": np.arange(3, dtype=np.float32)}


def v2(prefix: Path, num_shards: int = 1) -> Path:
    save_checkpoint(TENSORS, prefix, num_shards=num_shards, durable=False)
    return prefix


def v1(prefix: Path, num_shards: int = 1) -> Path:
    save_checkpoint(TENSORS, prefix, format="V1", num_shards=num_shards, durable=False)
    return prefix


def opens(path: str | Path | bytes) -> tuple[str, str]:
    """The prefix's last part and the version of what a path opens."""
    with load_checkpoint(path) as reader:
        assert reader["w"].tolist() == [0, 1, 2]
        return os.path.basename(reader.prefix), reader.version


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00002", ".data-00001-of-00002", ".meta"])
def test_v2_checkpoint_by_any_of_its_files(suffix: str, tmp_path: Path) -> None:
    v2(tmp_path / "model.ckpt-7", num_shards=2)
    (tmp_path / "model.ckpt-7.meta").write_bytes(b"")
    assert opens(f"{tmp_path}/model.ckpt-7{suffix}") == ("model.ckpt-7", "V2")
    assert opens(os.fsencode(f"{tmp_path}/model.ckpt-7{suffix}")) == ("model.ckpt-7", "V2")
    assert opens(f"file://{tmp_path}/model.ckpt-7{suffix}") == ("model.ckpt-7", "V2")


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001", ".meta"])
def test_name_of_a_file_that_is_gone_still_names_its_checkpoint(suffix: str, tmp_path: Path) -> None:
    v2(tmp_path / "model", num_shards=2)
    assert opens(f"{tmp_path}/model{suffix}") == ("model", "V2")


@pytest.mark.parametrize("name", ["model", "model.meta"])
def test_v1_checkpoint_in_one_file(name: str, tmp_path: Path) -> None:
    v1(tmp_path / "model")
    (tmp_path / "model.meta").write_bytes(b"")
    assert opens(tmp_path / name) == ("model", "V1")


@pytest.mark.parametrize("name", ["model", "model-?????-of-00003", "model-00000-of-00003", "model-00002-of-00003", "model-*", "model.meta"])
def test_v1_checkpoint_in_several_files(name: str, tmp_path: Path) -> None:
    v1(tmp_path / "model", num_shards=3)
    (tmp_path / "model.meta").write_bytes(b"")
    assert opens(tmp_path / name) == ("model-?????-of-00003", "V1")


def test_v2_checkpoint_is_preferred(tmp_path: Path) -> None:
    v1(tmp_path / "model")
    v2(tmp_path / "model")
    assert opens(tmp_path / "model") == ("model", "V2")


@pytest.mark.parametrize("name", ["", "checkpoint"])
def test_directory_with_a_state_file_is_its_latest(name: str, tmp_path: Path) -> None:
    for step in (1, 2):
        v2(tmp_path / f"model-{step}")
    update_checkpoint_state(tmp_path, str(tmp_path / "model-1"), [str(tmp_path / "model-2"), str(tmp_path / "model-1")])
    assert opens(tmp_path / name) == ("model-1", "V2")


def test_directory_that_was_moved_still_finds_its_latest(tmp_path: Path) -> None:
    v2(tmp_path / "old" / "model-1")
    update_checkpoint_state(tmp_path / "old", str(tmp_path / "old" / "model-1"))
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert opens(tmp_path / "new") == ("model-1", "V2")


@pytest.mark.parametrize("name", ["", "saved_model.pb", "variables", "variables/variables"])
def test_saved_model_is_its_variables(name: str, tmp_path: Path) -> None:
    v2(tmp_path / "variables" / "variables")
    (tmp_path / "saved_model.pb").write_bytes(b"\0")
    assert opens(tmp_path / name) == ("variables", "V2")


def test_v2_pattern_with_one_match_is_that_one(tmp_path: Path) -> None:
    v2(tmp_path / "model-1")
    assert opens(tmp_path / "model-*") == ("model-1", "V2")


def test_name_that_looks_like_a_pattern_is_a_name(tmp_path: Path) -> None:
    v2(tmp_path / "mod[e]l")
    v1(tmp_path / "v1[x]")
    assert opens(tmp_path / "mod[e]l") == ("mod[e]l", "V2")
    assert opens(tmp_path / "v1[x]") == ("v1[x]", "V1")


def test_relative_paths_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    v2(tmp_path / "model")
    v1(tmp_path / "old", num_shards=2)
    update_checkpoint_state(tmp_path, "model")
    monkeypatch.chdir(tmp_path)
    for path in ("model", "model.index", ".", "checkpoint"):
        assert opens(path) == ("model", "V2")
    assert opens("old") == ("old-?????-of-00002", "V1")


# What names no checkpoint.


def sentence_of(path: str | Path, error: type[SaverError] = CheckpointNotFoundError) -> str:
    with pytest.raises(error) as caught:
        load_checkpoint(path)
    return str(caught.value)


def test_missing_path_says_what_was_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "model"
    sentence = f"no checkpoint at '{path}': looked for {path}.index or {path} or {path}-?????-of-?????; nothing of that name is there"
    assert sentence_of(path) == sentence


def test_missing_name_says_which_are_near(tmp_path: Path) -> None:
    v2(tmp_path / "model.ckpt-1000")
    v2(tmp_path / "model.ckpt-2000")
    sentence = sentence_of(tmp_path / "model.ckpt-100")
    assert sentence.endswith("; nothing of that name is there, but 'model.ckpt-1000', 'model.ckpt-2000'")
    assert sentence_of(tmp_path / "weights").endswith("; nothing of that name is there, but 'model.ckpt-1000', 'model.ckpt-2000'")


def test_missing_directory_is_named(tmp_path: Path) -> None:
    assert sentence_of(tmp_path / "a" / "model").endswith(f"; the directory '{tmp_path / 'a'}' does not exist")


def test_directory_without_checkpoints_says_so(tmp_path: Path) -> None:
    sentence = f"no checkpoint at '{tmp_path}': looked for {tmp_path}/checkpoint or {tmp_path}/variables/variables.index; "
    assert sentence_of(tmp_path) == sentence + "a directory without checkpoints"


def test_directory_without_a_state_file_lists_what_is_there(tmp_path: Path) -> None:
    for step in range(5):
        v2(tmp_path / f"model-{step}")
    assert sentence_of(tmp_path).endswith(
        "; a directory with no state file, and the checkpoints 'model-0', 'model-1', 'model-2' and 2 more: pass one of them"
    )


@pytest.mark.parametrize("name", ["", "checkpoint"])
def test_state_file_of_a_checkpoint_that_is_gone_says_so(name: str, tmp_path: Path) -> None:
    update_checkpoint_state(tmp_path, "model-1")
    assert "a directory without checkpoints but with a state file" in sentence_of(tmp_path / name)
    v2(tmp_path / "model-2")
    assert "a state file that names a checkpoint which is not there, and the checkpoints 'model-2'" in sentence_of(tmp_path / name)


def test_state_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("this is not a state file")
    assert f"{tmp_path}/checkpoint" in sentence_of(tmp_path / "checkpoint", SaverError)


def test_text_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Some notes about the training, rather more than forty-eight bytes of them.\n")
    sentence = sentence_of(path, DataLossError)
    assert sentence.startswith(f"{path} is not a checkpoint; {path} is text that begins 'Some notes")
    path.write_bytes(bytes(range(100)))
    sentence = sentence_of(path, DataLossError)
    assert f"no V2 checkpoint, since {path}.index is not there, and no sound V1 checkpoint" in sentence
    assert f"{path} is not an sstable: bad magic number" in sentence
    path.write_bytes(bytes(5))
    assert "too short to be an sstable: 48 bytes wanted, 5 available" in sentence_of(path, DataLossError)


def test_data_shard_without_its_index_says_so(tmp_path: Path) -> None:
    v2(tmp_path / "model")
    (tmp_path / "model.index").unlink()
    data = tmp_path / "model.data-00000-of-00001"
    sentence = f"no checkpoint at '{tmp_path / 'model'}': looked for {tmp_path / 'model'}.index; "
    assert sentence_of(data) == sentence + f"the data shard '{data}' is, without its index"
    assert sentence_of(tmp_path / "model").endswith("its data shards are there, its index is not")


def test_meta_graph_without_weights_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.meta").write_bytes(b"")
    assert sentence_of(tmp_path / "model.meta").endswith(f"the meta graph '{tmp_path / 'model.meta'}' is, without weights")


def test_v1_shard_that_is_gone_says_which(tmp_path: Path) -> None:
    v1(tmp_path / "model", num_shards=3)
    (tmp_path / "model-00001-of-00003").unlink()
    for name in ("model", "model-?????-of-00003", "model-00000-of-00003", "model-*"):
        sentence = sentence_of(tmp_path / name)
        assert f"looked for {tmp_path}/model-00001-of-00003; 2 of its 3 shards are" in sentence


def test_v2_pattern_with_several_matches_lists_them(tmp_path: Path) -> None:
    for step in (1, 2):
        v2(tmp_path / f"model-{step}")
    assert "all match it; name one of them" in sentence_of(tmp_path / "model-*")


def test_saved_model_without_variables_says_so(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\0")
    assert sentence_of(tmp_path).endswith("; a SavedModel without variables")


def test_index_of_something_else_says_so(tmp_path: Path) -> None:
    (tmp_path / "book.index").write_bytes(build([(b"a", b"1")]))
    assert "it is a table, but no V2 checkpoint's index" in sentence_of(tmp_path / "book", DataLossError)
    (tmp_path / "book").write_bytes(build([(b"a", b"1")]))
    (tmp_path / "book.index").unlink()
    assert "it is a table, but no V1 checkpoint" in sentence_of(tmp_path / "book", DataLossError)


@pytest.mark.parametrize("path", [None, 3, "", "a\0b", ["model"]])
def test_what_is_no_path_is_an_invalid_argument(path: object) -> None:
    with pytest.raises(InvalidArgumentError, match="path must"):
        locate_checkpoint(path)  # type: ignore[arg-type]


def test_error_has_the_facts_as_fields(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load_checkpoint(tmp_path / "model")
    error = caught.value
    assert isinstance(error, CheckpointNotFoundError)
    assert error.prefix == str(tmp_path / "model")
    assert error.looked_for[0] == f"{tmp_path / 'model'}.index"
    assert error.found == "nothing of that name is there"


# State files that name directories, or each other.


def write_state(directory: Path, *entries: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    lines = [f'all_model_checkpoint_paths: "{entry}"\n' for entry in entries]
    (directory / "checkpoint").write_text(f'model_checkpoint_path: "{entries[-1]}"\n{"".join(lines)}')
    return directory


def files_of(directory: Path, *names: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).write_bytes(b"")


CIRCULAR = {
    "its own directory": ".",
    "its own directory by an absolute path": "{run}",
    "its own directory with a slash": "{run}/",
    "its own directory by a link": "loop",
    "the directory above": "..",
    "a directory whose state file names this one": "../other",
    "a directory in it": "sub",
    "a directory in it with a slash": "sub/",
    "a SavedModel's directory": "export",
    "a SavedModel": "export/saved_model.pb",
    "its own state file": "checkpoint",
    "its own state file by way of a meta graph": "checkpoint.meta",
    "its own state file by a pattern": "check*",
    "a directory by a pattern": "su?",
    "the state file of another directory": "../other/checkpoint",
    "its own directory by a long path": "./" * 1500,
}


@pytest.fixture(params=CIRCULAR.values(), ids=CIRCULAR)
def circular(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory whose state file names what is not a checkpoint, but may have a state file or hold a checkpoint."""
    run = tmp_path / "run"
    write_state(run, request.param.format(run=run))
    write_state(tmp_path, "run")
    write_state(tmp_path / "other", "../run")
    write_state(run / "sub", "..")
    files_of(run, "checkpoint.meta")
    files_of(run / "export", "saved_model.pb")
    v2(run / "export" / "variables" / "variables")
    (run / "loop").symlink_to(".")
    return run


ROUTES = {
    "load_checkpoint": load_checkpoint,
    "load_checkpoint, not trusted": lambda path: load_checkpoint(path, trusted=False),
    "load_checkpoint of the state file": lambda path: load_checkpoint(path / "checkpoint"),
    "verify": verify_checkpoint,
    "cast": lambda path: tfsaver.cast(path, path.parent / "cast", "float16"),
    "average": lambda path: tfsaver.average([path, path], path.parent / "average"),
}


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_state_file_that_leads_on_is_one_short_error(
    circular: Path, route: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    try:
        damage = route(circular)
    except SaverError as error:
        damage = error
    assert isinstance(damage, SaverError) or not damage.ok  # type: ignore[attr-defined]
    assert len(str(damage)) < 600 + 2 * len(str(circular))
    assert len(caplog.text) < 300


def test_latest_checkpoint_neither_follows_nor_verifies_a_directory(circular: Path) -> None:
    assert latest_checkpoint(circular, verified=True) is None
    assert latest_checkpoint(circular, verified=True, trusted=False) is None
    one, _ = v2(circular / "m-1"), v2(circular / "m-2")
    (circular / "m-2.data-00000-of-00001").write_bytes(b"")
    assert latest_checkpoint(circular, verified=True) == str(one)


def test_doctor_names_what_a_state_file_leads_to_and_fixes_it(tmp_path: Path) -> None:
    run = write_state(tmp_path / "run", ".")
    v2(run / "m-1")
    messages = [str(finding) for finding in diagnose(run).findings]
    assert any(f"'{run}/.' is a directory, not a checkpoint's prefix" in message for message in messages)
    repair_state_file(diagnose(run))
    assert opens(run) == ("m-1", "V2")
    assert diagnose(run).ok


def test_entry_that_is_a_directory_says_what_to_pass_instead(tmp_path: Path) -> None:
    run = write_state(tmp_path / "run", ".")
    start = f"no checkpoint at '{run}': looked for the checkpoint that its state file names; "
    assert sentence_of(run) == f"{start}'{run}/.' is a directory, not a checkpoint's prefix, and it holds no checkpoints"
    write_state(run, "../other")
    v2(tmp_path / "other" / "m-7")
    assert sentence_of(run).endswith("is a directory, not a checkpoint's prefix; pass that directory, or one of the checkpoints in it: 'm-7'")
    v2(run / "m-1")
    assert sentence_of(run).endswith(f"; pass one of the checkpoints 'm-1', or let `tfsaver doctor {run} --fix` correct the state file")
    write_state(tmp_path / "model", "../export")
    files_of(tmp_path / "export", "saved_model.pb")
    assert sentence_of(tmp_path / "model").endswith("; pass that directory to open the SavedModel in it")
    assert "checkpoint' is a state file, not a checkpoint's prefix" in sentence_of(write_state(tmp_path / "own", "checkpoint"))


@pytest.mark.parametrize("entry", [".", "./", "{run}/", "{run}"])
def test_checkpoint_without_a_name_is_found_by_its_directory(entry: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = write_state(tmp_path / "run", entry.format(run=tmp_path / "run"))
    v2(tmp_path / "m")
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.move(tmp_path / f"m{suffix}", run / suffix)
    for path in (run, run / "checkpoint", f"{run}/", latest_checkpoint(run), latest_checkpoint(run, verified=True)):
        assert path is not None and opens(path) == ("", "V2")
    if not entry.startswith("{run}"):
        with load_checkpoint(run, trusted=False) as reader:
            assert reader["w"].tolist() == [0, 1, 2]
    assert verify_checkpoint(run).ok and not caplog.text
    (run / "checkpoint").unlink()
    assert opens(run) == ("", "V2")


def test_entry_may_be_a_v1_checkpoint_with_the_name_of_a_state_file(tmp_path: Path) -> None:
    v1(write_state(tmp_path / "run", "../other/checkpoint").parent / "other" / "checkpoint")
    assert opens(tmp_path / "run") == ("checkpoint", "V1")


def test_meta_graph_does_not_lead_to_a_directory(tmp_path: Path) -> None:
    write_state(tmp_path / "model", "m-1")
    v2(tmp_path / "model" / "m-1")
    files_of(tmp_path, "model.meta")
    assert sentence_of(tmp_path / "model.meta").endswith("model.meta' is, without weights")
