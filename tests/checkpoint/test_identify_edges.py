"""What `identify` says of files at the edges of a kind, and how little of a file it reads; no other program is needed."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest

import tfsaver
from tests.checkpoint.recorded_kinds.kinds import PAGE, POINTER, unpack
from tfsaver.checkpoint import identify as module
from tfsaver.errors import CheckpointNotFoundError, DataLossError
from tfsaver.lib import file_io

HDF5 = b"\x89HDF\r\n\x1a\n"
TFSAVER = "tfsaver inspect "


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded")
    unpack(root)
    return root


def write(name: str, data: bytes | str = b"x") -> str:
    """Writes a file, and the directories that it is in."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(data.encode() if isinstance(data, str) else data)
    return name


def zipped(*names: str, name: str = "file") -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for each in names:
            archive.writestr(each, b"x")
    return write(name, buffer.getvalue())


def said(name: str, data: bytes | str) -> tuple[str, str, str]:
    """Kind, description and command of a file with some content."""
    return tuple(tfsaver.identify(write(name, data))[1:])  # type: ignore[return-value]


def safetensors(header: object, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text


# ---- archives ----


@pytest.mark.parametrize(
    ("names", "kind", "description"),
    [
        (["data.pkl"], "torch", "file of torch"),
        (["net/data.pkl", "net/data/0"], "torch", "file of torch"),
        (["net/data.pkl", "net/constants.pkl"], "torchscript", "TorchScript program of torch"),
        (["net/data.pkl", "net/code/net.py"], "torchscript", "TorchScript program of torch"),
        (["net/mydata.pkl"], "zip", "zip archive with 'net/mydata.pkl'"),
        (["net/constants.pkl", "net/code/a.py"], "zip", "zip archive with 'net/constants.pkl', 'net/code/a.py'"),
        (["model.weights.h5"], "keras", "Keras model (.keras)"),
        (["net/model.weights.h5"], "zip", "zip archive with 'net/model.weights.h5'"),
        (["a.npy"], "npz", "npz file, 1 array"),
        (["a.npy", "b/c.npy"], "npz", "npz file, 2 arrays"),
        (["a.npy", "readme"], "zip", "zip archive with 'a.npy', 'readme'"),
        (["a", "b", "c"], "zip", "zip archive with 'a', 'b', 'c'"),
        (["a", "b", "c", "d", "e"], "zip", "zip archive with 'a', 'b', 'c' and 2 more"),
        (["n" * 200], "zip", f"zip archive with '{'n' * 80}'"),
        ([], "zip", "zip archive without any file"),
    ],
)
def test_zip_archive_is_known_by_the_names_in_it(names: list[str], kind: str, description: str) -> None:
    found = tfsaver.identify(zipped(*names))
    assert (found.kind, found.description) == (kind, description)


def test_zip_archive_that_is_cut_short_or_has_too_many_names_is_tested() -> None:
    whole = Path(zipped("a", "b")).read_bytes()
    description = "zip archive whose directory cannot be read: it is cut short or damaged"
    assert said("cut", whole[:-30]) == ("zip", description, "unzip -t cut")
    large = zipped(*(f"{number:06d}{'n' * 60_000}" for number in range(80)))
    assert tfsaver.identify(large).description == description


@pytest.mark.parametrize(
    ("inner", "description"),
    [
        (b"weights", "file compressed with gzip"),
        (HDF5 + bytes(9), "file compressed with gzip with an HDF5 file"),
        (b"PK\x03\x04", "file compressed with gzip with a zip archive"),
        (b"  \n" + PAGE, "file compressed with gzip with a web page (HTML)"),
        (b"about html", "file compressed with gzip"),
        (b"\0" * 257 + b"ustar", "tar archive compressed with gzip"),
        (b"\0" * 258 + b"ustar", "file compressed with gzip"),
    ],
)
def test_what_gzip_has_compressed_is_named(inner: bytes, description: str) -> None:
    kind, found, command = said("file", gzip.compress(inner))
    is_tar = description.startswith("tar")
    assert (kind, found) == ("gzip", description)
    assert command == ("tar -xf file" if is_tar else "gunzip -c < file > file.unpacked")


def test_gzip_is_unpacked_in_part_and_damage_in_it_is_no_error() -> None:
    packed = gzip.compress(HDF5 + bytes(1 << 20))
    assert said("big.gz", packed) == ("gzip", "file compressed with gzip with an HDF5 file", "gunzip -k big.gz")
    assert said("bad.gz", b"\x1f\x8b" + bytes(30))[:2] == ("gzip", "file compressed with gzip")


@pytest.mark.parametrize(
    ("name", "magic", "command"),
    [
        ("a.tar.xz", b"\xfd7zXZ\0", "tar -xf a.tar.xz"),
        ("a.txz", b"\xfd7zXZ\0", "tar -xf a.txz"),
        ("a.xz", b"\xfd7zXZ\0", "unxz -k a.xz"),
        ("a.tar.bz2", b"BZh9", "tar -xf a.tar.bz2"),
        ("a.tbz2", b"BZh9", "tar -xf a.tbz2"),
        ("a.xz", b"BZh9", "bunzip2 -c < a.xz > a.xz.unpacked"),
        ("a.tar.zst", b"\x28\xb5\x2f\xfd", "tar -xf a.tar.zst"),
        ("-a.zst", b"\x28\xb5\x2f\xfd", "unzstd -k ./-a.zst"),
        ("it's", b"7z\xbc\xaf\x27\x1c", "7z x 'it'\"'\"'s'"),
    ],
)
def test_compressed_file_is_unpacked_by_its_program(name: str, magic: bytes, command: str) -> None:
    assert said(name, magic + bytes(50))[2] == command


# ---- weights of other programs ----


@pytest.mark.parametrize(
    ("header", "description"),
    [
        ({"__metadata__": {"format": "pt"}}, "safetensors file, 0 tensors"),
        ({"a": {"data_offsets": [0, 0]}}, "safetensors file, 1 tensor"),
        ({"__metadata__": {}, "a": {}, "b": {}}, "safetensors file, 2 tensors"),
        ({}, "safetensors file, 0 tensors"),
    ],
)
def test_safetensors_file_is_known_by_its_header(header: object, description: str) -> None:
    assert said("file", safetensors(header) + bytes(12)) == ("safetensors", description, TFSAVER + "file")


@pytest.mark.parametrize("start", [b'{"__metadata__":', b'{"a":{"data_offsets":[0,4]}', b'{"a":1'])
def test_safetensors_header_that_is_longer_than_what_is_read_is_known_by_its_beginning(start: bytes) -> None:
    header = start + b" " * 60_000
    kind = "unknown" if start == b'{"a":1' else "safetensors"
    found = said("file", safetensors(header))
    assert found[0] == kind and (kind == "unknown" or found[1:] == ("safetensors file", TFSAVER + "file"))


@pytest.mark.parametrize(
    "data",
    [
        safetensors(b"{no json}"),
        safetensors(b"{" * 40_000),
        safetensors({"a": 1}, 2**40),
        safetensors({"a": 1}, 9),
        safetensors({"a": 1}, 1),
        safetensors([{"a": 1}]),
    ],
)
def test_what_has_no_header_of_safetensors_is_unknown(data: bytes) -> None:
    assert said("file", data)[0] == "unknown"


@pytest.mark.parametrize("place", [0, 512, 1024, 2048])
def test_hdf5_is_found_behind_a_user_block(place: int) -> None:
    assert said("file", bytes(place) + HDF5 + bytes(20)) == ("h5", "HDF5 file", TFSAVER + "file")


@pytest.mark.parametrize(
    ("name", "words", "kind", "description"),
    [
        ("file", b"keras_version", "h5", "Keras model or weights in HDF5 (.h5)"),
        ("file", b"layer_names", "h5", "Keras model or weights in HDF5 (.h5)"),
        ("file", b"vars layer_names", "h5", "Keras model or weights in HDF5 (.h5)"),
        ("file", b"vars", "weights.h5", "Keras weights file (.weights.h5)"),
        ("Net.Weights.H5", b"", "weights.h5", "Keras weights file (.weights.h5)"),
        ("weights.h5", b"", "h5", "HDF5 file"),
    ],
)
def test_hdf5_files_of_keras_are_told_apart(name: str, words: bytes, kind: str, description: str) -> None:
    found = tfsaver.identify(write(name, HDF5 + bytes(90) + words))
    assert (found.kind, found.description, found.format) == (kind, description, "keras")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_of_every_binary_protocol_is_known(protocol: int) -> None:
    assert said("file", pickle.dumps({"a": 1}, protocol))[::2] == ("pickle", "python -m pickletools file")


def test_other_first_bytes_are_no_pickle() -> None:
    assert said("file", b"\x80\x06K\x01.\xff")[0] == "unknown"
    assert said("file", b"\x81\x02K\x01.\xff")[0] == "unknown"


def test_saved_model_in_chunks_is_known_by_the_first_record() -> None:
    found = said("file", b"\x83\xaf\x70\xd1\x0d\x88\x4a\x3f" + bytes(30))
    assert found == ("SavedModel", "SavedModel in chunks (.cpb)", "tfsaver saved-model show file")


def test_onnx_needs_a_version_and_a_graph() -> None:
    assert said("version", b"\x08\x07\x12\x01x")[0] != "onnx"
    assert said("both", b"\x08\x07\x3a\x01x")[0] == "onnx"
    for first in (b"\x0a\x00", b"\x09\x07", b"\x0d\x07"):
        assert said("wrong wire type", first + b"\x3a\x01x")[0] != "onnx"
    # producer_name to functions, and configuration: texts and messages but for model_version.
    for field in (2, 3, 4, 6, 8, 14, 20, 25, 26):
        tag = bytes([field << 3 | 2]) if field < 16 else bytes([(field << 3 | 2) & 0x7F | 0x80, field >> 4])
        assert said("other field", b"\x08\x07" + tag + b"\x01x\x3a\x01x")[0] == "onnx"
    assert said("model version", b"\x08\x07\x28\x05\x3a\x01x")[0] == "onnx"
    assert said("unknown field", b"\x08\x07\x4a\x01x\x3a\x01x")[0] != "onnx"
    assert said("graph past the end", b"\x08\x07\x3a\x02x")[0] != "onnx"
    with open("gigabytes", "wb") as file:
        file.write(b"\x08\x07\x3a\x80\x80\x80\x80\x04")
        file.truncate(8 + (1 << 30))
    assert tfsaver.identify("gigabytes").kind == "onnx"


# ---- text ----


@pytest.mark.parametrize(
    ("page", "titled"),
    [
        ("<html><head></head></html>", ""),
        ("<!doctype HTML><title></title>", ""),
        ("<html><TITLE lang=en> 404 \n\t Not   Found </TITLE>", " titled '404 Not Found'"),
        ("<?xml version='1.0'?>\n<!-- a\ncomment --><html><title>x</title>", " titled 'x'"),
        ("\ufeff \n<head><title>x</title>", " titled 'x'"),
        ("<script>1</script>", ""),
        (f"<html><title>{'long ' * 30}</title>", f" titled '{('long ' * 30)[:60]}'"),
        (f"<html>{' ' * 7900}<title>late</title>", " titled 'late'"),
        (f"<html>{' ' * 8000}<title>too late</title>", ""),
        ("<html><title>\x07bell</title>", " titled ' bell'"),
    ],
)
def test_web_page_is_named_by_its_title(page: str, titled: str) -> None:
    found = said("model.ckpt", page)
    assert found == ("html", f"web page (HTML){titled}, which a server sent instead of the file", "ls -l .")


@pytest.mark.parametrize("text", ["<?xml version='1.0'?><a/>", "<Error><Code>403</Code></Error>", "\n <Error>"])
def test_answer_of_a_store_is_xml(text: str) -> None:
    assert said("file", text)[0] == "xml"


@pytest.mark.parametrize("text", ["<errors>", "<htmlx>", "about <html>"])
def test_other_text_with_brackets_is_text(text: str) -> None:
    assert said("file", text)[0] == "text"


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", " \n[", "\ufeff{}"])
def test_text_that_begins_with_a_bracket_is_json(text: str) -> None:
    assert said("d/a b", text) == ("json", "JSON text", "python -m json.tool 'd/a b'")


def test_text_is_shown_by_its_first_40_characters() -> None:
    assert said("d/file", f"\n {'wörter ' * 9}\n") == ("text", f"text that begins {('wörter ' * 9)[:40]!r}", "ls -l d")
    assert said("file", "tab\there\x1b[0m")[1] == "text that begins 'tab here [0m'"


def test_long_text_may_be_cut_within_a_character() -> None:
    for shift in range(2):
        assert said("file", "x" * shift + "ö" * 30_000)[0] == "text"
    assert said("file", b"text" * 10 + b"\xff" + b"text" * 20_000)[0] == "unknown"
    assert said("file", b"text \xc3")[0] == "unknown"
    assert said("file", b"text \x01 and a control character")[0] == "unknown"


def test_text_in_utf16_is_text() -> None:
    assert said("file", "two bytes each".encode("utf-16"))[1] == "text that begins 'two bytes each'"


def test_bytes_of_no_kind_are_shown() -> None:
    description = "file of an unknown kind: 1,234 bytes that begin ff 00 00 00 00 00 00 00"
    assert said("d/file", b"\xff" + bytes(1233)) == ("unknown", description, "ls -l d")
    found = tfsaver.identify("d/file")
    assert found.format is None and not found.is_stand_in and not found.is_nothing


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('model_checkpoint_path: "m-1"\nall_model_checkpoint_paths: "m-0"\n', "names 'm-1'"),
        ('all_model_checkpoint_paths: "m-0"\n', "names no checkpoint as the newest"),
        ("model_checkpoint_path: 'm'", "names 'm'"),
        ('model_checkpoint_path: "C:\\\\run\\\\m"', "names 'C:\\run\\m'"),
        ('model_checkpoint_path: "C:\\run\\m"', "names 'C:\\run\\m'"),
        (f'model_checkpoint_path: "{"m" * 200}"', f"names '{'m' * 100}'"),
    ],
)
def test_state_file_says_what_it_names(text: str, names: str) -> None:
    description = f"state file of a directory of checkpoints, which {names}"
    assert said("any name", text) == ("state file", description, TFSAVER + "'any name'")
    assert said("d/checkpoint", text)[0] == "state file"
    description = f"directory of checkpoints with a state file that {names}"
    assert tfsaver.identify("d")[1:] == ("checkpoints", description, TFSAVER + "d")


