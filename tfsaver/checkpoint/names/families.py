"""Families of models: what their programs call the variables, and what the libraries of today do.

    table                           from                                   to
    bert-to-pytorch                 Google's BERT                          transformers' BertForPreTraining
    albert-to-pytorch               Google's ALBERT                        transformers' AlbertForPreTraining
    gpt2-to-pytorch                 OpenAI's GPT-2                         transformers' GPT2LMHeadModel
    t5-to-pytorch                   T5 of mesh-tensorflow                  transformers' T5ForConditionalGeneration
    slim-mobilenet-v1-to-pytorch    slim's MobileNet v1                    transformers' MobileNetV1ForImageClassification
    slim-mobilenet-v2-to-pytorch    slim's MobileNet v2                    transformers' MobileNetV2ForImageClassification
    slim-mobilenet-v1-to-keras      slim's MobileNet v1                    keras.applications.MobileNet
    slim-mobilenet-v2-to-keras      slim's MobileNet v2                    keras.applications.MobileNetV2
    slim-resnet-v1-to-pytorch       slim's ResNet v1                       torchvision's names
    slim-resnet-v2-to-pytorch       slim's ResNet v2                       timm's names
    slim-resnet-v1-to-keras         slim's ResNet v1                       keras.applications.ResNet50 and its kin
    slim-resnet-v2-to-keras         slim's ResNet v2                       keras.applications.ResNet50V2 and its kin
    opennmt-to-pytorch              OpenNMT-tf 1's Transformer             torch.nn.Transformer and embeddings
    t2t-to-pytorch                  tensor2tensor's Transformer            torch.nn.Transformer and embeddings

A table is a list of rows. A row has a template of the old name, in which ``{n}`` is a number, one of the new name, in which
``{n-1}`` is the number before it, and what is done to the tensor. If a row has several old names, they become one tensor.

A dense layer of TensorFlow has its inputs in rows, one of PyTorch in columns. A convolution is HWIO in TensorFlow and OIHW
in PyTorch; the kernel of a depthwise one has the channels third in TensorFlow and first in PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tfsaver.checkpoint.names.changes import Changes, Joined, Spec, Squeeze, Transpose
from tfsaver.checkpoint.names.name_steps import (
    Applied,
    Counted,
    Fixed,
    Infos,
    Renamed,
    Targets,
    natural_order,
    split_attribute,
)
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes
from tfsaver.lib.cached_property import cached_property

__all__ = ["FAMILIES", "Family", "Row"]

_TURNED: Changes = (Transpose((1, 0)),)
_CONVOLUTION: Changes = (Transpose((3, 2, 0, 1)),)
_DEPTHWISE: Changes = (Transpose((2, 3, 0, 1)),)
# A convolution of width 1 that is a dense layer.
_WIDTH_1: Changes = (Squeeze((0,)), *_TURNED)
_ONE_BY_ONE: Changes = (Squeeze((0, 1)),)

# What the numbers of a template stand for.
_FIELDS = {
    "n": r"\d+",
    "m": r"\d+",
    "resnet_v1": r"resnet_v1_\w+",
    "resnet_v2": r"resnet_v2_\w+",
    "sizes": r"\w+",
}
_FIELD = re.compile(r"\{(\w+?)([+-]\d+)?\}")
_WORDS = re.compile(r"(\{\w+(?:[+-]\d+)?\})")
# What only training needs.
_TRAINING = re.compile(r"(^|/)(adam_m|adam_v|lamb_m|lamb_v|global_step)$|_slot_(v|vr|vc|m)$")
# An optimizer of Keras takes the step and the slots.
_NOTHING = re.compile(r"(?!)")


class Row(NamedTuple):
    """A tensor of the new program, and what it is made of.

    Attributes:
        olds: Templates of the old names; several become one tensor. If the old name has ``{m}`` and the new one does not, as
            in ``weights_{m}``, all tensors of that name become one, in natural order.
        new: The template of the new name; empty for what is left out.
        changes: What is done to each old tensor.
        zeros: What of the new program the old one does not have, because it is zero: the name, and its size as a multiple of
            the size of the old tensor's last axis; 0 for a count, which has no axes.
        axis: Along which axis the old tensors follow each other.
    """

    olds: tuple[str, ...]
    new: str
    changes: Changes = ()
    zeros: tuple[str, int] | None = None
    axis: int = 0


class _Found(NamedTuple):
    row: int
    part: int
    new: str
    fields: dict[str, str]


class Family:
    """Names of one program as another has them: a step of a mapping.

    Args:
        what: What to call the step.
        rows: Makes the rows.
        left_out: Which names are left out.
        caution: What the other program must do to compute the same; a report mentions it.
    """

    def __init__(
        self, what: str, rows: Callable[[], Iterable[Row]], *, left_out: re.Pattern[str] = _TRAINING, caution: str = ""
    ) -> None:
        self._what = what
        self._make_rows = rows
        self._left_out = left_out
        self._caution = caution

    @cached_property
    def rows(self) -> list[Row]:
        """The rows; made when a mapping first needs them."""
        return list(self._make_rows())

    @cached_property
    def _made(self) -> list[re.Pattern[str]]:
        return [_pattern(new) for row in self.rows for new in (row.new, *(row.zeros or ())[:1]) if new]

    @cached_property
    def _by_shape(self) -> dict[tuple[int, str], list[tuple[re.Pattern[str], int, int]]]:
        """The templates by how many words a name has and by the last of them: a name is compared with a row or two."""
        found: dict[tuple[int, str], list[tuple[re.Pattern[str], int, int]]] = {}
        for number, row in enumerate(self.rows):
            for index, old in enumerate(row.olds):
                count, last = _shape_of(old)
                found.setdefault((count, "" if "{" in last else last), []).append((_pattern(old), number, index))
        return found

    def __repr__(self) -> str:
        """As a report calls it."""
        return self._what

    def knows(self, name: str) -> bool:
        """Whether a tensor of this name is one of the family's, training state apart."""
        return self._find(split_attribute(name)[0]) is not None

    def makes(self, name: str) -> bool:
        """Whether a tensor of this name can come out of the table."""
        return any(pattern.fullmatch(name) for pattern in self._made)

    def apply(self, infos: Infos) -> Applied:
        """See `Step`."""
        changed: dict[str, Targets] = {}
        joined: dict[tuple[int, str], list[tuple[int, str]]] = {}
        problems: list[str] = []
        added: list[Fixed] = []
        unknown: list[str] = []
        for name in infos.names:
            if name in DESCRIPTIONS:
                continue
            path, attribute = split_attribute(name)
            if self._left_out.search(path):
                changed[name] = ()
                continue
            found = self._find(path)
            if found is None:
                unknown.append(name)
                continue
            row = self.rows[found.row]
            if not found.new:
                changed[name] = ()
            elif len(row.olds) > 1 or _is_open(row):
                joined.setdefault((found.row, found.new + attribute), []).append((found.part, name))
            else:
                changed[name] = (Renamed.of(found.new + attribute, row.changes),)
            if row.zeros is not None and found.part == 0:
                added.append(_zeros(row.zeros, found.fields, attribute, infos[name]))
        for (number, new), parts in joined.items():
            row = self.rows[number]
            there = {index for index, _ in parts}
            if lacking := [old for index, old in enumerate(row.olds) if index not in there]:
                problems.append(f"{new!r}: it is made of {', '.join(row.olds)}, and there is no {', '.join(lacking)}")
                continue
            names = tuple(name for _, name in sorted(parts, key=lambda part: (part[0], natural_order(part[1]))))
            for index, name in enumerate(names):
                changed[name] = (
                    Renamed.of(new, (*row.changes, Joined("concat", row.axis, index, names, new)))
                    if len(names) > 1
                    else Renamed.of(new, row.changes),
                )
        num_known = len(infos) - len(unknown)
        unmatched: tuple[str, ...] = ()
        if not changed and infos.names:
            some = ", ".join(list(infos.names)[:3]) + (f", and {len(infos) - 3:,} more" if len(infos) > 3 else "")
            unmatched = (f"{self._what} knows none of {len(infos):,} names: {some}",)
        what = f"{self._what} ({self._caution})" if self._caution else self._what
        return Applied(
            changed, tuple(added), tuple(problems), unmatched, (Counted(what, num_known, len(infos), tuple(unknown)),)
        )

    def _find(self, path: str) -> _Found | None:
        count, last = _shape_of(path)
        for word in (last, ""):
            for pattern, number, index in self._by_shape.get((count, word), ()):
                if match := pattern.fullmatch(path):
                    fields = match.groupdict()
                    return _Found(number, index, _filled(self.rows[number].new, fields), fields)
        return None


