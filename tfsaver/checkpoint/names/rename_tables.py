"""The ready tables of names, by name: renames that libraries made, and that nobody should have to find out again.

A table sees all names at once, so that it can ask which others there are. What it does not know keeps its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tfsaver.checkpoint.names.families import FAMILIES
from tfsaver.checkpoint.names.layer_names import (
    rename_keras_scopes,
    rename_keras_to_slim,
    rename_norms_from_pytorch,
    rename_norms_to_pytorch,
    rename_slim_to_keras,
)
from tfsaver.checkpoint.names.name_steps import RenameTogether, Step
from tfsaver.checkpoint.names.recurrent_cells import LAYOUTS, SOURCES, TARGETS, RecurrentCells
from tfsaver.checkpoint.names.rnn_cell_names import rename_rnn_cells

__all__ = ["TABLES", "Table"]

_AVERAGE = "/ExponentialMovingAverage"
# What an average that corrects its start counts with.
_AVERAGE_STATE = re.compile(rf"{_AVERAGE}/(biased|local_step)$")


class Table(NamedTuple):
    """A ready table.

    Attributes:
        description: What it renames, in a line.
        step: The step that does it.
    """

    description: str
    step: Step


def _take_moving_averages(names: Sequence[str]) -> dict[str, str | None]:
    """The averages in the places of the variables that they are of."""
    averaged = {name.removesuffix(_AVERAGE) for name in names if name.endswith(_AVERAGE)}
    renamed: dict[str, str | None] = {}
    for name in names:
        if name.endswith(_AVERAGE):
            renamed[name] = name.removesuffix(_AVERAGE)
        elif name in averaged or _AVERAGE_STATE.search(name):
            renamed[name] = None
    return renamed


def _leave_moving_averages(names: Sequence[str]) -> dict[str, str | None]:
    """The averages left out."""
    return {name: None for name in names if name.endswith(_AVERAGE) or _AVERAGE_STATE.search(name)}


TABLES = {
    "rnn-cells": Table(
        "recurrent cells of TensorFlow 0.x, 1.0 and 1.1 (weights, biases, Linear/Matrix) as 1.2 and later name them",
        RenameTogether(rename_rnn_cells, "table 'rnn-cells'"),
    ),
    "slim-to-keras": Table(
        "tf.slim's words for variables (weights, biases) as Keras and tf.layers have them (kernel, bias)",
        RenameTogether(rename_slim_to_keras, "table 'slim-to-keras'"),
    ),
    "keras-to-slim": Table("the same, the other way", RenameTogether(rename_keras_to_slim, "table 'keras-to-slim'")),
    "keras-scopes": Table(
        "names of Keras 1 (dense_1_W) and of Keras's h5 files (dense_1/dense_1/kernel:0) as dense_1/kernel",
        RenameTogether(rename_keras_scopes, "table 'keras-scopes'"),
    ),
    "moving-averages": Table(
        "the moving average of each variable in the variable's place (w/ExponentialMovingAverage as w)",
        RenameTogether(_take_moving_averages, "table 'moving-averages'"),
    ),
    "without-moving-averages": Table(
        "moving averages left out, the variables as they are",
        RenameTogether(_leave_moving_averages, "table 'without-moving-averages'"),
    ),
    **{name: Table(description, step) for name, (description, step) in FAMILIES.items()},
    "batch-norm-to-pytorch": Table(
        "batch normalisation's gamma, beta, moving_mean, moving_variance as weight, bias, running_mean, running_var",
        RenameTogether(rename_norms_to_pytorch, "table 'batch-norm-to-pytorch'"),
    ),
    "pytorch-to-batch-norm": Table(
        "the same, the other way, without num_batches_tracked",
        RenameTogether(rename_norms_from_pytorch, "table 'pytorch-to-batch-norm'"),
    ),
    **{
        f"{source}-rnn-to-{to}": Table(
            f"{LAYOUTS[source]} as recurrent layers of {to}", RecurrentCells(source, to)
        )
        for source in SOURCES
        for to in TARGETS
        if source != to
    },
}