@pytest.mark.parametrize(
    ("pointer", "what"),
    [
        (POINTER, "a file of 160,392,557 bytes"),
        (POINTER.replace(b"git-lfs.github", b"hawser.github"), "a file of 160,392,557 bytes"),
        (POINTER.partition(b"size")[0], "a file"),
        (POINTER.replace(b"size ", b"size x"), "a file"),
    ],
)
def test_pointer_of_git_lfs_says_the_size(pointer: bytes, what: str) -> None:
    assert said("file", pointer) == ("lfs", f"Git LFS pointer to {what}, which was not fetched", "git lfs pull")


# ---- checkpoints ----


def test_shard_of_a_v1_checkpoint_is_counted(recorded: Path) -> None:
    data = (recorded / "v1/old").read_bytes()
    assert said("m-00001-of-00003", data) == ("V1", "V1 checkpoint, file 2 of 3", TFSAVER + "m-00001-of-00003")
    write("m-00000-of-00003", data)
    assert tfsaver.identify("m")[1:] == ("V1", "V1 checkpoint in 2 files", TFSAVER + "m")
    assert tfsaver.identify(".")[1:] == ("checkpoints", "directory with the checkpoint 'm'", TFSAVER + ".")


def test_table_is_known_by_its_last_bytes(recorded: Path) -> None:
    data = (recorded / "v1/old").read_bytes()
    assert said("file", data[:-1] + b"\0")[0] != "V1"
    assert said("file", data[-47:])[0] != "V1"
    assert said("file", data[-48:])[0] == "V1"


