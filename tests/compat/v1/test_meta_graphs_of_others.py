"""`.meta` files that other programs wrote, from TensorFlow 0.12 on: our Saver finds their variables and gives them values."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint
from tfsaver.compat._saver_graph import SaverVariables, find_variables
from tfsaver.compat.v1 import train
from tfsaver.errors import CheckpointNotFoundError

# Values are compared of models up to this size; the tests are about nodes, not about disks.
SIZE = 64 << 20
# TensorFlow has no order for the versions that wrote these.
UNORDERED = "0.12.head"


Imports = dict[str, tuple[Any, Any, Any]]


def meta_files(cases: pathlib.Path) -> Iterator[tuple[str, str]]:
    for path in sorted(cases.rglob("*.meta")):
        yield str(path.relative_to(cases)), str(path)


def imported(tf: Any, module: Any, path: str) -> tuple[Any, Any, Any]:
    """The graph, the Saver and the error of an import."""
    with tf.Graph().as_default() as graph:
        try:
            return graph, module.import_meta_graph(path, clear_devices=True), None
        except Exception as error:  # noqa: BLE001 - whatever it is, both must say it
            return graph, None, error


@pytest.fixture(scope="module")
def ours(tf: Any, cases: pathlib.Path) -> Imports:
    """Our imports of all the files, by their paths: the tests restore into sessions of their own and change no graph."""
    return {path: imported(tf, train, path) for _, path in meta_files(cases)}


def prefix_of(path: str) -> str | None:
    """The checkpoint beside a `.meta` file; None if there is none."""
    try:
        with load_checkpoint(path) as reader:
            return str(reader.prefix)
    except CheckpointNotFoundError:
        return None


def saver_of(tf: Any, graph: Any, saver_def: Any) -> Any:
    """TensorFlow's Saver of the same nodes."""
    with graph.as_default():
        return tf.compat.v1.train.Saver(saver_def=saver_def)


def tensors_of(variables: SaverVariables, graph: Any) -> list[Any]:
    return [graph.get_tensor_by_name(binding.variable.tensor.name) for binding in variables.bindings]


def equal(first: list[Any], second: list[Any]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(np.asarray(a).dtype == np.asarray(b).dtype and np.array_equal(a, b) for a, b in pairs)


def test_imports_end_as_with_tensorflow(tf: Any, cases: pathlib.Path, ours: Imports) -> None:
    found, refused = 0, []
    for name, path in meta_files(cases):
        theirs, mine = imported(tf, tf.compat.v1.train, path), ours[path]
        if theirs[2] is not None and UNORDERED in str(theirs[2]):
            assert mine[2] is None, (name, mine[2])
            refused.append(name)
        else:
            assert type(mine[2]) is type(theirs[2]), (name, mine[2], theirs[2])
            assert (mine[1] is None) == (theirs[1] is None), name
            if mine[1] is not None:
                assert mine[1].saver_def == theirs[1].saver_def, name
        if mine[1] is not None:
            assert mine[0].as_graph_def() is not None
            variables = find_variables(mine[0], mine[1].saver_def)
            assert variables is not None and variables.bindings, name
            found += 1
    assert found >= 15 and len(refused) >= 1


def test_checkpoints_beside_them_are_restored(tf: Any, cases: pathlib.Path, ours: Imports) -> None:
    compared = []
    for name, path in meta_files(cases):
        graph, saver, _ = ours[path]
        prefix = prefix_of(path.removesuffix(".meta"))
        if saver is None or prefix is None:
            continue
        variables = find_variables(graph, saver.saver_def)
        assert variables is not None
        values = []
        for restorer in (saver, saver_of(tf, graph, saver.saver_def)):
            with tf.compat.v1.Session(graph=graph) as session:
                restorer.restore(session, prefix)
                values.append(session.run(tensors_of(variables, graph)))
        assert equal(*values), name
        compared.append(name)
    assert len(compared) >= 6, compared


def test_what_their_variables_begin_with_goes_both_ways(
    tf: Any, cases: pathlib.Path, ours: Imports, tmp_path: pathlib.Path
) -> None:
    v1 = tf.compat.v1
    compared = 0
    for name, path in meta_files(cases):
        graph, saver, _ = ours[path]
        if saver is None or prefix_of(path.removesuffix(".meta")) is not None:
            continue
        variables = find_variables(graph, saver.saver_def)
        assert variables is not None
        shapes = [binding.variable.shape or () for binding in variables.bindings]
        if sum(8 * int(np.prod(shape)) for shape in shapes) > SIZE:
            continue
        theirs = saver_of(tf, graph, saver.saver_def)
        with v1.Session(graph=graph) as session:
            session.run([variable.initializer for variable in graph.get_collection("variables")])
            before = session.run(tensors_of(variables, graph))
            written = [
                each.save(session, str(tmp_path / f"{compared}-{number}"), write_state=False, write_meta_graph=False)
                for number, each in enumerate((saver, theirs))
            ]
        data = [pathlib.Path(f"{prefix}.data-00000-of-00001").read_bytes() for prefix in written]
        assert data[0] == data[1], name
        for restorer, prefix in ((saver, written[1]), (theirs, written[0])):
            with v1.Session(graph=graph) as session:
                restorer.restore(session, prefix)
                assert equal(session.run(tensors_of(variables, graph)), before), name
        compared += 1
    assert compared >= 3
