"""The variables of recurrent cells: from TensorFlow 0.x, 1.0 and 1.1 to 1.2 and all later releases.

    0.x        RNN/MultiRNNCell/Cell0/BasicLSTMCell/Linear/Matrix      classes' names for scopes
    1.0, 1.1   rnn/multi_rnn_cell/cell_0/basic_lstm_cell/weights       lower case
    1.2        rnn/multi_rnn_cell/cell_0/basic_lstm_cell/kernel        the words of tf.layers

The names on the left are those that the converter in TensorFlow's contrib folder (1.2 to 1.15) knew, the names on the right
those that 1.15.5 makes. What an optimizer or a moving average keeps behind a name moves with it.

Left alone, because no renaming does it: an LSTMCell of 0.x in several shards (``W_0``, ``W_1``), which are now one matrix,
and the cells around others of 0.x, which had the inner cell beside them and not within.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tfsaver.checkpoint.names.name_steps import Infos, RenameByRules, Rule, split_attribute

# 1.0 and 1.1: scopes in which weights became kernel, and biases bias.
_SCOPES = (
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
    r"attention_decoder/Attention_\d+",
    "attention_decoder/AttnOutputProjection",
)

# 1.0 and 1.1: cells that changed more than these words.
_OTHERS = {
    "nas_rnn/weights": "nas_cell/kernel",
    "nas_rnn/recurrent_weights": "nas_cell/recurrent_kernel",
}

# 0.x: the end of a name.
_OLDEST = {
    r"BasicRNNCell/Linear/Matrix": "basic_rnn_cell/kernel",
    r"BasicRNNCell/Linear/Bias": "basic_rnn_cell/bias",
    r"BasicLSTMCell/Linear/Matrix": "basic_lstm_cell/kernel",
    r"BasicLSTMCell/Linear/Bias": "basic_lstm_cell/bias",
    r"GRUCell/Gates/Linear/Matrix": "gru_cell/gates/kernel",
    r"GRUCell/Gates/Linear/Bias": "gru_cell/gates/bias",
    r"GRUCell/Candidate/Linear/Matrix": "gru_cell/candidate/kernel",
    r"GRUCell/Candidate/Linear/Bias": "gru_cell/candidate/bias",
    r"LSTMCell/W_0": "lstm_cell/kernel",
    r"LSTMCell/B": "lstm_cell/bias",
    r"LSTMCell/W_P_0": "lstm_cell/projection/kernel",
    r"LSTMCell/W_(?P<gate>[FIO])_diag": "lstm_cell/w_{gate}_diag",
    r"attention_decoder/Linear/Matrix": "attention_decoder/kernel",
    r"attention_decoder/Linear/Bias": "attention_decoder/bias",
    r"attention_decoder/(?P<scope>Attention_\d+|AttnOutputProjection)/Linear/Matrix": "attention_decoder/{scope}/kernel",
    r"attention_decoder/(?P<scope>Attention_\d+|AttnOutputProjection)/Linear/Bias": "attention_decoder/{scope}/bias",
}

# 0.x: what stands in front of such an end.
_OLDEST_SCOPES = (
    (re.compile(r"(?<![^/])MultiRNNCell/Cell(\d+)(?![^/])"), r"multi_rnn_cell/cell_\1"),
    (re.compile(r"(?<![^/])BiRNN/FW(?![^/])"), "bidirectional_rnn/fw"),
    (re.compile(r"(?<![^/])BiRNN/BW(?![^/])"), "bidirectional_rnn/bw"),
    (re.compile(r"(?<![^/])RNN(?![^/])"), "rnn"),
)

_SHARD = re.compile(r"(.*(?<![^/])LSTMCell/W_(?:P_)?)[1-9]\d*(?![^/])", re.DOTALL)


def _as_rules() -> list[Rule]:
    words = "|".join(_SCOPES)
    return [
        Rule(rf"(?<![^/])({words})/weights(?![^/])", r"\1/kernel"),
        Rule(rf"(?<![^/])({words})/biases(?![^/])", r"\1/bias"),
        *(Rule(rf"(?<![^/]){old}(?![^/])", new) for old, new in _OTHERS.items()),
    ]


_LATER = RenameByRules(_as_rules())
_OLDEST_PATTERNS = [(re.compile(rf"(?<![^/]){old}(?![^/])"), new) for old, new in _OLDEST.items()]


def rename_rnn_cells(names: Sequence[str]) -> dict[str, str]:
    """The names of 1.2 for those of earlier releases; other names are not in the result."""
    sharded = {match[1] for name in names if (match := _SHARD.match(name))}
    renamed = {}
    for name in names:
        path, attribute = split_attribute(name)
        if new := _of_oldest(path, sharded):
            renamed[name] = new + attribute
    for name, targets in _LATER.apply(Infos([name for name in names if name not in renamed])).changed.items():
        if targets and targets[0].name != name:
            renamed[name] = targets[0].name
    return renamed


def _of_oldest(name: str, sharded: set[str]) -> str | None:
    if "/Linear/" not in name and "LSTMCell/" not in name:
        return None
    for pattern, new in _OLDEST_PATTERNS:
        if match := pattern.search(name):
            if match[0].endswith("_0") and name[: match.end() - 1] in sharded:
                return None
            head = name[: match.start()]
            for scope, replacement in _OLDEST_SCOPES:
                head = scope.sub(replacement, head)
            groups = {group: text.lower() if group == "gate" else text for group, text in match.groupdict().items()}
            return head + new.format(**groups) + name[match.end() :]
    return None
