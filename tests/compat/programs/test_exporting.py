"""TensorFlow's exporting programs with our Saver: SavedModels, meta graphs, frozen graphs, event files."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.compat.programs.surroundings import Surroundings, ThreeWays, values


def linear_graph(given: Surroundings, *, resource: bool = True) -> tuple[Any, Any]:
    """y = x * scale + offset."""
    v1 = given.v1
    x = v1.placeholder(given.tf.float32, [None], name="x")
    scale = v1.get_variable("scale", initializer=np.float32(3), use_resource=resource)
    offset = v1.get_variable("offset", initializer=np.float32(1), use_resource=False)
    return x, given.tf.identity(x * scale + offset, name="y")


def trained(given: Surroundings, session: Any) -> None:
    """Other values than the initial ones."""
    session.run(given.v1.global_variables_initializer())
    for variable, value in zip(given.v1.global_variables(), (5.0, 2.0), strict=True):
        variable.load(value, session)


def evaluate(session: Any) -> list[float]:
    return [float(value) for value in session.run("y:0", {"x:0": [1.0, 10.0]})]


def saved_model(given: Surroundings) -> Any:
    tf, v1, path = given.tf, given.v1, f"{given.path}/model"
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = linear_graph(given)
        trained(given, session)
        builder = v1.saved_model.Builder(path)
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, saver=given.saver())
        builder.add_meta_graph(["second"], saver=given.saver())
        builder.save()
    facts: list[Any] = [given.files()]
    with tf.Graph().as_default(), v1.Session() as session:
        meta_graph = v1.saved_model.load(session, ["serve"], path)
        facts += [evaluate(session), sorted(meta_graph.signature_def), bool(meta_graph.saver_def.restore_op_name)]
    with tf.Graph().as_default(), v1.Session() as session:
        v1.saved_model.load(session, ["second"], path)
        facts.append(evaluate(session))
    # TensorFlow 2 runs the nodes that the SaverDef names.
    loaded = tf.saved_model.load(path, tags=["serve"])
    facts.append(loaded.signatures["serving_default"](x=tf.constant([1.0, 10.0]))["y"].numpy().tolist())
    facts.append(sorted(variable.name for variable in loaded.variables))
    return facts


def test_saved_model_is_built_and_loaded(three_ways: ThreeWays) -> None:
    facts = three_ways(saved_model)
    assert facts[1] == facts[4] == facts[5] == [7, 52]


def saved_model_without_variables(given: Surroundings) -> Any:
    tf, v1, path = given.tf, given.v1, f"{given.path}/model"
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        tf.identity(x * 2.0, name="y")
        builder = v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["serve"], saver=given.saver(allow_empty=True))
        builder.save()
    with tf.Graph().as_default(), v1.Session() as session:
        v1.saved_model.load(session, ["serve"], path)
        return [evaluate(session), given.files()]


def test_saved_model_without_variables(three_ways: ThreeWays) -> None:
    assert three_ways(saved_model_without_variables)[0] == [2, 20]


def simple_save(given: Surroundings) -> Any:
    """The builder's own Saver, in a graph that has another one."""
    tf, v1, path = given.tf, given.v1, f"{given.path}/model"
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = linear_graph(given)
        trained(given, session)
        given.any_saver()
        v1.saved_model.simple_save(session, path, {"x": x}, {"y": y})
    with tf.Graph().as_default(), v1.Session() as session:
        v1.saved_model.load(session, ["serve"], path)
        return evaluate(session)


def test_simple_save_beside_a_saver(three_ways: ThreeWays) -> None:
    assert three_ways(simple_save) == [7, 52]


def meta_graph(given: Surroundings) -> Any:
    tf, v1 = given.tf, given.v1
    with tf.Graph().as_default(), v1.Session() as session:
        linear_graph(given)
        trained(given, session)
        saver = given.any_saver(max_to_keep=3)
        v1.add_to_collection(v1.GraphKeys.SAVERS, saver)
        prefix = saver.save(session, f"{given.path}/model", 7)
        exported = v1.train.export_meta_graph(f"{given.path}/exported.meta")
        facts: list[Any] = [sorted(exported.collection_def), len(exported.collection_def["savers"].bytes_list.value)]
    for file in (f"{prefix}.meta", f"{given.path}/exported.meta"):
        with tf.Graph().as_default(), v1.Session() as session:
            imported = v1.train.import_meta_graph(file, clear_devices=True)
            if imported is None:
                (imported,) = v1.get_collection(v1.GraphKeys.SAVERS)
            if given.way == "patched":
                given.check(imported)
            imported.restore(session, prefix)
            facts += [evaluate(session), imported.as_saver_def().max_to_keep, len(v1.get_collection(v1.GraphKeys.SAVERS))]
    with tf.Graph().as_default(), v1.Session() as session:
        imported = v1.train.import_meta_graph(f"{prefix}.meta", import_scope="inside")
        imported.restore(session, prefix)
        facts += [values(session, v1.global_variables()), imported.as_saver_def().restore_op_name]
    return facts


