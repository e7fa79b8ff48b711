"""Where the Builder does better than TensorFlow's, which docs/differences.md lists."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from tests.compat.v1.saved_model.models import ModelScenario, ask, half_plus, read_model, table_model, vocabulary
from tfsaver.saved_model.loader import load_saved_model


def files_in(directory: str) -> list[str]:
    root = pathlib.Path(directory)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_graph_is_the_sessions_and_not_the_default_one(run: ModelScenario) -> None:
    signatures = half_plus(run)
    with run.tf.Graph().as_default():
        builder = run.builder()
        builder.add_meta_graph_and_variables(run.session, ["serve"], signatures)
        builder.save()
        x, y = (run.session.graph.get_tensor_by_name(name) for name in ("x:0", "y:0"))
        run.saved_model.simple_save(run.session, "simple", {"x": x}, {"y": y})
    for directory in ("model", "simple"):

        def load(session: Any, directory: str = directory) -> None:
            run.v1.saved_model.load(session, ["serve"], directory)
            assert ask(session) == [7.0]

        run.in_new_graph(load)


def test_empty_graph_is_no_model(run: ModelScenario) -> None:
    builder = run.builder()
    with pytest.raises(ValueError, match="the graph is empty, and so would be the model"):
        builder.add_meta_graph_and_variables(run.session, ["serve"])
    half_plus(run)
    builder.add_meta_graph_and_variables(run.session, ["serve"])
    with run.tf.Graph().as_default(), pytest.raises(ValueError, match="the graph is empty"):
        builder.add_meta_graph(["other"])


def test_string_is_one_tag(run: ModelScenario) -> None:
    half_plus(run)
    builder = run.builder()
    builder.add_meta_graph_and_variables(run.session, "serve")
    builder.add_meta_graph("other")
    builder.save()
    assert [list(each.meta_info_def.tags) for each in read_model(run.tf, "model").meta_graphs] == [["serve"], ["other"]]
    run.in_new_graph(lambda session: run.saved_model.load(session, "serve", "model"))


def test_failed_call_leaves_nothing_and_can_be_repeated(run: ModelScenario) -> None:
    v1 = run.v1
    signatures = half_plus(run)
    uninitialized = v1.get_variable("later", initializer=1.0, use_resource=True)
    init = v1.no_op(name="init")
    tensor = vocabulary(run)
    builder = run.builder()
    arguments: tuple[Any, ...] = (run.session, ["serve"], signatures, [tensor])
    with pytest.raises(run.tf.errors.FailedPreconditionError):
        builder.add_meta_graph_and_variables(*arguments, main_op=init)
    assert files_in("model") == []
    assert not any(v1.get_collection(key) for key in ("saved_model_main_op", "saved_model_assets"))
    # Another Builder may have the directory as well.
    builder = run.builder()
    run.session.run(uninitialized.initializer)
    builder.add_meta_graph_and_variables(*arguments, main_op=init)
    missing = v1.constant("nowhere.txt", name="missing")
    with pytest.raises(run.tf.errors.NotFoundError, match="nowhere.txt"):
        builder.add_meta_graph(["b"], assets_collection=[vocabulary(run, "new.txt", "new", tensor="new"), missing])
    assert len(v1.get_collection("saved_model_assets")) == 1
    builder.save()
    assert files_in("model") == [
        "assets",
        "assets/vocabulary.txt",
        "saved_model.pb",
        "variables",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


def test_simple_save_that_fails_leaves_no_directory(run: ModelScenario) -> None:
    v1 = run.v1
    half_plus(run)
    v1.get_variable("later", initializer=1.0, use_resource=True)
    x, y = (run.session.graph.get_tensor_by_name(name) for name in ("x:0", "y:0"))
    with pytest.raises(run.tf.errors.FailedPreconditionError):
        run.saved_model.simple_save(run.session, "model", {"x": x}, {"y": y})
    assert not pathlib.Path("model").exists()
    pathlib.Path("model").mkdir()
    with pytest.raises(run.tf.errors.FailedPreconditionError):
        run.saved_model.simple_save(run.session, "model", {"x": x}, {"y": y})
    assert files_in("model") == []


def test_graph_is_exported_twice_with_one_main_op_and_its_assets(run: ModelScenario) -> None:
    """TensorFlow refuses the main op that it has put there itself, and repeats the assets without their files."""
    signatures, init = table_model(run)
    tensors = run.v1.get_collection(run.v1.GraphKeys.ASSET_FILEPATHS)
    for number in range(2):
        builder = run.builder(f"model{number}")
        builder.add_meta_graph_and_variables(run.session, ["serve"], signatures, tensors, main_op=init)
        builder.save()
    # Neither is given a third time.
    builder = run.builder("model2")
    builder.add_meta_graph_and_variables(run.session, ["serve"], signatures)
    builder.save()
    models = [read_model(run.tf, f"model{number}") for number in range(3)]
    assert models[0] == models[1] == models[2]
    assert files_in("model0") == files_in("model1") == files_in("model2")
    assert pathlib.Path("model2/assets/vocabulary.txt").read_text() == "zero\none\ntwo\n"


def test_asset_of_a_loaded_model_without_its_file_is_said_to_be_missing(
    run: ModelScenario, caplog: pytest.LogCaptureFixture
) -> None:
    half_plus(run)
    builder = run.builder()
    builder.add_meta_graph_and_variables(run.session, ["serve"], None, [vocabulary(run)])
    builder.save()
    pathlib.Path("vocabulary.txt").unlink()

    def again(session: Any) -> None:
        run.saved_model.load(session, ["serve"], "model")
        second = run.builder("second")
        second.add_meta_graph_and_variables(session, ["serve"])

    run.in_new_graph(again)
    assert "Asset 'vocabulary.txt' of path:0 is not copied: there is no file at" in caplog.text


def test_asset_that_an_earlier_graph_has_under_its_name_is_said_to_be_left_out(
    run: ModelScenario, caplog: pytest.LogCaptureFixture
) -> None:
    half_plus(run)
    builder = run.builder()
    builder.add_meta_graph_and_variables(run.session, ["a"], None, [vocabulary(run)])

    def other(session: Any) -> None:
        builder.add_meta_graph(["b"], None, [vocabulary(run, "other/vocabulary.txt", "other")])

    run.in_new_graph(other)
    assert "Asset 'vocabulary.txt': an earlier MetaGraph has" in caplog.text
    assert pathlib.Path("model/assets/vocabulary.txt").read_text() == "a\nb\n"


@pytest.mark.parametrize("resource", [False, True])
@pytest.mark.parametrize("earlier_saver", [False, True])
def test_finalized_graph_is_exported(run: ModelScenario, resource: bool, earlier_saver: bool) -> None:
    with run.v1.device("/cpu:0"):
        signatures = half_plus(run, resource=resource)
    if earlier_saver:
        run.saver(sharded=True)
    run.session.graph.finalize()
    num_nodes = len(run.session.graph.get_operations())
    builder = run.builder()
    builder.add_meta_graph_and_variables(
        run.session, ["serve"], signatures, [], clear_devices=True, strip_default_attrs=True
    )
    builder.add_meta_graph(["again"], signatures)
    builder.save()
    assert len(run.session.graph.get_operations()) == num_nodes
    plain, with_devices = read_model(run.tf, "model").meta_graphs
    assert not any(node.device for node in plain.graph_def.node)
    assert any(node.device for node in with_devices.graph_def.node)
    for tags in (["serve"], ["again"]):
        for loader in (run.v1.saved_model, run.saved_model):

            def load(session: Any, tags: list[str] = tags, loader: Any = loader) -> None:
                loader.load(session, tags, "model")
                assert ask(session) == [7.0]

            run.in_new_graph(load)


def test_monitored_session_is_exported_without_running_hooks(run: ModelScenario) -> None:
    v1 = run.v1
    x = v1.placeholder(run.tf.float32, [None], name="x")
    y = run.tf.multiply(x, v1.get_variable("a", initializer=0.5, use_resource=True), name="y")
    seen = []

    class Hook(v1.train.SessionRunHook):  # type: ignore[misc, name-defined]
        def before_run(self, run_context: Any) -> None:
            seen.append(run_context)

    with v1.train.MonitoredSession(hooks=[Hook()]) as monitored:
        run.saved_model.simple_save(monitored, "model", {"x": x}, {"y": y})
    assert seen == []

    def load(session: Any) -> None:
        v1.saved_model.load(session, ["serve"], "model")
        assert ask(session) == [5.0]

    run.in_new_graph(load)


def test_finalized_graph_with_a_table_to_restore_is_refused(run: ModelScenario) -> None:
    half_plus(run)
    table = run.tf.lookup.experimental.MutableHashTable(run.tf.string, run.tf.int64, -1, name="table")
    run.session.run(table.insert(["a"], run.tf.constant([5], run.tf.int64)))
    run.session.graph.finalize()
    builder = run.builder()
    with pytest.raises(RuntimeError, match="Graph is finalized and cannot be modified"):
        builder.add_meta_graph_and_variables(run.session, ["serve"])
    assert files_in("model") == []


def test_signatures_are_looked_up_in_the_graph_when_asked(run: ModelScenario) -> None:
    half_plus(run)
    message = run.v1.TensorInfo
    x = message(name="x:0", dtype=1)
    x.tensor_shape.dim.add(size=-1)
    wrong_shape = message(name="x:0", dtype=1)
    wrong_shape.tensor_shape.dim.add(size=3)
    wrong_shape.tensor_shape.dim.add(size=3)
    builder = run.builder(check_signatures=True)
    build = run.saved_model.build_signature_def
    for bad, sentence in (
        (message(name="z:0", dtype=1), "signature 'key': output 'y'.*the graph has no node 'z'"),
        (message(name="y:1", dtype=1), "'y:1' is no tensor of the AddV2 'y', which has 1 outputs"),
        (message(name="y:0", dtype=3), "y:0 is float32 in the graph, int32 in the signature"),
        (wrong_shape, "'x:0' has shape"),
    ):
        with pytest.raises((ValueError, LookupError), match=sentence):
            builder.add_meta_graph_and_variables(run.session, ["serve"], {"key": build({"x": x}, {"y": bad})})
        assert files_in("model") == []
    builder.add_meta_graph_and_variables(run.session, ["serve"], {"key": build({"x": x}, {"y": x})})
    with pytest.raises(LookupError, match="the graph has no node 'z'"):
        builder.add_meta_graph(["b"], {"key": build({"x": message(name="z:0", dtype=1)}, {"y": x})})


@pytest.mark.parametrize("is_tensor", [False, True])
def test_train_op_is_recorded(run: ModelScenario, is_tensor: bool) -> None:
    half_plus(run)
    train = run.v1.no_op(name="train") if not is_tensor else run.tf.constant(1.0, name="train")
    builder = run.builder()
    with pytest.raises(TypeError, match="needs to be a Tensor or Op"):
        builder.add_meta_graph_and_variables(run.session, ["train"], train_op="train")
    builder.add_meta_graph_and_variables(run.session, ["train"], train_op=train)
    builder.add_meta_graph(["again"], train_op=train)
    builder.save()
    for graph in read_model(run.tf, "model").meta_graphs:
        assert list(graph.collection_def["saved_model_train_op"].node_list.value) == [train.name]


def test_signature_that_is_none_is_a_type_error(run: ModelScenario) -> None:
    half_plus(run)
    with pytest.raises(TypeError, match=r"signature_def_map\['key'\]: a SignatureDef is needed, not None"):
        run.builder().add_meta_graph_and_variables(run.session, ["serve"], {"key": None})


def test_directory_that_disappears_is_made_again(run: ModelScenario) -> None:
    builder = run.builder("deep/model")
    pathlib.Path("deep/model").rmdir()
    half_plus(run)
    builder.add_meta_graph_and_variables(run.session, ["serve"])
    builder.save()
    with load_saved_model("deep/model") as model:
        assert sorted(model.variables) == ["a", "b"]


def test_saver_that_is_false_is_used_all_the_same(run: ModelScenario) -> None:
    half_plus(run)
    saver = run.saver(name="mine")

    class Empty:
        def __len__(self) -> int:
            return 0

        def __getattr__(self, name: str) -> Any:
            return getattr(saver, name)

    builder = run.builder()
    builder.add_meta_graph_and_variables(run.session, ["serve"], saver=Empty())
    builder.save()
    (graph,) = read_model(run.tf, "model").meta_graphs
    assert graph.saver_def.restore_op_name == "mine/restore_all"
