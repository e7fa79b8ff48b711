"""A family's rows: how templates match, what is joined, added and left out, and what each table makes of each kind of name."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names.changes import Spec, Squeeze, Transpose
from tfsaver.checkpoint.names.families import FAMILIES, Family, Row, _reversed
from tfsaver.checkpoint.names.name_steps import Counted, Infos, Renamed
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes

F4 = dtypes.from_name("float32")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
TURNED = Transpose((1, 0))


def family(*rows: Row, **options: Any) -> Family:
    return Family("family f", lambda: rows, **options)


def infos(*names: str, shape: tuple[int, ...] = (2, 3)) -> Infos:
    return Infos(list(names), lambda name: Spec(F4, shape))


def test_numbers_of_a_name_go_where_the_new_name_has_them() -> None:
    step = family(Row(("a/l{n}/m{m}/w",), "b.{m}.{n-1}.{n+2}.w", (TURNED,)))
    applied = step.apply(infos("a/l7/m30/w", f"a/l1/m0/w{VALUE}", OBJECT_GRAPH_KEY))
    assert applied.changed == {"a/l7/m30/w": (Renamed("b.30.6.9.w", True),), f"a/l1/m0/w{VALUE}": (Renamed(f"b.0.0.3.w{VALUE}", True),)}
    assert applied.counts == (Counted("family f", 3, 3, ()),) and applied.unmatched == () and applied.problems == ()
    for other in ("a/l/m0/w", "a/lx/m0/w", "x/a/l1/m1/w", "a/l1/m1/w/x", "a/l1/m1/ww", "a.l1.m1.w"):
        assert not step.knows(other)
    assert step.knows(f"a/l1/m2/w{VALUE}") and repr(step) == "family f"
    other = family(Row(("a/l{n}/m{m}/w",), "b.{m}.{n-1}.w"))
    assert other.makes("b.30.6.w") and not other.makes("b.30.w") and not other.makes("a/l7/m30/w")


def test_a_number_that_comes_twice_is_the_same() -> None:
    step = family(Row(("a{n}/b{n}",), "c{n}"))
    assert step.knows("a1/b1") and not step.knows("a1/b2")


def test_training_state_is_left_out_and_so_is_a_row_without_a_new_name() -> None:
    step = family(Row(("w",), "v"), Row(("gone",), ""))
    applied = step.apply(infos("w", "gone", "w/adam_m", "w/adam_v", "w/lamb_m", "w/lamb_v", "global_step", "w_slot_vr", "w_slot_m", "other"))
    assert applied.changed["w"] == (Renamed("v"),)
    assert [name for name, targets in applied.changed.items() if not targets] == [
        "gone", "w/adam_m", "w/adam_v", "w/lamb_m", "w/lamb_v", "global_step", "w_slot_vr", "w_slot_m",
    ]  # fmt: skip
    assert applied.counts == (Counted("family f", 9, 10, ("other",)),)
    kept = family(Row(("w",), "v"), left_out=re.compile("(?!)")).apply(infos("w", "w/adam_m"))
    assert list(kept.changed) == ["w"] and kept.counts[0].unknown == ("w/adam_m",)


def test_a_family_that_knows_no_name_says_some() -> None:
    step = family(Row(("w",), "v"))
    assert step.apply(infos("a", "b", "c")).unmatched == ("family f knows none of 3 names: a, b, c",)
    assert step.apply(infos(*"abcde")).unmatched == ("family f knows none of 5 names: a, b, c, and 2 more",)
    assert step.apply(infos()).unmatched == ()
    assert family(Row(("w",), "v"), caution="eps is 1").apply(infos("w")).counts[0].what == "family f (eps is 1)"


def made(tensors: dict[str, Any], step: Any) -> dict[str, Any]:
    plan = renamed(ArraySource(tensors), step).plan
    return {name: plan[name] for name in plan.names}


def test_several_old_tensors_become_one_in_the_order_of_the_row() -> None:
    step = family(Row(("l{n}/q", "l{n}/k"), "l.{n}.qk", (TURNED,), axis=1))
    q, k = np.arange(6.0).reshape(2, 3), np.arange(6.0, 14.0).reshape(2, 4)
    found = made({"l1/k": k.reshape(4, 2).T.copy(), "l1/q": q[:, :3]}, family(Row(("l{n}/q", "l{n}/k"), "l.{n}.qk", (TURNED,))))
    np.testing.assert_array_equal(found["l.1.qk"], np.concatenate([q.T, k.reshape(4, 2)]))
    np.testing.assert_array_equal(made({"l1/q": q, "l1/k": -q}, step)["l.1.qk"], np.hstack([q.T, -q.T]))
    lacking = step.apply(infos("l1/q", "l2/q", "l2/k"))
    assert lacking.problems == ("'l.1.qk': it is made of l{n}/q, l{n}/k, and there is no l{n}/k",)
    assert list(lacking.changed) == ["l2/q", "l2/k"]


def test_an_open_number_counts_the_parts_as_people_do() -> None:
    step = family(Row(("e/weights_{m}",), "e.weight"))
    parts = {f"e/weights_{number}": np.full((1, 2), number) for number in (10, 2, 0)}
    assert made(parts, step)["e.weight"][:, 0].tolist() == [0, 2, 10]
    [alone] = step.apply(infos("e/weights_0")).changed["e/weights_0"]
    assert alone == Renamed("e.weight")


def test_zeros_of_the_new_program_are_added() -> None:
    step = family(Row(("l{n}/w",), "l.{n}.w", (), ("l.{n}.b", 3)), Row(("l{n}/mean",), "l.{n}.mean", (), ("l.{n}.count", 0)))
    found = made({"l1/w": np.ones((2, 5), np.float16), "l1/mean": np.ones(5)}, step)
    assert sorted(found) == ["l.1.b", "l.1.count", "l.1.mean", "l.1.w"]
    assert found["l.1.b"].dtype == np.float16 and found["l.1.b"].tolist() == [0] * 15
    assert found["l.1.count"].dtype == np.int64 and found["l.1.count"].shape == () and found["l.1.count"] == 0
    assert step.makes("l.1.b") and step.makes("l.4.count")
    several = family(Row(("q", "k"), "qk", (), ("b", 1)))
    assert [fixed.name for fixed in several.apply(infos("q", "k")).added] == ["b"]
    objects = family(Row(("w",), "v", (), ("b", 1))).apply(infos(f"w{VALUE}", shape=()))
    assert objects.added[0].name == f"b{VALUE}" and objects.added[0].value.shape == (0,)


def test_rows_that_only_rename_and_turn_have_a_way_back() -> None:
    assert list(_reversed([Row(("a",), "b"), Row(("c",), "d", (TURNED,))])) == [Row(("b",), "a"), Row(("d",), "c", (TURNED,))]
    for row in (Row(("a", "b"), "c"), Row(("a",), "c", zeros=("z", 1)), Row(("a",), "c", (Squeeze((0,)),)), Row(("a",), "c", (Transpose((3, 2, 0, 1)),))):
        with pytest.raises(InvalidArgumentError, match="'c' is not made by names and transposes alone"):
            list(_reversed([row]))


# For each table names of each kind, the new name, and an old and a new shape.
NAMES: list[tuple[str, str, str, tuple[int, ...], tuple[int, ...]]] = [
    ("albert-to-pytorch", "bert/encoder/transformer/group_0/inner_group_1/attention_1/self/query/kernel", "albert.encoder.albert_layer_groups.0.albert_layers.1.attention.query.weight", (2, 3), (3, 2)),
    ("albert-to-pytorch", "bert/encoder/transformer/group_0/inner_group_0/ffn_1/intermediate/output/dense/bias", "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output.bias", (3,), (3,)),
    ("albert-to-pytorch", "bert/encoder/transformer/group_0/inner_group_0/LayerNorm_1/gamma", "albert.encoder.albert_layer_groups.0.albert_layers.0.full_layer_layer_norm.weight", (3,), (3,)),
    ("albert-to-pytorch", "bert/embeddings/token_type_embeddings", "albert.embeddings.token_type_embeddings.weight", (2, 3), (2, 3)),
    ("gpt2-to-pytorch", "model/h11/attn/c_attn/w", "transformer.h.11.attn.c_attn.weight", (1, 2, 6), (2, 6)),
    ("gpt2-to-pytorch", "model/h0/mlp/c_fc/b", "transformer.h.0.mlp.c_fc.bias", (6,), (6,)),
    ("gpt2-to-pytorch", "model/ln_f/g", "transformer.ln_f.weight", (6,), (6,)),
    ("gpt2-to-pytorch", "model/wpe", "transformer.wpe.weight", (2, 3), (2, 3)),
    ("t5-to-pytorch", "encoder/block_003/layer_000/SelfAttention/q", "encoder.block.3.layer.0.SelfAttention.q.weight", (2, 3), (3, 2)),
    ("t5-to-pytorch", "decoder/block_010/layer_001/EncDecAttention/o", "decoder.block.10.layer.1.EncDecAttention.o.weight", (2, 3), (3, 2)),
    ("t5-to-pytorch", "decoder/block_000/layer_002/DenseReluDense/wi_1/kernel", "decoder.block.0.layer.2.DenseReluDense.wi_1.weight", (2, 3), (3, 2)),
    ("t5-to-pytorch", "encoder/block_000/layer_001/rms_norm/scale", "encoder.block.0.layer.1.layer_norm.weight", (3,), (3,)),
    ("t5-to-pytorch", "decoder/final_layer_norm/scale", "decoder.final_layer_norm.weight", (3,), (3,)),
    ("t5-to-pytorch", "encoder/block_000/layer_000/SelfAttention/relative_attention_bias", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", (2, 3), (3, 2)),
    ("slim-mobilenet-v1-to-pytorch", "MobilenetV1/Conv2d_0/weights", "mobilenet_v1.conv_stem.convolution.weight", (3, 4, 5, 6), (6, 5, 3, 4)),
    ("slim-mobilenet-v1-to-pytorch", "MobilenetV1/Conv2d_13_depthwise/depthwise_weights", "mobilenet_v1.layer.24.convolution.weight", (3, 4, 5, 1), (5, 1, 3, 4)),
    ("slim-mobilenet-v1-to-pytorch", "MobilenetV1/Conv2d_1_pointwise/BatchNorm/beta", "mobilenet_v1.layer.1.normalization.bias", (3,), (3,)),
    ("slim-mobilenet-v1-to-pytorch", "MobilenetV1/Conv2d_13_pointwise/weights", "mobilenet_v1.layer.25.convolution.weight", (3, 4, 5, 6), (6, 5, 3, 4)),
    ("slim-mobilenet-v1-to-pytorch", "MobilenetV1/Logits/Conv2d_1c_1x1/weights", "classifier.weight", (1, 1, 5, 6), (6, 5)),
    ("slim-mobilenet-v2-to-pytorch", "MobilenetV2/expanded_conv_16/project/weights", "mobilenet_v2.layer.15.reduce_1x1.convolution.weight", (3, 4, 5, 6), (6, 5, 3, 4)),
    ("slim-mobilenet-v2-to-pytorch", "MobilenetV2/expanded_conv/depthwise/depthwise_weights", "mobilenet_v2.conv_stem.conv_3x3.convolution.weight", (3, 4, 5, 1), (5, 1, 3, 4)),
    ("slim-mobilenet-v2-to-pytorch", "MobilenetV2/expanded_conv_1/expand/BatchNorm/moving_variance", "mobilenet_v2.layer.0.expand_1x1.normalization.running_var", (3,), (3,)),
    ("slim-mobilenet-v1-to-keras", "MobilenetV1/Conv2d_7_depthwise/depthwise_weights", "conv_dw_7/kernel", (3, 4, 5, 1), (3, 4, 5, 1)),
    ("slim-mobilenet-v1-to-keras", "MobilenetV1/Conv2d_7_pointwise/BatchNorm/moving_mean", "conv_pw_7_bn/moving_mean", (3,), (3,)),
    ("slim-mobilenet-v1-to-keras", "MobilenetV1/Conv2d_0/BatchNorm/gamma", "conv1_bn/gamma", (3,), (3,)),
    ("slim-mobilenet-v2-to-keras", "MobilenetV2/expanded_conv/depthwise/depthwise_weights", "expanded_conv_depthwise/kernel", (3, 4, 5, 1), (3, 4, 5, 1)),
    ("slim-mobilenet-v2-to-keras", "MobilenetV2/expanded_conv_3/expand/weights", "block_3_expand/kernel", (3, 4, 5, 6), (3, 4, 5, 6)),
    ("slim-mobilenet-v2-to-keras", "MobilenetV2/expanded_conv_3/project/BatchNorm/beta", "block_3_project_BN/beta", (3,), (3,)),
    ("slim-mobilenet-v2-to-keras", "MobilenetV2/Logits/Conv2d_1c_1x1/weights", "predictions/kernel", (1, 1, 5, 6), (5, 6)),
    ("slim-resnet-v1-to-pytorch", "resnet_v1_50/conv1/weights", "conv1.weight", (3, 4, 5, 6), (6, 5, 3, 4)),
    ("slim-resnet-v1-to-pytorch", "resnet_v1_152/block4/unit_3/bottleneck_v1/conv2/weights", "layer4.2.conv2.weight", (3, 4, 5, 6), (6, 5, 3, 4)),
    ("slim-resnet-v1-to-pytorch", "resnet_v1_50/block1/unit_1/bottleneck_v1/shortcut/BatchNorm/gamma", "layer1.0.downsample.1.weight", (3,), (3,)),
    ("slim-resnet-v1-to-pytorch", "resnet_v1_50/logits/weights", "fc.weight", (1, 1, 5, 6), (6, 5)),
    ("slim-resnet-v2-to-pytorch", "resnet_v2_50/block2/unit_4/bottleneck_v2/conv3/weights", "stages.1.blocks.3.conv3.weight", (3, 4, 5, 6), (6, 5, 3, 4)),
    ("slim-resnet-v2-to-pytorch", "resnet_v2_50/block2/unit_4/bottleneck_v2/conv2/BatchNorm/gamma", "stages.1.blocks.3.norm3.weight", (3,), (3,)),
    ("slim-resnet-v2-to-pytorch", "resnet_v2_50/block1/unit_1/bottleneck_v2/shortcut/biases", "stages.0.blocks.0.downsample.conv.bias", (3,), (3,)),
    ("slim-resnet-v2-to-pytorch", "resnet_v2_50/logits/weights", "head.fc.weight", (1, 1, 5, 6), (6, 5, 1, 1)),
    ("slim-resnet-v1-to-keras", "resnet_v1_50/block3/unit_2/bottleneck_v1/conv3/weights", "conv4_block2_3_conv/kernel", (3, 4, 5, 6), (3, 4, 5, 6)),
    ("slim-resnet-v1-to-keras", "resnet_v1_50/block3/unit_1/bottleneck_v1/shortcut/BatchNorm/beta", "conv4_block1_0_bn/beta", (3,), (3,)),
    ("slim-resnet-v2-to-keras", "resnet_v2_50/block3/unit_2/bottleneck_v2/conv2/BatchNorm/gamma", "conv4_block2_2_bn/gamma", (3,), (3,)),
    ("slim-resnet-v2-to-keras", "resnet_v2_50/block1/unit_1/bottleneck_v2/shortcut/biases", "conv2_block1_0_conv/bias", (3,), (3,)),
    ("slim-resnet-v2-to-keras", "resnet_v2_50/logits/weights", "predictions/kernel", (1, 1, 5, 6), (5, 6)),
    ("opennmt-to-pytorch", "transformer/encoder/layer_1/multi_head/conv1d/kernel", "encoder.layers.1.self_attn.in_proj_weight", (1, 2, 6), (6, 2)),
    ("opennmt-to-pytorch", "transformer/decoder/layer_1/masked_multi_head/conv1d_1/bias", "decoder.layers.1.self_attn.out_proj.bias", (6,), (6,)),
    ("opennmt-to-pytorch", "transformer/decoder/layer_0/multi_head/conv1d_2/kernel", "decoder.layers.0.multihead_attn.out_proj.weight", (1, 2, 6), (6, 2)),
    ("opennmt-to-pytorch", "transformer/decoder/layer_0/ffn/LayerNorm/gamma", "decoder.layers.0.norm3.weight", (6,), (6,)),
    ("opennmt-to-pytorch", "transformer/encoder/layer_0/ffn/LayerNorm/beta", "encoder.layers.0.norm2.bias", (6,), (6,)),
    ("opennmt-to-pytorch", "transformer/decoder/dense/kernel", "generator.weight", (2, 3), (3, 2)),
    ("t2t-to-pytorch", "transformer/body/decoder/layer_0/encdec_attention/layer_prepostprocess/layer_norm/layer_norm_scale", "decoder.layers.0.norm2.weight", (6,), (6,)),
    ("t2t-to-pytorch", "transformer/body/encoder/layer_5/ffn/layer_prepostprocess/layer_norm/layer_norm_bias", "encoder.layers.5.norm2.bias", (6,), (6,)),
    ("t2t-to-pytorch", "transformer/body/encoder/layer_5/ffn/conv2/kernel", "encoder.layers.5.linear2.weight", (2, 3), (3, 2)),
    ("t2t-to-pytorch", "transformer/body/decoder/layer_prepostprocess/layer_norm/layer_norm_scale", "decoder.norm.weight", (6,), (6,)),
    ("pytorch-to-bert", "bert.encoder.layer.11.intermediate.dense.weight", "bert/encoder/layer_11/intermediate/dense/kernel", (2, 3), (3, 2)),
    ("pytorch-to-bert", "bert.embeddings.LayerNorm.bias", "bert/embeddings/LayerNorm/beta", (6,), (6,)),
]  # fmt: skip


@pytest.mark.parametrize(("table", "old", "new", "before", "after"), NAMES)
def test_tables_know_where_the_tensors_of_a_family_go(table: str, old: str, new: str, before: Any, after: Any) -> None:
    array = np.arange(np.prod(before), dtype=np.float32).reshape(before)
    found = made({old: array}, FAMILIES[table][1])
    assert found[new].shape == after
    axes = tuple(before.index(size) for size in after) if len(set(before)) == len(before) else None
    if axes is not None and len(axes) == len(before):
        np.testing.assert_array_equal(found[new], array.transpose(axes))
    assert FAMILIES[table][1].makes(new) and FAMILIES[table][1].knows(old)


@pytest.mark.parametrize("table", [table for table, _, _, shape, _ in NAMES if table.startswith("t2t")][:1])
def test_attention_of_tensor2tensor_is_fused_with_biases_of_zero(table: str) -> None:
    scope = "transformer/body/decoder/layer_2/self_attention/multihead_attention"
    parts = {f"{scope}/{word}/kernel": np.full((2, 3), number, np.float32) for number, word in enumerate("qkv")}
    found = made({**parts, f"{scope}/output_transform/kernel": np.ones((3, 2), np.float32)}, FAMILIES[table][1])
    assert found["decoder.layers.2.self_attn.in_proj_weight"][:, 0].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert found["decoder.layers.2.self_attn.in_proj_bias"].tolist() == [0] * 9
    assert found["decoder.layers.2.self_attn.out_proj.bias"].tolist() == [0] * 2
    embedding = {f"transformer/symbol_modality_9_2/shared/weights_{number}": np.full((1, 2), number) for number in (1, 0)}
    assert made(embedding, FAMILIES[table][1])["shared_embedding.weight"][:, 0].tolist() == [0, 1]


def test_layers_of_mobilenet_are_numbered_through() -> None:
    step = FAMILIES["slim-mobilenet-v1-to-pytorch"][1]
    names = [f"MobilenetV1/Conv2d_{number}_{kind}/BatchNorm/gamma" for number in range(1, 14) for kind in ("depthwise", "pointwise")]
    found = [step.apply(infos(name)).changed[name][0].name for name in names]
    assert found == [f"mobilenet_v1.layer.{number}.normalization.weight" for number in range(26)]
    assert not step.knows("MobilenetV1/Conv2d_14_depthwise/BatchNorm/gamma") and not step.knows("MobilenetV1/Conv2d_0_pointwise/weights")


def test_batch_normalization_of_pytorch_counts_and_that_of_keras_has_biases_before_it() -> None:
    found = made({"resnet_v1_50/conv1/BatchNorm/moving_mean": np.ones(3)}, FAMILIES["slim-resnet-v1-to-pytorch"][1])
    assert sorted(found) == ["bn1.num_batches_tracked", "bn1.running_mean"] and found["bn1.num_batches_tracked"] == 0
    found = made({"resnet_v1_50/conv1/weights": np.ones((1, 1, 2, 5))}, FAMILIES["slim-resnet-v1-to-keras"][1])
    assert found["conv1_conv/bias"].tolist() == [0] * 5 and found["conv1_conv/kernel"].shape == (1, 1, 2, 5)


def test_copies_of_pytorchs_bert_are_left_out() -> None:
    step = FAMILIES["pytorch-to-bert"][1]
    names = ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "bert.embeddings.position_ids", "cls.predictions.bias"]
    assert [len(step.apply(infos(*names)).changed[name]) for name in names] == [0, 0, 0, 1]


def test_training_state_of_keras_families_stays_and_of_others_goes() -> None:
    for table, (description, step) in FAMILIES.items():
        assert description and repr(step) == f"table {table!r}"
        gone = "global_step" in step.apply(infos("global_step")).changed
        assert gone is not (table.endswith("-to-keras") or table == "pytorch-to-bert")
