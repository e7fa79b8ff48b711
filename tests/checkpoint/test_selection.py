"""What is kept of a model, and what that saves."""

from __future__ import annotations

import pathlib
import pickle

import numpy as np
import pytest

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.selection import Selectable, Selection, SelectionReport, as_selection
from tfsaver.errors import InvalidArgumentError

MODEL = {
    "bert/kernel": Selectable((4, 3), 48),
    "bert/kernel/Adam": Selectable((4, 3), 48),
    "bert/kernel/Adam_1": Selectable((4, 3), 48),
    "head/bias": Selectable((3,), 12),
    "head/bias/Adam": Selectable((3,), 12),
    "head/bias/Adam_1": Selectable((3,), 12),
    "beta1_power": Selectable((), 4),
    "global_step": Selectable((), 8),
}


def kept(selection: Selection, **options: object) -> list[str]:
    return list(selection.select(MODEL, **options).kept)  # type: ignore[arg-type]


def test_without_optimizer() -> None:
    report = Selection(without_optimizer=True).select(MODEL)
    assert report.kept == ("bert/kernel", "head/bias", "global_step")
    assert set(report.left_out.values()) == {"state of the optimizer Adam"}
    assert (report.num_parameters_kept, report.num_parameters_left_out) == (16, 31)
    assert (report.num_bytes_kept, report.num_bytes_left_out) == (68, 124)
    assert report.share_left_out == 124 / 192


def test_patterns_are_searched_for_anywhere() -> None:
    assert kept(Selection(include="^bert/", exclude="Adam")) == ["bert/kernel"]
    assert kept(Selection(include=("bias$", "kernel$"))) == ["bert/kernel", "head/bias"]
    assert kept(Selection(exclude=["/"])) == ["beta1_power", "global_step"]


def test_patterns_see_the_paths_of_objects_and_their_whole_keys() -> None:
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    names = ["net/dense/kernel", "net/dense/bias", "net/dense/kernel/.OPTIMIZER_SLOT/opt/m", "save_counter"]
    tensors = {name + end: Selectable((2,), 8) for name in names} | {"table/.ATTRIBUTES/table-keys": Selectable((2,), 8)}

    def chosen(**rules: str) -> list[str]:
        return [name.removesuffix(end) for name in Selection(**rules).select(tensors).kept]  # type: ignore[arg-type]

    assert chosen(include="/kernel$") == ["net/dense/kernel"]
    assert chosen(include="/m$") == ["net/dense/kernel/.OPTIMIZER_SLOT/opt/m"]
    assert chosen(include="kernel/.ATTRIBUTES/VARIABLE_VALUE$") == ["net/dense/kernel"]
    assert chosen(include="-keys$") == ["table/.ATTRIBUTES/table-keys"]
    assert chosen(include="^net/", exclude="(bias|/m)$") == ["net/dense/kernel"]
    with pytest.raises(InvalidArgumentError, match="did you mean 'net/dense/kernel'"):
        chosen(include="^net/dense/kernl$")


def test_what_only_the_program_knows_is_given_as_names() -> None:
    assert kept(Selection(trainable_only=True), trainable=["bert/kernel", "head/bias"]) == ["bert/kernel", "head/bias"]
    assert kept(Selection(collection="moving"), in_collection={"global_step"}) == ["global_step"]
    report = Selection(collection="moving").select(MODEL, in_collection={"global_step"})
    assert report.left_out["head/bias"] == "not in the collection 'moving'"


@pytest.mark.parametrize("selection", [Selection(trainable_only=True), Selection(collection="moving")])
def test_what_only_the_program_knows_is_needed(selection: Selection) -> None:
    with pytest.raises(InvalidArgumentError, match="needs a program's graph"):
        selection.select(MODEL)


def test_first_rule_that_says_no_is_the_reason() -> None:
    selection = Selection(include="/", exclude="_1$", without_optimizer=True, trainable_only=True)
    report = selection.select(MODEL, trainable={name for name in MODEL if "head" not in name})
    assert report.left_out == {
        "bert/kernel/Adam": "state of the optimizer Adam",
        "bert/kernel/Adam_1": "excluded by '_1$'",
        "head/bias": "not trainable",
        "head/bias/Adam": "not trainable",
        "head/bias/Adam_1": "not trainable",
        "beta1_power": "not included",
        "global_step": "not included",
    }


