"""Signatures and TensorInfos: the same messages and the same errors from TensorFlow's functions and ours."""

from __future__ import annotations

import inspect
import pathlib
import types
from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.scenario import Recorded
from tests.compat.v1.saved_model.models import ModelScenario, half_plus, read_model
from tfsaver import schemas
from tfsaver.compat.v1 import saved_model

Compare = Callable[..., Recorded]


def tensor_infos(run: ModelScenario) -> None:
    tf, v1 = run.tf, run.v1
    tensors = [
        v1.placeholder(tf.float32, [1, None], name="part"),
        v1.placeholder(tf.int32, None, name="unknown"),
        v1.placeholder(tf.string, [], name="scalar"),
        v1.sparse_placeholder(tf.float32, [42, 69], name="sparse"),
        v1.sparse_placeholder(tf.float32, name="open"),
        v1.ragged.placeholder(tf.int64, 2, [3], name="ragged"),
        tf.constant([[True]], name="constant"),
        tf.zeros([2], tf.bfloat16, name="zeros"),
    ]
    for tensor in tensors:
        info = run.saved_model.build_tensor_info(tensor)
        run.note(str(info))
        again = run.saved_model.get_tensor_from_tensor_info(info)
        run.note(run.saved_model.utils.build_tensor_info(again) == info, type(again).__name__)
        run.note(type(again) is type(run.saved_model.get_tensor_from_tensor_info(info, graph=run.session.graph)))
    info = run.saved_model.build_tensor_info(tensors[0])
    exported = v1.train.export_meta_graph()

    def elsewhere(session: Any) -> None:
        get = run.saved_model.utils.get_tensor_from_tensor_info
        run.call(get, info, fragment="")
        run.call(get, info, import_scope="s", fragment="")
        v1.train.import_meta_graph(exported, import_scope="s")
        for tensor in tensors:
            found = get(run_info(tensor), import_scope="s")
            run.note(str(run.saved_model.build_tensor_info(found)))
        run.call(get, v1.TensorInfo(dtype=1), fragment="Invalid TensorInfo.encoding")
        run.call(get, v1.TensorInfo(name="x"), fragment="")

    def run_info(tensor: Any) -> Any:
        with run.session.graph.as_default():
            return v1.saved_model.build_tensor_info(tensor)

    run.in_new_graph(elsewhere)


def signature_defs(run: ModelScenario) -> None:
    tf, v1, model = run.tf, run.v1, run.saved_model
    text = v1.placeholder(tf.string, [None], name="text")
    number = v1.placeholder(tf.float32, [None], name="number")
    whole = v1.placeholder(tf.int64, [None], name="whole")
    ragged = v1.ragged.placeholder(tf.float32, 1, name="ragged")
    info = v1.saved_model.build_tensor_info(number)
    made = [
        model.build_signature_def(),
        model.build_signature_def({"x": info}, {"y": info}, "mine"),
        model.signature_def_utils.build_signature_def(inputs={"x": info}, defaults={"x": tf.constant([1.0, 2.0])}),
        model.predict_signature_def({"a": number, "b": ragged}, {"c": text}),
        model.regression_signature_def(text, number),
        model.regression_signature_def(examples=text, predictions=number),
        model.classification_signature_def(text, text, None),
        model.classification_signature_def(text, None, number),
        model.classification_signature_def(examples=text, classes=text, scores=number),
    ]
    for signature in made:
        run.note(str(signature), model.is_valid_signature(signature))
    run.note(model.is_valid_signature(None))
    for inputs, outputs in (({}, {"y": number}), (None, {"y": number}), ({"x": number}, {}), ({"x": number}, None)):
        run.call(model.predict_signature_def, inputs, outputs, fragment="cannot be None or empty")
    for arguments in ((None, number), (text, None), (number, number), (text, whole), (3, number)):
        run.call(model.regression_signature_def, *arguments, fragment="egression")
    for arguments in (
        (None, text, None),
        (text, None, None),
        (number, text, None),
        (text, number, None),
        (text, None, whole),
        (3, text, None),
    ):
        run.call(model.classification_signature_def, *arguments, fragment="lassification")
    run.call(model.build_signature_def, {"x": number}, fragment="")
    run.call(model.build_signature_def, defaults={"x": tf.identity(1.0)}, fragment="")


def validity(run: ModelScenario) -> None:
    message = run.v1.TensorInfo
    string, number, whole = (
        message(name="x:0", dtype=each) for each in (schemas.DT_STRING, schemas.DT_FLOAT, schemas.DT_INT64)
    )
    for method in ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress", "other", ""):
        for inputs in ({}, {"inputs": string}, {"inputs": number}, {"x": string}, {"inputs": string, "x": string}):
            for outputs in (
                {},
                {"outputs": number},
                {"outputs": whole},
                {"y": number},
                {"classes": string},
                {"scores": number},
                {"classes": string, "scores": number},
                {"classes": number},
                {"scores": whole},
                {"classes": string, "y": number},
            ):
                signature = run.saved_model.build_signature_def(inputs, outputs, method)
                run.note(run.saved_model.is_valid_signature(signature))


