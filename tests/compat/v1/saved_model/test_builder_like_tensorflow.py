"""The Builder: what it writes, what it refuses, and with which errors, in TensorFlow and in ours."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded
from tests.compat.v1.saved_model.models import ModelScenario, ask, half_plus, read_model, table_model, vocabulary
from tfsaver import schemas

Compare = Callable[..., Recorded]


def one_graph(run: ModelScenario, resource: bool, as_text: bool) -> None:
    signatures = half_plus(run, resource=resource)
    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve", "cpu"], signatures)
    run.look()
    run.call(builder.save, as_text)
    run.note_model()
    run.note_collections()
    path = pathlib.Path("model", "saved_model.pbtxt" if as_text else "saved_model.pb")
    run.note(path.read_text() if as_text else path.read_bytes())


def both_forms_and_again(run: ModelScenario) -> None:
    builder = run.builder()
    run.call(builder.save)
    run.note(pathlib.Path("model/saved_model.pb").read_bytes())
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"], half_plus(run))
    run.call(builder.save)
    run.call(builder.save, as_text=True)
    run.note_model()
    # TensorFlow 2.15 has not the argument.
    if run.implementation == "tfsaver" or run.tf.__version__ >= "2.21":
        with pytest.raises(RuntimeError, match="No proto_splitter is provided"):
            builder.save(experimental_image_format=True)


def directories(run: ModelScenario) -> None:
    pathlib.Path("empty").mkdir()
    pathlib.Path("full").mkdir()
    pathlib.Path("full", "file").write_text("")
    for directory in ("empty", "deep/er", pathlib.Path("path")):
        run.call_quietly(run.builder, directory)
    run.note(sorted(path.name for path in run.directory.iterdir()), os.path.isdir("deep/er"))
    run.call(run.builder, "full", fragment="already exists, and isn't empty")
    run.call(run.builder, "full/file", fragment="Could not find directory")
    builder = run.builder(str(run.directory / "absolute") + "/")
    builder.add_meta_graph_and_variables(run.session, ["serve"], half_plus(run))
    run.call(builder.save)


def order_of_calls(run: ModelScenario) -> None:
    half_plus(run)
    builder = run.builder()
    run.call(builder.add_meta_graph, ["serve"], fragment="has not been saved yet")
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"])
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"], fragment="already been saved")
    run.call(builder.save)


def kinds_of_tags(run: ModelScenario) -> None:
    half_plus(run)
    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ("b", "a", "b"))
    for tags in ([], {"a"}, iter(["c", "d"]), ["a", "b"], [b"bytes"]):
        run.call(builder.add_meta_graph, tags)
    run.call(builder.add_meta_graph, None, fragment="")
    run.call(builder.add_meta_graph, [1], fragment="")
    run.call(builder.save)
    run.note([list(meta_graph.meta_info_def.tags) for meta_graph in read_model(run.tf, "model").meta_graphs])


def several_graphs(run: ModelScenario) -> None:
    """Variables are those of the first; others have some of them; collections and signatures are each one's own."""
    v1 = run.v1
    builder = run.builder()
    signatures = half_plus(run)
    v1.add_to_collection("mine", 1)
    run.call(builder.add_meta_graph_and_variables, run.session, ["first"], signatures)

    def subset(session: Any) -> None:
        x = v1.placeholder(run.tf.float32, [None], name="x")
        a = v1.get_variable("a", initializer=np.float32(100.0), use_resource=True)
        y = run.tf.multiply(a, x, name="y")
        v1.add_to_collection("mine", 2)
        run.call(builder.add_meta_graph, ["second"], {"other": run.saved_model.predict_signature_def({"x": x}, {"y": y})})

    def disjoint(session: Any) -> None:
        v1.get_variable("elsewhere", initializer=np.float32(1.0), use_resource=True)
        run.call(builder.add_meta_graph, ["third"])

    run.in_new_graph(subset)
    run.in_new_graph(disjoint)
    run.call(builder.add_meta_graph, ["fourth"], {}, None, None, True, None, True)
    run.call(builder.save)
    model = read_model(run.tf, "model")
    run.note([str(each) for each in model.meta_graphs[:3]])
    # The nodes of the fourth are compared elsewhere.
    run.note(model.meta_graphs[3].meta_info_def.stripped_default_attrs)

    for tag in ("first", "second"):
        run.in_new_graph(
            lambda session, tag=tag: run.note(
                str(run.saved_model.load(session, [tag], "model").signature_def), ask(session), v1.get_collection("mine")
            )
        )
    run.in_new_graph(
        lambda session: run.call(
            run.saved_model.load, session, ["third"], "model", fragment="elsewhere not found in checkpoint"
        )
    )


