"""The MetaGraphDefs of our Builder beside those of TensorFlow's, field by field: what differs is in a table, with the reason."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf import text_format

from tests.compat.v1.saved_model.models import ModelScenario, half_plus, read_model, table_model, vocabulary

Export = Callable[[ModelScenario, Any], None]


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Where two messages differ, and how: changed, missing or added; what has a name is compared with its namesake."""
    if theirs == ours:
        return
    if not hasattr(theirs, "DESCRIPTOR"):
        yield path, "changed"
        return
    for field in theirs.DESCRIPTOR.fields:
        left, right = getattr(theirs, field.name), getattr(ours, field.name)
        if left == right:
            continue
        here = f"{path}.{field.name}" if path else field.name
        repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
        if not repeated:
            yield from differences(left, right, here)
            continue
        left, right = _by_name(left), _by_name(right)
        for key in [*left, *(key for key in right if key not in left)]:
            if key not in right or key not in left:
                yield f"{here}[{key}]", "missing" if key in left else "added"
            else:
                yield from differences(left[key], right[key], f"{here}[{key}]")
        if list(left) != list(right) and set(left) == set(right):
            yield here, "in another order"


def _by_name(items: Any) -> dict[Any, Any]:
    if hasattr(items, "items"):
        return dict(sorted(items.items()))
    return {getattr(item, "name", index): item for index, item in enumerate(items)}


def with_plain_functions(model: Any) -> Any:
    """A model whose functions have plain numbers: those that TensorFlow gives them are never used again in a process."""
    text = str(model)
    names = [function.signature.name for graph in model.meta_graphs for function in graph.graph_def.library.function]
    for number, name in enumerate(sorted(names, key=lambda name: (re.sub(r"\d+", "", name), len(name), name))):
        text = re.sub(rf'"{re.escape(name)}("|___)', rf'"function{number}\1', text)
    plain = text_format.Parse(text, type(model)())
    for graph in plain.meta_graphs:
        graph.graph_def.library.function.sort(key=lambda function: function.signature.name)
    return plain


# The graphs.


def plain(run: ModelScenario, builder: Any) -> None:
    builder.add_meta_graph_and_variables(run.session, ["serve"], half_plus(run))


def references(run: ModelScenario, builder: Any) -> None:
    builder.add_meta_graph_and_variables(run.session, ["serve"], half_plus(run, resource=False), strip_default_attrs=True)


def partitioned(run: ModelScenario, builder: Any) -> None:
    for resource in (False, True):
        with run.v1.device(f"/cpu:{int(resource)}"):
            parts = run.v1.get_variable(
                f"p{resource}", [7, 2], partitioner=run.v1.fixed_size_partitioner(3), use_resource=resource
            )
            run.session.run([part.initializer for part in parts])
    builder.add_meta_graph_and_variables(run.session, ["serve"], clear_devices=True)


def tables_and_assets(run: ModelScenario, builder: Any) -> None:
    signatures, init = table_model(run)
    collected = run.v1.get_collection(run.v1.GraphKeys.ASSET_FILEPATHS)
    builder.add_meta_graph_and_variables(run.session, ["serve"], signatures, collected, main_op=init)


def control_flow(run: ModelScenario, builder: Any, second: bool) -> None:
    tf = run.tf
    (run.v1.enable_control_flow_v2 if second else run.v1.disable_control_flow_v2)()
    try:
        x = run.v1.placeholder(tf.float32, [], name="x")
        a = run.variable("a", 2.0)
        y = tf.while_loop(lambda value: value < 100.0, lambda value: value * a, [x])[0]
        y = tf.cond(y > 128.0, lambda: y - a, lambda: y + a)
        signature = run.v1.saved_model.predict_signature_def({"x": x}, {"y": y})
    finally:
        run.v1.disable_control_flow_v2()
    builder.add_meta_graph_and_variables(run.session, ["serve"], {"serving_default": signature}, strip_default_attrs=True)


def control_flow_v1(run: ModelScenario, builder: Any) -> None:
    control_flow(run, builder, second=False)


def control_flow_v2(run: ModelScenario, builder: Any) -> None:
    control_flow(run, builder, second=True)


def sparse_and_ragged(run: ModelScenario, builder: Any) -> None:
    v1 = run.v1
    sparse = v1.sparse_placeholder(run.tf.float32, [4, 3], name="sparse")
    ragged = v1.ragged.placeholder(run.tf.int64, 1, [], name="ragged")
    outputs = {"sum": v1.sparse.reduce_sum(sparse), "ragged": ragged + 1, "sparse": sparse * 2.0}
    signature = run.saved_model.predict_signature_def({"sparse": sparse, "ragged": ragged}, outputs)
    builder.add_meta_graph_and_variables(run.session, ["serve"], {"serving_default": signature})


def trained(run: ModelScenario, builder: Any) -> None:
    half_plus(run)
    v1 = run.v1
    loss = v1.square(v1.get_default_graph().get_tensor_by_name("y:0"))
    train = v1.train.AdamOptimizer().minimize(loss, global_step=v1.train.get_or_create_global_step())
    run.session.run(v1.global_variables_initializer())
    v1.add_to_collection("losses", loss)
    builder.add_meta_graph_and_variables(run.session, ["train"], main_op=train)


