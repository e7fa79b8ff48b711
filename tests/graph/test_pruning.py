"""A pruned graph has what its outputs need, no more, and gives the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.graph.conftest import Models
from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, NotFoundError
from tfsaver.graph.node_builder import node, of_strings
from tfsaver.graph.pruning import prune_graph, prune_meta_graph
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.tensor_names import node_of
from tfsaver.graph.variables import find_variables


def graph_of(*nodes: Any) -> Any:
    return schemas.GraphDef(node=nodes)


def names(graph_def: Any) -> list[str]:
    return [each.name for each in graph_def.node]


def calling(name: str, function: str) -> Any:
    call = node("PartitionedCall", name)
    call.attr["f"].func.name = function
    return call


def function(name: str, *nodes: Any) -> Any:
    return schemas.FunctionDef(signature=schemas.OpDef(name=name), node_def=nodes)


def test_inputs_and_control_inputs_stay_in_order() -> None:
    graph = graph_of(
        node("NoOp", "unused", ["b"]),
        node("Add", "sum", ["a:0", "b:1", "^first"]),
        node("NoOp", "first"),
        node("Const", "a"),
        node("Split", "b"),
    )
    assert names(prune_graph(graph, ["sum:0"])) == ["sum", "first", "a", "b"]
    assert names(prune_graph(graph, "first")) == ["first"]
    assert len(graph.node) == 5


def test_a_loop_of_the_old_kind_stays_whole() -> None:
    graph = graph_of(
        node("Enter", "enter", ["start"]),
        node("Const", "start"),
        node("Merge", "merge", ["enter", "next"]),
        node("LoopCond", "cond", ["merge"]),
        node("Switch", "switch", ["merge", "cond"]),
        node("NextIteration", "next", ["switch:1"]),
        node("Exit", "exit", ["switch"]),
        node("Identity", "after", ["exit"]),
    )
    assert set(names(prune_graph(graph, ["exit"]))) == set(names(graph)) - {"after"}


def test_functions_that_nobody_calls_go_and_gradients_stay() -> None:
    graph = graph_of(calling("call", "outer"), calling("unused", "other"))
    library = graph.library
    library.function.extend(
        [
            function("outer", node("inner", "x"), calling("y", "nested")),
            function("inner"),
            function("nested"),
            function("nested_gradient", calling("z", "deep")),
            function("deep"),
            function("other"),
        ]
    )
    library.gradient.add(function_name="nested", gradient_func="nested_gradient")
    library.gradient.add(function_name="other", gradient_func="deep")
    pruned = prune_graph(graph, ["call"])
    kept = [each.signature.name for each in pruned.library.function]
    assert kept == ["outer", "inner", "nested", "nested_gradient", "deep"]
    assert [each.function_name for each in pruned.library.gradient] == ["nested"]
    assert not prune_graph(graph_of(node("NoOp", "x")), ["x"]).HasField("library")


def test_functions_in_lists_and_in_attributes_of_functions_stay() -> None:
    case = node("Case", "case")
    case.attr["branches"].list.func.add(name="first").attr["f"].func.name = "second"
    graph = graph_of(case)
    graph.library.function.extend([function("first"), function("second"), function("third")])
    assert [each.signature.name for each in prune_graph(graph, ["case"]).library.function] == ["first", "second"]


def test_a_node_is_no_longer_beside_what_is_gone() -> None:
    graph = graph_of(
        node("Const", "a", (), {"_class": of_strings([b"loc:@b", b"other"])}),
        node("Const", "b"),
        node("Const", "c", ["^a"], {"_class": of_strings([b"loc:@b"])}),
    )
    pruned = prune_graph(graph, ["c"])
    assert list(pruned.node[0].attr["_class"].list.s) == [b"other"]
    assert "_class" not in pruned.node[1].attr


def test_what_cannot_be_kept_is_said() -> None:
    graph = graph_of(node("Identity", "soft/max", ["gone"]))
    with pytest.raises(NotFoundError, match="'soft/max0' is not in the graph; did you mean 'soft/max'"):
        prune_graph(graph, ["soft/max0:0"])
    with pytest.raises(DataLossError, match="'soft/max': its input 'gone' is not in the graph"):
        prune_graph(graph, ["soft/max"])
    with pytest.raises(InvalidArgumentError, match="nothing to keep"):
        prune_graph(graph, [])
    with pytest.raises(InvalidArgumentError, match="nothing to keep"):
        prune_meta_graph(schemas.MetaGraphDef(graph_def=graph))
    with pytest.raises(NotFoundError, match="signature 'serve' not found; the graph has: none"):
        prune_meta_graph(schemas.MetaGraphDef(graph_def=graph), signatures=["serve"])


def test_a_pruned_model_restores_and_gives_the_same(models: Models, tmp_path: Path) -> None:
    changed = {}
    for name in models.names:
        meta_graph = models.meta_graph(name)
        before = meta_graph.SerializeToString(deterministic=True)
        pruned = prune_meta_graph(meta_graph, models.expected(name)["fetches"])
        assert meta_graph.SerializeToString(deterministic=True) == before
        changed[name] = with_saver(pruned, find_variables(pruned), sharded=name == "resource")
        assert len(changed[name].graph_def.node) < len(meta_graph.graph_def.node)
    run_first = {"table": ["key_value_init"]}
    initializers = {
        each.name for each in changed["table"].graph_def.node if each.op.startswith("InitializeTable")
    }
    assert len(initializers) == 1
    run_first["table"] = sorted(initializers)
    models.check(tmp_path, changed, restore=models.prefix, run_first=lambda name: run_first.get(name, []))


def test_a_model_loses_its_optimizer(models: Models) -> None:
    for name in ("reference", "resource"):
        meta_graph = models.meta_graph(name)
        pruned = prune_meta_graph(meta_graph, ["softmax:0"])
        kept = find_variables(pruned)
        assert [each.name for each in kept] == ["model/kernel", "model/bias"] + ["model/embedding/table"] * 2
        assert len(find_variables(meta_graph)) == 15
        assert not pruned.HasField("saver_def")
        assert {"train_op", "summaries"} & set(meta_graph.collection_def) and "train_op" not in pruned.collection_def
        assert len(pruned.collection_def["variables"].bytes_list.value) == 4
        # They still say how they begin.
        kept_names = {each.name for each in pruned.graph_def.node}
        assert all(each.initializer in kept_names and node_of(each.initial_value) in kept_names for each in kept)


def test_without_initializers_a_graph_is_smaller_and_its_collections_name_nothing_that_is_gone(models: Models) -> None:
    meta_graph = models.meta_graph("resource")
    small = prune_meta_graph(meta_graph, ["softmax:0"], keep_initializers=False)
    assert len(small.graph_def.node) < len(prune_meta_graph(meta_graph, ["softmax:0"]).graph_def.node)
    assert "variables" not in small.collection_def
    assert [each.name for each in find_variables(small)][:2] == ["model/kernel", "model/bias"]


def test_a_saver_keeps_what_it_restores(models: Models) -> None:
    meta_graph = models.meta_graph("reference")
    pruned = prune_meta_graph(meta_graph, ["softmax:0"], keep_saver=True)
    assert pruned.saver_def == meta_graph.saver_def
    assert len(find_variables(pruned)) == len(find_variables(meta_graph))


def test_a_loop_that_lost_a_part_is_a_loop_still(models: Models, tmp_path: Path) -> None:
    meta_graph = models.meta_graph("control_flow_v1")
    pruned = prune_meta_graph(meta_graph, ["value:0"])
    contexts = {}
    for label, each in (("whole", meta_graph), ("pruned", pruned)):
        (data,) = each.collection_def["while_context"].bytes_list.value
        contexts[label] = schemas.WhileContextDef.FromString(data)
    there = {each.name for each in pruned.graph_def.node}
    assert len(contexts["whole"].loop_exit_names) == 3 and len(contexts["pruned"].loop_exit_names) == 1
    assert {node_of(name) for name in contexts["pruned"].values_def.values} <= there
    assert {node_of(name) for name in contexts["pruned"].values_def.external_values.values()} <= there
    # TensorFlow can still learn through it.
    expected = models.expected("control_flow_v1")
    job = {"feeds": expected["feeds"], "gradients": ["value:0", "model/kernel"], "fetches": [], "restore": models.prefix("control_flow_v1")}
    whole, ours = models.run(
        tmp_path,
        {"whole.meta": meta_graph, "pruned.meta": with_saver(pruned, find_variables(pruned))},
        [{"graph": "whole.meta", **job}, {"graph": "pruned.meta", **job}],
    )
    assert whole == ours and len(ours[0]) == 3


def test_a_context_whose_pivot_is_gone_goes() -> None:
    context = schemas.CondContextDef(pred_name="pred:0", pivot_name="pivot:0")
    nested = context.nested_contexts.add().while_ctxt
    nested.pivot_name = "gone:0"
    meta_graph = schemas.MetaGraphDef(graph_def=graph_of(node("Const", "pred"), node("NoOp", "pivot")))
    meta_graph.collection_def["cond_context"].bytes_list.value.append(context.SerializeToString())
    (data,) = prune_meta_graph(meta_graph, ["pred", "pivot"]).collection_def["cond_context"].bytes_list.value
    assert schemas.CondContextDef.FromString(data) == schemas.CondContextDef(
        pred_name="pred:0", pivot_name="pivot:0"
    )
    assert not prune_meta_graph(meta_graph, ["pred"]).collection_def


def test_unused_operations_are_forgotten(models: Models) -> None:
    pruned = prune_meta_graph(models.meta_graph("resource"), ["softmax:0"])
    described = {each.name for each in pruned.meta_info_def.stripped_op_list.op}
    assert described == {each.op for each in pruned.graph_def.node}


def test_every_saved_model_can_be_pruned_to_its_signatures(every_meta_graph: dict[str, Any]) -> None:
    pruned_some = 0
    for label, meta_graph in every_meta_graph.items():
        if "fuzz" in label or not meta_graph.signature_def:
            continue
        pruned = prune_meta_graph(meta_graph)
        assert 0 < len(pruned.graph_def.node) <= len(meta_graph.graph_def.node), label
        assert set(pruned.signature_def) == set(meta_graph.signature_def), label
        there = {each.name for each in pruned.graph_def.node}
        for each in pruned.graph_def.node:
            assert all(node_of(reference) in there for reference in each.input), label
        pruned_some += 1
    assert pruned_some >= 20


def test_signatures_are_chosen_by_name(read_meta_graphs: Callable[[str], list[Any]]) -> None:
    (meta_graph,) = read_meta_graphs("sm_tf_half_plus_two_v2/00000123/saved_model.pb")
    pruned = prune_meta_graph(meta_graph, signatures=["regress_x_to_y"])
    assert set(pruned.signature_def) == {"regress_x_to_y", "__saved_model_init_op"}
    assert len(pruned.graph_def.node) < len(meta_graph.graph_def.node)
