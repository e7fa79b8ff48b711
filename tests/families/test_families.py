"""The tables of families on checkpoints of the families' own packages, against what the original graphs computed."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.families.models import KERAS, TABLES, TORCH
from tests.families.recordings import FAMILIES, differing, recording
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names.changes import Spec
from tfsaver.checkpoint.names.name_map import as_name_map
from tfsaver.checkpoint.names.name_steps import Infos
from tfsaver.checkpoint.names.rename_tables import TABLES as ALL_TABLES
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import AlreadyExistsError, DataLossError, InvalidArgumentError, RestoreError, UnimplementedError
from tfsaver.framework import dtypes

_LIMIT = 1e-5
_TRANSFORMERS = [family for family in FAMILIES if family in TABLES]


def assert_computes(made: dict[str, np.ndarray], recorded: dict[str, np.ndarray]) -> None:
    """The original graph's outputs, up to the order in which sums are taken."""
    assert made
    for name, array in made.items():
        assert array.shape == recorded[name].shape
        np.testing.assert_allclose(array, recorded[name], rtol=_LIMIT, atol=_LIMIT, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_tensors_are_all_different_and_never_zero(family: str) -> None:
    with recording(family) as recorded:
        tensors = {name: array for name, array in recorded.tensors().items() if name != "global_step"}
        assert len({(array.shape, array.tobytes()) for array in tensors.values()}) == len(tensors) > 20
        assert all(np.all(array != 0) for array in tensors.values())
        assert recorded.versions["tensorflow"] == "1.15.5" and len(recorded.versions) > 2


def infos_of(tensors: dict[str, np.ndarray]) -> Infos:
    return Infos(list(tensors), lambda name: Spec(dtypes.from_name(str(tensors[name].dtype)), tensors[name].shape))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_recorded_family_has_a_table_that_knows_all_its_names(family: str) -> None:
    names = {TABLES.get(family), TORCH.get(family, (None,))[0], KERAS.get(family, (None,))[0]} - {None}
    assert names
    with recording(family) as recorded:
        for name in names:
            applied = ALL_TABLES[str(name)].step.apply(infos_of(recorded.tensors()))
            assert not applied.counts[0].unknown and not applied.problems


_WITH_TABLE = [
    (family, table)
    for family in FAMILIES
    for table in (TABLES.get(family), TORCH.get(family, (None,))[0], KERAS.get(family, (None,))[0])
    if table is not None
]


@pytest.mark.parametrize(("family", "table"), _WITH_TABLE)
def test_table_can_be_undone_and_written_as_a_file(family: str, table: str, tmp_path: pathlib.Path) -> None:
    with recording(family) as recorded:
        tensors, there = recorded.tensors(), recorded.mapped(table)
        name_map = as_name_map(table)
        back = renamed(ArraySource(there), name_map.inverse(infos_of(tensors))).plan
        assert set(back.names) == {name for name in tensors if name != "global_step"}
        assert all(np.array_equal(back[name], tensors[name]) for name in back.names)
        (tmp_path / "names.toml").write_text(name_map.to_toml(infos_of(tensors)))
        again = recorded.mapped(str(tmp_path / "names.toml"))
        assert again.keys() == there.keys() and all(np.array_equal(again[name], there[name]) for name in there)


@pytest.mark.parametrize("family", _TRANSFORMERS)
def test_family_becomes_bit_for_bit_what_transformers_loads_of_it(family: str) -> None:
    with recording(family) as recorded:
        assert recorded.witness["transformers"] == "4.57.6"
        assert not differing(recorded.mapped(TABLES[family]), recorded.witness)


@pytest.mark.parametrize("family", _TRANSFORMERS)
def test_transformers_computes_what_the_original_graph_does(family: str) -> None:
    with recording(family) as recorded:
        made = {name: np.array(value, np.float32) for name, value in recorded.witness["outputs"].items()}
        assert_computes(made, recorded.arrays)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family in TORCH])
def test_torch_computes_what_the_original_graph_does(family: str) -> None:
    pytest.importorskip("torch")
    table, program = TORCH[family]
    with recording(family) as recorded:
        assert_computes(program(recorded.mapped(table), recorded), recorded.arrays)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family in KERAS])
