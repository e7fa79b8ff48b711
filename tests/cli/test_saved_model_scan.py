"""`tfsaver saved-model scan`: what reaches outside of the graph is found and named, and nothing else."""

from __future__ import annotations

import json
import pathlib

import pytest

from tests.cli.saved_model_files import model_proto, write_meta_graph, write_model
from tests.cli.test_saved_model_show import graph_paths
from tfsaver import schemas
from tfsaver.cli.main import main
from tfsaver.framework.wire_format import length_delimited_header


def scan(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str]]:
    status = main(["saved-model", "scan", *map(str, arguments)])
    shown = capsys.readouterr()
    assert shown.err == ""
    return status, shown.out.splitlines()


def risky_proto() -> schemas.SavedModel:
    """Writes a file in a dead node of the graph, reads one in a function that the signature's output calls."""
    model = model_proto()
    graph = model.meta_graphs[0].graph_def
    target = graph.node.add(name="target", op="Const")
    target.attr["dtype"].type = schemas.DT_STRING
    target.attr["value"].tensor.dtype = schemas.DT_STRING
    target.attr["value"].tensor.string_val.append(b"/tmp/x\n")
    graph.node.add(name="write", op="WriteFile", input=["target", "target"])
    graph.library.function[0].node_def.add(name="read", op="ReadFile", input=["name"])
    next(node for node in graph.node if node.name == "y").attr["f"].func.name = "twice"
    return model


@pytest.fixture
def risky(tmp_path: pathlib.Path) -> str:
    return str(write_model(tmp_path / "model", risky_proto()))


def write_keras_metadata(directory: pathlib.Path, *objects: dict[str, object]) -> None:
    """The file as Keras writes it: an object's path and its description."""
    data = b""
    for number, description in enumerate(objects):
        fields = ((3, f"root.layer-{number}".encode()), (5, json.dumps(description).encode()))
        content = b"".join(length_delimited_header(field, len(value)) + value for field, value in fields)
        data += length_delimited_header(1, len(content)) + content
    (directory / "keras_metadata.pb").write_bytes(data)


def test_a_graph_that_only_computes_is_ok(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_model(tmp_path / "model")
    assert scan(capsys, directory) == (0, [f"{directory}: OK, nothing that can do more than compute"])


def test_operations_are_found_in_functions_too(risky: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = scan(capsys, risky)
    assert status == 1
    assert lines == [
        f"{risky}: {{serve}}: write (WriteFile) writes files, any file by its name: '/tmp/x\\n'; no signature reaches it",
        f"{risky}: {{serve}}: twice/read (ReadFile) reads files, any file by its name; reached by signature 'serving_default' > y",
        f"{risky}: FOUND, 2 places that can do more than compute: writes files, reads files",
    ]


@pytest.mark.parametrize(
    "allowed", [["--allow", "WriteFile,ReadFile"], ["--allow=*File"], ["--allow", "WriteFile", "--allow", "R*"]]
)
def test_what_is_allowed_is_no_finding(allowed: list[str], risky: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(capsys, risky, *allowed) == (0, [f"{risky}: OK, nothing that can do more than compute, besides 2 allowed"])
    status, lines = scan(capsys, risky, *allowed, "-v")
    assert status == 0 and len(lines) == 3 and all(line.endswith(" (allowed)") for line in lines[:2])


def test_allowing_one_operation_leaves_the_others(risky: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = scan(capsys, risky, "--allow", "WriteFile")
    assert status == 1
    assert lines[-1] == f"{risky}: FOUND, 1 place that can do more than compute: reads files"


def test_only_the_graph_of_the_tags_is_looked_at(risky: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(capsys, risky, "--tags", "")[0] == 0
    assert scan(capsys, risky, "--tags", "serve")[0] == 1


def test_json_holds_everything(risky: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = scan(capsys, risky, "--json", "--allow", "ReadFile")
    document = json.loads("\n".join(lines))["report"]
    assert (status, document["ok"], document["path"]) == (1, False, risky)
    assert document["findings"][0] == {
        "tags": ["serve"],
        "op": "WriteFile",
        "place": "write",
        "risk": "writes files",
        "reason": "any file by its name",
        "values": ["/tmp/x\n"],
        "reached": False,
        "path": [],
        "expected": False,
        "allowed": False,
        "counts": True,
    }
    assert document["findings"][1]["allowed"] is True


def test_a_meta_graph_is_scanned_too(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_meta_graph(tmp_path / "graph", risky_proto().meta_graphs[0])
    status, lines = scan(capsys, path)
    assert status == 1 and lines[0].startswith(f"{path}: write (WriteFile) ")


def test_saver_is_expected(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = cases / "sm_tf_half_plus_two_v2" / "00000123"
    status, lines = scan(capsys, directory, "-v")
    assert status == 0
    assert all(line.endswith("(expected)") for line in lines[:-1]) and len(lines) == 4
    assert lines[-1] == f"{directory}: OK, nothing that can do more than compute, besides 3 of the Saver and the assets"


@pytest.mark.parametrize(
    ("description", "found"),
    [
        ({"class_name": "Dense"}, 0),
        ({"class_name": "Lambda", "config": {"function": "4wEAAAA="}}, 1),
        ({"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {"name": "twice"}}]}}, 1),
        ({"class_name": "TensorFlowOpLayer>Lambda"}, 1),
        ({"name": "Lambda", "class_name": None}, 0),
    ],
)
def test_python_code_of_keras_is_found(
    description: dict[str, object], found: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_model(tmp_path / "model")
    write_keras_metadata(directory, {"class_name": "InputLayer"}, description)
    status, lines = scan(capsys, directory)
    assert status == found and len(lines) == 1 + found
    if found:
        place = "keras_metadata.pb: root.layer-1 (Lambda)"
        sentence = "runs code, a layer of Python code, which Keras runs when it loads the model"
        assert lines[0].removesuffix(": 'twice'") == f"{directory}: {place} {sentence}"
        assert ("twice" in lines[0]) == ("config" in description and "layers" in str(description))
        assert scan(capsys, directory, "--allow", "Lambda")[0] == 0


@pytest.mark.parametrize(
    "data", [b"\xff", b"\n\x04*\x02{]", b"\n\x04*\x02\xff\xff", b"\n\xd5\x9c\x01*\xd1\x9c\x01" + b"[" * 20049]
)
def test_damaged_description_of_keras_is_an_error(
    data: bytes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_model(tmp_path / "model")
    (directory / "keras_metadata.pb").write_bytes(data)
    assert main(["saved-model", "scan", str(directory)]) == 1
    assert "keras_metadata.pb: no description of Keras's objects" in capsys.readouterr().err


def test_every_model_and_graph_is_scanned(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends: dict[str, int] = {}
    for path in graph_paths(cases):
        status, lines = scan(capsys, path)
        assert (": OK, " in lines[-1]) == (status == 0)
        ends[path.parent.name if path.suffix != ".meta" else path.name] = status
    # One reads an asset as any file; a second Saver, what Keras exports and the Saver's own nodes are fine.
    assert (ends["sm_tf_AssetModule"], ends["sm_contrib_predictor"]) == (1, 0)
    assert (ends["sm_keras_python_func_model"], ends["sm_tf_SimpleV1Model"], ends["ckpt.meta"]) == (0, 0, 0)