def test_report_says_what_is_left_out_and_why() -> None:
    report = Selection(without_optimizer=True, exclude="nothing", allow_unmatched=True).select(MODEL)
    assert str(report) == (
        "kept:     3 tensors, 16 parameters, 68 bytes\n"
        "left out: 5 tensors, 31 parameters, 124 bytes (64.6% of all)\n"
        "    state of the optimizer Adam: bert/kernel/Adam, bert/kernel/Adam_1, head/bias/Adam, and 2 more\n"
        "note: 'nothing', to be excluded, is in none of 8 names"
    )


def test_report_of_one_tensor_without_bytes() -> None:
    report = Selection(include="a").select({"a": Selectable(None, 0)})
    assert (
        str(report) == "kept:     1 tensor, 0 parameters, 0 bytes\nleft out: 0 tensors, 0 parameters, 0 bytes (0.0% of all)"
    )


def test_pattern_that_matches_nothing_is_a_mistake() -> None:
    with pytest.raises(InvalidArgumentError, match=r"in none of 8 names; did you mean 'bert/kernel'"):
        kept(Selection(include=["bias", "^bert/kernal$"]))


def test_selection_that_keeps_nothing_is_a_mistake() -> None:
    with pytest.raises(InvalidArgumentError, match="keeps none of 8 tensors"):
        kept(Selection(exclude="."))


@pytest.mark.parametrize("arguments", [{}, {"include": "("}, {"exclude": [3]}, {"include": [], "collection": ""}])
def test_selection_that_makes_no_sense_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError):
        Selection(**arguments)  # type: ignore[arg-type]


def test_tensor_of_unknown_shape_is_kept() -> None:
    report = Selection(without_optimizer=True).select({"w": Selectable(None, 0), "w/Adam": Selectable(None, 0)})
    assert report.kept == ("w", "w/Adam")


def test_selection_from_a_checkpoint(tmp_path: pathlib.Path) -> None:
    tensors = {
        "w": np.zeros((2, 3), np.float32),
        "w/Momentum": np.zeros((2, 3), np.float32),
        "names": np.array([b"ab"], object),
    }
    save_checkpoint(tensors, tmp_path / "m", durable=False)
    with load_checkpoint(tmp_path / "m") as reader:
        report = Selection(without_optimizer=True).select_from(reader)
        assert (report.kept, report.num_bytes_left_out) == (("names", "w"), 24)
        assert report.num_bytes_kept == sum(reader.info(name).num_bytes for name in report.kept)


def test_selection_from_object_based_checkpoints(cases: pathlib.Path) -> None:
    found = 0
    for path in sorted(cases.rglob("*.index")):
        with load_checkpoint(path) as reader:
            if "_CHECKPOINTABLE_OBJECT_GRAPH" not in reader:
                continue
            report = Selection(without_optimizer=True).select_from(reader)
        assert "_CHECKPOINTABLE_OBJECT_GRAPH" not in (*report.kept, *report.left_out)
        found += bool(report.left_out)
    assert found > 3


def test_report_and_selection_pickle() -> None:
    selection = Selection(include="w", without_optimizer=True)
    assert pickle.loads(pickle.dumps(selection)) == selection
    report = selection.select({"w": Selectable((1,), 4)})
    assert pickle.loads(pickle.dumps(report)) == report and isinstance(report, SelectionReport)


def test_pattern_stands_for_a_selection() -> None:
    assert as_selection("^bert/") == as_selection(["^bert/"]) == Selection(include=("^bert/",))
    selection = Selection(without_optimizer=True)
    assert as_selection(selection) is selection
    for nonsense in (7, [7], None, {"w": 1}):
        with pytest.raises(InvalidArgumentError, match="a selection is"):
            as_selection(nonsense)


def test_report_of_a_selection_has_every_fact_in_json() -> None:
    report = Selection(include="bert|step", exclude="Adam").select(MODEL)
    document = report.to_json()
    assert document == {
        "ok": True,
        "kept": ["bert/kernel", "global_step"],
        "left_out": [{"name": name, "reason": reason} for name, reason in report.left_out.items()],
        "num_parameters_kept": 13,
        "num_parameters_left_out": 34,
        "num_bytes_kept": 56,
        "num_bytes_left_out": 136,
        "share_left_out": 136 / 192,
        "notes": list(report.notes),
    }
    assert len(document["left_out"]) == 6
