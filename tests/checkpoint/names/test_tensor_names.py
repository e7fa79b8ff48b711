"""Tensors by their names: those that come into question, and no descriptions; and a mapping as a file that people read."""

from __future__ import annotations

import numpy as np

from tests.checkpoint.editing.test_object_graph_merging import source_of, trunk
from tfsaver.checkpoint.names.name_map import Renamed, as_name_map
from tfsaver.checkpoint.names.name_map_file import format_toml, parse_name_map
from tfsaver.checkpoint.names.tensor_names import TensorNames
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, read_object_graph
from tfsaver.checkpoint.tensor_source import ArraySource

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def test_only_tensors_that_come_into_question_are_there() -> None:
    source = ArraySource({name: np.zeros(1) for name in "abcd"})
    names = TensorNames(source, None, as_name_map({"a": "x", "b": None}), {"a", "b", "c"})
    assert names.keys == ["a", "c"] and list(names.mapped) == ["a"]
    assert names.by_name == {"c": ["c"]} and names.by_path is names.by_name and names.full_names is None
    assert TensorNames(source, None, as_name_map(None)).keys == ["a", "b", "c", "d"]


def test_objects_are_there_by_path_and_by_full_name_without_their_description() -> None:
    source = source_of(trunk)
    graph = read_object_graph(source)
    names = TensorNames(source, graph, as_name_map(None))
    slot = f"net/a/.OPTIMIZER_SLOT/opt/m{VALUE}"
    assert names.keys == sorted([f"net/a{VALUE}", slot, f"step{VALUE}"]) and OBJECT_GRAPH_KEY not in names.keys
    assert names.by_name == {"a": [f"net/a{VALUE}"], "step": [f"step{VALUE}"]}
    assert names.by_path["net/a"] == [f"net/a{VALUE}"]
    some = TensorNames(source, graph, as_name_map(None), {f"step{VALUE}"})
    assert some.full_names == {f"step{VALUE}": "step"} and some.keys == [f"step{VALUE}"]


def test_mapping_is_written_with_the_letters_that_it_has() -> None:
    targets = {"größe/\x7f": (Renamed("länge"),), "k": (Renamed("w", (1, 0)), Renamed("v", (2, 0, 1))), "gone": ()}
    text = format_toml(targets)
    assert '"größe/\\u007f"' in text and '"länge"' in text
    assert '{to = "w", transpose = true}' in text and '{to = "v", transpose = [2, 0, 1]}' in text
    assert as_name_map(parse_name_map(text).names).apply(list(targets)) == targets