def signature_checks(run: ModelScenario) -> None:
    half_plus(run)
    message = run.v1.TensorInfo
    good = message(name="x:0", dtype=schemas.DT_FLOAT)
    no_encoding = message(dtype=schemas.DT_FLOAT)
    no_type = message(name="x:0")
    sparse, sparse_without_type = message(dtype=schemas.DT_FLOAT), message()
    for each in (sparse, sparse_without_type):
        each.coo_sparse.values_tensor_name = "values"
    composite, bad_composite, empty = message(), message(), message()
    composite.composite_tensor.components.append(good)
    bad_composite.composite_tensor.components.extend([good, no_type])
    empty.composite_tensor.type_spec.type_spec_class_name = "x"
    builder = run.builder()
    build = run.saved_model.build_signature_def
    for bad, fragment in (
        (no_encoding, "must have one of the 'encoding' fields"),
        (no_type, "must have the dtype field set"),
        (sparse_without_type, "must have the dtype field set"),
        (bad_composite, "must have the dtype field set"),
    ):
        for signature in (build({"x": bad}, {"y": good}), build({"x": good}, {"y": bad})):
            arguments = (run.session, ["serve"], {"key": signature})
            run.call(builder.add_meta_graph_and_variables, *arguments, fragment=fragment)
    for key in ("__saved_model_init_op", "__saved_model_train_op"):
        arguments = (run.session, ["serve"], {key: build({"x": good}, {"y": good})})
        run.call(builder.add_meta_graph_and_variables, *arguments, fragment=key)
    signatures = {"sparse": build({"x": sparse}, {"y": composite}), "nothing": build(), "no method": build({"x": good}, {})}
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"], {**signatures, "": build({"e": empty})})
    run.call(builder.add_meta_graph, ["bad"], {"key": build({"x": no_type})}, fragment="must have the dtype field set")
    run.call(builder.save)
    run.note_model()


def assets(run: ModelScenario) -> None:
    half_plus(run)
    one = vocabulary(run)
    same_path = run.v1.constant(str(run.directory / "vocabulary.txt"), name="same_path")
    equal = vocabulary(run, "equal/vocabulary.txt", tensor="equal")
    other = vocabulary(run, "other/vocabulary.txt", "other", tensor="other")
    third = vocabulary(run, "third/vocabulary.txt", "third", tensor="third")
    vector = run.v1.constant([str(run.directory / "vector.txt")], name="vector")
    pathlib.Path("vector.txt").write_text("vector")
    taken = vocabulary(run, "vocabulary.txt_1", "taken", tensor="taken")
    run.v1.add_to_collection(run.v1.GraphKeys.ASSET_FILEPATHS, one)
    builder = run.builder()
    run.call(
        builder.add_meta_graph_and_variables,
        run.session,
        ["serve"],
        assets_collection=[one, same_path, equal, other, third, vector, taken],
    )
    run.call(builder.save)
    run.note_model()
    run.note({path.name: path.read_text() for path in pathlib.Path("model/assets").iterdir()})
    run.note_collections()


def asset_checks(run: ModelScenario) -> None:
    half_plus(run)
    v1 = run.v1
    builder = run.builder()
    for bad, fragment in (
        ("path", "must be a Tensor"),
        (v1.placeholder(run.tf.string, []), "must be of type constant"),
        (v1.constant(1), "must be of dtype string"),
        (v1.constant(["a", "b"]), "must be a scalar"),
        (v1.constant([], run.tf.string), "must be a scalar"),
        (v1.constant(""), "is invalid"),
    ):
        arguments = (run.session, ["serve"], None, [bad])
        run.call(builder.add_meta_graph_and_variables, *arguments, fragment=fragment)
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"], None, [])
    run.call(builder.save)
    run.note_model()


