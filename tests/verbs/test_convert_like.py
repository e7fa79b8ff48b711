"""`convert(like=)`: tensors get the names and shapes of a model's file, by evidence, and what is left over is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.tensor_bundle.tensors import assert_equal
from tfsaver.errors import InvalidArgumentError, OptionError

_RANDOM = np.random.default_rng(7)


def _numbers(*shape: int) -> Any:
    return _RANDOM.standard_normal(shape).astype(np.float32)


OLD = {
    "encoder/layer_0/dense/kernel": _numbers(8, 4),
    "encoder/layer_0/dense/bias": _numbers(4),
    "encoder/layer_1/dense/kernel": _numbers(4, 6),
    "encoder/layer_1/dense/bias": _numbers(6),
    "step": np.int64(4),
}
MODEL = {
    "encoder.layer_0.dense.weight": _numbers(4, 8),
    "encoder.layer_0.dense.bias": _numbers(4),
    "encoder.layer_1.dense.weight": _numbers(6, 4),
    "encoder.layer_1.dense.bias": _numbers(6),
    "step": np.int64(0),
}
EXPECTED = {
    name: OLD["step"] if name == "step" else OLD[name.replace(".", "/").replace("weight", "kernel")].T for name in MODEL
}


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("suffix", ["npz", "ckpt"])
def test_names_and_axes_become_those_of_the_model(tmp_path: Path, suffix: str) -> None:
    tfsaver.convert(MODEL, tmp_path / "model.npz")
    target = tmp_path / f"new.{suffix}"
    report = tfsaver.convert(OLD, target, like=tmp_path / "model.npz")
    mapping = Path(f"{target}.mapping.toml")
    assert any(str(mapping) in note for note in report.notes)
    # The file alone does the same.
    tfsaver.convert(OLD, tmp_path / "again.npz", mapping=mapping)
    for path in (target, tmp_path / "again.npz"):
        with tfsaver.load_checkpoint(path) as reader:
            assert set(reader.names) == set(MODEL)
            for name, expected in EXPECTED.items():
                assert_equal(reader[name], expected)


def test_what_is_left_over_is_refused_with_a_file_to_edit(tmp_path: Path) -> None:
    model = {**MODEL, "decoder.weight": _numbers(5, 7)}
    old = {**OLD, "strange": _numbers(7, 5), "encoder/layer_0/dense/kernel/Adam": _numbers(8, 4)}
    with pytest.raises(InvalidArgumentError) as caught:
        tfsaver.convert(old, tmp_path / "new.npz", like=model)
    said = str(caught.value)
    assert "decoder.weight is missing" in said and "strange is for nothing in the model" in said
    assert "--essential" in said and [path.name for path in tmp_path.iterdir()] == ["new.npz.mapping.toml"]
    text = (tmp_path / "new.npz.mapping.toml").read_text()
    assert '# ? = "decoder.weight"' in text and '# "strange" = ?' in text
    line = '"strange" = {to = "decoder.weight", transpose = true}'
    edited = _written(tmp_path / "mine.toml", text.replace('# "strange" = ?', line))
    tfsaver.convert(old, tmp_path / "new.npz", like=model, mapping=edited, allow_unused=True)
    with tfsaver.load_checkpoint(tmp_path / "new.npz") as reader:
        assert set(reader.names) == set(model)
        assert_equal(reader["decoder.weight"], old["strange"].T)


def test_square_matrix_is_not_guessed_to_stand_upright(tmp_path: Path) -> None:
    old = {**OLD, "head/kernel": _numbers(5, 5), "head/bias": _numbers(5)}
    model = {**MODEL, "head.weight": _numbers(5, 5), "head.bias": _numbers(5)}
    with pytest.raises(InvalidArgumentError, match=re.escape("head/kernel fits head.weight as it is, and with its axes turned")):
        tfsaver.convert(old, tmp_path / "new.npz", like=model)
    text = (tmp_path / "new.npz.mapping.toml").read_text()
    for line, expected in (
        ('"head/kernel" = "head.weight"', old["head/kernel"]),
        ('"head/kernel" = {to = "head.weight", transpose = true}', old["head/kernel"].T),
    ):
        edited = _written(tmp_path / "mine.toml", text.replace(f"# {line}\n", f"{line}\n"))
        tfsaver.convert(old, tmp_path / "new.npz", like=model, mapping=edited)
        with tfsaver.load_checkpoint(tmp_path / "new.npz") as reader:
            assert_equal(reader["head.weight"], expected)


def test_square_matrix_of_the_same_name_is_in_doubt_where_others_are_turned(tmp_path: Path) -> None:
    square = {"a": _numbers(3, 3)}
    assert not tfsaver.convert(square, tmp_path / "same.npz", like={"a": _numbers(3, 3)}).renamed
    with pytest.raises(InvalidArgumentError, match="a fits a as it is"):
        tfsaver.convert({**square, "b": _numbers(3, 4)}, tmp_path / "x.npz", like={**square, "b": _numbers(4, 3)})


def test_proposal_is_not_written_over_another_file(tmp_path: Path) -> None:
    mapping = _written(tmp_path / "new.npz.mapping.toml", "# mine\n")
    tfsaver.convert(OLD, tmp_path / "new.npz", like=MODEL)
    assert mapping.read_text() == "# mine\n" and (tmp_path / "new.npz.mapping-2.toml").exists()
    report = tfsaver.convert(OLD, tmp_path / "trial.npz", like=MODEL, dry_run=True)
    assert any("a mapping was proposed" in note for note in report.notes)
    assert not list(tmp_path.glob("trial*"))


def test_floats_of_another_type_are_those_of_the_model(tmp_path: Path) -> None:
    model = {name: value.astype(np.float16) if value.dtype == np.float32 else value for name, value in MODEL.items()}
    tfsaver.convert(OLD, tmp_path / "new.npz", like=model)
    with tfsaver.load_checkpoint(tmp_path / "new.npz") as reader:
        assert reader.info("encoder.layer_0.dense.bias").dtype.name == "float32"


def test_gates_in_another_order_are_never_proposed(tmp_path: Path) -> None:
    old = {"lstm/wx": _numbers(3, 8), "lstm/wh": _numbers(2, 8), "lstm/b": _numbers(8)}
    model = {f"lstm.{word}_l0": np.zeros(shape, np.float32) for word, shape in {"weight_ih": (8, 3), "weight_hh": (8, 2)}.items()}
    with pytest.raises(InvalidArgumentError, match="lstm.weight_ih_l0 is missing"):
        tfsaver.convert(old, tmp_path / "new.npz", like=model)
    assert not (tmp_path / "new.npz").exists()


def test_objects_are_written_in_their_own_format(tmp_path: Path) -> None:
    objects = tfsaver.save_checkpoint({"w": np.ones(2)}, tmp_path / "objects", object_graph={"w": "w"})
    with pytest.raises(OptionError, match="--to object"):
        tfsaver.convert({"w": np.zeros(2)}, tmp_path / "new", like=objects)