def test_data_file_without_an_index_is_for_the_doctor() -> None:
    name = write("d/m.data-00000-of-00001", b"weights")
    what = "data of a V2 checkpoint whose index d/m.index is not there, which holds all names"
    assert tfsaver.identify(name)[1:] == ("V2 data", what, "tfsaver doctor d")
    assert tfsaver.identify("d/m")[1:] == ("V2 data", what, "tfsaver doctor d")


@pytest.mark.parametrize(("data", "kind"), [(POINTER, "lfs"), (PAGE, "html"), (b"", "empty"), (b"GGUF" + bytes(9), "V2 data")])
def test_data_file_may_begin_like_anything_but_a_stand_in(data: bytes, kind: str) -> None:
    assert tfsaver.identify(write("m.data-00000-of-00001", data)).kind == kind


def test_index_that_is_another_file_is_said_of_the_prefix() -> None:
    write("m.index", POINTER)
    what = "V2 checkpoint whose index is a Git LFS pointer to a file of 160,392,557 bytes, which was not fetched"
    assert tfsaver.identify("m")[1:] == ("lfs", what, "git lfs pull")
    # A damaged index is a checkpoint's.
    write("m.index", b"\xff" * 99)
    assert tfsaver.identify("m")[1:] == ("V2", "V2 checkpoint", TFSAVER + "m")