def assets_of_several_graphs(run: ModelScenario) -> None:
    """A file that is there stays; a graph without assets changes nothing."""
    half_plus(run)
    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ["a"], None, [vocabulary(run)])

    def same_name(session: Any) -> None:
        tensors = [vocabulary(run, "other/vocabulary.txt", "different"), vocabulary(run, "new.txt", "new", tensor="new")]
        run.call(builder.add_meta_graph, ["b"], None, tensors)

    def none(session: Any) -> None:
        run.v1.constant(1)
        run.call(builder.add_meta_graph, ["c"])

    run.in_new_graph(same_name)
    run.in_new_graph(none)
    run.call(builder.save)
    run.note([str(each.collection_def) for each in read_model(run.tf, "model").meta_graphs])
    run.note({path.name: path.read_text() for path in pathlib.Path("model/assets").iterdir()})


def main_ops(run: ModelScenario, name: str) -> None:
    v1 = run.v1
    half_plus(run)
    total = run.variable("total", np.float32(0))
    add = v1.assign_add(total, 1.0).op
    builder = run.builder()
    for bad in ("add", 7):
        arguments = (run.session, ["serve"])
        run.call(builder.add_meta_graph_and_variables, *arguments, **{name: bad}, fragment="")
    options = {name: v1.group(add, name="init")}
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"], **options)
    # It stays in the graph, and is of its next MetaGraph too.
    run.call(builder.add_meta_graph, ["again"])
    run.call(builder.add_meta_graph, ["other"], main_op=v1.no_op(), fragment="Graph already contains one or more main ops")
    run.call(builder.save)
    run.note([str(each.collection_def) for each in read_model(run.tf, "model").meta_graphs])

    def load(session: Any) -> None:
        run.saved_model.load(session, ["again"], "model")
        run.note(float(session.run("total/Read/ReadVariableOp:0")))

    run.in_new_graph(load)


def main_op_in_collection(run: ModelScenario, key: str) -> None:
    half_plus(run)
    run.v1.add_to_collection(key, run.v1.no_op(name="mine"))
    builder = run.builder()
    arguments = (run.session, ["serve"])
    for name in ("main_op", "legacy_init_op"):
        options = {name: run.v1.no_op()}
        fragment = "Graph already contains one or more main ops"
        run.call(builder.add_meta_graph_and_variables, *arguments, **options, fragment=fragment)
    run.call(builder.add_meta_graph_and_variables, *arguments)
    run.call(builder.save)
    run.note_model()


def train_ops(run: ModelScenario) -> None:
    half_plus(run)
    train = run.v1.assign_add(run.variable("step", np.int64(0)), 1).op
    builder = run.builder()
    if run.implementation == "tensorflow":
        builder._add_train_op(train)
        run.call(builder.add_meta_graph_and_variables, run.session, ["train"])
    else:
        run.call(builder.add_meta_graph_and_variables, run.session, ["train"], train_op=train)
    run.call(builder.save)
    run.note_model()


def custom_savers(run: ModelScenario) -> None:
    signatures = half_plus(run)
    builder = run.builder()
    saver = run.saver(name="mine")
    run.call(builder.add_meta_graph_and_variables, run.session, ["a"], signatures, saver=saver)
    run.call(builder.add_meta_graph, ["b"], signatures, saver=run.saver(name="yours"))
    run.call(builder.save)
    run.note_model()


def savers_of_others(run: ModelScenario) -> None:
    """Whoever has the two methods is a Saver; what is in its checkpoint is its own affair."""
    half_plus(run)
    calls = []

    class Duck:
        def save(self, *arguments: Any, **options: Any) -> None:
            calls.append(("save", arguments[0] is run.session, *arguments[1:], sorted(options.items())))
            pathlib.Path(f"{arguments[1]}.index").write_text("")

        def export_meta_graph(self, *arguments: Any, **options: Any) -> Any:
            calls.append(("export", *arguments, sorted(options.items())))
            meta_graph = run.v1.MetaGraphDef()
            meta_graph.saver_def.restore_op_name = "quack"
            return meta_graph

    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ["a"], saver=Duck(), clear_devices=True)
    run.call(builder.add_meta_graph, ["b"], saver=Duck(), strip_default_attrs=True)
    run.call(builder.save)
    run.note(calls)
    run.note_model()


