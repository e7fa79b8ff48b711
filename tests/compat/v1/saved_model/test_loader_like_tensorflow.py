"""The loader: what it puts into a session, what it refuses, and with which errors, in TensorFlow and in ours.

The models are written by TensorFlow in both runs.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded
from tests.compat.v1.saved_model.models import ModelScenario, ask, half_plus, read_model, table_model, vocabulary
from tfsaver.compat.v1.saved_model.loader import SavedModelLoader

Compare = Callable[..., Recorded]


def write(run: ModelScenario, directory: str = "model", tags: Any = ("serve",), **options: Any) -> None:
    """The default graph, as TensorFlow writes it."""
    builder = run.v1.saved_model.Builder(directory)
    builder.add_meta_graph_and_variables(run.session, tags, **options)
    builder.save()


def into_sessions(run: ModelScenario, resource: bool) -> None:
    write(run, signature_def_map=half_plus(run, resource=resource))

    def plain(session: Any) -> None:
        loaded = run.saved_model.load(session, ["serve"], "model")
        run.note(str(loaded), ask(session), [variable.op.name for variable in run.v1.global_variables()])
        run.note_collections()

    def scoped(session: Any) -> None:
        for scope in ("a/b", "c"):
            loaded = run.saved_model.load(session, ["serve"], "model", import_scope=scope)
            run.note(str(loaded.saver_def), str(loaded.signature_def), ask(session, scope=f"{scope}/"))
        run.note_collections()

    def twice(session: Any) -> None:
        for _ in range(2):
            run.saved_model.load(session, ["serve"], "model")
        run.note(ask(session), [operation.name for operation in session.graph.get_operations()])

    def not_the_default(session: Any) -> None:
        with run.tf.Graph().as_default() as other:
            run.saved_model.load(session, {"serve"}, str(run.directory / "model"))
            run.note(ask(session), len(other.get_operations()))

    for program in (plain, scoped, twice, not_the_default):
        run.in_new_graph(program)


def tags(run: ModelScenario) -> None:
    half_plus(run)
    builder = run.v1.saved_model.Builder("model")
    builder.add_meta_graph_and_variables(run.session, ["a", "b"])
    builder.add_meta_graph(["c"])
    builder.add_meta_graph(["c"], signature_def_map={"second": run.v1.saved_model.build_signature_def()})
    builder.add_meta_graph([])
    builder.save()
    loader = run.loader()
    for given in (["a", "b"], ["b", "a"], ("a", "b", "a"), {"b", "a"}, iter(["a", "b"]), [], "c"):
        run.note(str(loader.get_meta_graph_def_from_tags(given).meta_info_def.tags))
    run.note(len(loader.get_meta_graph_def_from_tags(["c"]).signature_def))
    for given in (["a"], ["a", "b", "c"], ["d"], [""], "ab2"):
        run.call(loader.get_meta_graph_def_from_tags, given, fragment="could not be found in SavedModel")
        run.call(run.saved_model.load, run.session, given, "model", fragment="could not be found in SavedModel")


def files(run: ModelScenario) -> None:
    load = run.saved_model.load
    contains = (run.saved_model.contains_saved_model, run.saved_model.maybe_saved_model_directory)
    run.call(load, run.session, ["serve"], "nowhere", fragment="SavedModel file does not exist at: nowhere/")
    for name, content in (("pb", b"\xff\xff"), ("pbtxt", b"no model"), ("pbtxt", b"\xff")):
        directory = pathlib.Path(f"{name}{len(content)}")
        directory.mkdir()
        run.note([each(str(directory)) for each in contains])
        (directory / f"saved_model.{name}").write_bytes(content)
        run.note([each(str(directory)) for each in contains])
        # Bytes that are no text are an error of decoding in TensorFlow.
        if content != b"\xff":
            run.call(load, run.session, ["serve"], str(directory), fragment="Cannot parse file")
    write(run, signature_def_map=half_plus(run))
    run.note([each("model") for each in contains], [each("model/saved_model.pb") for each in contains])
    pathlib.Path("text").mkdir()
    pathlib.Path("text/saved_model.pbtxt").write_text(str(read_model(run.tf, "model")))
    run.note(str(run.loader("text").saved_model) == str(read_model(run.tf, "model")))
    # Without the variables.
    run.in_new_graph(lambda session: run.call(load, session, ["serve"], "text", fragment="is not a valid checkpoint"))
    # The binary form counts if both are there.
    pathlib.Path("model/saved_model.pbtxt").write_text("no model")
    run.in_new_graph(lambda session: run.note(str(load(session, ["serve"], "model").meta_info_def.tags)))


def steps(run: ModelScenario) -> None:
    """Loading in three steps."""
    v1 = run.v1
    write(run, signature_def_map=half_plus(run))
    loader = run.loader()
    run.note(loader.export_dir, loader.variables_path, len(loader.saved_model.meta_graphs))

    def graph_only(session: Any) -> None:
        saver, elements = loader.load_graph(session.graph, ["serve"], return_elements=["y:0", "x"])
        run.note(saver is None, [element.name for element in elements], str(saver.saver_def))
        run.call(session.run, "y:0", {"x:0": [1.0]}, fragment="")
        run.call(loader.restore_variables, session, None, fragment="No tf.train.Saver object was passed")
        run.call(loader.restore_variables, session, "saver", fragment="No tf.train.Saver object was passed")
        run.call(loader.restore_variables, session, v1.train.Saver())
        run.call(loader.run_init_ops, session, ["serve"])
        run.note(ask(session))

    def in_scope(session: Any) -> None:
        saver, elements = loader.load_graph(session.graph, ["serve"], import_scope="s")
        run.note(elements, [operation.name for operation in session.graph.get_operations()][:3])
        run.call(loader.restore_variables, session, v1.train.Saver(), "s", fragment="not found in checkpoint")
        run.call(loader.restore_variables, session, saver, "s")
        run.call(loader.run_init_ops, session, ["serve"], "s")
        run.note(ask(session, scope="s/"))

    def whole(session: Any) -> None:
        # A loader of TensorFlow changes its own message, and imports it wrongly a second time.
        run.note(str(run.loader().load(session, ["serve"], "t")) != "", ask(session, scope="t/"))

    def with_options(session: Any) -> None:
        x = v1.constant([4.0])
        loader = run.loader()
        loader.load(session, ["serve"], clear_devices=True, input_map={"x:0": x})
        run.note(session.run("y:0").tolist())
        run.call(loader.load, session, ["serve"], no_such_option=1, fragment="no_such_option")

    for program in (graph_only, in_scope, whole, with_options):
        run.in_new_graph(program)


def without_collections(run: ModelScenario) -> None:
    """Variables that only the nodes and the SaverDef know of; and a graph without variables."""
    write(run, signature_def_map=half_plus(run))
    model = read_model(run.tf, "model")
    graph = model.meta_graphs[0]
    for name, fields in {
        "collections": ["collection_def"],
        "saver": ["saver_def"],
        "both": ["collection_def", "saver_def"],
    }.items():
        changed = type(model)()
        changed.CopyFrom(model)
        for field in fields:
            changed.meta_graphs[0].ClearField(field)
        directory = pathlib.Path(name)
        (directory / "variables").mkdir(parents=True)
        for path in pathlib.Path("model/variables").iterdir():
            (directory / "variables" / path.name).write_bytes(path.read_bytes())
        (directory / "saved_model.pb").write_bytes(changed.SerializeToString())

        def load(session: Any, name: str = name) -> None:
            run.saved_model.load(session, ["serve"], name)
            if name == "both":
                run.call(session.run, "y:0", {"x:0": [1.0]}, fragment="")
            else:
                run.note(ask(session), len(session.graph.get_operations()))

        run.in_new_graph(load)
    run.note(len(graph.graph_def.node))


def init_ops(run: ModelScenario, kind: str) -> None:
    v1 = run.v1
    half_plus(run)
    total = run.variable("total", np.float32(5))
    with v1.name_scope("deep"):
        init = v1.assign_add(total, 1.0).op if kind != "nothing" else None
    init = None if init is None else v1.group(init, name="init_all")
    options = {} if kind in ("nothing", "signature") else {"main_op": init}
    write(run, **options)
    if kind not in ("main", "nothing"):
        model = read_model(run.tf, "model")
        graph = model.meta_graphs[0]
        if kind == "signature":
            graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "init_all"
        if kind == "legacy":
            graph.collection_def["legacy_init_op"].CopyFrom(graph.collection_def.pop("saved_model_main_op"))
        if kind == "two":
            graph.collection_def["saved_model_main_op"].node_list.value.append("init_all")
        if kind == "missing":
            graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "nowhere"
        pathlib.Path("model/saved_model.pb").write_bytes(model.SerializeToString())
    fragment = {"two": "Expected exactly one SavedModel init op", "missing": "could not be found in the graph"}.get(kind)
    for scope in ("", "s"):

        def load(session: Any, scope: str = scope) -> None:
            arguments = (session, ["serve"], "model", scope or None)
            if fragment:
                run.call(run.saved_model.load, *arguments, fragment=fragment)
                return
            run.saved_model.load(*arguments)
            prefix = f"{scope}/" if scope else ""
            run.note(float(session.run(f"{prefix}total/Read/ReadVariableOp:0")))

        run.in_new_graph(load)


def assets(run: ModelScenario, as_field: bool) -> None:
    """The init op is fed where the files are now."""
    signatures, init = table_model(run)
    collected = run.v1.get_collection(run.v1.GraphKeys.ASSET_FILEPATHS)
    write(run, signature_def_map=signatures, assets_collection=collected, main_op=init)
    if as_field:
        model = read_model(run.tf, "model")
        graph = model.meta_graphs[0]
        for packed in graph.collection_def.pop("saved_model_assets").any_list.value:
            graph.asset_file_def.add().ParseFromString(packed.value)
        pathlib.Path("model/saved_model.pb").write_bytes(model.SerializeToString())
    pathlib.Path("words/vocabulary.txt").unlink()
    pathlib.Path("model").rename("elsewhere")
    for scope in ("", "s/"):

        def load(session: Any, scope: str = scope) -> None:
            run.saved_model.load(session, ["serve"], "elsewhere", import_scope=scope.rstrip("/") or None)
            run.note(session.run(f"{scope}ids:0", {f"{scope}words:0": ["two", "zero", "four"]}).tolist())

        run.in_new_graph(load)


def constants_of_paths(run: ModelScenario) -> None:
    """A constant with a path keeps it; only while the init op runs it is another."""
    half_plus(run)
    write(run, assets_collection=[vocabulary(run)])

    def load(session: Any) -> None:
        run.saved_model.load(session, ["serve"], "model")
        run.note(session.run("path:0"))

    run.in_new_graph(load)


SCENARIOS: list[tuple[Any, ...]] = [
    (into_sessions, False),
    (into_sessions, True),
    (tags,),
    (files,),
    (steps,),
    (without_collections,),
    *((init_ops, kind) for kind in ("main", "legacy", "signature", "two", "missing", "nothing")),
    (assets, False),
    (assets, True),
    (constants_of_paths,),
]


@pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=lambda scenario: "-".join(str(getattr(x, "__name__", x)) for x in scenario)
)
def test_loader_does_as_tensorflows(compare: Compare, scenario: tuple[Any, ...]) -> None:
    program, *arguments = scenario
    assert compare(program, *arguments)


def test_second_model_of_a_graph_is_initialized_by_its_own_operation(run: ModelScenario) -> None:
    """TensorFlow runs the init op of the first twice."""
    v1 = run.v1
    half_plus(run)
    total = run.variable("total", np.float32(5))
    write(run, main_op=v1.group(v1.assign_add(total, 1.0), name="init_all"))

    def load(session: Any) -> None:
        # A loader each, as `load` has it: the scope has a number the second time.
        for _ in range(2):
            SavedModelLoader("model").load(session, ["serve"], "s")
        values = [session.run(variable) for variable in v1.global_variables() if variable.op.name.endswith("total")]
        assert values == [6.0, 6.0]

    run.in_new_graph(load)


def test_bytes_that_are_no_text_are_a_damaged_file(run: ModelScenario) -> None:
    pathlib.Path("model").mkdir()
    pathlib.Path("model/saved_model.pbtxt").write_bytes(b"\xff")
    with pytest.raises(OSError, match="Cannot parse file"):
        run.saved_model.load(run.session, ["serve"], "model")


def test_asset_outside_of_the_model_is_refused(run: ModelScenario) -> None:
    half_plus(run)
    write(run, assets_collection=[vocabulary(run)])
    model = read_model(run.tf, "model")
    file = model.meta_graphs[0].asset_file_def.add(filename="../../secret")
    file.tensor_info.name = "path:0"
    pathlib.Path("model/saved_model.pb").write_bytes(model.SerializeToString())

    def load(session: Any) -> None:
        with pytest.raises(run.tf.errors.DataLossError, match="no file inside of assets/"):
            run.saved_model.load(session, ["serve"], "model")

    run.in_new_graph(load)


def test_model_of_letters_is_found_by_their_string(run: ModelScenario) -> None:
    """TensorFlow's Builder takes a string for the tags that are its letters."""
    half_plus(run)
    write(run, tags="serve")
    run.in_new_graph(lambda session: run.saved_model.load(session, "serve", "model"))
    run.in_new_graph(lambda session: run.saved_model.load(session, list("serve"), "model"))


def test_one_loader_loads_into_several_scopes(run: ModelScenario) -> None:
    """TensorFlow's puts the second scope in front of the first."""
    write(run, signature_def_map=half_plus(run))
    loader = run.loader()

    def load(session: Any) -> None:
        for scope in ("a", "b"):
            loader.load(session, iter(["serve"]), scope)
            assert ask(session, scope=f"{scope}/") == [7.0]

    run.in_new_graph(load)
