"""Every word of a table is one that names are told by, and names that nothing is said of are not in a result."""

from __future__ import annotations

import pytest

from tfsaver.checkpoint.names import renames
from tfsaver.checkpoint.names.layer_names import rename_keras_to_slim, rename_slim_to_keras
from tfsaver.checkpoint.names.name_map import Renamed, as_name_map
from tfsaver.checkpoint.names.renames import most_likely
from tfsaver.checkpoint.names.rnn_cell_names import rename_rnn_cells


@pytest.mark.parametrize(
    ("word", "synonym"),
    [
        ("weights", "kernel"),
        ("weight", "kernel"),
        ("matrix", "kernel"),
        ("w", "kernel"),
        ("biases", "bias"),
        ("b", "bias"),
        ("moving_avg", "moving_mean"),
        ("running_mean", "moving_mean"),
        ("moving_var", "moving_variance"),
        ("running_var", "moving_variance"),
    ],
)
def test_words_that_mean_the_same_find_each_other(word: str, synonym: str) -> None:
    others = [f"layer/{other}" for other in ("gamma", "a quite different word", synonym)]
    assert most_likely({f"layer/{word}": {other: other for other in others}}).all == {f"layer/{word}": f"layer/{synonym}"}
    assert most_likely({f"layer_3/{word}": {other: other for other in others}}).all == {f"layer_3/{word}": f"layer/{synonym}"}


def test_names_are_told_by_their_last_words_whichever_is_longer() -> None:
    def pairs(names: list[str], others: list[str]) -> dict[str, str]:
        candidates = {other: other for other in others}
        return most_likely(dict.fromkeys(names, candidates)).all

    assert pairs(["dense/w"], ["one/dense/w", "two/dense/w"]) == {}
    assert pairs(["one/dense/w", "two/dense/w"], ["dense/w"]) == {}
    assert pairs(["w"], ["scope/w", "other/thing"]) == {"w": "scope/w"}
    assert pairs(["scope/w"], ["w"]) == {"scope/w": "w"}
    assert pairs(["q"], ["w"]) == {}


def test_averages_are_for_averages_where_both_are_there() -> None:
    names = ["w", "w/ExponentialMovingAverage"]
    candidates = {f"x/{name}": f"x/{name}" for name in reversed(names)}
    assert most_likely(dict.fromkeys(names, candidates)).all == {name: f"x/{name}" for name in names}


@pytest.mark.parametrize(("limit", "is_found"), [(100, True), (81, True), (80, False)])
def test_names_are_compared_by_their_letters_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, limit: int, is_found: bool
) -> None:
    monkeypatch.setattr(renames, "_MAX_LETTERS", limit)
    found = most_likely({"embedding": {"imbedding": "imbedding"}}).all
    assert found == ({"embedding": "imbedding"} if is_found else {})


def test_only_cells_are_in_the_result() -> None:
    names = ["conv/weights", "RNN/BasicLSTMCell/Linear/Matrix", "rnn/basic_lstm_cell/kernel", "rnn/gru_cell/gates/weights"]
    assert rename_rnn_cells(names) == {
        "RNN/BasicLSTMCell/Linear/Matrix": "rnn/basic_lstm_cell/kernel",
        "rnn/gru_cell/gates/weights": "rnn/gru_cell/gates/kernel",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RNN/BasicRNNCell/Linear/Matrix", "rnn/basic_rnn_cell/kernel"),
        ("RNN/BasicRNNCell/Linear/Bias", "rnn/basic_rnn_cell/bias"),
        ("RNN/GRUCell/Gates/Linear/Matrix", "rnn/gru_cell/gates/kernel"),
        ("RNN/GRUCell/Gates/Linear/Bias", "rnn/gru_cell/gates/bias"),
        ("RNN/GRUCell/Candidate/Linear/Bias", "rnn/gru_cell/candidate/bias"),
        ("RNN/LSTMCell/W_I_diag", "rnn/lstm_cell/w_i_diag"),
        ("RNN/LSTMCell/W_F_diag", "rnn/lstm_cell/w_f_diag"),
        ("attention_decoder/Linear/Matrix", "attention_decoder/kernel"),
        ("attention_decoder/Linear/Bias", "attention_decoder/bias"),
        ("attention_decoder/Attention_1/Linear/Matrix", "attention_decoder/Attention_1/kernel"),
        ("attention_decoder/AttnOutputProjection/Linear/Matrix", "attention_decoder/AttnOutputProjection/kernel"),
        ("attention_decoder/Attention_12/Linear/Bias", "attention_decoder/Attention_12/bias"),
    ],
)
def test_oldest_names_of_cells_become_those_of_today(old: str, new: str) -> None:
    assert rename_rnn_cells([old, f"scope/{old}/Adam"]) == {old: new, f"scope/{old}/Adam": f"scope/{new}/Adam"}


