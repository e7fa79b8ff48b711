"""`tfsaver saved-model show`: as text and as JSON, of models made by hand and by many programs."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.saved_model_files import model_proto, write_model
from tfsaver import schemas
from tfsaver.cli.main import main
from tfsaver.cli.saved_model_functions import format_value, open_shape_text
from tfsaver.saved_model.loader import load_saved_model


@pytest.fixture
def model(tmp_path: pathlib.Path) -> str:
    return str(write_model(tmp_path / "model"))


def show(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    """The lines of a run without problems."""
    assert main(["saved-model", "show", *map(str, arguments)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out.splitlines()


def show_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads("\n".join(show(capsys, "--json", *arguments)))["report"]
    return document


def graph_paths(cases: pathlib.Path) -> Iterator[pathlib.Path]:
    """Every SavedModel and .meta file."""
    for pattern in ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb", "*.meta"):
        yield from sorted(cases.rglob(pattern))


def test_a_whole_model_as_text(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(capsys, model)[1:] == [
        "",
        "graph {serve}: 4 nodes, 1 function of 1 node",
        "written by TensorFlow 1.15.5",
        "init op: init",
        f"asset: {model}/assets/vocab.txt, 8 B, its path goes to vocabulary:0",
        "",
        "signature serving_default: tensorflow/serving/predict",
        "        key  dtype    shape  tensor",
        "input   x    float32  [?,3]  x:0",
        "output  y    float32  [...]  y:0",
        "",
        "signature sparse: no method",
        "       key  dtype          shape  tensor       default",
        "input  ids  sparse string  [2]    v:0 i:0 s:0  yes",
        "",
        "graph {}: 1 node",
        "no signatures",
        "",
        "2 variables, 9 parameters, 36 B",
    ]


def test_verbose_names_every_variable_and_file(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = show(capsys, model, "-v")
    assert lines == show(capsys, model, "--all")
    assert "dense/kernel  float32  [2,3]  24 B" in lines
    assert "operations: AddV2 1, Const 1, Identity 1, NoOp 1, Placeholder 1" in lines
    assert "collections: saved_model_assets 1, saved_model_main_op 1" in lines
    assert any(line.startswith("fingerprint, computed: ") for line in lines)
    assert [line.split()[0] for line in lines[-4:]] == [
        f"{model}/{name}"
        for name in (
            "assets/vocab.txt",
            "saved_model.pb",
            "variables/variables.data-00000-of-00001",
            "variables/variables.index",
        )
    ]


def test_tags_choose_a_graph(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(capsys, model, "--tags", "serve")[2] == "graph {serve}: 4 nodes, 1 function of 1 node"
    assert show(capsys, model, "--tags", "")[2] == "graph {}: 1 node"
    assert main(["saved-model", "show", model, "--tags", "gpu,serve"]) == 1
    assert capsys.readouterr().err == (
        f"tfsaver: error: no graph with the tags {{gpu, serve}} in {model}: there is {{serve}}, {{}}\n"
    )


def test_one_signature_alone(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = show(capsys, model, "--signature", "sparse")
    assert lines[0] == "signature sparse: no method" and len(lines) == 3
    assert [len(graph["signatures"]) for graph in show_json(capsys, model, "--signature", "sparse")["graphs"]] == [1]
    assert main(["saved-model", "show", model, "--signature", "spares"]) == 1
    assert capsys.readouterr().err == f"tfsaver: error: no signature 'spares' in {model}: there is 'sparse'\n"


def test_json_holds_everything(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = show_json(capsys, model)
    assert list(document) == [
        "path", "kind", "schema_version", "files", "graphs", "variables", "constants", "totals", "fingerprint",
        "keras_config", "errors",
    ]  # fmt: skip
    graph = document["graphs"][0]
    assert (document["kind"], document["schema_version"], document["errors"]) == ("SavedModel", 1, [])
    assert graph["signatures"][0] == {
        "key": "serving_default",
        "method_name": "tensorflow/serving/predict",
        "inputs": [
            {"key": "x", "kind": "dense", "tensors": ["x:0"], "dtype": "float32", "shape": [None, 3], "has_default": False}
        ],
        "outputs": [
            {"key": "y", "kind": "dense", "tensors": ["y:0"], "dtype": "float32", "shape": None, "has_default": False}
        ],
    }
    assert graph["signatures"][1]["inputs"][0]["has_default"] is True
    assert graph["assets"] == [{"tensor": "vocabulary:0", "path": f"{model}/assets/vocab.txt", "size": 8}]
    assert (graph["tags"], graph["init_op"], graph["objects"]) == (["serve"], "init", None)
    assert document["totals"] == {"num_variables": 2, "num_parameters": 9, "num_bytes": 36}
    assert document["variables"][0]["shape"] == [3]
    assert document["fingerprint"]["stored"] is None
    assert document["fingerprint"]["computed"]["saved_object_graph_hash"] == "0"


def test_damaged_variables_do_not_hide_the_graph(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    index = pathlib.Path(model) / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[:-1])
    assert main(["saved-model", "show", model]) == 1
    shown = capsys.readouterr()
    assert "signature serving_default: tensorflow/serving/predict" in shown.out
    assert shown.err.startswith("tfsaver: error: ") and "sstable" in shown.err
    assert main(["saved-model", "show", model, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)["report"]
    assert (document["variables"], document["fingerprint"]["computed"], len(document["errors"])) == ([], None, 1)


def test_an_asset_outside_of_the_directory_is_an_error_beside_the_rest(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = model_proto()
    proto.meta_graphs[0].asset_file_def[0].filename = "../../etc/passwd"
    directory = write_model(tmp_path / "model", proto)
    assert main(["saved-model", "show", str(directory)]) == 1
    shown = capsys.readouterr()
    assert "signature sparse: no method" in shown.out
    assert shown.err == "tfsaver: error: asset '../../etc/passwd' is no file inside of assets/\n"


def test_names_are_shown_on_one_line_whatever_is_in_them(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = model_proto()
    graph = proto.meta_graphs[0]
    graph.signature_def["two\nlines\x1b[31m"].CopyFrom(graph.signature_def["sparse"])
    graph.meta_info_def.tensorflow_version = "1\x07"
    lines = show(capsys, write_model(tmp_path / "model", proto), "-v")
    assert "signature two\\x0alines\\x1b[31m: no method" in lines
    assert "written by TensorFlow 1\\x07" in lines


def test_functions_are_shown_with_their_arguments(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = show(capsys, cases / "sm_keras_python_func_model", "-v")
    assert "function: __call__(inputs: float32 [?,784], training=False, mask=None) -> float32 [?,10]" in lines
    assert lines.count("function: _default_save_signature(input_1: float32 [?,784]) -> {'softmax': float32 [?,10]}") == 1
    assert any(line.startswith("68 objects: 14 bare concrete functions, 7 functions, ") for line in lines)
    assert "layer_with_weights-0/matrix  float32  [784,10]  31.4 kB  transformer/matrix" in lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none_value {}", "None"),
        ("bool_value: true", "True"),
        ("string_value: 'a'", "'a'"),
        ("list_value { values { int64_value: 1 } values { float64_value: 0.5 } }", "[1, 0.5]"),
        ("tuple_value { values { int64_value: 1 } }", "(1,)"),
        ("dict_value { fields { key: 'k' value { tensor_dtype_value: DT_HALF } } }", "{'k': float16}"),
        ("named_tuple_value { name: 'P' values { key: 'x' value { int64_value: 2 } } }", "P(x=2)"),
        ("tensor_shape_value { dim { size: -1 } }", "[?]"),
        ("tensor_spec_value { dtype: DT_INT64 shape { unknown_rank: true } }", "int64 [...]"),
        (
            "type_spec_value { type_spec_class_name: 'a.RaggedTensorSpec' type_state { tuple_value {} } }",
            "RaggedTensorSpec(())",
        ),
        ("tensor_value { dtype: DT_INT32 tensor_shape { dim { size: 2 } } }", "<int32 [2]>"),
        ("", ""),
    ],
)
def test_values_of_every_kind_are_text(text: str, expected: str) -> None:
    from google.protobuf import text_format

    assert format_value(text_format.Parse(text, schemas.StructuredValue())) == expected


def test_open_shapes_have_no_blanks() -> None:
    assert [open_shape_text(shape) for shape in (None, (), (None, 3))] == ["[...]", "[]", "[?,3]"]


def test_every_model_and_graph_is_shown(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = list(graph_paths(cases))
    assert len(paths) >= 60
    for path in paths:
        lines = show(capsys, path, "-v")
        assert lines[0].startswith(f"{path}: MetaGraphDef, " if path.suffix == ".meta" else f"{path.parent}: SavedModel, ")


def test_json_of_every_model_says_what_the_loader_reads(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in graph_paths(cases):
        document = show_json(capsys, path)
        if path.suffix == ".meta":
            assert document["kind"] == "graph" and len(document["graphs"]) == 1
            continue
        with load_saved_model(path) as model:
            assert [graph["tags"] for graph in document["graphs"]] == [list(graph.tags) for graph in model.meta_graphs]
            assert [row["name"] for row in document["variables"]] == list(model.variables)
            for graph, found in zip(model.meta_graphs, document["graphs"], strict=True):
                assert [row["key"] for row in found["signatures"]] == list(graph.signatures)
                assert sum(found["ops"].values()) == found["num_nodes"] + found["num_function_nodes"]
