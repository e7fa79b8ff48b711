"""Graphs that the tests of SavedModels export, and what the tests write in the place of `tf.compat.v1.saved_model`."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.compat.scenario import Scenario
from tfsaver.compat.v1 import saved_model


class ModelScenario(Scenario):
    """A scenario with a `saved_model` namespace."""

    @property
    def saved_model(self) -> Any:
        return self.v1.saved_model if self.implementation == "tensorflow" else saved_model

    def builder(self, export_dir: Any = "model", **options: Any) -> Any:
        """A Builder; ours need not wait for the disk in a test."""
        if self.implementation == "tfsaver":
            options.setdefault("durable", False)
        return self.saved_model.Builder(export_dir, **options)

    def loader(self, export_dir: Any = "model") -> Any:
        """What `load` is made of, which TensorFlow does not export."""
        if self.implementation == "tfsaver":
            return saved_model.loader.SavedModelLoader(export_dir)
        from tensorflow.python.saved_model import loader_impl

        return loader_impl.SavedModelLoader(export_dir)

    def in_new_graph(self, program: Callable[[Any], None]) -> None:
        with self.tf.Graph().as_default() as graph, self.v1.Session(graph=graph) as session:
            program(session)

    def _plain(self, value: Any) -> Any:
        return super()._plain(value.decode(errors="backslashreplace") if isinstance(value, bytes) else value)

    def note_model(self, export_dir: str = "model") -> None:
        """Records the SavedModel message as a text."""
        self.note(str(read_model(self.tf, export_dir)))

    def note_collections(self) -> None:
        graph = self.v1.get_default_graph()
        self.note({key: list(map(str, graph.get_collection(key))) for key in sorted(graph.collections)})


def read_model(tf: Any, export_dir: Any) -> Any:
    """A SavedModel message, read by TensorFlow."""
    return tf.__internal__.saved_model.parse_saved_model(str(export_dir))


def half_plus(run: Scenario, two: float = 2.0, *, resource: bool = True) -> dict[str, Any]:
    """y = x / 2 + two, in variables; a signature of it."""
    v1 = run.v1
    x = v1.placeholder(run.tf.float32, [None], name="x")
    a = run.variable("a", np.float32(0.5), resource=resource)
    b = run.variable("b", np.float32(two), resource=resource)
    y = run.tf.add(a * x, b, name="y")
    return {"serving_default": v1.saved_model.predict_signature_def({"x": x}, {"y": y})}


def ask(session: Any, x: float = 10.0, scope: str = "") -> list[float]:
    """What such a model answers."""
    return list(map(float, session.run(f"{scope}y:0", {f"{scope}x:0": [x]})))


def vocabulary(run: Scenario, name: str = "vocabulary.txt", text: str = "a\nb\n", tensor: str = "path") -> Any:
    """A file, and a constant of the graph with its path."""
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return run.v1.constant(str(run.directory / name), name=tensor)


def table_model(run: Scenario) -> tuple[dict[str, Any], Any]:
    """A lookup in a table that is filled from a file; its signature, and what initializes it."""
    v1 = run.v1
    path = vocabulary(run, "words/vocabulary.txt", "zero\none\ntwo\n")
    # It adds the path to the collection asset_filepaths.
    initializer = run.tf.lookup.TextFileInitializer(
        path, run.tf.string, run.tf.lookup.TextFileIndex.WHOLE_LINE, run.tf.int64, run.tf.lookup.TextFileIndex.LINE_NUMBER
    )
    table = run.tf.lookup.StaticHashTable(initializer, -1)
    words = v1.placeholder(run.tf.string, [None], name="words")
    scale = run.variable("scale", np.int64(10))
    ids = run.tf.multiply(table.lookup(words), scale, name="ids")
    return {"serving_default": v1.saved_model.predict_signature_def({"words": words}, {"ids": ids})}, v1.tables_initializer()