def test_file_that_is_named_in_full_comes_before_a_checkpoint_of_that_prefix(recorded: Path) -> None:
    index = (recorded / "v2/model-5.index").read_bytes()
    for name in ("m.npz", "m.NPZ", "m"):
        zipped("a.npy", name=name)
        write(f"{name}.index", index)
    assert tfsaver.identify("m.npz").kind == tfsaver.identify("m.NPZ").kind == "npz"
    what = "V2 checkpoint (an npz file, 1 array has the same name, and is hidden by the index)"
    assert tfsaver.identify("m")[1:] == ("V2", what, TFSAVER + "m")


def test_meta_graph_names_a_checkpoint_that_is_next_to_it(recorded: Path) -> None:
    meta = (recorded / "alone.meta").read_bytes()
    write("a.meta", meta)
    assert tfsaver.identify("a.meta").command == "tfsaver saved-model show a.meta"
    for name in ("a.index", "b", "c-00000-of-00002"):
        write(name)
    for prefix in "abc":
        found = tfsaver.identify(write(f"{prefix}.meta", meta))
        assert found[2:] == (f"meta graph of the checkpoint {prefix}", TFSAVER + prefix)


# ---- directories ----


def test_directories_without_anything_are_told_from_others() -> None:
    Path("empty").mkdir()
    write("plain/readme", b"read")
    empty, plain = tfsaver.identify("empty"), tfsaver.identify("plain")
    assert empty[1:] == ("directory", "empty directory", "ls -l empty") and empty.is_nothing
    assert plain[1:] == ("directory", "directory without checkpoints", "ls -l plain") and plain.is_nothing
    write("plain/m.npy", b"\x93NUMPY")
    assert not tfsaver.identify("plain").is_nothing


