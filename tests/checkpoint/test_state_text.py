"""State files as editors, shells and other systems leave them."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

import tfsaver
from tfsaver.checkpoint.checkpoint_state import format_checkpoint_state, parse_checkpoint_state
from tfsaver.checkpoint.state_text import is_as_written, mended_state_text
from tfsaver.cli.main import main
from tfsaver.errors import CheckpointNotFoundError

LINE = 'model_checkpoint_path: "m"\n'
LEFT = {
    "byte order mark": codecs.BOM_UTF8 + LINE.encode(),
    "UTF-16 of PowerShell": codecs.BOM_UTF16_LE + LINE.replace("\n", "\r\n").encode("utf-16-le"),
    "UTF-16, the other order": codecs.BOM_UTF16_BE + LINE.encode("utf-16-be"),
    "UTF-16 without a mark": LINE.encode("utf-16-le"),
    "typographic quotes": "model_checkpoint_path: “m”\n".encode(),
    "low and high quotes": "model_checkpoint_path: „m“\n".encode(),
    "single typographic quotes": "model_checkpoint_path: ‘m’\n".encode(),
    "one quote replaced": "model_checkpoint_path: \"m”\n".encode(),
    "Windows path": rb'model_checkpoint_path: "C:\runs\train\new\m"',
    "relative Windows path": b'model_checkpoint_path: "runs\\model\\m"',
    "URL": b'model_checkpoint_path: "gs://bucket/run/m"',
}
IS_AS_WRITTEN = {"URL"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in ("m", "n"):
        tfsaver.save_checkpoint({name: 1.0}, tmp_path / name, durable=False)
    return tmp_path


@pytest.mark.parametrize(("kind", "data"), LEFT.items(), ids=LEFT)
def test_state_file_is_read_and_fix_writes_it_for_tensorflow(kind: str, data: bytes, run: Path) -> None:
    state = run / "checkpoint"
    state.write_bytes(data)
    assert tfsaver.latest_checkpoint(run) == str(run / "m")
    assert list(tfsaver.load_checkpoint(run)) == ["m"]
    assert "state file" in tfsaver.identify(run).description
    assert is_as_written(data) == (kind in IS_AS_WRITTEN)
    assert main(["doctor", str(run)]) == 1
    assert main(["doctor", str(run), "--fix"]) == 0
    assert state.read_bytes().startswith(LINE.encode())
    assert (run / "checkpoint.old").read_bytes() == data
    assert main(["doctor", str(run)]) == 0


@pytest.mark.parametrize(
    "path", ["m", "C:\\\\run\\\\m", "\\303\\244-1", "a\\\"b", "it's", "“m”", "\\\\\\\\server\\\\m", "tab\\tin"]
)
def test_what_tensorflow_writes_stays_what_it_is(path: str) -> None:
    text = f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "{path}"\n'
    assert mended_state_text(text) == text
    assert is_as_written(text.encode())
    # What we write of it is left alone too.
    again = format_checkpoint_state(parse_checkpoint_state(text.encode()))
    assert mended_state_text(again) == again


@pytest.mark.parametrize("data", [b"\xff\xfe\x00\xd8\x00\x00", b'model_checkpoint_path: "m', b"\x80\x81"])
def test_state_file_that_cannot_be_read_is_called_unreadable(data: bytes, run: Path) -> None:
    (run / "checkpoint").write_bytes(data)
    with pytest.raises(CheckpointNotFoundError, match="state file that cannot be read"):
        tfsaver.load_checkpoint(run)


def test_directory_in_place_of_the_state_file_is_called_one(run: Path) -> None:
    (run / "checkpoint").mkdir()
    with pytest.raises(CheckpointNotFoundError, match="it is a directory"):
        tfsaver.load_checkpoint(run)


def test_state_file_of_another_name_is_known_by_its_content(run: Path) -> None:
    (run / "latest.txt").write_text(LINE)
    assert list(tfsaver.load_checkpoint(run / "latest.txt")) == ["m"]


def test_checkpoint_without_a_name_is_listed_as_tensorflow_finds_it(tmp_path: Path) -> None:
    prefix = tfsaver.save_checkpoint({"w": 1.0}, tmp_path / "m", durable=False)
    for suffix in (".index", ".data-00000-of-00001"):
        Path(prefix + suffix).rename(tmp_path / suffix)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "."\n')
    assert main(["doctor", str(tmp_path), "--fix"]) == 0
    assert (tmp_path / "checkpoint").read_text().startswith('model_checkpoint_path: "./"\n')
    assert main(["doctor", str(tmp_path)]) == 0
    assert list(tfsaver.load_checkpoint(tmp_path)) == ["w"]
    tf = pytest.importorskip("tensorflow")
    found = tf.train.latest_checkpoint(str(tmp_path))
    assert tf.train.load_checkpoint(found).get_variable_to_shape_map() == {"w": []}