def v1_saver(run: ModelScenario) -> None:
    signatures = half_plus(run)
    builder = run.builder()
    saver = run.saver(write_version=schemas.SaverDef.V1)
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"], signatures, saver=saver)
    run.call(builder.save)
    run.look()
    run.in_new_graph(lambda session: run.note(str(run.saved_model.load(session, ["serve"], "model")), ask(session)))


def no_variables(run: ModelScenario) -> None:
    x = run.v1.placeholder(run.tf.float32, [None], name="x")
    run.tf.multiply(x, 3.0, name="y")
    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"])
    run.call(builder.save)
    run.note(os.path.isdir("model/variables"), os.path.exists("model/assets"))
    run.note_model()
    run.in_new_graph(lambda session: run.note(str(run.saved_model.load(session, ["serve"], "model")), ask(session)))


def devices_and_defaults(run: ModelScenario) -> None:
    v1 = run.v1
    with v1.device("/cpu:0"):
        half_plus(run)
        run.tf.matmul([[1.0]], [[2.0]])
    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ["plain"], None, None, None, False, None, False)
    run.call(builder.save)
    run.note_model()
    for number, options in enumerate(({"clear_devices": True}, {"strip_default_attrs": True}), start=1):
        builder = run.builder(f"model{number}")
        saver = run.saver(sharded=True, name=f"other{number}")
        run.call(builder.add_meta_graph_and_variables, run.session, ["other"], saver=saver, **options)
        run.call(builder.save)
        run.note_model(f"model{number}")


def partitioned_and_tables(run: ModelScenario) -> None:
    v1 = run.v1
    signatures, init = table_model(run)
    for resource in (False, True):
        variable = v1.get_variable(
            f"parts{resource}",
            [5, 2],
            initializer=v1.random_normal_initializer(seed=1),
            partitioner=v1.fixed_size_partitioner(3),
            use_resource=resource,
        )
        run.session.run([part.initializer for part in variable])
    builder = run.builder()
    collected = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"], signatures, collected, main_op=init)
    run.call(builder.save)
    run.look()
    values = [np.asarray(value).tolist() for value in run.session.run(v1.global_variables())]

    def load(session: Any) -> None:
        pathlib.Path("words/vocabulary.txt").unlink()
        run.saved_model.load(session, ["serve"], "model")
        run.note([np.asarray(value).tolist() for value in session.run(v1.global_variables())] == values)
        run.note(session.run("ids:0", {"words:0": ["two", "zero", "four"]}).tolist())

    run.in_new_graph(load)


def saveable_objects(run: ModelScenario) -> None:
    """Tables that are saved with the variables."""
    v1 = run.v1
    half_plus(run)
    mutable = run.tf.lookup.experimental.MutableHashTable(run.tf.string, run.tf.int64, -1, name="table")
    run.session.run(mutable.insert(["a"], run.tf.constant([5], run.tf.int64)))
    run.tf.identity(mutable.lookup(run.tf.constant(["a", "b"])), name="found")
    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"])
    run.call(builder.save)
    run.note(run.v1.train.list_variables("model/variables/variables"))

    def load(session: Any) -> None:
        run.saved_model.load(session, ["serve"], "model")
        run.note(session.run("found:0").tolist(), len(v1.get_collection(v1.GraphKeys.SAVEABLE_OBJECTS)))

    run.in_new_graph(load)


def simple_save(run: ModelScenario) -> None:
    v1 = run.v1
    x = v1.placeholder(run.tf.float32, [None], name="x")
    y = run.tf.add(run.variable("a", 0.5) * x, 1.0, name="y")
    v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, vocabulary(run))
    run.call(run.saved_model.simple_save, run.session, "model", {}, {"y": y}, fragment="cannot be None or empty")
    run.call(run.saved_model.simple_save, run.session, "model", {"x": x}, None, fragment="cannot be None or empty")
    run.call(run.saved_model.simple_save, run.session, "model", {"x": x}, {"y": y}, v1.no_op(name="init"))
    run.note_model()
    arguments = (run.session, "model", {"x": x}, {"y": y})
    run.call(run.saved_model.simple_save, *arguments, fragment="already exists, and isn't empty")


def wrong_sessions(run: ModelScenario) -> None:
    half_plus(run)
    for session in (None, 3, "session"):
        run.call(run.builder(str(session)).add_meta_graph_and_variables, session, ["serve"], fragment="must be a Session")


