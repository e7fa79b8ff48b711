"""The state file's text, and the rules by which its paths are written and read."""

from __future__ import annotations

import logging
import os
import pathlib

import hypothesis
import pytest
from hypothesis import strategies

from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_state
from tfsaver.checkpoint.checkpoint_state import (
    format_checkpoint_state,
    generate_checkpoint_state_proto,
    get_checkpoint_state,
    parse_checkpoint_state,
    update_checkpoint_state,
)
from tfsaver.errors import InvalidArgumentError, NotFoundError


def write_state(directory: pathlib.Path, text: str | bytes) -> None:
    (directory / "checkpoint").write_bytes(text if isinstance(text, bytes) else text.encode())


# What is written.


def test_state_is_one_line_per_value_in_field_order():
    state = schemas.CheckpointState(
        last_preserved_timestamp=3,
        all_model_checkpoint_timestamps=[1, 1795307095.6077342],
        all_model_checkpoint_paths=["m-1", "m-2"],
        model_checkpoint_path="m-2",
    )
    assert format_checkpoint_state(state) == (
        'model_checkpoint_path: "m-2"\n'
        'all_model_checkpoint_paths: "m-1"\n'
        'all_model_checkpoint_paths: "m-2"\n'
        "all_model_checkpoint_timestamps: 1.0\n"
        "all_model_checkpoint_timestamps: 1795307095.6077342\n"
        "last_preserved_timestamp: 3.0\n"
    )


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x01\x0b\x1f\x7f", r"\001\013\037\177"),
        ('it\'s "so"', r"it\'s \"so\""),
        ("C:\\models\\m-1", r"C:\\models\\m-1"),
        ("modèle/学習/😀", "modèle/学習/😀"),
        ("\x80\u2028", "\x80\u2028"),
    ],
)
def test_strings_are_escaped_as_by_protobuf_7(path, written):
    state = schemas.CheckpointState(model_checkpoint_path=path)
    assert format_checkpoint_state(state) == f'model_checkpoint_path: "{written}"\n'


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(
    strategies.text(strategies.characters(exclude_categories=["Cs"]), min_size=1),
    strategies.lists(strategies.floats(allow_nan=False)),
)
def test_what_is_written_is_read_back(path, timestamps):
    state = schemas.CheckpointState(
        model_checkpoint_path=path, all_model_checkpoint_paths=["", path], all_model_checkpoint_timestamps=timestamps
    )
    assert parse_checkpoint_state(format_checkpoint_state(state).encode()) == state


# What is read.


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('model_checkpoint_path: "m-1"', "m-1"),
        ("model_checkpoint_path: 'm-1'\r\n", "m-1"),
        ("model_checkpoint_path: 'm' \"-\"  # a comment\n '1'", "m-1"),
        (r'model_checkpoint_path: "\x6d-\061"', "m-1"),
        (r'model_checkpoint_path: "mod\303\250le"', "modèle"),
        ('model_checkpoint_path: "modèle"', "modèle"),
        ('model_checkpoint_path: "old" model_checkpoint_path: "m-1"', "m-1"),
        ("all_model_checkpoint_paths: [], model_checkpoint_path: 'm-1';", "m-1"),
    ],
)
def test_every_spelling_of_a_path_is_read(tmp_path, text, path):
    write_state(tmp_path, text)
    assert get_checkpoint_state(tmp_path).model_checkpoint_path == os.path.join(tmp_path, path)


def test_lists_are_read_like_repeated_lines(tmp_path):
    write_state(
        tmp_path,
        "model_checkpoint_path: '/b' all_model_checkpoint_paths: ['/a', \"/b\"] all_model_checkpoint_timestamps: [1, 2.5f]",
    )
    state = get_checkpoint_state(tmp_path)
    assert list(state.all_model_checkpoint_paths) == ["/a", "/b"]
    assert list(state.all_model_checkpoint_timestamps) == [1.0, 2.5]


def test_relative_entries_are_joined_and_not_normalised(tmp_path):
    write_state(tmp_path, "model_checkpoint_path: './x/../m-2' all_model_checkpoint_paths: ['m-1', '/abs/./m']")
    directory = f"{tmp_path}/./"
    state = get_checkpoint_state(directory)
    assert state.model_checkpoint_path == f"{directory}./x/../m-2"
    assert list(state.all_model_checkpoint_paths) == [f"{directory}m-1", "/abs/./m"]


def test_url_stays_whole(tmp_path):
    write_state(tmp_path, "model_checkpoint_path: 'gs://bucket/m-1'")
    assert get_checkpoint_state(tmp_path).model_checkpoint_path == "gs://bucket/m-1"