def supervised(run: ModelScenario) -> None:
    if run.implementation == "tensorflow":
        from tensorflow.python.saved_model import signature_def_utils_impl as model
    else:
        model = saved_model.signature_def_utils
    x, y, z = (run.v1.placeholder(run.tf.float32, [None], name=name) for name in "xyz")
    for make in (model.supervised_train_signature_def, model.supervised_eval_signature_def):
        run.note(str(make({"x": x}, {"loss": y}, {"p": z}, {"m/v": y, "m/u": z})))
        run.note(str(make(inputs={"x": x}, loss={"loss": y})), str(make({"x": x}, None)))
        run.call(make, {}, {"loss": y}, fragment="cannot be None or empty")
    init = run.v1.no_op(name="init")
    signature = model.op_signature_def(init, "key")
    run.note(str(signature), model.load_op_from_signature_def(signature, "key") is init)
    run.call(model.load_op_from_signature_def, signature, "key", "scope", fragment="could not be found in the graph")


def main_ops(run: ModelScenario) -> None:
    half_plus(run)
    run.note(run.saved_model.main_op.main_op().name)
    for function in (run.saved_model.main_op_with_restore, run.saved_model.main_op.main_op_with_restore):
        run.note(function(run.v1.no_op(name="restore")).name)
    run.note([(each.name, sorted(node.name for node in each.control_inputs)) for each in run.session.graph.get_operations()])


def method_names(run: ModelScenario) -> None:
    half_plus(run)
    signatures = {key: run.v1.saved_model.build_signature_def(method_name="old") for key in ("a", "b")}
    for directory, as_text in (("model", False), ("text", True)):
        builder = run.v1.saved_model.Builder(directory)
        builder.add_meta_graph_and_variables(run.session, ["serve"], signatures)
        builder.add_meta_graph(["serve", "gpu"], {"a": signatures["a"]})
        builder.save(as_text=as_text)
        updater = run.saved_model.signature_def_utils.MethodNameUpdater(directory)
        run.call(updater.replace_method_name, "", "new", fragment="`signature_key` must be defined")
        run.call(updater.replace_method_name, "a", None, fragment="`method_name` must be defined")
        run.call(updater.replace_method_name, "c", "new", fragment="does not have a signature_def with key: 'c'")
        run.call(updater.replace_method_name, "a", "new", ["gpu"], fragment="could not be found in SavedModel")
        run.call(updater.replace_method_name, "b", "new", ["gpu", "serve"], fragment="does not have a signature_def")
        run.call(updater.replace_method_name, "a", "all")
        run.call(updater.replace_method_name, "b", "one", "serve")
        pathlib.Path(f"{directory}-new").mkdir()
        run.call(updater.save, f"{directory}-new")
        run.note_model(f"{directory}-new")
        run.note(str(read_model(run.tf, directory)).count('"old"'))
        run.call(updater.replace_method_name, "a", "two", ["gpu", "serve"])
        run.call(updater.save)
        run.note_model(directory)
    pathlib.Path("empty").mkdir()
    run.call(run.saved_model.signature_def_utils.MethodNameUpdater, "empty", fragment="SavedModel file does not exist at")


def in_eager_mode(run: ModelScenario) -> None:
    tf = run.tf
    fragment = "`build_tensor_info` is not supported in eager execution"
    run.call(run.saved_model.build_tensor_info, tf.constant(1), fragment=fragment)
    run.note(str(run.saved_model.build_signature_def(defaults={"x": tf.constant([1, 2])})))


SCENARIOS = [tensor_infos, signature_defs, validity, supervised, main_ops, method_names]


@pytest.mark.parametrize("program", SCENARIOS, ids=lambda program: program.__name__)
def test_signatures_are_as_tensorflows(compare: Compare, program: Callable[[ModelScenario], None]) -> None:
    assert compare(program)


def test_tensors_without_graph_have_no_tensor_info(compare: Compare) -> None:
    assert compare(in_eager_mode, eager=True)


