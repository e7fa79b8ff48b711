"""The rank of the wanted output for each labelled graph: python -m tests.graph.candidate_table CASES

The labels say which outputs an engineer wants, any of which will do, and which inputs these need. They were written by hand
for the .meta files of real programs in the folder of cases; `candidate_programs` labels its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tfsaver.graph.candidates import find_candidates
from tfsaver.saved_model.sources import read_graph

_META = "meta_only_graphs"
# File below the cases -> wanted outputs, inputs.
LABELS: dict[str, tuple[list[str], list[str]]] = {
    f"{_META}/xor.meta": (["Sigmoid"], ["Placeholder"]),
    # KMeans: the distances to all clusters, or the number of the nearest.
    f"{_META}/kmeans.meta": (["sub_1", "Squeeze_1", "NearestNeighbors"], ["Placeholder"]),
    # Cosine similarity of the inputs to all words.
    f"{_META}/word2vec.meta": (["MatMul_1"], ["Placeholder"]),
    f"{_META}/word_cnn.meta": (["output/ArgMax", "output/dense/BiasAdd"], ["x"]),
    f"{_META}/word_cnn_untrained.meta": (["output/ArgMax", "output/dense/BiasAdd"], ["x"]),
    f"{_META}/char_cnn_untrained.meta": (["fc-3/ArgMax", "fc-3/dense/BiasAdd"], ["x"]),
    f"{_META}/vd_cnn.meta": (["fc-3/ArgMax", "fc-3/dense/BiasAdd"], ["x"]),
    f"{_META}/rcnn_untrained.meta": (["output/ArgMax", "output/dense/BiasAdd"], ["x"]),
    f"{_META}/att_rnn_untrained.meta": (["output/ArgMax", "output/dense/BiasAdd"], ["x"]),
    f"{_META}/word_rnn_untrained.meta": (["output/ArgMax", "output/dense/BiasAdd"], ["x"]),
    # The scores of tags, which the program decodes with the transitions.
    f"{_META}/lstm_crf_ner.meta": (["proj/Reshape_1"], ["word_ids", "sequence_lengths", "char_ids", "word_lengths"]),
    f"{_META}/InceptionV3.meta": (["module_apply_default/hub_output/feature_vector/SpatialSqueeze"], ["Placeholder"]),
    f"{_META}/cond_test.meta": (["cond/Merge"], []),
    "v1_bad_half_plus_two/00000123/export.meta": (["Add"], ["Placeholder"]),
    "v1_session_bundle_half_plus_two/00000123/export.meta": (["y", "Identity"], ["tf_example"]),
    "v2_ckpt_v2_session_bundle/00000123/export.meta": (["y", "Identity"], ["tf_example"]),
    "v2_profiler_ckpt/ckpt.meta": (["Conv2D_1"], []),
    "v2_tfx_estimator_ckpt/model.ckpt-1000.meta": (["head/predictions/probabilities", "head/predictions/logistic"], []),
    "v2_tiny_bert_keras_bert/bert_model.ckpt.meta": (["cls/predictions/LogSoftmax"], ["IteratorGetNext"]),
}


class Row(NamedTuple):
    """A labelled graph; `rank` is that of the best of its wanted outputs, counted from 1, None where it was not named."""

    graph: str
    rank: int | None
    wanted: list[str]
    found: list[str]
    missing_inputs: list[str]


def rank(path: Path, wanted: list[str], inputs: list[str]) -> Row:
    found = find_candidates(read_graph(str(path)).graph_def)
    needed = {each.name for each in found.inputs if each.is_needed}
    ranks = [found.outputs.index(name) + 1 for name in wanted if name in found.outputs]
    return Row(path.stem, min(ranks, default=None), wanted, found.outputs, sorted(set(inputs) - needed))


def rows_of_cases(cases: Path) -> list[Row]:
    return [rank(cases / file, *label) for file, label in LABELS.items()]


def rows_of_programs(directory: Path) -> list[Row]:
    """Has TensorFlow write the programs' graphs into a directory, and ranks them."""
    command = [sys.executable, "-m", "tests.graph.candidate_programs", str(directory)]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **quiet})
    wanted = json.loads((directory / "wanted.json").read_text())
    return [rank(directory / f"{name}.meta", *label) for name, label in wanted.items()]


def main(cases: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        rows = rows_of_cases(cases) + rows_of_programs(Path(directory))
    for row in rows:
        missing = f"; inputs not found: {', '.join(row.missing_inputs)}" if row.missing_inputs else ""
        print(f"{row.rank or '-':>4}  {row.graph:20} {' | '.join(row.wanted)}; found {', '.join(row.found[:3])}{missing}")
    first = sum(row.rank is not None and row.rank <= 2 for row in rows)
    print(f"first or second in {first} of {len(rows)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