def test_versions_of_a_saved_model_are_compared_as_numbers() -> None:
    for version, name in (("9", "saved_model.pb"), ("10", "saved_model.pbtxt"), ("text", "saved_model.pb")):
        write(f"serving/{version}/{name}")
    found = tfsaver.identify("serving")
    assert found[1:] == ("directory", "directory of versions of a SavedModel, the newest 10", "tfsaver saved-model show serving/10")
    Path("serving/11").mkdir()
    assert tfsaver.identify("serving") == found


@pytest.mark.parametrize("item", ["", "default/", "state/", "params/"])
@pytest.mark.parametrize("file", ["_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt"])
def test_steps_of_orbax_are_found_with_and_without_a_folder_for_the_item(item: str, file: str) -> None:
    for step in (9, 10):
        write(f"run/{step}/{item}{file}")
    command = f"{TFSAVER}run/10/{item}".rstrip("/")
    assert tfsaver.identify("run")[1:] == ("directory", "directory of steps of Orbax, the newest 10", command)


def test_only_the_newest_20_versions_are_looked_into() -> None:
    write("run/0/saved_model.pb")
    for version in range(1, 20):
        Path(f"run/{version}").mkdir()
    assert tfsaver.identify("run").description.endswith("the newest 0")
    Path("run/20").mkdir()
    assert tfsaver.identify("run").is_nothing


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["_METADATA"], "orbax"),
        (["model.safetensors.index.json"], "hf"),
        (["model.safetensors", "config.json"], "hf"),
        (["config.json"], "directory"),
        ([".metadata", "__0_0.distcp"], "dcp"),
        ([".metadata"], "directory"),
        (["__0_0.distcp"], "directory"),
    ],
)
def test_directory_is_known_by_its_names(names: list[str], kind: str) -> None:
    for name in names:
        write(f"d/{name}")
    assert tfsaver.identify("d").kind == kind


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt", "saved_model.cpb"])
def test_saved_model_whose_graph_is_another_file_says_so(name: str) -> None:
    write(f"export/{name}", PAGE)
    page = "a web page (HTML) titled 'Sign in', which a server sent instead of the file"
    assert tfsaver.identify("export")[1:] == ("html", f"SavedModel whose {name} is {page}", "ls -l export")