def test_empty_directory_means_the_working_directory(tmp_path, monkeypatch):
    write_state(tmp_path, "model_checkpoint_path: 'm-1'")
    monkeypatch.chdir(tmp_path)
    assert get_checkpoint_state("").model_checkpoint_path == "m-1"
    assert get_checkpoint_state(".").model_checkpoint_path == os.path.join(".", "m-1")


def test_state_file_may_have_another_name(tmp_path):
    update_checkpoint_state(tmp_path, tmp_path / "m-1", latest_filename="newest")
    assert get_checkpoint_state(tmp_path) is None
    assert get_checkpoint_state(tmp_path, "newest").model_checkpoint_path == str(tmp_path / "m-1")
    assert get_checkpoint_state(os.fsencode(tmp_path), b"newest").model_checkpoint_path == str(tmp_path / "m-1")


def test_no_state_file_is_none_without_a_word(tmp_path, caplog):
    assert get_checkpoint_state(tmp_path) is None
    assert get_checkpoint_state(tmp_path / "nowhere") is None
    assert not caplog.records


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b'model_checkpoint_path "m"',
        b'model_checkpoint_path: "m" best_checkpoint: "m"',
        b'model_checkpoint_path: "m\n"',
        b"model_checkpoint_path: 3",
        b'model_checkpoint_path: "m\\377"',
        b'model_checkpoint_path: "m\xff"',
        b"\xff\xfem\x00",
    ],
)
def test_unreadable_text_is_none_with_a_warning(tmp_path, caplog, data):
    write_state(tmp_path, data)
    assert get_checkpoint_state(tmp_path) is None
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert str(tmp_path / "checkpoint") in record.getMessage()


def test_directory_in_place_of_the_state_file_is_none_with_a_warning(tmp_path, caplog):
    (tmp_path / "checkpoint").mkdir()
    assert get_checkpoint_state(tmp_path) is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", 'model_checkpoint_path: ""', "all_model_checkpoint_paths: 'm-1'"])
