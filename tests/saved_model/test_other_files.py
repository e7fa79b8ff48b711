"""Files with graphs under other names, other files under the names of graphs, and checkpoints that lack files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tests.saved_model.graphs import KERNEL, VALUES, dense
from tfsaver import schemas
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.cli.main import main
from tfsaver.compat.export import export_saved_model
from tfsaver.errors import AlreadyExistsError, CheckpointNotFoundError, DataLossError, InvalidArgumentError
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.warmup import check_warmup_requests

GRAPH = dense()
META_GRAPH = schemas.MetaGraphDef(graph_def=GRAPH, meta_info_def={"tensorflow_version": "1.15.5"})


def export(source: Any, directory: Path, **options: Any) -> str:
    return export_saved_model(source, directory, outputs=["layer/y"], variables=VALUES, durable=False, **options)


@pytest.mark.parametrize("message", [GRAPH, META_GRAPH], ids=["GraphDef", "MetaGraphDef"])
@pytest.mark.parametrize("name", ["model_1.pb", "saved_model.pb", "saved_model.pbtxt", "graph", "model.bin"])
@pytest.mark.parametrize("is_text", [False, True])
def test_a_graph_is_exported_and_scanned_whatever_its_file_is_called(
    tmp_path: Path, message: Any, name: str, is_text: bool
) -> None:
    text = text_format.MessageToString(message, descriptor_pool=schemas.DESCRIPTOR_POOL).encode()
    (tmp_path / name).write_bytes(text if is_text else message.SerializeToString())
    with load_saved_model(export(tmp_path / name, tmp_path / "export")) as model:
        assert (model.variables["kernel"] == KERNEL).all()
    assert main(["saved-model", "scan", str(tmp_path / name)]) == 0
    if name.startswith("saved_model"):
        with pytest.raises(DataLossError, match=f"holds a {message.DESCRIPTOR.name}, not a SavedModel.*export_saved_model"):
            load_saved_model(tmp_path)


@pytest.mark.parametrize("name", ["model_1.pb", "saved_model.pbtxt", "anything"])
def test_a_saved_model_is_opened_whatever_its_file_is_called(tmp_path: Path, name: str) -> None:
    path = export(GRAPH, tmp_path / "export")
    os.rename(f"{path}/saved_model.pb", f"{path}/{name}")
    with load_saved_model(f"{path}/{name}") as model:
        assert (model.variables["kernel"] == KERNEL).all()
    again = export_saved_model(f"{path}/{name}", tmp_path / "again", durable=False)
    with load_saved_model(again) as model:
        assert (model.variables["kernel"] == KERNEL).all()


@pytest.mark.parametrize(
    "data",
    [b"", b"\n \n", gzip.compress(b"graph"), schemas.GraphDef(versions={"producer": 9}).SerializeToString()],
    ids=["empty", "white space", "gzip", "no nodes"],
)
@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt", "model.pb", "model.meta"])
@pytest.mark.parametrize("verb", ["show", "scan", "lint"])
def test_a_file_without_a_graph_fails_every_verb(tmp_path: Path, data: bytes, name: str, verb: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert main(["saved-model", verb, str(tmp_path / name)]) == 1


@pytest.mark.parametrize("verb", ["show", "scan", "lint"])
def test_a_saved_model_without_graphs_fails_every_verb(tmp_path: Path, verb: str) -> None:
    (tmp_path / "saved_model.pb").write_bytes(schemas.SavedModel(saved_model_schema_version=1).SerializeToString())
    assert main(["saved-model", verb, str(tmp_path)]) == 1


def test_variables_without_their_data_file_are_listed_and_raise_when_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = export(GRAPH, tmp_path / "export")
    data = Path(path, "variables", "variables.data-00000-of-00001")
    data.unlink()
    with load_saved_model(path) as model:
        assert list(model.variables) == ["bias", "kernel"]
        assert model.variables.info("kernel").shape == KERNEL.shape
        assert model.variables.missing_files == (str(data),)
        with pytest.raises(CheckpointNotFoundError, match="variables.data-00000-of-00001"):
            model.variables["kernel"]
    assert main(["saved-model", "show", path, "-v"]) == 1
    out, error = capsys.readouterr()
    assert "kernel" in out and "variables.data-00000-of-00001" in error and "missing" in out
    assert main(["saved-model", "lint", path]) == 1
    assert "missing-data" in capsys.readouterr().out


def test_an_object_based_checkpoint_lists_its_variables_without_its_data(tmp_path: Path) -> None:
    path = export(GRAPH, tmp_path / "export")
    prefix = f"{path}/variables/variables"
    key = "layer/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    objects = schemas.TrackableObjectGraph(nodes=[{"children": [{"node_id": 1, "local_name": "layer"}]}, {}])
    value = np.array(objects.SerializeToString(), object)
    save_checkpoint({key: KERNEL, "_CHECKPOINTABLE_OBJECT_GRAPH": value}, prefix, num_shards=2, overwrite=True)
    for file in Path(path, "variables").glob("*.data-*"):
        file.unlink()
    with load_saved_model(path) as model:
        assert list(model.variables) == ["layer/kernel"] and len(model.variables.missing_files) == 2
        with pytest.raises(CheckpointNotFoundError):
            model.variables["layer/kernel"]


def test_data_without_their_index_are_not_a_model_without_variables(tmp_path: Path) -> None:
    path = export(GRAPH, tmp_path / "export")
    Path(path, "variables", "variables.index").unlink()
    with pytest.raises(CheckpointNotFoundError):
        load_saved_model(path).variables.keys()
    assert main(["saved-model", "lint", path]) == 1


@pytest.mark.parametrize("there", ["1", "20250101120000", str(10**13 + 7), "00000099999999999", str(2**63 - 2)])
def test_a_new_version_is_above_all_that_are_there(tmp_path: Path, there: str) -> None:
    (tmp_path / there).mkdir()
    made = [Path(export(GRAPH, tmp_path, versioned=True))]
    if int(there) < 2**63 - 2:
        made.append(Path(export(GRAPH, tmp_path, versioned=True)))
    numbers = [int(there), *(int(path.name) for path in made)]
    assert numbers == sorted(set(numbers))
    assert load_saved_model(tmp_path).directory == str(made[-1])


def test_no_version_is_made_below_the_highest_number_a_server_reads(tmp_path: Path) -> None:
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(AlreadyExistsError, match="never be served"):
        export(GRAPH, tmp_path, versioned=True)
    assert os.listdir(tmp_path) == [str(2**63 - 1)]


def test_warmup_requests_must_be_prediction_logs(tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    path = str(tmp_path / "requests")

    def write(*records: bytes, compression: str = "") -> None:
        with tensorflow.io.TFRecordWriter(path, compression) as writer:
            for record in records:
                writer.write(record)

    predict = bytes.fromhex("32070a050a030a016d")
    write(predict, predict)
    check_warmup_requests(path)
    for wrong in ([], [b"text"], [predict, b""], [predict] * 1001):
        write(*wrong)
        with pytest.raises(InvalidArgumentError, match="TFRecord of|a server runs 1 to 1000"):
            check_warmup_requests(path)
    write(predict, compression="GZIP")
    with pytest.raises(InvalidArgumentError, match="without compression"):
        check_warmup_requests(path)
    (tmp_path / "requests").write_bytes(b'{"instances": [1]}')
    with pytest.raises(InvalidArgumentError, match="record 1"):
        export(GRAPH, tmp_path / "export", extra_assets={"tf_serving_warmup_requests": path})
    assert not (tmp_path / "export").exists()