def test_checkpoints_without_a_state_file_are_counted_and_the_newest_is_shown() -> None:
    for step in (9, 10):
        write(f"run/m-{step}.index")
    what = "directory of 2 checkpoints without a sound state file"
    assert tfsaver.identify("run")[1:] == ("checkpoints", what, TFSAVER + "run/m-10")
    write("run/checkpoint", b"no state")
    assert tfsaver.identify("run").description == what


def test_files_in_a_directory_are_listed_by_their_kinds() -> None:
    for number in range(5):
        write(f"d/{number}.npy", b"\x93NUMPY")
    write("d/a.bin", safetensors({"__metadata__": {}}))
    files = "directory of 5 files of the kind npy ('0.npy', '1.npy', '2.npy' and 2 more), 1 file of the kind safetensors ('a.bin')"
    # The command is for one that a verb opens.
    assert tfsaver.identify("d")[1:] == ("directory", files, TFSAVER + "d/a.bin")


def test_only_20_files_of_a_directory_are_looked_into() -> None:
    for number in range(20):
        write(f"d/{number:02d}", b"read")
    write("d/20", b"\x93NUMPY")
    assert tfsaver.identify("d").is_nothing
    Path("d/19").unlink()
    # A directory is not one of them.
    Path("d/00a").mkdir()
    assert "1 file of the kind npy" in tfsaver.identify("d").description


# ---- errors ----


