"""BERT: from the names of Google's program to those of PyTorch's BertForPreTraining in the package transformers, and back.

    bert/encoder/layer_0/output/dense/kernel [16, 4]  ->  bert.encoder.layer.0.output.dense.weight [4, 16]
    bert/embeddings/word_embeddings                   ->  bert.embeddings.word_embeddings.weight
    cls/predictions/output_bias                       ->  cls.predictions.bias
    .../adam_m  .../adam_v  global_step               ->  left out

A dense layer of TensorFlow has its inputs in rows, one of PyTorch in columns; embeddings and the heads' output weights lie
in the same order in both. The matrix that predicts words is the embeddings' in both programs, so that a PyTorch file names
it twice (``cls.predictions.decoder``) and a TensorFlow file once. A BertModel alone has the names without ``bert.``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tfsaver.checkpoint.names.name_steps import Renamed

# Google's scope and PyTorch's module; {} is the number of the layer.
_DENSE = {
    "bert/encoder/layer_{}/attention/self/query": "bert.encoder.layer.{}.attention.self.query",
    "bert/encoder/layer_{}/attention/self/key": "bert.encoder.layer.{}.attention.self.key",
    "bert/encoder/layer_{}/attention/self/value": "bert.encoder.layer.{}.attention.self.value",
    "bert/encoder/layer_{}/attention/output/dense": "bert.encoder.layer.{}.attention.output.dense",
    "bert/encoder/layer_{}/intermediate/dense": "bert.encoder.layer.{}.intermediate.dense",
    "bert/encoder/layer_{}/output/dense": "bert.encoder.layer.{}.output.dense",
    "bert/pooler/dense": "bert.pooler.dense",
    "cls/predictions/transform/dense": "cls.predictions.transform.dense",
}
_NORMS = {
    "bert/embeddings/LayerNorm": "bert.embeddings.LayerNorm",
    "bert/encoder/layer_{}/attention/output/LayerNorm": "bert.encoder.layer.{}.attention.output.LayerNorm",
    "bert/encoder/layer_{}/output/LayerNorm": "bert.encoder.layer.{}.output.LayerNorm",
    "cls/predictions/transform/LayerNorm": "cls.predictions.transform.LayerNorm",
}
_OTHERS = {
    "bert/embeddings/word_embeddings": "bert.embeddings.word_embeddings.weight",
    "bert/embeddings/position_embeddings": "bert.embeddings.position_embeddings.weight",
    "bert/embeddings/token_type_embeddings": "bert.embeddings.token_type_embeddings.weight",
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    # Google's run_squad and run_classifier; BertForQuestionAnswering and BertForSequenceClassification.
    "cls/squad/output_weights": "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
}

_TRAINING = re.compile(r"(^|/)(adam_m|adam_v|lamb_m|lamb_v|global_step)$")
_COPIES = frozenset({"cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "bert.embeddings.position_ids"})
_NUMBER = re.compile(r"(?<=\blayer[_.])\d+")


def _rows() -> Iterator[tuple[str, str, tuple[int, int] | None]]:
    """Google's name, PyTorch's, and the order of the axes from the one to the other, which is also the way back."""
    for scope, module in _DENSE.items():
        yield f"{scope}/kernel", f"{module}.weight", (1, 0)
        yield f"{scope}/bias", f"{module}.bias", None
    for scope, module in _NORMS.items():
        yield f"{scope}/gamma", f"{module}.weight", None
        yield f"{scope}/beta", f"{module}.bias", None
    yield from ((google, torch, None) for google, torch in _OTHERS.items())


_TO_PYTORCH = {google: Renamed(torch, axes) for google, torch, axes in _rows()}
_TO_GOOGLE = {torch: Renamed(google, axes) for google, torch, axes in _rows()}


def rename_bert_to_pytorch(names: Sequence[str]) -> dict[str, Renamed | None]:
    """PyTorch's names for Google's; names that are no part of BERT are not in the result."""
    return {
        name: None if _TRAINING.search(name) else _numbered(name, _TO_PYTORCH)
        for name in names
        if _TRAINING.search(name) or _template(name) in _TO_PYTORCH
    }


def rename_bert_from_pytorch(names: Sequence[str]) -> dict[str, Renamed | None]:
    """Google's names for PyTorch's; names that are no part of BERT are not in the result."""
    return {
        name: None if name in _COPIES else _numbered(name, _TO_GOOGLE)
        for name in names
        if name in _COPIES or _template(name) in _TO_GOOGLE
    }


def _template(name: str) -> str:
    return _NUMBER.sub("{}", name, count=1)


def _numbered(name: str, table: dict[str, Renamed]) -> Renamed:
    found = table[_template(name)]
    number = _NUMBER.search(name)
    return found._replace(name=found.name.format(number[0]) if number else found.name)