def test_state_without_a_newest_checkpoint_is_an_error(tmp_path, text):
    write_state(tmp_path, text)
    with pytest.raises(InvalidArgumentError, match="Invalid checkpoint state loaded from") as raised:
        get_checkpoint_state(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert isinstance(raised.value, ValueError)


@hypothesis.settings(deadline=None, database=None)
@hypothesis.given(strategies.binary() | strategies.text("model_checkpoint_path: '\"\\x07[],;{}#\n").map(str.encode))
def test_any_bytes_parse_or_are_our_error(data):
    try:
        parse_checkpoint_state(data)
    except InvalidArgumentError:
        pass


# Which paths are recorded.


@pytest.mark.parametrize(
    ("save_dir", "path", "recorded"),
    [
        ("run", "run/m-1", "m-1"),
        ("run/", "run/m-1", "m-1"),
        ("run", "m-1", "../m-1"),
        ("run", "other/m-1", "../other/m-1"),
        ("run", "/abs/m-1", "/abs/m-1"),
        ("", "m-1", "m-1"),
        (".", "./m-1", "m-1"),
        ("/abs", "/abs/m-1", "/abs/m-1"),
        ("/abs", "m-1", "m-1"),
        ("gs://bucket/run", "gs://bucket/run/m-1", "m-1"),
        ("gs://bucket/run/", "gs://bucket/run//m-1", "m-1"),
        ("gs://bucket/run", "gs://bucket/other/m-1", "gs://bucket/other/m-1"),
        ("gs://bucket/run", "m-1", "m-1"),
        ("run", "gs://bucket/m-1", "gs://bucket/m-1"),
        ("/abs", "gs://bucket/m-1", "gs://bucket/m-1"),
    ],
)
def test_paths_are_recorded_relative_to_a_relative_directory(save_dir, path, recorded):
    state = generate_checkpoint_state_proto(save_dir, path)
    assert state.model_checkpoint_path == recorded
    assert list(state.all_model_checkpoint_paths) == [recorded]


@pytest.mark.parametrize(
    ("save_dir", "path", "recorded"),
    [
        ("/abs", "/abs/m-1", "m-1"),
        ("/abs", "/elsewhere/m-1", "../elsewhere/m-1"),
        ("/abs", "m-1", "m-1"),
        ("run", "run/m-1", "m-1"),
        ("run", os.path.abspath("run/m-1"), "m-1"),
    ],
)
def test_relative_paths_on_request(save_dir, path, recorded):
    assert generate_checkpoint_state_proto(save_dir, path, save_relative_paths=True).model_checkpoint_path == recorded


def test_newest_is_appended_without_touching_the_callers_list():
    paths = ["run/m-1"]
    state = generate_checkpoint_state_proto("run", "run/m-2", paths)
    assert list(state.all_model_checkpoint_paths) == ["m-1", "m-2"]
    assert paths == ["run/m-1"]


def test_newest_that_is_last_already_is_not_appended():
    state = generate_checkpoint_state_proto("/r", pathlib.Path("/r/m-2"), (b"/r/m-1", "/r/m-2"), [1, 2], 0.5)
    assert list(state.all_model_checkpoint_paths) == ["/r/m-1", "/r/m-2"]
    assert list(state.all_model_checkpoint_timestamps) == [1.0, 2.0]
    assert state.last_preserved_timestamp == 0.5


def test_timestamps_must_be_one_per_path():
    with pytest.raises(InvalidArgumentError, match="Checkpoint timestamps, if provided, must match checkpoint paths"):
        generate_checkpoint_state_proto("/r", "/r/m-2", ["/r/m-1"], [1.0])


def test_path_that_is_not_utf8_is_an_error():
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        generate_checkpoint_state_proto("/r", b"/r/m\xff")


# How the file is written.


def test_update_leaves_one_whole_file(tmp_path):
    for step in (1, 2):
        update_checkpoint_state(tmp_path, tmp_path / f"m-{step}", durable=False)
    assert os.listdir(tmp_path) == ["checkpoint"]
    assert (tmp_path / "checkpoint").read_text() == (
        f'model_checkpoint_path: "{tmp_path}/m-2"\nall_model_checkpoint_paths: "{tmp_path}/m-2"\n'
    )


def test_update_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    update_checkpoint_state(tmp_path, tmp_path / "m-1")
    before = (tmp_path / "checkpoint").read_bytes()

    def no_space(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_state.file_io, "replace", no_space)
    with pytest.raises(OSError, match="No space"):
        update_checkpoint_state(tmp_path, tmp_path / "m-2")
    assert os.listdir(tmp_path) == ["checkpoint"]
    assert (tmp_path / "checkpoint").read_bytes() == before


def test_update_writes_raw_utf8(tmp_path):
    update_checkpoint_state(tmp_path, tmp_path / "modèle", save_relative_paths=True)
    assert (tmp_path / "checkpoint").read_bytes().startswith('model_checkpoint_path: "modèle"\n'.encode())


def test_missing_directory_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        update_checkpoint_state(tmp_path / "nowhere", tmp_path / "nowhere" / "m-1")


@pytest.mark.parametrize(("save_dir", "path"), [("", "checkpoint"), (".", "./checkpoint"), ("run", "run/checkpoint")])
def test_checkpoint_named_like_the_state_file_is_not_written_over(tmp_path, monkeypatch, save_dir, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / path).write_text("a V1 checkpoint")
    for directory, prefix in [(save_dir, path), (tmp_path / save_dir, tmp_path / path)]:
        with pytest.raises(InvalidArgumentError, match="conflicts with path used for checkpoint state"):
            update_checkpoint_state(directory, prefix)
    assert (tmp_path / path).read_text() == "a V1 checkpoint"


def test_v2_checkpoint_may_share_its_name_with_the_state_file_of_a_relative_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.index").touch()
    update_checkpoint_state("run", "run/checkpoint")
    assert get_checkpoint_state("run").model_checkpoint_path == os.path.join("run", "checkpoint")


def test_state_file_in_a_store(tmp_path):
    pytest.importorskip("fsspec")
    directory = f"memory://{tmp_path.name}"
    update_checkpoint_state(directory, f"{directory}/m-2", [f"{directory}/m-1"])
    state = get_checkpoint_state(directory)
    assert state.model_checkpoint_path == f"{directory}/m-2"
    assert list(state.all_model_checkpoint_paths) == [f"{directory}/m-1", f"{directory}/m-2"]


# Files that other programs wrote.


def test_estimators_state_file(cases):
    directory = cases / "v2_tfx_estimator_ckpt"
    state = get_checkpoint_state(directory)
    assert [pathlib.Path(path).name for path in state.all_model_checkpoint_paths] == [
        "model.ckpt-0",
        "model.ckpt-999",
        "model.ckpt-1000",
    ]
    assert state.model_checkpoint_path == str(directory / "model.ckpt-1000")


def test_checkpoint_managers_state_file_is_written_back_byte_for_byte(cases):
    data = (cases / "gen_tf2_object_mutable_table_and_list" / "checkpoint").read_bytes()
    state = parse_checkpoint_state(data)
    assert len(state.all_model_checkpoint_timestamps) == 2
    assert state.last_preserved_timestamp > 0
    assert format_checkpoint_state(state).encode() == data


def test_absolute_path_of_another_machine_is_kept_as_it_is(cases):
    state = get_checkpoint_state(cases / "v1_bad_half_plus_two" / "00000123")
    assert state.model_checkpoint_path == "/tmp/bad_half_plus_two/00000123/export"


def test_every_state_file_of_the_cases_is_read(cases):
    paths = sorted(cases.rglob("checkpoint"))
    assert paths
    for path in paths:
        assert get_checkpoint_state(path.parent).model_checkpoint_path
