"""`tfsaver saved-model run`: what TensorFlow gives, and what never gets to it."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from tests.cli.process import run_process
from tests.cli.saved_model_files import model_proto, write_meta_graph, write_model
from tfsaver.cli.main import main
from tfsaver.cli.saved_model_inputs import default_inputs, input_argument, read_inputs
from tfsaver.errors import InvalidArgumentError, NotFoundError, ShapeMismatchError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.saved_model.signature_def import Signature, SignatureTensor


def signature(
    dtype: str = "float32", shape: tuple[int | None, ...] | None = None, kind: str = "dense", default: bool = False
) -> Signature:
    return Signature("s", "", {"x": SignatureTensor(kind, ("x:0",), dtype, shape)}, {}, ("x",) * default)


def read(text: str, wanted: Signature) -> np.ndarray:
    return read_inputs(wanted, [input_argument(f"x={text}")])["x"]


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        ("1.5", "float32", 1.5),
        ("[[1, 2], [3, 4]]", "float32", [[1, 2], [3, 4]]),
        ("-3", "int64", -3),
        ("2.0", "int32", 2),
        ("True", "bool", True),
        ("1+2j", "complex64", 1 + 2j),
        ("[1.5]", "bfloat16", [1.5]),
        ("[]", "float32", []),
        ("fox", "string", b"fox"),
        ("['a', b'\\xff']", "string", [b"a", b"\xff"]),
        ("[1, 20]", "string", [b"1", b"20"]),
        ("a=b", "string", b"a=b"),
        ("1.50", "string", b"1.50"),
        ("{}", "string", b"{}"),
    ],
)
def test_values_have_the_type_of_the_signature(text: str, dtype: str, expected: object) -> None:
    array = read(text, signature(dtype))
    assert array.dtype == dtypes.from_name(dtype).numpy
    assert array.tolist() == expected


@pytest.mark.parametrize(
    ("text", "wanted", "error"),
    [
        ("fox", signature(), InvalidArgumentError),
        ("[1, [2]]", signature(), InvalidArgumentError),
        ("'a'", signature(), InvalidArgumentError),
        ("1.5", signature("int32"), InvalidArgumentError),
        ("300", signature("uint8"), InvalidArgumentError),
        ("-1", signature("uint8"), InvalidArgumentError),
        ("1e300", signature("int64"), InvalidArgumentError),
        ("10**30", signature("int64"), InvalidArgumentError),
        ("1" * 30, signature("int64"), InvalidArgumentError),
        ("{1: 2}", signature(), InvalidArgumentError),
        ("1j", signature(), InvalidArgumentError),
        ("(" * 5000, signature(), InvalidArgumentError),
        ("__import__('os').getcwd()", signature(), InvalidArgumentError),
        ("[1, 2]", signature(shape=(None, 2)), ShapeMismatchError),
        ("[1, 2, 3]", signature(shape=(2,)), ShapeMismatchError),
        ("1", signature(kind="sparse"), UnimplementedError),
        ("1", signature("resource"), UnimplementedError),
        ("1", signature("qint8"), UnimplementedError),
    ],
)
def test_values_that_do_not_fit_are_errors(text: str, wanted: Signature, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(text, wanted)


def test_a_file_holds_an_array(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    assert read(f"@{tmp_path}/a.npy", signature()).tolist() == [0, 1, 2]
    np.savez(tmp_path / "by_key.npz", x=np.arange(2), y=np.arange(9))
    assert read(f"@{tmp_path}/by_key.npz", signature()).tolist() == [0, 1]
    (tmp_path / "a.json").write_text('[[1, 2.5]]')
    assert read(f"@{tmp_path}/a.json", signature(shape=(None, 2))).tolist() == [[1, 2.5]]
    (tmp_path / "no.npy").write_bytes(b"no")
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    for name in ("no.npy", "two.npz", "pickle.npy"):
        with pytest.raises(InvalidArgumentError, match=name) as refused:
            read(f"@{tmp_path}/{name}", signature())
        assert "allow_pickle" not in str(refused.value) and "pickled" not in str(refused.value)
    with pytest.raises(FileNotFoundError):
        read(f"@{tmp_path}/missing.npy", signature())


@pytest.mark.parametrize("spelling", ["@{}", "@bytes:{}", "@raw:{}"])
def test_a_string_takes_the_bytes_of_a_file(spelling: str, tmp_path: pathlib.Path) -> None:
    data = bytes(range(256))
    (tmp_path / "image.jpg").write_bytes(data)
    value = spelling.format(tmp_path / "image.jpg")
    assert read(value, signature("string", ())).tolist() == data
    assert read(value, signature("string", (None,))).tolist() == [data]
    (tmp_path / "other.jpg").write_bytes(b"x")
    batch = read_inputs(signature("string", (None,)), [("x", value), ("x", f"@{tmp_path}/other.jpg")])
    assert batch["x"].tolist() == [data, b"x"]
    with pytest.raises(InvalidArgumentError):
        read(value, signature())


def test_a_file_that_may_be_values_or_bytes_must_say(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.json").write_text('["fox", {"b64": "/w=="}]')
    with pytest.raises(InvalidArgumentError, match="x=@json:.* or x=@bytes:"):
        read(f"@{tmp_path}/a.json", signature("string"))
    assert read(f"@json:{tmp_path}/a.json", signature("string")).tolist() == [b"fox", b"\xff"]
    assert read(f"@bytes:{tmp_path}/a.json", signature("string")).tolist() == b'["fox", {"b64": "/w=="}]'


@pytest.mark.parametrize(
    "document",
    [
        {"x": [1, 2], "y": [b"a".decode(), "b"]},
        {"signature_name": "s", "inputs": {"x": [1, 2], "y": ["a", {"b64": "Yg=="}]}},
        {"instances": [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]},
    ],
)
def test_a_request_of_a_server_gives_all_inputs(document: object, tmp_path: pathlib.Path) -> None:
    tensors = {key: SignatureTensor("dense", (f"{key}:0",), dtype, (None,)) for key, dtype in (("x", "int32"), ("y", "string"))}
    wanted = Signature("s", "", tensors, {})
    (tmp_path / "request.json").write_text(json.dumps(document))
    found = read_inputs(wanted, [input_argument(f"@{tmp_path}/request.json")])
    assert (found["x"].tolist(), found["y"].tolist()) == ([1, 2], [b"a", b"b"])
    np.savez(tmp_path / "request.npz", x=np.array([1, 2]), y=np.array(["a", "b"]))
    assert read_inputs(wanted, [input_argument(f"@{tmp_path}/request.npz")])["y"].tolist() == [b"a", b"b"]


def test_inputs_must_be_those_of_the_signature() -> None:
    with pytest.raises(NotFoundError, match="no input 'y': there is 'x'"):
        read_inputs(signature(), [("y", "1")])
    with pytest.raises(InvalidArgumentError, match="twice"):
        read_inputs(signature(), [("x", "1"), ("x", "2")])
    with pytest.raises(InvalidArgumentError, match=r"needs 'x' \(float32 \[\.\.\.\] x:0\)"):
        read_inputs(signature(), [])


def test_a_default_stands_for_what_is_not_given() -> None:
    from tfsaver import schemas

    wanted = signature(default=True)
    assert read_inputs(wanted, []) == {}
    values = {"x": schemas.TensorProto(dtype=schemas.DT_FLOAT, float_val=[2.5])}
    assert default_inputs(wanted, values, [])["x"].item() == 2.5
    assert default_inputs(wanted, values, ["x"]) == {}


@pytest.mark.parametrize("text", ["x", "=1", ""])
def test_an_input_without_a_value_makes_no_sense(text: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["saved-model", "run", "model", "--input", text])
    assert stop.value.code == 2


def fails(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 3) -> str:
    """The error of a run that never gets to TensorFlow."""
    assert main(["saved-model", "run", *map(str, arguments)]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


def test_what_cannot_be_run_says_why(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_model(tmp_path / "model")
    assert "no signature 'nope'" in fails(capsys, directory, "--signature", "nope", code=1)
    assert "no signature 'serving_default'" in fails(capsys, directory, "--tags", "", code=1)
    assert "sparse string [2]" in fails(capsys, directory, "--signature", "sparse", "--input", "ids=1")
    path = write_meta_graph(tmp_path / "graph", model_proto().meta_graphs[0])
    assert "only a SavedModel can be run" in fails(capsys, path)


def test_a_graph_that_reads_files_is_not_run(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_proto()
    graph = model.meta_graphs[0].graph_def
    graph.node.add(name="read", op="ReadFile", input=["vocabulary"])
    next(node for node in graph.node if node.name == "y").input.append("^read")
    directory = write_model(tmp_path / "model", model)
    error = fails(capsys, directory, "--input", "x=[[1, 2, 3]]")
    assert "was not run, since it can do more than compute: read (ReadFile) reads files" in error
    assert error.endswith("--allow ReadFile\n")


def test_without_tensorflow_the_error_names_the_extra(tmp_path: pathlib.Path) -> None:
    directory = write_model(tmp_path / "model")
    code = """