def test_keras_computes_what_the_original_graph_does(family: str) -> None:
    pytest.importorskip("tensorflow")
    table, make = KERAS[family]
    with recording(family) as recorded:
        model = make(recorded)
        report = tfsaver.restore(model, recorded.prefix, mapping=table)
        assert report.ok
        made = np.asarray(model(recorded.arrays["images"], training=False))
        assert_computes({"logits": made}, recorded.arrays)


def test_restore_without_a_mapping_names_the_table(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorflow")
    table, make = KERAS["resnet_v1"]
    with recording("resnet_v1") as recorded, pytest.raises(RestoreError, match=rf"mapping='{table}' finds 162 of the 194"):
        tfsaver.restore(make(recorded), recorded.prefix)


def test_step_and_slots_of_slim_go_on_in_keras(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorflow")
    import keras

    table, make = KERAS["resnet_v2"]
    with recording("resnet_v2") as recorded:
        tensors = recorded.tensors()
        model = make(recorded)
    trained = [name for name in tensors if "/moving_" not in name]
    slots = {f"{name}/Momentum": np.random.default_rng(1).normal(size=tensors[name].shape).astype("f") for name in trained}
    path = tfsaver.save_checkpoint({**tensors, **slots, "global_step": np.int64(70)}, tmp_path / "model", durable=False)
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
    optimizer.build(model.trainable_variables)
    assert tfsaver.restore({"model": model, "optimizer": optimizer}, path, mapping=table).ok
    assert int(optimizer.iterations) == 70
    found = {variable.path: np.asarray(variable) for variable in optimizer.variables}
    [name] = [name for name in found if name.endswith("predictions_kernel_momentum")]
    old = slots["resnet_v2_50/logits/weights/Momentum"][0, 0] * np.float32(-0.5)
    np.testing.assert_array_equal(found[name], old)


# ---- directories for transformers ----

_GIVEN: dict[str, dict[str, Any]] = {
    "bert": {"num_attention_heads": 2},
    "albert": {"num_attention_heads": 2, "num_hidden_layers": 4},
    "gpt2": {"n_head": 2},
}
# What the recorded models were made with, by transformers' words.
_CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {
        "vocab_size": 37, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20,
        "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    },
    "albert": {
        "vocab_size": 37, "embedding_size": 6, "hidden_size": 8, "num_hidden_layers": 4, "num_hidden_groups": 2,
        "num_attention_heads": 2, "intermediate_size": 20, "inner_group_num": 2, "hidden_act": "gelu_new",
        "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    },
    "gpt2": {
        "vocab_size": 41, "n_positions": 12, "n_embd": 8, "n_head": 2, "n_layer": 2, "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "n_inner": 32,
    },
    "t5": {
        "vocab_size": 40, "d_model": 8, "d_kv": 3, "d_ff": 20, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2,
        "relative_attention_num_buckets": 6, "feed_forward_proj": "relu", "tie_word_embeddings": True,
        "decoder_start_token_id": 0,
    },
    "mobilenet_v1": {"depth_multiplier": 0.125, "min_depth": 1, "num_labels": 7, "hidden_act": "relu6", "tf_padding": True},
    "mobilenet_v2": {"depth_multiplier": 0.3, "finegrained_output": True, "num_labels": 7, "tf_padding": True},
}  # fmt: skip


@pytest.mark.parametrize("family", _TRANSFORMERS)
def test_one_step_writes_a_directory_for_transformers(family: str, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    with recording(family) as recorded:
        # ALBERT and GPT-2 have their original configuration next to the checkpoint.
        report = tfsaver.convert(recorded.prefix, tmp_path / "x", format="hf", durable=False)
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    wanted = _CONFIGS[family]
    assert {word: config.get(word) for word in wanted} == pytest.approx(wanted)
    assert config["model_type"] == family and len(report.tensors) > 20
    with tfsaver.load_checkpoint(tmp_path / "x") as source:
        assert not differing({name: source.read(name) for name in source.names}, recorded.witness)


@pytest.mark.parametrize("family", [family for family in _TRANSFORMERS if family in _GIVEN])
def test_what_no_shape_says_must_be_said(family: str, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    with recording(family) as recorded:
        tensors = recorded.tensors()
    given = _GIVEN[family]
    for lacking in given:
        with pytest.raises(InvalidArgumentError, match=rf"no shape says .*{lacking}.*--default {lacking}=N"):
            others = {word: value for word, value in given.items() if word != lacking}
            tfsaver.convert(tensors, tmp_path / "x", format="hf", defaults=others)
    assert not (tmp_path / "x").exists()
    tfsaver.convert(tensors, tmp_path / "x", format="hf", defaults=given, durable=False)
    assert given.items() <= json.loads((tmp_path / "x" / "config.json").read_text()).items()


def _gpt2() -> dict[str, np.ndarray]:
    with recording("gpt2") as recorded:
        return recorded.tensors()


def test_configuration_that_contradicts_the_shapes_is_refused(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    with pytest.raises(InvalidArgumentError, match="n_layer is 3 in defaults, and 2 by the tensors"):
        tfsaver.convert(_gpt2(), tmp_path / "x", format="hf", defaults={"n_head": 2, "n_layer": 3})
    with pytest.raises(InvalidArgumentError, match="3 heads do not divide a width of 8"):
        tfsaver.convert(_gpt2(), tmp_path / "x", format="hf", defaults={"n_head": 3})
    with recording("gpt2") as recorded:
        (recorded.prefix.parent / "hparams.json").write_text('{"n_head": 2, "n_vocab": 50257}')
        with pytest.raises(InvalidArgumentError, match=r"vocab_size is 50257 in .*hparams\.json, and 41 by the tensors"):
            tfsaver.convert(recorded.prefix, tmp_path / "x", format="hf")


def test_shards_have_an_index_and_every_tensor_once(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    tensors = _gpt2()
    tfsaver.convert(tensors, tmp_path / "x", format="hf", defaults={"n_head": 2}, num_shards=3, durable=False)
    index = json.loads((tmp_path / "x" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in tensors.values())
    files = {f"model-{number:05d}-of-00003.safetensors" for number in (1, 2, 3)}
    assert set(index["weight_map"].values()) == files and len(index["weight_map"]) == len(tensors)
    assert {path.name for path in (tmp_path / "x").iterdir()} == files | {"config.json", "model.safetensors.index.json"}
    with tfsaver.load_checkpoint(tmp_path / "x") as source:
        np.testing.assert_array_equal(source.read("transformer.wte.weight"), tensors["model/wte"])
        assert source.read("transformer.ln_f.bias", (slice(2, 4),)).tolist() == tensors["model/ln_f/b"][2:4].tolist()


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ('{"weight_map": {"w": "../x.safetensors"}}', "which is no file of its directory"),
        ('{"weight_map": {"v": "model.safetensors"}}', "has no tensor 'v', which the index says it has"),
        ('{"weight_map": 3}', "is no index of safetensors files"),
        ("{", "is no index of safetensors files"),
    ],
)
def test_index_that_does_not_fit_its_directory_is_damage(tmp_path: pathlib.Path, index: str, said: str) -> None:
    pytest.importorskip("safetensors")
    tfsaver.convert({"w": np.ones(3, np.float32)}, tmp_path / "x.safetensors", durable=False)
    tfsaver.convert({"w": np.ones(3, np.float32)}, tmp_path / "d" / "model.safetensors", durable=False)
    (tmp_path / "d" / "model.safetensors.index.json").write_text(index)
    with pytest.raises(DataLossError, match=said):
        tfsaver.load_checkpoint(tmp_path / "d")


def test_activation_of_t5_is_mentioned_and_can_be_given(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    with recording("t5") as recorded:
        tensors = recorded.tensors()
    report = tfsaver.convert(tensors, tmp_path / "x", format="hf", durable=False)
    assert "feed_forward_proj='relu'" in str(report)
    given = {"feed_forward_proj": "gelu"}
    tfsaver.convert(tensors, tmp_path / "x", format="hf", defaults=given, overwrite=True, durable=False)
    assert json.loads((tmp_path / "x" / "config.json").read_text())["feed_forward_proj"] == "gelu"


def test_mobilenet_v2_that_transformers_computes_otherwise_is_refused(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    with recording("mobilenet_v2") as recorded:
        tensors = recorded.tensors()
    # As slim makes it with a depth multiplier of 0.25.
    for name, shape in (("Conv/weights", (3, 3, 3, 8)), ("expanded_conv/depthwise/depthwise_weights", (3, 3, 8, 1))):
        tensors[f"MobilenetV2/{name}"] = np.ones(shape, np.float32)
    with pytest.raises(InvalidArgumentError, match="slim adds the one to the other; transformers does not"):
        tfsaver.convert(tensors, tmp_path / "x", format="hf")


def test_tensors_of_no_family_and_of_more_than_it_are_refused(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    with pytest.raises(InvalidArgumentError, match=r"those of no family .*bert, albert, gpt2, t5"):
        tfsaver.convert({"w": np.ones(3, np.float32)}, tmp_path / "x", format="hf")
    more = {**_gpt2(), "head/kernel": np.ones(3, np.float32)}
    with pytest.raises(UnimplementedError, match="no tensor of the family gpt2: 'head/kernel'"):
        tfsaver.convert(more, tmp_path / "x", format="hf", defaults={"n_head": 2})
    report = tfsaver.convert(
        more, tmp_path / "x", format="hf", defaults={"n_head": 2}, select=tfsaver.Selection(exclude=["^head/"]), durable=False
    )
    assert len(report.tensors) == 28
    with pytest.raises(AlreadyExistsError, match="--overwrite"):
        tfsaver.convert(more, tmp_path / "x", format="hf", defaults={"n_head": 2})


def test_scope_in_front_of_a_family_is_taken_away_by_a_mapping(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    scoped = {f"tower/{name}": array for name, array in _gpt2().items()}
    mapping = [(r"^tower/", "")]
    tfsaver.convert(scoped, tmp_path / "x", format="hf", defaults={"n_head": 2}, mapping=mapping, durable=False)
    with tfsaver.load_checkpoint(tmp_path / "x") as source:
        assert "transformer.h.1.mlp.c_fc.weight" in source.names


def test_training_state_is_left_out_of_a_directory_for_transformers(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    tensors = _gpt2()
    slots = {f"{name}/Adam{end}": np.ones_like(array) for name, array in tensors.items() for end in ("", "_1")}
    trained = {**tensors, **slots, "beta1_power": np.float32(0.5), "beta2_power": np.float32(0.5)}
    report = tfsaver.convert(trained, tmp_path / "x", format="hf", defaults={"n_head": 2}, durable=False)
    assert len(report.tensors) == 28 and len(report.left_out) == 58


def test_usual_values_are_mentioned_and_given_ones_win(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("safetensors")
    with recording("albert") as recorded:
        tensors = recorded.tensors()
    given = _GIVEN["albert"]
    report = tfsaver.convert(tensors, tmp_path / "x", format="hf", defaults=given, durable=False)
    assert "hidden_act='gelu_new'" in str(report)
    report = tfsaver.convert(
        tensors, tmp_path / "y", format="hf", defaults={**given, "hidden_act": "relu"}, durable=False
    )
    assert "hidden_act" not in str(report)
    assert json.loads((tmp_path / "y" / "config.json").read_text())["hidden_act"] == "relu"


# ---- joins ----


def test_part_of_a_fused_tensor_that_is_not_there_is_an_error() -> None:
    with recording("t2t") as recorded:
        tensors = recorded.tensors()
    lost = "transformer/body/decoder/layer_1/encdec_attention/multihead_attention/v/kernel"
    del tensors[lost]
    with pytest.raises(InvalidArgumentError, match=r"multihead_attn\.in_proj_weight.* there is no .*/v/kernel"):
        tfsaver.convert(tensors, "x.npz", mapping="t2t-to-pytorch", dry_run=True)
