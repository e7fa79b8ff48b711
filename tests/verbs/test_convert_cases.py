"""Checkpoints that other programs wrote, carried to the neighbours and back."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.plugins.tensorflow_programs import TensorFlowPrograms
from tests.tensor_bundle.tensors import assert_equal
from tfsaver.verbs.convert import convert

_NAMED = {
    "tiny BERT with slots": "v2_tiny_bert_keras_bert",
    "Transformer": "v2_t2t_transformer_two_shards",
    "Estimator": "v2_tfx_estimator_ckpt/model.ckpt-1000",
    "V1": "v1_bad_half_plus_two/00000123/export",
    "partitioned": "gen_partitioned_v2_sharded",
    "partitioned V1": "gen_partitioned_v1_single",
}
_OBJECTS = ["gen_tf2_object_bf16_fp8/ckpt", "sm_tf_OptimizerSlotVariableModule", "sm_keras_python_func_model", "obj_table_legacy_saveable"]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".orbax"])
@pytest.mark.parametrize("case", _NAMED)
def test_checkpoint_goes_there_and_back(case: str, suffix: str, cases: Path, tmp_path: Path) -> None:
    pytest.importorskip({".safetensors": "safetensors", ".pt": "torch", ".orbax": "orbax.checkpoint"}.get(suffix, "numpy"))
    target = tmp_path / f"x{suffix}"
    first = convert(cases / _NAMED[case], target, durable=False)
    second = convert(target, tmp_path / "back", durable=False)
    with tfsaver.load_checkpoint(cases / _NAMED[case]) as source, tfsaver.load_checkpoint(tmp_path / "back") as back:
        assert back.names == source.names == [item.name for item in first.tensors] == [item.name for item in second.tensors]
        for name in source:
            assert_equal(back[name], source[name])


@pytest.mark.parametrize("case", _OBJECTS)
def test_objects_go_there_and_back(case: str, cases: Path, tmp_path: Path) -> None:
    convert(cases / case, tmp_path / "x.npz", durable=False)
    convert(tmp_path / "x.npz", tmp_path / "back", format="object", like=cases / case, durable=False)
    with tfsaver.load_checkpoint(cases / case) as source, tfsaver.load_checkpoint(tmp_path / "back") as back:
        assert set(source.names) <= set(back.names) <= {*source.names, "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
        for name in source:
            if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
                assert_equal(back[name], source[name])


def test_every_type_of_tensorflow_goes_to_npz_and_back(cases: Path, tmp_path: Path) -> None:
    indexes = sorted((cases / "gen_dtypes_v2").glob("*.index"))
    assert len(indexes) > 15
    for index in indexes:
        source = index.with_suffix("")
        name = source.stem
        convert(source, tmp_path / f"{name}.npz", durable=False)
        convert(tmp_path / f"{name}.npz", tmp_path / name, durable=False)
        with tfsaver.load_checkpoint(source) as expected, tfsaver.load_checkpoint(tmp_path / name) as back:
            assert back.names == expected.names
            for key in expected:
                assert_equal(back[key], expected[key])


def _bert() -> Any:
    """A module whose parameters have the names that PyTorch's users of BERT know."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width: int, inner: int) -> None:
            super().__init__()
            self.attention = nn.ModuleDict(
                {
                    "self": nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")}),
                    "output": nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width)}),
                }
            )
            self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
            self.output = nn.ModuleDict({"dense": nn.Linear(inner, width), "LayerNorm": nn.LayerNorm(width)})

    class PreTraining(nn.Module):
        def __init__(self, words: int = 15, positions: int = 16, width: int = 4, inner: int = 16) -> None:
            super().__init__()
            self.bert = nn.ModuleDict(
                {
                    "embeddings": nn.ModuleDict(
                        {
                            "word_embeddings": nn.Embedding(words, width),
                            "position_embeddings": nn.Embedding(positions, width),
                            "token_type_embeddings": nn.Embedding(2, width),
                            "LayerNorm": nn.LayerNorm(width),
                        }
                    ),
                    "encoder": nn.ModuleDict({"layer": nn.ModuleList(Block(width, inner) for _ in range(2))}),
                    "pooler": nn.ModuleDict({"dense": nn.Linear(width, width)}),
                }
            )
            predictions = nn.Module()
            predictions.bias = nn.Parameter(__import__("torch").zeros(words))
            predictions.transform = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width)})
            self.cls = nn.ModuleDict({"predictions": predictions, "seq_relationship": nn.Linear(width, 2)})

    return PreTraining()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_bert_becomes_the_state_of_a_torch_module(suffix: str, cases: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    convert(cases / "v2_tiny_bert_keras_bert", tmp_path / f"bert{suffix}", essential=True, mapping="bert-to-pytorch")
    if suffix == ".pt":
        state = torch.load(tmp_path / "bert.pt", weights_only=True)
    else:
        pytest.importorskip("safetensors")
        from safetensors.torch import load_file

        state = load_file(tmp_path / "bert.safetensors")
    module = _bert()
    module.load_state_dict(state, strict=True)

    with tfsaver.load_checkpoint(cases / "v2_tiny_bert_keras_bert") as reader:
        # Square kernels would load turned or not: what a layer computes tells.
        linear = {name: layer for name, layer in module.named_modules() if isinstance(layer, torch.nn.Linear)}
        assert len(linear) == 15
        for name, layer in linear.items():
            scope = name.replace(".layer.", ".layer_").replace(".", "/")
            ending = "output_weights" if scope.endswith("seq_relationship") else "kernel"
            weights = reader[f"{scope}/{ending}"] if ending == "kernel" else reader[f"{scope}/{ending}"].T
            biases = reader[f"{scope}/{'bias' if ending == 'kernel' else 'output_bias'}"]
            inputs = np.eye(len(weights), dtype=np.float32)
            with torch.no_grad():
                assert_equal(layer(torch.from_numpy(inputs)).numpy(), inputs @ weights + biases)
        for name, layer in module.named_modules():
            if isinstance(layer, torch.nn.Embedding):
                assert_equal(layer.weight.detach().numpy(), reader[name.replace(".", "/")])


def test_essential_tensors_are_those_of_the_model(cases: Path, tmp_path: Path) -> None:
    report = convert(cases / "v2_tfx_estimator_ckpt" / "model.ckpt-1000", tmp_path / "x.npz", essential=True)
    assert report.left_out
    with np.load(tmp_path / "x.npz") as loaded:
        assert not [name for name in loaded.files if "Adagrad" in name or "Ftrl" in name]
        assert len(loaded.files) + len(report.left_out) == 60


def test_models_that_cannot_be_loaded_give_their_weights(cases: Path, tmp_path: Path) -> None:
    folders = [path.parent for path in sorted(cases.glob("sm_*/variables/variables.index"))] + [
        path.parent for path in sorted(cases.glob("sm_*/*/variables/variables.index"))
    ]
    assert len(folders) > 25
    for number, folder in enumerate(folders):
        convert(folder.parent, tmp_path / f"{number}.npz", durable=False)
        with np.load(tmp_path / f"{number}.npz") as loaded, tfsaver.load_checkpoint(folder.parent) as reader:
            assert len(loaded.files) == len([name for name in reader if name != "_CHECKPOINTABLE_OBJECT_GRAPH"])


_TENSORFLOW = """
import sys
import numpy as np
import tensorflow as tf

class Net(tf.Module):
    def __init__(self, value):
        self.layers = [tf.Variable(np.full((2, 3), value, np.float32), name="kernel"), tf.Variable(tf.cast([value], tf.bfloat16))]
        self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)

net = Net(float(sys.argv[2]))
checkpoint = tf.train.Checkpoint(net=net)
if sys.argv[2] == "7":
    net.table.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
    checkpoint.save(sys.argv[1])
else:
    checkpoint.restore(sys.argv[1]).assert_consumed()
    assert net.layers[0].numpy().tolist() == [[7, 7, 7]] * 2
    assert net.layers[1].numpy().tolist() == [7]
    assert net.table.lookup(tf.constant(["b"])).numpy().tolist() == [2]
"""


def test_tensorflow_restores_what_went_through_another_format(
    tensorflow_programs: Callable[[str], TensorFlowPrograms], tmp_path: Path
) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install 'tfsaver[tensorflow]'")

    def run_tensorflow(prefix: Path, value: str) -> None:
        tensorflow_programs(sys.executable).run_code(_TENSORFLOW, [str(prefix), value], cwd=tmp_path)

    run_tensorflow(tmp_path / "ckpt", "7")
    convert(tmp_path / "ckpt-1", tmp_path / "x.npz")
    convert(tmp_path / "x.npz", tmp_path / "back", format="object", like=tmp_path / "ckpt-1")
    run_tensorflow(tmp_path / "back", "0")