def test_meta_graph_carries_the_saver(three_ways: ThreeWays) -> None:
    facts = three_ways(meta_graph)
    assert facts[1] == 1 and [7, 52] in facts and facts[-2:] == [[5, 2], "inside/save/restore_all"]


def by_the_names_of_the_saver_def(given: Surroundings) -> Any:
    """A program that runs the operations that a SaverDef names."""
    tf, v1 = given.tf, given.v1
    with tf.Graph().as_default(), v1.Session() as session:
        linear_graph(given)
        trained(given, session)
        saver_def = given.any_saver().as_saver_def()
        where = {saver_def.filename_tensor_name: f"{given.path}/by_name"}
        facts: list[Any] = [session.run(saver_def.save_tensor_name, where).decode().replace(given.path, "")]
        session.run(v1.global_variables_initializer())
        session.run(saver_def.restore_op_name, where)
        return [*facts, evaluate(session), saver_def.SerializeToString().hex()]


def test_operations_of_the_saver_def_run(three_ways: ThreeWays) -> None:
    assert three_ways(by_the_names_of_the_saver_def)[:2] == ["/by_name", [7, 52]]


def frozen(given: Surroundings) -> Any:
    from tensorflow.python.tools import freeze_graph

    tf, v1 = given.tf, given.v1
    with tf.Graph().as_default(), v1.Session() as session:
        # Without a SaverDef, TensorFlow's Saver takes the tensors of reference variables only.
        linear_graph(given, resource=False)
        trained(given, session)
        saver = given.any_saver()
        prefix = saver.save(session, f"{given.path}/model")
        tf.io.write_graph(session.graph, given.path, "graph.pb", as_text=False)
        (given.directory / "saver_def").write_bytes(saver.as_saver_def().SerializeToString())
    facts = []
    for options in (
        {"input_meta_graph": f"{prefix}.meta"},
        {"input_graph": f"{given.path}/graph.pb", "input_saver": f"{given.path}/saver_def"},
        {"input_graph": f"{given.path}/graph.pb"},
    ):
        arguments: dict[str, Any] = {"input_graph": "", "input_saver": "", **options}
        freeze_graph.freeze_graph(
            input_binary=True,
            input_checkpoint=prefix,
            output_node_names="y",
            restore_op_name="",
            filename_tensor_name="",
            output_graph=f"{given.path}/frozen.pb",
            clear_devices=True,
            initializer_nodes="",
            **arguments,
        )
        graph_def = v1.GraphDef.FromString((given.directory / "frozen.pb").read_bytes())
        assert not any("Variable" in node.op for node in graph_def.node)
        with tf.Graph().as_default(), v1.Session() as session:
            tf.import_graph_def(graph_def, name="")
            facts.append(evaluate(session))
    return facts


def test_graph_is_frozen(three_ways: ThreeWays) -> None:
    assert three_ways(frozen) == [[7, 52]] * 3


def events(given: Surroundings) -> Any:
    from tensorflow.python.summary.summary_iterator import summary_iterator

    tf, v1 = given.tf, given.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        linear_graph(given)
        trained(given, session)
        saver = given.any_saver()
        prefix = saver.save(session, f"{given.path}/model")
        writer = v1.summary.FileWriter(given.path, graph)
        writer.add_meta_graph(saver.export_meta_graph(), global_step=3)
        writer.close()
    (file,) = (str(path) for path in given.directory.glob("events*"))
    found = [(event.step, event.meta_graph_def) for event in summary_iterator(file) if event.meta_graph_def]
    step, data = found[-1]
    with tf.Graph().as_default(), v1.Session() as session:
        imported = v1.train.import_meta_graph(v1.MetaGraphDef.FromString(data))
        imported.restore(session, prefix)
        return [len(found), step, evaluate(session)]


def test_meta_graph_goes_through_an_event_file(three_ways: ThreeWays) -> None:
    assert three_ways(events)[1:] == [3, [7, 52]]