@pytest.mark.parametrize(
    ("data", "article"),
    [
        (b"\x93NUMPY", "an npy file"),
        (HDF5, "an HDF5 file"),
        (b"", "an empty file"),
        (b"Rar!\x1a\x07", "an RAR archive"),
        (b"\x08\x07\x3a\x01x", "an ONNX model"),
        (b"words", "text that begins"),
        (b"{}", "JSON text"),
        (b"<Error>", "XML text"),
        (POINTER, "a Git LFS pointer"),
        (b"GGUF", "a GGUF file"),
    ],
)
def test_advice_has_the_article_of_the_description(data: bytes, article: str) -> None:
    found = tfsaver.identify(write("file", data))
    assert found.advice.startswith(f"file is {article}") and found.advice.endswith(f"; next: {found.command}")
    assert module.advice_on("file") == found.advice


def test_advice_is_for_what_is_not_what_its_place_says(recorded: Path) -> None:
    for name in ("v1/old", "v2/model-5.index", "v2/model-5.data-00000-of-00001", "v2/checkpoint", "v2", "missing"):
        assert module.identity_of_wrong(str(recorded / name)) is None and module.advice_on(str(recorded / name)) == ""
    assert module.identity_of_wrong(write("bytes", b"\xff")) is None
    index = write("renamed", (recorded / "v2/model-5.index").read_bytes())
    wrong = module.identity_of_wrong(index)
    assert wrong is not None and wrong.kind == "V2 index"


def test_identified_adds_advice_once() -> None:
    write("page", PAGE)
    write("pointer", POINTER)
    with pytest.raises(DataLossError) as caught, module.identified("page"):
        raise DataLossError("bad")
    assert caught.value.advice == module.advice_on("page") != ""
    with pytest.raises(DataLossError) as caught, module.identified("page"), DataLossError.located("pointer", 0, 9):
        raise DataLossError("bad")
    assert caught.value.advice == module.advice_on("pointer")
    with pytest.raises(DataLossError) as caught, module.identified("page"), module.identified("pointer"):
        raise DataLossError("bad")
    assert caught.value.advice == module.advice_on("pointer")


def test_error_about_what_is_missing_names_what_is_near() -> None:
    with pytest.raises(CheckpointNotFoundError, match="nothing of that name is there$|nothing of that name is there[^,]"):
        tfsaver.identify("model")
    write("modle")
    with pytest.raises(CheckpointNotFoundError, match="nothing of that name is there, but 'modle'"):
        tfsaver.identify("model")


# ---- how much is read ----


class Counted:
    """A file that counts what is read of it."""

    read_bytes = 0

    def __init__(self, path: str) -> None:
        self._file = file_io.open_for_reading(path)
        self.size = self._file.size

    def read(self, offset: int, size: int) -> bytes:
        data = self._file.read(offset, size)
        self.read_bytes += len(data)
        return data


@pytest.mark.parametrize(("head", "budget"), [(48 << 10, 64 << 10), (2 << 10, 4 << 10)])
def test_no_more_of_a_file_is_read_than_the_budget(head: int, budget: int) -> None:
    data = bytes(range(256)) * 400
    counted = Counted(write("file", data))
    file = module._File(counted, "file", head)  # type: ignore[arg-type]
    assert file.head == data[:head] and counted.read_bytes == head
    # What has been read is not read again.
    assert file.read(100, 50) == data[100:150] and counted.read_bytes == head
    assert file.read(90_000, 100) == data[90_000:90_100] and counted.read_bytes == head + 100
    assert file.read(head - 10, 20) == data[head - 10 : head + 10]
    assert file.read(len(data) - 5, 20) == data[-5:] and file.read(len(data), 5) == b""
    assert file.read(60_000, 40_000) == data[60_000 : 60_000 + budget - head - 125]
    assert file.read(60_000, 1) == b"" and counted.read_bytes == budget


def test_small_file_is_read_once() -> None:
    counted = Counted(write("file", b"0123456789"))
    file = module._File(counted, "file", 48 << 10)  # type: ignore[arg-type]
    assert file.read(8, 50) == b"89" and file.read(10, 5) == b"" and counted.read_bytes == 10