@pytest.mark.parametrize(
    "scope",
    [
        "basic_rnn_cell",
        "basic_lstm_cell",
        "lstm_cell",
        "lstm_cell/projection",
        "gru_cell",
        "gru_cell/gates",
        "gru_cell/candidate",
        "output_projection_wrapper",
        "input_projection_wrapper",
        "layer_norm_basic_lstm_cell",
        "ugrnn_cell",
        "intersection_rnn_cell",
        "intersection_rnn_cell/in_projection",
        "phased_lstm_cell/mask_gates",
        "phased_lstm_cell/new_input",
        "phased_lstm_cell/output_gate",
        "attention_cell_wrapper",
        "attention_cell_wrapper/attention",
        "attention_cell_wrapper/attn_output_projection",
        "attention_decoder",
        "attention_decoder/Attention_12",
        "attention_decoder/AttnOutputProjection",
    ],
)
def test_weights_and_biases_of_each_cell_became_kernel_and_bias(scope: str) -> None:
    assert rename_rnn_cells([f"rnn/{scope}/weights", f"{scope}/biases/Adam"]) == {
        f"rnn/{scope}/weights": f"rnn/{scope}/kernel",
        f"{scope}/biases/Adam": f"{scope}/bias/Adam",
    }
    assert rename_rnn_cells([f"my_{scope}/weights", f"{scope}/weights_of_mine"]) == {}


def test_cells_that_changed_their_names_too_have_those_of_today() -> None:
    assert rename_rnn_cells(["rnn/nas_rnn/weights", "nas_rnn/recurrent_weights"]) == {
        "rnn/nas_rnn/weights": "rnn/nas_cell/kernel",
        "nas_rnn/recurrent_weights": "nas_cell/recurrent_kernel",
    }


@pytest.mark.parametrize(
    ("slim", "keras"),
    [
        ("weights", "kernel"),
        ("biases", "bias"),
        ("depthwise_weights", "depthwise_kernel"),
        ("pointwise_weights", "pointwise_kernel"),
    ],
)
def test_each_word_of_slim_is_one_of_keras(slim: str, keras: str) -> None:
    assert rename_slim_to_keras([f"conv/{slim}"]) == {f"conv/{slim}": f"conv/{keras}"}
    assert rename_keras_to_slim([f"conv/{keras}/Adam"]) == {f"conv/{keras}/Adam": f"conv/{slim}/Adam"}


@pytest.mark.parametrize(
    ("google", "torch"),
    [
        *(
            (f"bert/encoder/layer_7/{scope}/{word}", f"bert.encoder.layer.7.{scope.replace('/', '.')}.{torch}")
            for scope in ("attention/self/query", "attention/self/key", "attention/self/value", "attention/output/dense", "intermediate/dense", "output/dense")
            for word, torch in (("kernel", "weight"), ("bias", "bias"))
        ),
        *(
            (f"{scope}/{word}", f"{scope.replace('layer_0', 'layer.0').replace('/', '.')}.{torch}")
            for scope in ("bert/embeddings/LayerNorm", "bert/encoder/layer_0/attention/output/LayerNorm", "bert/encoder/layer_0/output/LayerNorm", "cls/predictions/transform/LayerNorm")
            for word, torch in (("gamma", "weight"), ("beta", "bias"))
        ),
        ("bert/pooler/dense/kernel", "bert.pooler.dense.weight"),
        ("cls/predictions/transform/dense/kernel", "cls.predictions.transform.dense.weight"),
        ("bert/embeddings/word_embeddings", "bert.embeddings.word_embeddings.weight"),
        ("bert/embeddings/position_embeddings", "bert.embeddings.position_embeddings.weight"),
        ("bert/embeddings/token_type_embeddings", "bert.embeddings.token_type_embeddings.weight"),
        ("cls/predictions/output_bias", "cls.predictions.bias"),
        ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
        ("cls/seq_relationship/output_bias", "cls.seq_relationship.bias"),
        ("cls/squad/output_weights", "qa_outputs.weight"),
        ("cls/squad/output_bias", "qa_outputs.bias"),
        ("output_weights", "classifier.weight"),
        ("output_bias", "classifier.bias"),
    ],
)  # fmt: skip
def test_each_tensor_of_bert_has_its_name_in_pytorch(google: str, torch: str) -> None:
    [renamed] = as_name_map("bert-to-pytorch").apply([google, "other/kernel"])[google]
    assert renamed.name == torch
    assert renamed == Renamed(torch, (1, 0) if google.endswith("/kernel") else None)