def v2_control_flow(run: ModelScenario) -> None:
    tf = run.tf
    run.v1.enable_control_flow_v2()
    try:
        x = run.v1.placeholder(tf.float32, [], name="x")
        a = run.variable("a", np.float32(2))
        y = tf.while_loop(lambda value: value < 100.0, lambda value: value * a, [x])[0]
        tf.cond(y > 128.0, lambda: y - a, lambda: y + a, name="choice")
        tf.identity(y, name="y")
    finally:
        run.v1.disable_control_flow_v2()
    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"], strip_default_attrs=True)
    run.call(builder.save)

    def load(session: Any) -> None:
        run.saved_model.load(session, ["serve"], "model")
        run.note(float(session.run("y:0", {"x:0": 3.0})))

    run.in_new_graph(load)


def savers_keep_their_names(run: ModelScenario) -> None:
    half_plus(run)
    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ["first"], saver=run.saver(name="mine"))
    # Two Savers with the same variables and settings, the second one after the Builder's own.
    run.call(builder.add_meta_graph, ["second"], saver=run.saver())
    run.call(builder.add_meta_graph, ["third"])
    run.call(builder.add_meta_graph, ["fourth"], saver=run.saver())
    run.call(builder.save)
    run.note([str(meta_graph.saver_def) for meta_graph in read_model(run.tf, "model").meta_graphs])
    run.in_new_graph(lambda session: run.saved_model.load(session, ["fourth"], "model"))


def variables_in_signatures(run: ModelScenario, resource: bool) -> None:
    first, second = run.two_variables(resource=resource)
    run.call(run.saved_model.simple_save, run.session, "model", {"in": first}, {"out": second})
    signature = read_model(run.tf, "model").meta_graphs[0].signature_def["serving_default"]
    run.note([(info.name, info.dtype % 100) for info in (signature.inputs["in"], signature.outputs["out"])])


def private_builder(run: ModelScenario) -> None:
    """What TensorFlow's own code calls: nothing goes to collections of the graph."""
    if run.implementation == "tensorflow":
        from tensorflow.python.saved_model.builder_impl import _SavedModelBuilder as Builder
    else:
        from tfsaver.compat.v1.saved_model.builder import _SavedModelBuilder as Builder
    signatures = half_plus(run)
    path = vocabulary(run)
    first, second = run.tf.no_op("first"), run.tf.no_op("second")
    builder = Builder("model")
    run.call(builder.add_meta_graph, ["too early"], fragment="has not been saved yet")
    # TensorFlow adds its own keys to the map that it is given.
    add, session = builder.add_meta_graph_and_variables, run.session
    run.call(add, session, ["a"], dict(signatures), [path], init_op=first, train_op=second, saver=run.saver())
    run.call(builder.add_meta_graph, ["b"], dict(signatures), assets_list=[path], init_op=second, clear_devices=True)
    run.call(builder.add_meta_graph, ["c"], {"__saved_model_init_op": signatures["serving_default"]}, fragment="reserved")
    run.call(builder.save)
    run.note(pathlib.Path("model/assets/vocabulary.txt").read_text())
    for meta_graph in read_model(run.tf, "model").meta_graphs:
        run.note(sorted(meta_graph.collection_def), str(meta_graph.asset_file_def), meta_graph.meta_info_def.tags[0])
        run.note([(key, str(meta_graph.signature_def[key])) for key in sorted(meta_graph.signature_def)])
        run.note(meta_graph.meta_info_def.stripped_default_attrs)
    run.note_collections()
    run.in_new_graph(lambda session: run.note(run.saved_model.load(session, ["b"], "model") is None, ask(session)))


def tables_under_a_scope(run: ModelScenario, scope: str | None) -> None:
    signatures, main_op = table_model(run)
    builder = run.builder()
    assets = run.v1.get_collection(run.v1.GraphKeys.ASSET_FILEPATHS)
    add = builder.add_meta_graph_and_variables
    run.call(add, run.session, ["serve"], signatures, assets_collection=assets, main_op=main_op, strip_default_attrs=True)
    run.call(builder.save)
    for path in run.directory.glob("*.txt"):
        path.unlink()

    def load(session: Any) -> None:
        loaded = run.saved_model.load(session, ["serve"], "model", import_scope=scope)
        run.note(loaded.saver_def.restore_op_name, loaded.meta_info_def.stripped_default_attrs)
        signature = loaded.signature_def["serving_default"]
        names = [next(iter(infos.values())).name for infos in (signature.outputs, signature.inputs)]
        answer, asked = (f"{scope}/{name}" if scope else name for name in names)
        run.note(np.asarray(session.run(answer, {asked: [b"a", b"b", b"?"]})).tolist())

    run.in_new_graph(load)