def _shape_of(name: str) -> tuple[int, str]:
    """How many separators a name has, and what stands behind the last."""
    return name.count("/") + name.count("."), name[max(name.rfind("/"), name.rfind(".")) + 1 :]


def _pattern(template: str) -> re.Pattern[str]:
    parts: list[str] = []
    seen: set[str] = set()
    for part in _WORDS.split(template):
        if not part.startswith("{"):
            parts.append(re.escape(part))
        elif (field := re.split("[+-]", part[1:-1])[0]) in seen:
            parts.append(f"(?P={field})")
        else:
            seen.add(field)
            parts.append(f"(?P<{field}>{_FIELDS[field]})")
    return re.compile("".join(parts))


def _filled(template: str, fields: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        text = fields[match[1]]
        return text if match[2] is None else str(int(text) + int(match[2]))

    return _FIELD.sub(value, template)


def _is_open(row: Row) -> bool:
    """Whether a number of the old name counts the parts of the new tensor."""
    return "{m}" in row.olds[0] and "{m" not in row.new


def _zeros(zeros: tuple[str, int], fields: dict[str, str], attribute: str, spec: Spec) -> Fixed:
    template, times = zeros
    if not times:
        return Fixed(_filled(template, fields) + attribute, np.zeros((), np.int64), dtypes.from_name("int64"))
    size = times * spec.shape[-1] if spec.shape else 0
    return Fixed(_filled(template, fields) + attribute, np.zeros(size, spec.dtype.numpy), spec.dtype)


def _reversed(rows: Iterable[Row]) -> Iterator[Row]:
    """The way back, of rows that only rename and turn matrices."""
    for row in rows:
        if len(row.olds) > 1 or row.zeros is not None or row.changes not in ((), _TURNED):
            raise InvalidArgumentError(f"{row.new!r} is not made by names and transposes alone")
        yield Row((row.new,), row.olds[0], row.changes)


def _row(old: str, new: str, changes: Changes = ()) -> Row:
    return Row((old,), new, changes)


def _dense(old: str, new: str) -> Iterator[Row]:
    yield _row(f"{old}/kernel", f"{new}.weight", _TURNED)
    yield _row(f"{old}/bias", f"{new}.bias")


def _norm(old: str, new: str) -> Iterator[Row]:
    yield _row(f"{old}/gamma", f"{new}.weight")
    yield _row(f"{old}/beta", f"{new}.bias")


def _batch_norm(old: str, new: str) -> Iterator[Row]:
    yield from _norm(old, new)
    # What PyTorch counts, TensorFlow does not; only a momentum of None reads it.
    yield Row((f"{old}/moving_mean",), f"{new}.running_mean", zeros=(f"{new}.num_batches_tracked", 0))
    yield _row(f"{old}/moving_variance", f"{new}.running_var")


def _keras_batch_norm(old: str, new: str) -> Iterator[Row]:
    for word in ("gamma", "beta", "moving_mean", "moving_variance"):
        yield _row(f"{old}/{word}", f"{new}/{word}")


# ---- BERT and ALBERT ----
# The matrix that predicts words is the embeddings' in both programs, so that a PyTorch file names it twice and a TensorFlow
# file once.


def _bert() -> Iterator[Row]:
    layer, new = "bert/encoder/layer_{n}", "bert.encoder.layer.{n}"
    for word in ("query", "key", "value"):
        yield from _dense(f"{layer}/attention/self/{word}", f"{new}.attention.self.{word}")
    yield from _dense(f"{layer}/attention/output/dense", f"{new}.attention.output.dense")
    yield from _norm(f"{layer}/attention/output/LayerNorm", f"{new}.attention.output.LayerNorm")
    yield from _dense(f"{layer}/intermediate/dense", f"{new}.intermediate.dense")
    yield from _dense(f"{layer}/output/dense", f"{new}.output.dense")
    yield from _norm(f"{layer}/output/LayerNorm", f"{new}.output.LayerNorm")
    for word in ("word", "position", "token_type"):
        yield _row(f"bert/embeddings/{word}_embeddings", f"bert.embeddings.{word}_embeddings.weight")
    yield from _norm("bert/embeddings/LayerNorm", "bert.embeddings.LayerNorm")
    yield from _dense("bert/pooler/dense", "bert.pooler.dense")
    yield from _dense("cls/predictions/transform/dense", "cls.predictions.transform.dense")
    yield from _norm("cls/predictions/transform/LayerNorm", "cls.predictions.transform.LayerNorm")
    yield _row("cls/predictions/output_bias", "cls.predictions.bias")
    yield _row("cls/seq_relationship/output_weights", "cls.seq_relationship.weight")
    yield _row("cls/seq_relationship/output_bias", "cls.seq_relationship.bias")
    # Google's run_squad and run_classifier; BertForQuestionAnswering and BertForSequenceClassification.
    yield _row("cls/squad/output_weights", "qa_outputs.weight")
    yield _row("cls/squad/output_bias", "qa_outputs.bias")
    yield _row("output_weights", "classifier.weight")
    yield _row("output_bias", "classifier.bias")


_BERT_COPIES = re.compile(r"cls\.predictions\.decoder\.(weight|bias)|bert\.embeddings\.position_ids")


def _albert() -> Iterator[Row]:
    group = "bert/encoder/transformer/group_{n}/inner_group_{m}"
    layer = "albert.encoder.albert_layer_groups.{n}.albert_layers.{m}"
    for word in ("query", "key", "value"):
        yield from _dense(f"{group}/attention_1/self/{word}", f"{layer}.attention.{word}")
    yield from _dense(f"{group}/attention_1/output/dense", f"{layer}.attention.dense")
    yield from _norm(f"{group}/LayerNorm", f"{layer}.attention.LayerNorm")
    yield from _dense(f"{group}/ffn_1/intermediate/dense", f"{layer}.ffn")
    yield from _dense(f"{group}/ffn_1/intermediate/output/dense", f"{layer}.ffn_output")
    yield from _norm(f"{group}/LayerNorm_1", f"{layer}.full_layer_layer_norm")
    for word in ("word", "position", "token_type"):
        yield _row(f"bert/embeddings/{word}_embeddings", f"albert.embeddings.{word}_embeddings.weight")
    yield from _norm("bert/embeddings/LayerNorm", "albert.embeddings.LayerNorm")
    yield from _dense("bert/encoder/embedding_hidden_mapping_in", "albert.encoder.embedding_hidden_mapping_in")
    yield from _dense("bert/pooler/dense", "albert.pooler")
    yield from _dense("cls/predictions/transform/dense", "predictions.dense")
    yield from _norm("cls/predictions/transform/LayerNorm", "predictions.LayerNorm")
    yield _row("cls/predictions/output_bias", "predictions.bias")
    yield _row("cls/seq_relationship/output_weights", "sop_classifier.classifier.weight")
    yield _row("cls/seq_relationship/output_bias", "sop_classifier.classifier.bias")
    yield _row("output_weights", "classifier.weight")
    yield _row("output_bias", "classifier.bias")


# ---- GPT-2 ----
# transformers' Conv1D has its inputs in rows, as OpenAI's conv1d of width 1 does.


def _gpt2() -> Iterator[Row]:
    yield _row("model/wte", "transformer.wte.weight")
    yield _row("model/wpe", "transformer.wpe.weight")
    for old, new in (("h{n}/ln_1", "h.{n}.ln_1"), ("h{n}/ln_2", "h.{n}.ln_2"), ("ln_f", "ln_f")):
        yield _row(f"model/{old}/g", f"transformer.{new}.weight")
        yield _row(f"model/{old}/b", f"transformer.{new}.bias")
    for part, word in (("attn", "c_attn"), ("attn", "c_proj"), ("mlp", "c_fc"), ("mlp", "c_proj")):
        yield _row(f"model/h{{n}}/{part}/{word}/w", f"transformer.h.{{n}}.{part}.{word}.weight", (Squeeze((0,)),))
        yield _row(f"model/h{{n}}/{part}/{word}/b", f"transformer.h.{{n}}.{part}.{word}.bias")


# ---- T5 ----


def _t5() -> Iterator[Row]:
    yield _row("shared/embedding", "shared.weight")
    yield _row("decoder/logits/kernel", "lm_head.weight", _TURNED)
    for side in ("encoder", "decoder"):
        layer, new = f"{side}/block_{{n}}/layer_{{m}}", f"{side}.block.{{n+0}}.layer.{{m+0}}"
        for attention in ("SelfAttention", "EncDecAttention")[: 1 if side == "encoder" else 2]:
            for word in ("q", "k", "v", "o"):
                yield _row(f"{layer}/{attention}/{word}", f"{new}.{attention}.{word}.weight", _TURNED)
            bias = "relative_attention_bias"
            yield _row(f"{layer}/{attention}/{bias}", f"{new}.{attention}.{bias}.weight", _TURNED)
        for word in ("wi", "wi_0", "wi_1", "wo"):
            yield _row(f"{layer}/DenseReluDense/{word}/kernel", f"{new}.DenseReluDense.{word}.weight", _TURNED)
        for old in ("layer_norm", "rms_norm"):
            yield _row(f"{layer}/{old}/scale", f"{new}.layer_norm.weight")
        for old in ("final_layer_norm", "rms_norm"):
            yield _row(f"{side}/{old}/scale", f"{side}.final_layer_norm.weight")


# ---- slim's image classifiers ----


def _mobilenet_v1() -> Iterator[Row]:
    def convolution(old: str, new: str, word: str, changes: Changes) -> Iterator[Row]:
        yield _row(f"MobilenetV1/{old}/{word}", f"mobilenet_v1.{new}.convolution.weight", changes)
        yield from _batch_norm(f"MobilenetV1/{old}/BatchNorm", f"mobilenet_v1.{new}.normalization")

    yield from convolution("Conv2d_0", "conv_stem", "weights", _CONVOLUTION)
    for number in range(1, 14):
        first = 2 * number - 2
        yield from convolution(f"Conv2d_{number}_depthwise", f"layer.{first}", "depthwise_weights", _DEPTHWISE)
        yield from convolution(f"Conv2d_{number}_pointwise", f"layer.{first + 1}", "weights", _CONVOLUTION)
    yield from _classifier("MobilenetV1")


def _classifier(scope: str) -> Iterator[Row]:
    yield _row(f"{scope}/Logits/Conv2d_1c_1x1/weights", "classifier.weight", (*_ONE_BY_ONE, *_TURNED))
    yield _row(f"{scope}/Logits/Conv2d_1c_1x1/biases", "classifier.bias")


def _mobilenet_v2() -> Iterator[Row]:
    def convolution(old: str, new: str, word: str = "weights") -> Iterator[Row]:
        changes = _CONVOLUTION if word == "weights" else _DEPTHWISE
        yield _row(f"MobilenetV2/{old}/{word}", f"mobilenet_v2.{new}.convolution.weight", changes)
        yield from _batch_norm(f"MobilenetV2/{old}/BatchNorm", f"mobilenet_v2.{new}.normalization")

    yield from convolution("Conv", "conv_stem.first_conv")
    yield from convolution("expanded_conv/depthwise", "conv_stem.conv_3x3", "depthwise_weights")
    yield from convolution("expanded_conv/project", "conv_stem.reduce_1x1")
    yield from convolution("expanded_conv_{n}/expand", "layer.{n-1}.expand_1x1")
    yield from convolution("expanded_conv_{n}/depthwise", "layer.{n-1}.conv_3x3", "depthwise_weights")
    yield from convolution("expanded_conv_{n}/project", "layer.{n-1}.reduce_1x1")
    yield from convolution("Conv_1", "conv_1x1")
    yield from _classifier("MobilenetV2")


def _mobilenet_v1_to_keras() -> Iterator[Row]:
    yield _row("MobilenetV1/Conv2d_0/weights", "conv1/kernel")
    yield from _keras_batch_norm("MobilenetV1/Conv2d_0/BatchNorm", "conv1_bn")
    for kind, word, new in (("depthwise", "depthwise_weights", "conv_dw_{n}"), ("pointwise", "weights", "conv_pw_{n}")):
        yield _row(f"MobilenetV1/Conv2d_{{n}}_{kind}/{word}", f"{new}/kernel")
        yield from _keras_batch_norm(f"MobilenetV1/Conv2d_{{n}}_{kind}/BatchNorm", f"{new}_bn")
    yield _row("MobilenetV1/Logits/Conv2d_1c_1x1/weights", "conv_preds/kernel")
    yield _row("MobilenetV1/Logits/Conv2d_1c_1x1/biases", "conv_preds/bias")


def _mobilenet_v2_to_keras() -> Iterator[Row]:
    yield _row("MobilenetV2/Conv/weights", "Conv1/kernel")
    yield from _keras_batch_norm("MobilenetV2/Conv/BatchNorm", "bn_Conv1")
    for old, new in (("expanded_conv", "expanded_conv"), ("expanded_conv_{n}", "block_{n}")):
        for part in ("expand", "depthwise", "project"):
            word = "depthwise_weights" if part == "depthwise" else "weights"
            yield _row(f"MobilenetV2/{old}/{part}/{word}", f"{new}_{part}/kernel")
            yield from _keras_batch_norm(f"MobilenetV2/{old}/{part}/BatchNorm", f"{new}_{part}_BN")
    yield _row("MobilenetV2/Conv_1/weights", "Conv_1/kernel")
    yield from _keras_batch_norm("MobilenetV2/Conv_1/BatchNorm", "Conv_1_bn")
    yield _row("MobilenetV2/Logits/Conv2d_1c_1x1/weights", "predictions/kernel", _ONE_BY_ONE)
    yield _row("MobilenetV2/Logits/Conv2d_1c_1x1/biases", "predictions/bias")


_UNIT = "block{n}/unit_{m}"


def _resnet_v1() -> Iterator[Row]:
    def convolution(old: str, conv: str, norm: str) -> Iterator[Row]:
        yield _row(f"{{resnet_v1}}/{old}/weights", f"{conv}.weight", _CONVOLUTION)
        yield from _batch_norm(f"{{resnet_v1}}/{old}/BatchNorm", norm)

    yield from convolution("conv1", "conv1", "bn1")
    block = "layer{n}.{m-1}"
    for number in (1, 2, 3):
        yield from convolution(f"{_UNIT}/bottleneck_v1/conv{number}", f"{block}.conv{number}", f"{block}.bn{number}")
    yield from convolution(f"{_UNIT}/bottleneck_v1/shortcut", f"{block}.downsample.0", f"{block}.downsample.1")
    yield _row("{resnet_v1}/logits/weights", "fc.weight", (*_ONE_BY_ONE, *_TURNED))
    yield _row("{resnet_v1}/logits/biases", "fc.bias")


def _resnet_v2() -> Iterator[Row]:
    yield _row("{resnet_v2}/conv1/weights", "stem.conv.weight", _CONVOLUTION)
    yield _row("{resnet_v2}/conv1/biases", "stem.conv.bias")
    unit, block = f"{{resnet_v2}}/{_UNIT}/bottleneck_v2", "stages.{n-1}.blocks.{m-1}"
    yield from _batch_norm(f"{unit}/preact", f"{block}.norm1")
    for number in (1, 2):
        yield _row(f"{unit}/conv{number}/weights", f"{block}.conv{number}.weight", _CONVOLUTION)
        yield from _batch_norm(f"{unit}/conv{number}/BatchNorm", f"{block}.norm{number + 1}")
    for old, new in (("conv3", "conv3"), ("shortcut", "downsample.conv")):
        yield _row(f"{unit}/{old}/weights", f"{block}.{new}.weight", _CONVOLUTION)
        yield _row(f"{unit}/{old}/biases", f"{block}.{new}.bias")
    yield from _batch_norm("{resnet_v2}/postnorm", "norm")
    yield _row("{resnet_v2}/logits/weights", "head.fc.weight", _CONVOLUTION)
    yield _row("{resnet_v2}/logits/biases", "head.fc.bias")


def _resnet_v1_to_keras() -> Iterator[Row]:
    def convolution(old: str, new: str) -> Iterator[Row]:
        # Keras's convolutions have biases in front of the normalization.
        yield Row((f"{{resnet_v1}}/{old}/weights",), f"{new}_conv/kernel", (), (f"{new}_conv/bias", 1))
        yield from _keras_batch_norm(f"{{resnet_v1}}/{old}/BatchNorm", f"{new}_bn")

    yield from convolution("conv1", "conv1")
    for old, number in (("shortcut", 0), ("conv1", 1), ("conv2", 2), ("conv3", 3)):
        yield from convolution(f"{_UNIT}/bottleneck_v1/{old}", f"conv{{n+1}}_block{{m}}_{number}")
    yield _row("{resnet_v1}/logits/weights", "predictions/kernel", _ONE_BY_ONE)
    yield _row("{resnet_v1}/logits/biases", "predictions/bias")


def _resnet_v2_to_keras() -> Iterator[Row]:
    yield _row("{resnet_v2}/conv1/weights", "conv1_conv/kernel")
    yield _row("{resnet_v2}/conv1/biases", "conv1_conv/bias")
    unit, block = f"{{resnet_v2}}/{_UNIT}/bottleneck_v2", "conv{n+1}_block{m}"
    yield from _keras_batch_norm(f"{unit}/preact", f"{block}_preact_bn")
    for number in (1, 2):
        yield _row(f"{unit}/conv{number}/weights", f"{block}_{number}_conv/kernel")
        yield from _keras_batch_norm(f"{unit}/conv{number}/BatchNorm", f"{block}_{number}_bn")
    for old, number in (("conv3", 3), ("shortcut", 0)):
        yield _row(f"{unit}/{old}/weights", f"{block}_{number}_conv/kernel")
        yield _row(f"{unit}/{old}/biases", f"{block}_{number}_conv/bias")
    yield from _keras_batch_norm("{resnet_v2}/postnorm", "post_bn")
    yield _row("{resnet_v2}/logits/weights", "predictions/kernel", _ONE_BY_ONE)
    yield _row("{resnet_v2}/logits/biases", "predictions/bias")


# ---- Transformers for translation, as torch.nn.Transformer with norm_first=True ----


def _opennmt() -> Iterator[Row]:
    def dense(old: str, new: str) -> Iterator[Row]:
        yield _row(f"{old}/kernel", f"{new}weight", _WIDTH_1)
        yield _row(f"{old}/bias", f"{new}bias")

    for side, attentions in (
        ("encoder", (("multi_head", "self_attn", "norm1"),)),
        ("decoder", (("masked_multi_head", "self_attn", "norm1"), ("multi_head", "multihead_attn", "norm2"))),
    ):
        layer, new = f"transformer/{side}/layer_{{n}}", f"{side}.layers.{{n}}"
        for old, attention, norm in attentions:
            yield from _norm(f"{layer}/{old}/LayerNorm", f"{new}.{norm}")
            if attention == "self_attn":
                yield from dense(f"{layer}/{old}/conv1d", f"{new}.{attention}.in_proj_")
                yield from dense(f"{layer}/{old}/conv1d_1", f"{new}.{attention}.out_proj.")
                continue
            # The queries, then the keys and values.
            fused = (f"{layer}/{old}/conv1d", f"{layer}/{old}/conv1d_1")
            weights, biases = (tuple(f"{scope}/{word}" for scope in fused) for word in ("kernel", "bias"))
            yield Row(weights, f"{new}.{attention}.in_proj_weight", _WIDTH_1)
            yield Row(biases, f"{new}.{attention}.in_proj_bias")
            yield from dense(f"{layer}/{old}/conv1d_2", f"{new}.{attention}.out_proj.")
        yield from _norm(f"{layer}/ffn/LayerNorm", f"{new}.norm{len(attentions) + 1}")
        yield from dense(f"{layer}/ffn/conv1d", f"{new}.linear1.")
        yield from dense(f"{layer}/ffn/conv1d_1", f"{new}.linear2.")
        yield from _norm(f"transformer/{side}/LayerNorm", f"{side}.norm")
    yield _row("transformer/encoder/w_embs", "source_embedding.weight")
    yield _row("transformer/decoder/w_embs", "target_embedding.weight")
    yield _row("transformer/shared_embeddings/w_embs", "shared_embedding.weight")
    yield from _dense("transformer/decoder/dense", "generator")


def _t2t() -> Iterator[Row]:
    body = "transformer/body"
    norm = "layer_prepostprocess/layer_norm/layer_norm"
    for side, attentions in (
        ("encoder", (("self_attention", "self_attn"),)),
        ("decoder", (("self_attention", "self_attn"), ("encdec_attention", "multihead_attn"))),
    ):
        layer, new = f"{body}/{side}/layer_{{n}}", f"{side}.layers.{{n}}"
        for number, (old, attention) in enumerate((*attentions, ("ffn", "")), 1):
            yield _row(f"{layer}/{old}/{norm}_scale", f"{new}.norm{number}.weight")
            yield _row(f"{layer}/{old}/{norm}_bias", f"{new}.norm{number}.bias")
            if not attention:
                continue
            scope = f"{layer}/{old}/multihead_attention"
            # torch's attention has biases.
            yield Row(
                tuple(f"{scope}/{word}/kernel" for word in "qkv"),
                f"{new}.{attention}.in_proj_weight",
                _TURNED,
                (f"{new}.{attention}.in_proj_bias", 3),
            )
            yield Row(
                (f"{scope}/output_transform/kernel",),
                f"{new}.{attention}.out_proj.weight",
                _TURNED,
                (f"{new}.{attention}.out_proj.bias", 1),
            )
        yield from _dense(f"{layer}/ffn/conv1", f"{new}.linear1")
        yield from _dense(f"{layer}/ffn/conv2", f"{new}.linear2")
        yield _row(f"{body}/{side}/{norm}_scale", f"{side}.norm.weight")
        yield _row(f"{body}/{side}/{norm}_bias", f"{side}.norm.bias")
    yield _row(f"{body}/target_space_embedding/kernel", "target_space_embedding.weight")
    for old, new in (
        ("shared", "shared_embedding"),
        ("input_emb", "source_embedding"),
        ("target_emb", "target_embedding"),
        ("softmax", "generator"),
    ):
        yield _row(f"transformer/symbol_modality_{{sizes}}/{old}/weights_{{m}}", f"{new}.weight")


class _Entry(NamedTuple):
    description: str
    rows: Callable[[], Iterator[Row]]
    caution: str = ""


_SLIM_RESNET = "slim strides in a block's last unit, and pads pool1 as SAME; the stock model strides in the first unit"
_ENTRIES = {
    "bert-to-pytorch": _Entry(
        "Google's BERT as PyTorch's BertForPreTraining, dense kernels transposed, optimizer state left out", _bert
    ),
    "albert-to-pytorch": _Entry("Google's ALBERT as transformers' AlbertForPreTraining", _albert),
    "gpt2-to-pytorch": _Entry("OpenAI's GPT-2 as transformers' GPT2LMHeadModel", _gpt2),
    "t5-to-pytorch": _Entry("mesh-tensorflow's T5 as transformers' T5ForConditionalGeneration", _t5),
    "slim-mobilenet-v1-to-pytorch": _Entry("slim's MobileNet v1 as transformers' MobileNetV1", _mobilenet_v1),
    "slim-mobilenet-v2-to-pytorch": _Entry("slim's MobileNet v2 as transformers' MobileNetV2", _mobilenet_v2),
    "slim-mobilenet-v1-to-keras": _Entry("slim's MobileNet v1 as keras.applications.MobileNet", _mobilenet_v1_to_keras),
    "slim-mobilenet-v2-to-keras": _Entry("slim's MobileNet v2 as keras.applications.MobileNetV2", _mobilenet_v2_to_keras),
    "slim-resnet-v1-to-pytorch": _Entry("slim's ResNet v1 by torchvision's names", _resnet_v1, _SLIM_RESNET),
    "slim-resnet-v2-to-pytorch": _Entry("slim's ResNet v2 by timm's names, and biases", _resnet_v2, _SLIM_RESNET),
    "slim-resnet-v1-to-keras": _Entry(
        "slim's ResNet v1 by the names of keras.applications, biases of 0 added", _resnet_v1_to_keras, _SLIM_RESNET
    ),
    "slim-resnet-v2-to-keras": _Entry(
        "slim's ResNet v2 by the names of keras.applications",
        _resnet_v2_to_keras,
        "slim pads pool1 as SAME, keras.applications with zeros",
    ),
    "opennmt-to-pytorch": _Entry(
        "OpenNMT-tf 1's Transformer as torch.nn.Transformer, queries, keys and values fused",
        _opennmt,
        "norm_first=True, layer_norm_eps=1e-12",
    ),
    "t2t-to-pytorch": _Entry(
        "tensor2tensor's Transformer as torch.nn.Transformer, fused, biases of 0 added",
        _t2t,
        "norm_first=True, layer_norm_eps=1e-6",
    ),
}

# Description and step of each table.
FAMILIES: dict[str, tuple[str, Family]] = {
    name: (
        entry.description,
        Family(
            f"table {name!r}",
            entry.rows,
            left_out=_NOTHING if name.endswith("-to-keras") else _TRAINING,
            caution=entry.caution,
        ),
    )
    for name, entry in _ENTRIES.items()
}
FAMILIES["pytorch-to-bert"] = (
    "PyTorch's BertForPreTraining as Google's BERT, dense kernels transposed",
    Family("table 'pytorch-to-bert'", lambda: _reversed(_bert()), left_out=_BERT_COPIES),
)