def own_savers(run: ModelScenario, builder: Any) -> None:
    half_plus(run)
    builder.add_meta_graph_and_variables(run.session, ["a"], saver=run.saver(name="mine"))
    builder.add_meta_graph(["b"], saver=run.saver(name="yours", sharded=True))


def several_graphs(run: ModelScenario, builder: Any) -> None:
    builder.add_meta_graph_and_variables(run.session, ["a"], half_plus(run))

    def other(session: Any) -> None:
        builder.add_meta_graph(["b"], half_plus(run))

    with run.tf.Graph().as_default(), run.v1.Session() as session:
        before, run.session = run.session, session
        other(session)
        run.session = before


def same_graph_again(run: ModelScenario, builder: Any) -> None:
    signatures = half_plus(run)
    builder.add_meta_graph_and_variables(run.session, ["a"], signatures)
    builder.add_meta_graph(["b"], signatures)


def variables_in_signatures(run: ModelScenario, builder: Any) -> None:
    outputs = {name: run.variable(name, 1.0, resource=name == "v") for name in ("r", "v")}
    signature = run.saved_model.predict_signature_def(outputs, outputs)
    builder.add_meta_graph_and_variables(run.session, ["serve"], {"serving_default": signature})


def one_file_twice(run: ModelScenario, builder: Any) -> None:
    half_plus(run)
    first = vocabulary(run)
    other = vocabulary(run, "other/vocabulary.txt", "other", tensor="other")
    again = run.v1.constant(str(run.directory / "other/vocabulary.txt"), name="again")
    builder.add_meta_graph_and_variables(run.session, ["serve"], None, [first, other, again, first])


EQUAL: list[Export] = [
    plain,
    references,
    partitioned,
    tables_and_assets,
    control_flow_v1,
    control_flow_v2,
    sparse_and_ragged,
    trained,
    own_savers,
    several_graphs,
]

# What differs, by how its path begins; and why.
JUSTIFIED: list[tuple[Export, dict[tuple[str, str], str]]] = [
    (
        same_graph_again,
        {
            (
                "meta_graphs[1].graph_def.node[save_1/",
                "missing",
            ): "a Saver of the same variables uses the nodes that are there",
            ("meta_graphs[1].saver_def.filename_tensor_name", "changed"): "they are called save/, not save_1/",
            ("meta_graphs[1].saver_def.save_tensor_name", "changed"): "as above",
            ("meta_graphs[1].saver_def.restore_op_name", "changed"): "as above",
        },
    ),
    (
        variables_in_signatures,
        {
            ("meta_graphs[0].signature_def[serving_default].inputs[r].dtype", "changed"): "float, not a reference to one",
            ("meta_graphs[0].signature_def[serving_default].outputs[r].dtype", "changed"): "as above",
        },
    ),
    (
        one_file_twice,
        {
            (
                "meta_graphs[0].collection_def[saved_model_assets].any_list.value[2].value",
                "changed",
            ): "a file is stored once",
            ("meta_graphs[0].collection_def[saved_model_assets].any_list.value[3]", "missing"): "a tensor is listed once",
        },
    ),
]


def built(run: ModelScenario, export: Export) -> Any:
    builder = run.builder()
    export(run, builder)
    builder.save()
    return with_plain_functions(read_model(run.tf, "model"))


@pytest.fixture
def both(tf: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Export], list[tuple[str, str]]]:
    def compared(export: Export) -> list[tuple[str, str]]:
        models = []
        for implementation in ("tensorflow", "tfsaver"):
            # Paths are part of the graphs: both work in one place, one after the other.
            directory = tmp_path / "work"
            directory.mkdir()
            monkeypatch.chdir(directory)
            # Two devices of its own: how many the process has depends on what used TensorFlow before.
            config = tf.compat.v1.ConfigProto(device_count={"CPU": 2})
            with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
                run = ModelScenario(implementation, tf, session, directory, monkeypatch)
                models.append(built(run, export))
            directory.rename(tmp_path / implementation)
        return list(differences(*models))

    return compared


@pytest.mark.parametrize("export", EQUAL, ids=lambda export: export.__name__)
def test_meta_graphs_are_tensorflows(both: Callable[[Export], list[tuple[str, str]]], export: Export) -> None:
    assert both(export) == []


@pytest.mark.parametrize(("export", "expected"), JUSTIFIED, ids=lambda value: getattr(value, "__name__", ""))
def test_differences_are_the_justified_ones(
    both: Callable[[Export], list[tuple[str, str]]], export: Export, expected: dict[tuple[str, str], str]
) -> None:
    seen = set()
    for path, how in both(export):
        found = [(start, kind) for start, kind in expected if path.startswith(start) and how == kind]
        assert found, f"{path} is {how}"
        seen.update(found)
    assert seen == expected.keys()


def test_comparison_sees_every_kind_of_difference(tf: Any) -> None:
    left, right = tf.compat.v1.MetaGraphDef(), tf.compat.v1.MetaGraphDef()
    for graph, names in ((left, "ab"), (right, "ac")):
        for name in names:
            graph.graph_def.node.add(name=name)
    right.graph_def.node[0].op = "x"
    left.saver_def.version = 1
    left.signature_def["s"].method_name = "m"
    assert dict(differences(left, right)) == {
        "graph_def.node[a].op": "changed",
        "graph_def.node[b]": "missing",
        "graph_def.node[c]": "added",
        "saver_def.version": "changed",
        "signature_def[s]": "missing",
    }
