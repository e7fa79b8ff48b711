"""`write_projector`: numpy reads the vectors back, protobuf the configuration, and labels belong to rows."""

from __future__ import annotations

import pathlib

import ml_dtypes
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

import tfsaver
from tfsaver.cli.main import main
from tfsaver.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    TensorNotFoundError,
    UnimplementedError,
    UntrustedPathError,
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.float16, ml_dtypes.bfloat16])
def test_vectors_are_read_back_bit_for_bit(tmp_path: pathlib.Path, dtype: type) -> None:
    values = (np.random.default_rng(1).standard_normal((5000, 3)) * 100).astype(dtype)
    report = tfsaver.write_projector({"emb": values}, "emb", tmp_path / "logs", durable=False)
    found = np.loadtxt(tmp_path / "logs" / "vectors.tsv", delimiter="\t", dtype=np.float64)
    assert found.astype(dtype).tobytes() == values.tobytes()
    assert (report.num_points, report.num_dimensions, report.num_labels) == (5000, 3, 0)
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["projector_config.pbtxt", "vectors.tsv"]


def _projector_config() -> type:
    """TensorBoard's message, as far as it is used: tensorboard/plugins/projector/projector_config.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="projector_config.proto", package="tensorboard", syntax="proto3")
    info = file.message_type.add(name="EmbeddingInfo")
    for number, field in ((1, "tensor_name"), (2, "metadata_path"), (6, "tensor_path")):
        info.field.add(name=field, number=number, type=9, label=1)
    config = file.message_type.add(name="ProjectorConfig")
    config.field.add(name="embeddings", number=2, type=11, label=3, type_name=".tensorboard.EmbeddingInfo")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorboard.ProjectorConfig"))


def test_tensorboard_parses_the_configuration(tmp_path: pathlib.Path) -> None:
    name = 'scope/"quoted" \\ é\n'
    report = tfsaver.write_projector({name: np.eye(2)}, name, tmp_path, labels=["a", "b c"], durable=False)
    parsed = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text("utf-8"), _projector_config()())
    [embedding] = parsed.embeddings
    assert (embedding.tensor_name, embedding.tensor_path, embedding.metadata_path) == (name, "vectors.tsv", "metadata.tsv")
    assert (tmp_path / "metadata.tsv").read_text() == "a\nb c\n"
    assert {pathlib.Path(path).name for path in report.files} == {"projector_config.pbtxt", "vectors.tsv", "metadata.tsv"}


@pytest.mark.parametrize(
    ("text", "num_labels"),
    [("a\nb\nc\n", 3), ("a\r\nb\r\nc", 3), ("\ufeffword\tcount\na\t1\nb\t2\nc\t3\n", 3), ("a\nb\n", 2), ("word\tcount\na\t1\nb\t2\n", 2)],
)
def test_labels_of_a_file_are_one_a_row(tmp_path: pathlib.Path, text: str, num_labels: int) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes(text.encode())
    if num_labels == 3:
        assert tfsaver.write_projector({"e": np.eye(3)}, "e", tmp_path / "logs", labels=labels).num_labels == 3
        return
    with pytest.raises(InvalidArgumentError, match="2 labels.*3 rows"):
        tfsaver.write_projector({"e": np.eye(3)}, "e", tmp_path / "logs", labels=labels)
    assert not (tmp_path / "logs").exists()


def test_what_is_not_a_matrix_of_numbers_is_refused(tmp_path: pathlib.Path) -> None:
    tensors = {"v": np.ones(3), "c": np.ones((2, 2), np.complex64), "s": np.array([[b"a"]], object), "emb": np.eye(2)}
    with pytest.raises(InvalidArgumentError, match=r"shape \[3\]"):
        tfsaver.write_projector(tensors, "v", tmp_path / "logs")
    for name in ("c", "s"):
        with pytest.raises(UnimplementedError, match="real numbers"):
            tfsaver.write_projector(tensors, name, tmp_path / "logs")
    with pytest.raises(TensorNotFoundError, match="emb"):
        tfsaver.write_projector(tensors, "embd", tmp_path / "logs")
    tfsaver.write_projector(tensors, "emb", tmp_path / "dry", dry_run=True)
    assert not (tmp_path / "dry").exists() and not (tmp_path / "logs").exists()
    tfsaver.write_projector(tensors, "emb", tmp_path / "logs")
    with pytest.raises(AlreadyExistsError, match="overwrite"):
        tfsaver.write_projector(tensors, "emb", tmp_path / "logs")
    tfsaver.write_projector(tensors, "emb", tmp_path / "logs", overwrite=True)


def test_an_untrusted_checkpoint_does_not_lead_out(tmp_path: pathlib.Path) -> None:
    for name in ("run", "other"):
        tfsaver.save_checkpoint({"w": np.eye(2)}, tmp_path / name / "model-1", durable=False)
    (tmp_path / "run" / "checkpoint").write_text(f'model_checkpoint_path: "{tmp_path}/other/model-1"\n')
    with pytest.raises(UntrustedPathError):
        tfsaver.write_projector(tmp_path / "run", "w", tmp_path / "logs", trusted=False)
    assert tfsaver.write_projector(tmp_path / "run", "w", tmp_path / "logs", trusted=True)


def test_the_verb_writes_the_same(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = tfsaver.save_checkpoint({"emb": np.eye(2, dtype=np.float32)}, tmp_path / "m", durable=False)
    (tmp_path / "words").write_text("a\nb\n")
    logs = tmp_path / "logs"
    assert main(["projector", prefix, "emb", "--labels", str(tmp_path / "words"), "-o", str(logs)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["2 points of 2 dimensions, 2 labels", f"tensorboard --logdir {logs}"]
    assert (logs / "vectors.tsv").read_text() == "1.0\t0.0\n0.0\t1.0\n"
