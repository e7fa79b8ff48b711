"""The variables of layers: tf.slim's words, Keras's, PyTorch's.

    slim      conv1/weights   conv1/biases   conv1/BatchNorm/moving_mean     tf.contrib.slim and tf.contrib.layers
    Keras     conv1/kernel    conv1/bias                                     tf.layers, Keras 2, Keras 3
    Keras h5  conv1/conv1/kernel:0                                           the layer, and then the variable with its scope
    Keras 1   conv1_W         conv1_b        norm_running_std
    PyTorch   norm.weight     norm.bias      norm.running_mean

What stands behind a variable's name (its optimizer slots, its moving average) moves with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from tfsaver.checkpoint.names.name_steps import split_attribute

# Those of normalisation (gamma, beta, moving_mean, moving_variance) are the same in both.
_SLIM_TO_KERAS = {
    "weights": "kernel",
    "biases": "bias",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
}

# tf.feature_column's linear models call their weights so to this day.
_LINEAR_MODEL = re.compile(r"(^|/)linear_model[^/]*/")

_KERAS_1 = {
    "W": "kernel",
    "b": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "running_mean": "moving_mean",
    # In spite of its name it held the variance.
    "running_std": "moving_variance",
}
_KERAS_1_NAME = re.compile(rf"(?P<layer>.+)_(?P<word>{'|'.join(_KERAS_1)})")
_KERAS_1_EMBEDDING = re.compile(r"(^|/)embedding_\d+$")
_DOUBLED = re.compile(r"(?P<scopes>(?:.*/)?)(?P<layer>[^/]+)/(?P=layer)/(?P<word>[^/]+)", re.DOTALL)

_NORM_TO_PYTORCH = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_TAIL = re.compile(r"(?P<layer>.*[/.])(?P<word>\w+)", re.DOTALL)


def rename_words(table: Mapping[str, str]) -> Callable[[Sequence[str]], dict[str, str]]:
    """A function that replaces whole words of names, wherever they stand after a scope."""
    words = re.compile(rf"(?<=/)({'|'.join(map(re.escape, table))})(?![^/])")

    def rename(names: Sequence[str]) -> dict[str, str]:
        return {
            name: words.sub(lambda found: table[found[0]], name)
            for name in names
            if words.search(name) and not _LINEAR_MODEL.search(name)
        }

    return rename


rename_slim_to_keras = rename_words(_SLIM_TO_KERAS)
rename_keras_to_slim = rename_words({new: old for old, new in _SLIM_TO_KERAS.items()})


def rename_keras_scopes(names: Sequence[str]) -> dict[str, str]:
    """Names of Keras 1 and of Keras's h5 files as Keras 2 and 3 name their variables."""
    renamed = {}
    for name in names:
        path, attribute = split_attribute(name)
        new = path.removesuffix(":0")
        if doubled := _DOUBLED.fullmatch(new):
            new = f"{doubled['scopes']}{doubled['layer']}/{doubled['word']}"
        if oldest := _KERAS_1_NAME.fullmatch(new):
            word = _KERAS_1[oldest["word"]]
            # Layer and weight had one name: dense_1/dense_1_W.
            scopes, _, layer = oldest["layer"].rpartition("/")
            scope = scopes if scopes.rpartition("/")[2] == layer else oldest["layer"]
            new = f"{scope}/{'embeddings' if word == 'kernel' and _KERAS_1_EMBEDDING.search(scope) else word}"
        if new != path:
            renamed[name] = new + attribute
    return renamed


def rename_norms_to_pytorch(names: Sequence[str]) -> dict[str, str]:
    """PyTorch's words for the variables of batch normalisation, which is what has a moving mean."""
    return _in_norms(names, _NORM_TO_PYTORCH, "moving_mean")


def rename_norms_from_pytorch(names: Sequence[str]) -> dict[str, str | None]:
    """TensorFlow's words for the tensors of batch normalisation, without PyTorch's count of batches."""
    renamed: dict[str, str | None] = {}
    renamed.update(_in_norms(names, {new: old for old, new in _NORM_TO_PYTORCH.items()}, "running_mean"))
    renamed.update((name, None) for name, _, word in _tails(names) if word == "num_batches_tracked")
    return renamed


def _in_norms(names: Sequence[str], table: Mapping[str, str], sign: str) -> dict[str, str]:
    norms = {layer for _, layer, word in _tails(names) if word == sign}
    return {
        name: layer + table[word] + split_attribute(name)[1]
        for name, layer, word in _tails(names)
        if layer in norms and word in table
    }


def _tails(names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Each name with its layer, separator included, and its last word."""
    for name in names:
        if match := _TAIL.fullmatch(split_attribute(name)[0]):
            yield name, match["layer"], match["word"]