@pytest.mark.parametrize(
    "name",
    [
        "builder",
        "loader",
        "main_op",
        "signature_def_utils",
        "utils",
        "constants",
        "signature_constants",
        "tag_constants",
        "",
    ],
)
def test_names_values_and_arguments_are_as_in_tensorflow(tf: Any, name: str) -> None:
    theirs, ours = tf.compat.v1.saved_model, saved_model
    if name:
        theirs, ours = getattr(theirs, name), getattr(ours, name)
    # Of TensorFlow 2's own interface.
    others = {"Asset", "SaveOptions", "experimental", "load_v2", "save"}
    compared = 0
    for public in [each for each in dir(theirs) if not each.startswith("_") and each not in others]:
        value = getattr(theirs, public)
        mine = getattr(ours, public)
        compared += 1
        if isinstance(value, types.ModuleType):
            assert isinstance(mine, types.ModuleType)
        elif callable(value):
            parameters = inspect.signature(mine).parameters.values()
            positional = [each for each in parameters if each.kind is not inspect.Parameter.KEYWORD_ONLY]
            expected = inspect.signature(value).parameters.values()
            assert [(each.name, each.default) for each in positional] == [(each.name, each.default) for each in expected]
        else:
            assert mine == value
    assert compared


@pytest.mark.parametrize("method", ["add_meta_graph", "add_meta_graph_and_variables", "save"])
def test_methods_of_the_builder_take_tensorflows_arguments(tf: Any, method: str) -> None:
    expected = inspect.signature(getattr(tf.compat.v1.saved_model.Builder, method)).parameters
    ours = inspect.signature(getattr(saved_model.Builder, method)).parameters
    assert list(expected) == list(ours)[: len(expected)]
    assert [each.default for each in expected.values()] == [each.default for each in ours.values()][: len(expected)]


@pytest.mark.parametrize("resource", [False, True])
def test_signature_of_a_variable_has_its_name_and_the_type_of_its_value(run: ModelScenario, resource: bool) -> None:
    """TensorFlow has a reference type for a reference variable."""
    variable = run.variable("v", [1.0, 2.0], resource=resource)
    info = saved_model.build_tensor_info(variable)
    assert (info.name, info.dtype) == ("v:0", schemas.DT_FLOAT)


def test_constants_are_tensorflows(tf: Any) -> None:
    from tensorflow.python.saved_model import constants

    names = [name for name in vars(constants) if name.isupper()]
    assert "SAVED_MODEL_FILENAME_CPB" in names
    assert {name: getattr(saved_model.constants, name) for name in names} == {
        name: getattr(constants, name) for name in names
    }


def test_messages_of_both_schemas_make_a_signature(run: ModelScenario) -> None:
    info = schemas.TensorInfo(name="x:0", dtype=schemas.DT_FLOAT)
    signature = saved_model.build_signature_def({"x": info}, method_name="m")
    assert type(signature) is type(run.v1.MetaGraphDef().signature_def["x"])
    assert signature.inputs["x"].name == "x:0"
    ours = schemas.SignatureDef.FromString(signature.SerializeToString())
    half_plus(run)
    builder = run.builder()
    builder.add_meta_graph_and_variables(run.session, ["serve"], {"key": ours})
    builder.save()
    assert read_model(run.tf, "model").meta_graphs[0].signature_def["key"] == signature


def test_method_names_change_without_a_graph_that_does_not_have_the_signature(run: ModelScenario) -> None:
    """TensorFlow has changed the graphs before it by then."""
    half_plus(run)
    builder = run.builder()
    builder.add_meta_graph_and_variables(run.session, ["a"], {"key": saved_model.build_signature_def(method_name="old")})
    builder.add_meta_graph(["b"])
    builder.save()
    updater = saved_model.signature_def_utils.MethodNameUpdater("model")
    with pytest.raises(ValueError, match="does not have a signature_def with key: 'key'; there is none at all"):
        updater.replace_method_name("key", "new")
    updater.save()
    assert read_model(run.tf, "model").meta_graphs[0].signature_def["key"].method_name == "old"


def test_method_names_are_written_where_they_were_read(run: ModelScenario) -> None:
    """TensorFlow reads the binary form and writes the text beside it, which no loader looks at."""
    half_plus(run)
    builder = run.builder()
    builder.add_meta_graph_and_variables(run.session, ["a"], {"key": saved_model.build_signature_def(method_name="old")})
    builder.save()
    builder.save(as_text=True)
    updater = saved_model.signature_def_utils.MethodNameUpdater(pathlib.Path("model"))
    updater.replace_method_name("key", "new", "a")
    updater.save()
    updater.save("deep/elsewhere")
    for directory in ("model", "deep/elsewhere"):
        assert read_model(run.tf, directory).meta_graphs[0].signature_def["key"].method_name == "new"
    assert '"old"' in pathlib.Path("model/saved_model.pbtxt").read_text()


@pytest.mark.parametrize("by_name", [False, True])
def test_operation_to_run_after_initialization_may_be_a_name(run: ModelScenario, by_name: bool) -> None:
    half_plus(run)
    restore = run.v1.no_op(name="restore")
    both = saved_model.main_op_with_restore("restore" if by_name else restore)
    assert "restore" in [operation.name for operation in both.control_inputs]
