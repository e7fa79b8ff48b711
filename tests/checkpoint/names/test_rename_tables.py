"""The ready tables, on names that real programs gave."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver import load_checkpoint, schemas
from tfsaver.checkpoint.names.name_map import Renamed, as_name_map
from tfsaver.checkpoint.names.rename_tables import TABLES

ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"


def renamed(table: str, *names: str) -> list[str | None]:
    """The new name of each; None of what is left out."""
    found = as_name_map(table, allow_unmatched=True).apply(names)
    return [found[name][0].name if found[name] else None for name in names]


def test_every_table_says_what_it_does_in_a_line() -> None:
    assert all(0 < len(table.description) < 110 and "\n" not in table.description for table in TABLES.values())


@pytest.mark.parametrize("table", TABLES)
def test_names_that_a_table_does_not_know_are_kept(table: str) -> None:
    names = ["embedding_table", "tower/filters", "tower/filters/Momentum", f"net/layers/0/scale{ATTRIBUTE}", "RNNs/Matrix"]
    assert renamed(table, *names) == names


@given(st.lists(st.text("ab/_1", max_size=8), unique=True), st.sampled_from(sorted(TABLES)))
def test_tables_take_any_names(names: list[str], table: str) -> None:
    assert as_name_map(table).apply(names, problems=[]).keys() == set(names)


# On the right is what TensorFlow 1.15.5 calls the variables of these cells.
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rnn/basic_rnn_cell/weights", "rnn/basic_rnn_cell/kernel"),
        ("rnn/basic_lstm_cell/biases", "rnn/basic_lstm_cell/bias"),
        ("rnn/lstm_cell/projection/weights", "rnn/lstm_cell/projection/kernel"),
        ("rnn/multi_rnn_cell/cell_1/gru_cell/gates/weights", "rnn/multi_rnn_cell/cell_1/gru_cell/gates/kernel"),
        ("rnn/gru_cell/candidate/biases", "rnn/gru_cell/candidate/bias"),
        ("rnn/layer_norm_basic_lstm_cell/weights", "rnn/layer_norm_basic_lstm_cell/kernel"),
        ("rnn/nas_rnn/recurrent_weights", "rnn/nas_cell/recurrent_kernel"),
        ("rnn/phased_lstm_cell/mask_gates/weights", "rnn/phased_lstm_cell/mask_gates/kernel"),
        ("rnn/attention_cell_wrapper/attention/weights", "rnn/attention_cell_wrapper/attention/kernel"),
        ("attention_decoder/Attention_0/weights", "attention_decoder/Attention_0/kernel"),
        ("rnn/output_projection_wrapper/biases", "rnn/output_projection_wrapper/bias"),
        ("RNN/BasicLSTMCell/Linear/Matrix", "rnn/basic_lstm_cell/kernel"),
        ("RNN/MultiRNNCell/Cell0/BasicLSTMCell/Linear/Bias", "rnn/multi_rnn_cell/cell_0/basic_lstm_cell/bias"),
        ("model/RNN/MultiRNNCell/Cell11/LSTMCell/W_0", "model/rnn/multi_rnn_cell/cell_11/lstm_cell/kernel"),
        ("BiRNN/FW/LSTMCell/B", "bidirectional_rnn/fw/lstm_cell/bias"),
        ("BiRNN/BW/GRUCell/Candidate/Linear/Matrix", "bidirectional_rnn/bw/gru_cell/candidate/kernel"),
        ("RNN/LSTMCell/W_O_diag", "rnn/lstm_cell/w_o_diag"),
        ("RNN/LSTMCell/W_P_0", "rnn/lstm_cell/projection/kernel"),
        ("attention_decoder/AttnOutputProjection/Linear/Bias", "attention_decoder/AttnOutputProjection/bias"),
        ("attention_decoder/LSTMCell/W_0", "attention_decoder/lstm_cell/kernel"),
    ],
)
def test_cells_of_old_releases_get_their_names_of_today(old: str, new: str) -> None:
    ends = ["", "/Adam", "/Adam_1", "/ExponentialMovingAverage"]
    assert renamed("rnn-cells", *(old + end for end in ends)) == [new + end for end in ends]
    assert renamed("rnn-cells", f"train/{new}", new) == [f"train/{new}", new]


def test_words_that_belong_to_no_cell_stay() -> None:
    names = ["conv1/weights", "my_lstm_cell/weights", "RNN/embedding", "lstm_cell/weights_norm", "x/Linear/Matrix", "RNN/W_0"]
    assert renamed("rnn-cells", *names) == names


def test_cell_in_several_shards_is_no_matter_of_names() -> None:
    shards = ["RNN/Cell0/LSTMCell/W_0", "RNN/Cell0/LSTMCell/W_1"]
    assert renamed("rnn-cells", *shards, "RNN/LSTMCell/W_0") == [*shards, "rnn/lstm_cell/kernel"]


def variables_of(path: pathlib.Path) -> list[str]:
    graph = schemas.MetaGraphDef.FromString(path.read_bytes()).graph_def
    return [node.name for node in graph.node if node.op in ("Variable", "VariableV2", "VarHandleOp")]


@pytest.mark.parametrize("graph", ["att_rnn_untrained", "lstm_crf_ner", "rcnn_untrained", "word_rnn_untrained"])
def test_graphs_of_later_releases_have_no_old_cells(cases: pathlib.Path, graph: str) -> None:
    names = variables_of(cases / "meta_only_graphs" / f"{graph}.meta")
    assert renamed("rnn-cells", *names) == names
    olds = [name.replace("_cell/kernel", "_cell/weights").replace("_cell/bias", "_cell/biases") for name in names]
    assert olds != names and renamed("rnn-cells", *olds) == names


def test_slim_network_gets_keras_words_and_back(cases: pathlib.Path) -> None:
    names = variables_of(cases / "meta_only_graphs" / "InceptionV3.meta")
    news = [str(name) for name in renamed("slim-to-keras", *names)]
    assert "module/InceptionV3/Conv2d_1a_3x3/kernel" in news
    assert "module/InceptionV3/Conv2d_1a_3x3/BatchNorm/moving_variance" in news
    assert not any(name.endswith(("/weights", "/biases")) for name in news)
    assert renamed("keras-to-slim", *news) == names


def test_slots_and_averages_follow_their_variable() -> None:
    olds = ["conv/weights/Momentum", "conv/biases/ExponentialMovingAverage", "dw/depthwise_weights", "dw/pointwise_weights"]
    news = ["conv/kernel/Momentum", "conv/bias/ExponentialMovingAverage", "dw/depthwise_kernel", "dw/pointwise_kernel"]
    assert renamed("slim-to-keras", *olds) == news and renamed("keras-to-slim", *news) == olds
    assert renamed("slim-to-keras", f"conv/weights{ATTRIBUTE}") == [f"conv/kernel{ATTRIBUTE}"]


def test_linear_models_keep_their_weights(cases: pathlib.Path) -> None:
    with load_checkpoint(cases / "v2_tfx_estimator_ckpt" / "model.ckpt-0") as reader:
        assert renamed("slim-to-keras", *reader.names) == reader.names


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dense_1/dense_1/kernel:0", "dense_1/kernel"),
        ("model_2/dense_1/kernel:0", "model_2/dense_1/kernel"),
        ("top/conv/conv/bias", "top/conv/bias"),
        ("dense_1_W", "dense_1/kernel"),
        ("dense_1/dense_1_b:0", "dense_1/bias"),
        ("batchnormalization_4_running_std", "batchnormalization_4/moving_variance"),
        ("batchnormalization_4/batchnormalization_4_running_mean:0", "batchnormalization_4/moving_mean"),
        ("embedding_1_W", "embedding_1/embeddings"),
        ("dense_1/kernel", "dense_1/kernel"),
    ],
)
def test_kerases_of_old_name_a_variable_by_layer_and_word(old: str, new: str) -> None:
    assert renamed("keras-scopes", old) == [new]


def test_average_takes_the_place_of_its_variable() -> None:
    end = "/ExponentialMovingAverage"
    names = ["w", f"w{end}", "w/Adam", f"alone{end}", "v", f"w{end}/biased", f"w{end}/local_step"]
    assert renamed("moving-averages", *names) == [None, "w", "w/Adam", "alone", "v", None, None]
    assert renamed("without-moving-averages", *names) == ["w", None, "w/Adam", None, "v", None, None]


def test_batch_normalisation_is_told_by_its_moving_mean() -> None:
    names = ["bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance", "ln/gamma", "ln/beta"]
    news = ["bn/weight", "bn/bias", "bn/running_mean", "bn/running_var", "ln/gamma", "ln/beta"]
    assert renamed("batch-norm-to-pytorch", *names) == news and renamed("pytorch-to-batch-norm", *news) == names
    torch = ["net.1.weight", "net.1.running_mean", "net.1.num_batches_tracked", "net.2.weight"]
    assert renamed("pytorch-to-batch-norm", *torch) == ["net.1.gamma", "net.1.moving_mean", None, "net.2.weight"]


def test_pytorch_says_the_same_of_batch_normalisation() -> None:
    torch = pytest.importorskip("torch")
    names = list(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).state_dict())
    found = set(renamed("pytorch-to-batch-norm", *names))
    assert found == {"0.weight", "0.bias", "1.gamma", "1.beta", "1.moving_mean", "1.moving_variance", None}


# The names and shapes of BertForPreTraining(BertConfig(...)).state_dict() of the package transformers 5.23, with the
# configuration of the checkpoint, but for the second layer's, and the two that are others again.
BERT_IN_PYTORCH = {
    "bert.embeddings.word_embeddings.weight": (15, 4),
    "bert.embeddings.position_embeddings.weight": (16, 4),
    "bert.embeddings.token_type_embeddings.weight": (2, 4),
    "bert.embeddings.LayerNorm.weight": (4,),
    "bert.embeddings.LayerNorm.bias": (4,),
    "bert.encoder.layer.0.attention.self.query.weight": (4, 4),
    "bert.encoder.layer.0.attention.self.query.bias": (4,),
    "bert.encoder.layer.0.attention.self.key.weight": (4, 4),
    "bert.encoder.layer.0.attention.self.key.bias": (4,),
    "bert.encoder.layer.0.attention.self.value.weight": (4, 4),
    "bert.encoder.layer.0.attention.self.value.bias": (4,),
    "bert.encoder.layer.0.attention.output.dense.weight": (4, 4),
    "bert.encoder.layer.0.attention.output.dense.bias": (4,),
    "bert.encoder.layer.0.attention.output.LayerNorm.weight": (4,),
    "bert.encoder.layer.0.attention.output.LayerNorm.bias": (4,),
    "bert.encoder.layer.0.intermediate.dense.weight": (16, 4),
    "bert.encoder.layer.0.intermediate.dense.bias": (16,),
    "bert.encoder.layer.0.output.dense.weight": (4, 16),
    "bert.encoder.layer.0.output.dense.bias": (4,),
    "bert.encoder.layer.0.output.LayerNorm.weight": (4,),
    "bert.encoder.layer.0.output.LayerNorm.bias": (4,),
    "bert.pooler.dense.weight": (4, 4),
    "bert.pooler.dense.bias": (4,),
    "cls.predictions.bias": (15,),
    "cls.predictions.transform.dense.weight": (4, 4),
    "cls.predictions.transform.dense.bias": (4,),
    "cls.predictions.transform.LayerNorm.weight": (4,),
    "cls.predictions.transform.LayerNorm.bias": (4,),
    "cls.seq_relationship.weight": (2, 4),
    "cls.seq_relationship.bias": (2,),
}
BERT = pathlib.PurePath("v2_tiny_bert_keras_bert", "bert_model.ckpt")


def taken(tensors: Mapping[str, np.ndarray], renames: Mapping[str, tuple[Renamed, ...]]) -> dict[str, np.ndarray]:
    """Arrays renamed and transposed as a mapping says."""
    return {
        target.name: functools.reduce(lambda array, change: array.transpose(change.axes), target.changes, tensors[name])
        for name, targets in renames.items()
        for target in targets
    }


def test_bert_becomes_what_pytorch_has(cases: pathlib.Path) -> None:
    with load_checkpoint(cases / BERT) as reader:
        found = taken(reader, as_name_map("bert-to-pytorch").apply(reader.names))
        second = {name.replace("layer.0", "layer.1"): shape for name, shape in BERT_IN_PYTORCH.items() if "layer.0" in name}
        assert {name: array.shape for name, array in found.items()} == {**BERT_IN_PYTORCH, **second}
        query = reader["bert/encoder/layer_1/attention/self/query/kernel"]
        np.testing.assert_array_equal(found["bert.encoder.layer.1.attention.self.query.weight"], query.T)
        head = reader["cls/seq_relationship/output_weights"]
        np.testing.assert_array_equal(found["cls.seq_relationship.weight"], head)


def test_bert_comes_back_bit_for_bit(cases: pathlib.Path) -> None:
    with load_checkpoint(cases / BERT) as reader:
        there = taken(reader, as_name_map("bert-to-pytorch").apply(reader.names))
        there["cls.predictions.decoder.weight"] = there["bert.embeddings.word_embeddings.weight"]
        back = taken(there, as_name_map("pytorch-to-bert").apply(list(there)))
        trained = {name for name in reader.names if not name.endswith(("/adam_m", "/adam_v")) and name != "global_step"}
        assert back.keys() == trained and len(trained) == 46
        for name, array in back.items():
            np.testing.assert_array_equal(array, reader[name])


def test_encoder_alone_is_a_matter_of_one_more_rule(cases: pathlib.Path) -> None:
    with load_checkpoint(cases / BERT) as reader:
        found = as_name_map(["bert-to-pytorch", (r"^cls\.", None), (r"^cls\b|^bert\.", "")]).apply(reader.names)
    names = {target.name for targets in found.values() for target in targets}
    assert "encoder.layer.0.attention.self.query.weight" in names and "pooler.dense.bias" in names and len(names) == 39


def test_fine_tuned_heads_are_renamed_too() -> None:
    names = ["output_weights", "output_bias", "cls/squad/output_weights", "bert/encoder/layer_11/output/dense/bias", "global_step"]
    assert renamed("bert-to-pytorch", *names) == [
        *("classifier.weight", "classifier.bias", "qa_outputs.weight", "bert.encoder.layer.11.output.dense.bias", None)
    ]