def frozen(run: ModelScenario, resource: bool, sharded: bool, version: int) -> None:
    """TensorFlow's freeze_graph reads what was written: a checkpoint with a graph or a .meta file, and a SavedModel."""
    from tensorflow.python.tools import freeze_graph

    signatures = half_plus(run, resource=resource)
    saver = run.saver(sharded=sharded, write_version=version)
    checkpoint = run.call(saver.save, run.session, str(run.directory / "checkpoint-of"))
    run.v1.train.write_graph(run.v1.get_default_graph(), ".", "graph.pb", as_text=False)
    builder = run.builder()
    builder.add_meta_graph_and_variables(run.session, ["serve"], signatures)
    builder.save()
    sources = [
        {"input_graph": "graph.pb", "input_checkpoint": checkpoint},
        {"input_graph": "", "input_meta_graph": f"{checkpoint}.meta", "input_checkpoint": checkpoint},
        {"input_graph": "", "input_checkpoint": "", "input_saved_model_dir": "model", "saved_model_tags": "serve"},
    ]
    # Without a .meta file, freeze_graph makes a Saver of its own, which takes reference variables alone.
    for source in sources[1:] if resource else sources:
        common = {"input_saver": "", "input_binary": True, "output_node_names": "y", "output_graph": "frozen.pb"}
        names = {"restore_op_name": "save/restore_all", "filename_tensor_name": "save/Const:0"}
        with run.tf.Graph().as_default():
            graph = freeze_graph.freeze_graph(**common, **names, **source, clear_devices=True, initializer_nodes="")
        with run.tf.Graph().as_default(), run.v1.Session() as session:
            run.tf.import_graph_def(graph, name="")
            run.note(ask(session))


def variable_without_a_value(run: ModelScenario) -> None:
    """A variable that no Saver knows: the model is saved and loaded, and what needs the variable fails."""
    signatures = half_plus(run)
    collections = ["elsewhere"]
    lacking = run.v1.get_variable("lacking", initializer=np.float32(1), use_resource=True, collections=collections)
    run.tf.add(lacking, 1.0, name="z")
    builder = run.builder()
    run.call(builder.add_meta_graph_and_variables, run.session, ["serve"], signatures)
    run.call(builder.save)

    def load(session: Any) -> None:
        run.call_quietly(run.saved_model.load, session, ["serve"], "model")
        run.note(ask(session))
        run.call(session.run, "z:0", fragment="lacking")

    run.in_new_graph(load)


SCENARIOS: list[tuple[Any, ...]] = [
    (savers_keep_their_names,),
    *((variables_in_signatures, resource) for resource in (False, True)),
    (private_builder,),
    *((tables_under_a_scope, scope) for scope in (None, "a", "a/b")),
    *((frozen, *case) for case in [(False, False, 2), (False, False, 1), (True, True, 2)]),
    (variable_without_a_value,),
    *((one_graph, resource, as_text) for resource in (False, True) for as_text in (False, True)),
    (both_forms_and_again,),
    (directories,),
    (order_of_calls,),
    (kinds_of_tags,),
    (several_graphs,),
    (signature_checks,),
    (assets,),
    (asset_checks,),
    (assets_of_several_graphs,),
    (main_ops, "main_op"),
    (main_ops, "legacy_init_op"),
    (main_op_in_collection, "saved_model_main_op"),
    (main_op_in_collection, "legacy_init_op"),
    (train_ops,),
    (custom_savers,),
    (savers_of_others,),
    (v1_saver,),
    (no_variables,),
    (devices_and_defaults,),
    (partitioned_and_tables,),
    (saveable_objects,),
    (simple_save,),
    (wrong_sessions,),
    (v2_control_flow,),
]


@pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=lambda scenario: "-".join(str(getattr(x, "__name__", x)) for x in scenario)
)
def test_builder_does_as_tensorflows(compare: Compare, scenario: tuple[Any, ...]) -> None:
    program, *arguments = scenario
    assert compare(program, *arguments)