import sys
class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
sys.meta_path.insert(0, NoTensorFlow())
from tfsaver.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    done = run_process("saved-model", "run", str(directory), "--input", "x=[[1, 2, 3]]", code=code)
    assert done.returncode == 3
    expected = "tfsaver: error: running a SavedModel needs tensorflow: pip install 'tfsaver[tensorflow]'\n"
    assert done.stderr.decode() == expected


def test_a_signature_is_run(cases: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorflow")
    directory = cases / "sm_tf_half_plus_two"
    arguments = ["saved-model", "run", str(directory), "--signature", "regress_x2_to_y3", "--input"]
    assert main([*arguments, "inputs=[[1.0], [2.0]]"]) == 0
    assert capsys.readouterr().out.splitlines() == ["outputs  float32  [2,1]", "[[3.5]", " [4. ]]"]
    np.save(tmp_path / "in.npy", np.array([[1.0], [2.0]]))
    output = tmp_path / "new" / "directory"
    assert main([*arguments, f"inputs=@{tmp_path}/in.npy", "--output", str(output), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["report"]
    assert document["outputs"] == [
        {"key": "outputs", "dtype": "float32", "shape": [2, 1], "value": [[3.5], [4.0]], "file": f"{output}/outputs.npy"}
    ]
    assert np.load(output / "outputs.npy").tolist() == [[3.5], [4.0]]


def test_defaults_tables_and_assets_work(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorflow")
    assert main(["saved-model", "run", str(cases / "sm_serving_tf2_cpu")]) == 0
    assert capsys.readouterr().out.splitlines() == ["y  float32  [1]", "[2.]"]
    arguments = ["saved-model", "run", str(cases / "sm_tf_StaticHashTableModule"), "--input", "word=foo"]
    assert "InitializeTableFromTextFileV2" in fails(capsys, *arguments[2:])
    assert main([*arguments, "--allow", "Initialize*"]) == 0
    assert capsys.readouterr().out.startswith("output_0  int64  []\n")


def test_what_tensorflow_refuses_is_an_error_of_ours(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorflow")
    directory = cases / "sm_capi_UninitializedVariable"
    document = main(["saved-model", "show", str(directory), "--json"])
    keys = [row["key"] for row in json.loads(capsys.readouterr().out)["report"]["graphs"][0]["signatures"]]
    assert document == 0 and keys
    error = fails(capsys, directory, "--signature", keys[0])
    assert error.startswith("tfsaver: error: ") and error.count("\n") == 1
