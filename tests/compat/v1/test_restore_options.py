"""A session restores into a program that has changed: each option on the call, on the Saver, and on a patched program."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver import latest_checkpoint
from tfsaver.checkpoint.latest_verified import latest_verified_checkpoint
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.compat import patch_tensorflow
from tfsaver.compat.v1 import train
from tfsaver.errors import InvalidArgumentError

F4 = np.float32
_AVERAGE = "ExponentialMovingAverage"

# What the file has, the option, and what w, b and the step then are.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[Any, Any, int]]] = {
    "mapping": (
        {"old/w": np.full(3, 4, F4), "old/b": np.full(2, 5, F4), "global_step": np.int64(40)},
        {"mapping": {"old/w": "w", "old/b": "b"}},
        (4, 5, 40),
    ),
    "cast": (
        {"w": np.full(3, 4, np.float16), "b": np.full(2, 5, np.float64), "global_step": np.int32(40)},
        {"cast": True},
        (4, 5, 40),
    ),
    "scope": (
        {"old/w": np.full(3, 4, F4), "old/b": np.full(2, 5, F4), "old/global_step": np.int64(40), "w": np.full(3, 9, F4)},
        {"scope": "old"},
        (4, 5, 40),
    ),
    "averages": (
        {"w": np.full(3, 9, F4), f"w/{_AVERAGE}": np.full(3, 4, F4), "b": np.full(2, 5, F4), "global_step": np.int64(40)},
        {"averages": True},
        (4, 5, 40),
    ),
    "guesses": (
        {"kernel_of_w": np.full(3, 4, F4), "b": np.full(2, 5, F4), "global_step": np.int64(40)},
        {"accept_guesses": True},
        (4, 5, 40),
    ),
    "missing": (
        {"w": np.full(3, 4, F4), "global_step": np.int64(40), "unrelated": np.zeros(1, F4)},
        {"strict": False, "initialize_missing": True},
        (4, 7, 40),
    ),
    "select": (
        {"w": np.full(3, 4, F4), "b": np.full(9, 5, F4), "global_step": np.int64(40)},
        {"select": ["^w$", "step"], "initialize_missing": True},
        (4, 7, 40),
    ),
}


def program(tf: Any, *, use_resource: bool = True) -> tuple[Any, Any, Any]:
    v1 = tf.compat.v1
    step = v1.train.get_or_create_global_step()
    w = v1.get_variable("w", [3], initializer=v1.zeros_initializer(), use_resource=use_resource)
    b = v1.get_variable("b", [2], initializer=v1.constant_initializer(7.0), use_resource=use_resource)
    return w, b, step


def assert_values(values: tuple[Any, Any, Any], expected: tuple[Any, Any, int]) -> None:
    w, b, step = values
    assert w.tolist() == [expected[0]] * 3 and b.tolist() == [expected[1]] * 2 and int(step) == expected[2]


def monitored(tf: Any, directory: pathlib.Path, make_saver: Callable[[], Any] | None = None) -> Any:
    """A program as it stands, whose session restores by itself."""
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        variables = program(tf)
        scaffold = v1.train.Scaffold(saver=make_saver()) if make_saver else None
        with v1.train.MonitoredTrainingSession(
            checkpoint_dir=str(directory), scaffold=scaffold, save_checkpoint_steps=100, save_summaries_steps=None,
            save_summaries_secs=None, log_step_count_steps=None,
        ) as session:
            return session.run(variables)


@pytest.fixture(params=CASES)
def case(request: Any, tmp_path: pathlib.Path) -> tuple[str, dict[str, Any], tuple[Any, Any, int]]:
    tensors, options, expected = CASES[request.param]
    path = tfsaver.save_checkpoint(tensors, tmp_path / "model.ckpt-40", durable=False)
    train.update_checkpoint_state(tmp_path, path)
    return str(path), options, expected


@pytest.mark.parametrize("use_resource", [True, False])
def test_option_of_the_call_is_obeyed(tf: Any, session: Any, case: Any, use_resource: bool) -> None:
    path, options, expected = case
    variables = program(tf, use_resource=use_resource)
    dry = train.Saver().restore(session, path, dry_run=True, **options)
    assert dry is not None and dry.matched
    report = train.Saver().restore(session, path, **options)
    assert isinstance(report, MatchReport) and {item.name for item in report.matched} >= {"w", "global_step"}
    assert report.initialized == (("b",) if expected[1] == 7 else ())
    assert_values(session.run(variables), expected)


def test_option_of_the_saver_is_obeyed(tf: Any, session: Any, case: Any, tmp_path: pathlib.Path) -> None:
    path, options, expected = case
    options = dict(options)
    select = options.pop("select", None)
    if select is not None:
        # A Saver's own select says what is saved, too.
        options["strict"] = False
    variables = program(tf)
    saver = train.Saver(select=select, **options)
    assert saver.restore_latest(session, tmp_path) == path
    assert_values(session.run(variables), expected)


def test_option_of_a_patch_is_obeyed_by_a_program_as_it_stands(tf: Any, case: Any, tmp_path: pathlib.Path) -> None:
    _, options, expected = case
    with patch_tensorflow(**options):
        assert_values(monitored(tf, tmp_path), expected)


def test_saver_that_is_not_strict_initializes_in_a_monitored_session(tf: Any, tmp_path: pathlib.Path) -> None:
    tensors, _, expected = CASES["missing"]
    train.update_checkpoint_state(tmp_path, tfsaver.save_checkpoint(tensors, tmp_path / "model.ckpt-40", durable=False))
    assert_values(monitored(tf, tmp_path, lambda: train.Saver(strict=False)), expected)


def test_call_comes_before_the_saver_and_that_before_the_patch(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    path = tfsaver.save_checkpoint({"a": np.ones(3, F4), "c": np.full(3, 2, F4), "d": np.full(3, 3, F4)}, tmp_path / "m")
    w = tf.compat.v1.get_variable("w", [3], use_resource=True)
    with patch_tensorflow(mapping={"a": "w"}):
        train.Saver([w]).restore(session, path)
        assert session.run(w).tolist() == [1] * 3
        with patch_tensorflow(mapping={"c": "w"}):
            train.Saver([w]).restore(session, path)
            assert session.run(w).tolist() == [2] * 3
        train.Saver([w], mapping={"d": "w"}).restore(session, path)
        assert session.run(w).tolist() == [3] * 3
        train.Saver([w], mapping={"d": "w"}).restore(session, path, mapping={"c": "w"})
        assert session.run(w).tolist() == [2] * 3
    with pytest.raises(tf.errors.NotFoundError):
        train.Saver([w]).restore(session, path)


def test_mapping_that_the_error_prints_is_accepted(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    path = tfsaver.save_checkpoint({"net/dense/weights": np.arange(6, dtype=F4).reshape(3, 2)}, tmp_path / "m")
    kernel = tf.compat.v1.get_variable("dense/kernel", [2, 3], use_resource=True)
    saver = train.Saver([kernel])
    with pytest.raises(tf.errors.NotFoundError, match="mapping=") as caught:
        saver.restore(session, path)
    assert "'net/dense/weights': {'to': 'dense/kernel', 'transpose': [1, 0]}" in str(caught.value)
    report = saver.restore(session, path, strict=False)
    assert report is not None and not report.matched
    again = saver.restore(session, path, mapping=report.mapping)
    assert again is not None and again.ok
    assert session.run(kernel).tolist() == [[0, 2, 4], [1, 3, 5]]


def test_cast_that_loses_more_than_precision_changes_nothing(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    path = tfsaver.save_checkpoint({"w": np.float64([1, 1e300]), "v": np.float64([2])}, tmp_path / "m")
    v1 = tf.compat.v1
    w, v = (v1.get_variable(name, shape, initializer=v1.zeros_initializer()) for name, shape in (("w", [2]), ("v", [1])))
    session.run([w.initializer, v.initializer])
    with pytest.raises(tf.errors.InvalidArgumentError, match="casting loses values"):
        train.Saver([w, v]).restore(session, path, cast=True)
    assert session.run(v).tolist() == [0]


def test_parts_of_a_variable_get_their_rows_of_a_renamed_tensor(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    full = np.arange(10, dtype=np.float64).reshape(5, 2)
    path = tfsaver.save_checkpoint({"old": full}, tmp_path / "m")
    parts = v1.get_variable("emb", [5, 2], partitioner=v1.fixed_size_partitioner(2), use_resource=True)
    train.Saver([parts]).restore(session, path, mapping={"old": "emb"}, cast=True)
    np.testing.assert_array_equal(np.concatenate(session.run(list(parts))), full)


def test_object_that_restores_itself_is_refused_by_name(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    w = v1.get_variable("w", [3], initializer=v1.zeros_initializer())
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table")
    session.run([w.initializer, table.insert(tf.constant(["a"]), tf.constant([1], tf.int64))])
    saver = train.Saver({"w": w, "table": table})
    path = saver.save(session, str(tmp_path / "m"))
    with pytest.raises(tf.errors.UnimplementedError, match=r"cast=.*table"):
        saver.restore(session, path, cast=True)
    assert saver.restore(session, path, cast=True, select=tfsaver.Selection(exclude="table")).ok  # type: ignore[union-attr]


def test_save_dtype_is_written_reported_and_restored(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    w = v1.get_variable("w", initializer=np.float32([1, 1 / 3]), use_resource=True)
    step = v1.get_variable("step", initializer=np.int64(9), use_resource=True)
    session.run([w.initializer, step.initializer])
    saver = train.Saver([w, step], save_dtype="bfloat16")
    for blocking in (True, False):
        path = saver.save(session, str(tmp_path / f"m-{blocking}"), blocking=blocking)
        saver.wait()
        assert {name: info.dtype.name for name, info in ((n, tfsaver.load_checkpoint(path).info(n)) for n in ("w", "step"))} == {
            "w": "bfloat16", "step": "int64",
        }
        assert list(saver.save_losses) == ["w"] and not saver.save_losses["w"].is_refused
    session.run([w.assign([0.0, 0.0]), step.assign(0)])
    saver.restore(session, path)
    assert session.run(step) == 9 and abs(session.run(w)[1] - 1 / 3) < 0.01
    with pytest.raises(tf.errors.InvalidArgumentError, match="dtype"):
        saver.restore(session, path, cast=False)
    session.run(w.assign([1e38, 3.4e38]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="casting loses values"):
        train.Saver([w], save_dtype="float16").save(session, str(tmp_path / "lossy"))
    assert not list(tmp_path.glob("lossy*"))


def test_option_that_makes_no_sense_is_an_error_before_anything_is_patched(tf: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        patch_tensorflow(mapping=3)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="include and exclude"):
        train.Saver([], allow_empty=True).restore(None, "m", select=tfsaver.Selection(trainable_only=True))
    assert tf.compat.v1.train.Saver is not train.Saver


def test_path_that_no_state_file_can_name_is_refused_before_anything_is_written(
    tf: Any, session: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    w = tf.compat.v1.get_variable("w", initializer=np.float32([1, 2]), use_resource=True)
    session.run(w.initializer)
    saver = train.Saver([w])
    (tmp_path / "run").mkdir()
    for path, said in (("run/", r"run/model\.ckpt"), (os.fsdecode(b"run/m\xff"), "not UTF-8")):
        with pytest.raises(InvalidArgumentError, match=said):
            saver.save(session, path)
        assert not list((tmp_path / "run").iterdir())
    directory = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")
    os.mkdir(directory)
    saver.save(session, f"{directory}/model", 1)
    assert pathlib.Path(directory, "checkpoint").read_text().startswith('model_checkpoint_path: "model-1"\n')


def test_error_says_what_is_at_a_path_that_is_no_checkpoint(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    w = tf.compat.v1.get_variable("w", [2], use_resource=True)
    tfsaver.save_checkpoint({"w": np.zeros(2, F4)}, tmp_path / "model-7", durable=False)
    with pytest.raises(ValueError, match=r"^The passed save_path is not a valid checkpoint: .*'model-7'"):
        train.Saver([w]).restore(session, tmp_path / "model")
    with pytest.raises(ValueError, match=r"^Can't load save_path when it is None.*restore_latest"):
        train.Saver([w]).restore(session, None)


def test_link_that_leads_out_is_refused_unless_trusted(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    w = tf.compat.v1.get_variable("w", [3], use_resource=True)
    (tmp_path / "run").mkdir()
    path = tfsaver.save_checkpoint({"w": np.full(3, 4, np.float16)}, tmp_path / "run" / "model", durable=False)
    data = tmp_path / "run" / "model.data-00000-of-00001"
    os.replace(data, tmp_path / "moved")
    os.symlink(tmp_path / "moved", data)
    for act in (
        lambda: train.Saver([w], trusted=False).restore(session, path, cast=True),
        lambda: train.Saver([w]).restore(session, path, trusted=False),
        lambda: train.Saver([w]).restore_latest(session, tmp_path / "run", cast=True, trusted=False),
    ):
        with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.DataLossError), match="leads? out|outside"):
            act()
    train.Saver([w], trusted=False).restore(session, path, cast=True, trusted=True)
    assert session.run(w).tolist() == [4] * 3


def test_patch_that_trusts_nothing_refuses_a_link_that_leads_out(tf: Any, tmp_path: pathlib.Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    path = tfsaver.save_checkpoint(CASES["cast"][0], run / "model.ckpt-40", durable=False)
    train.update_checkpoint_state(run, path)
    data = run / "model.ckpt-40.data-00000-of-00001"
    os.replace(data, tmp_path / "moved")
    os.symlink(tmp_path / "moved", data)
    with patch_tensorflow(trusted=False, cast=True), pytest.raises(tf.errors.InvalidArgumentError, match="leads? out|outside"):
        monitored(tf, run)
    with patch_tensorflow(trusted=True, cast=True):
        assert_values(monitored(tf, run), CASES["cast"][2])


def test_patch_with_a_dry_run_reports_and_assigns_nothing(
    tf: Any, session: Any, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    w = tf.compat.v1.get_variable("w", [3], initializer=tf.compat.v1.zeros_initializer(), use_resource=True)
    session.run(w.initializer)
    path = tfsaver.save_checkpoint({"w": np.full(3, 4, F4)}, tmp_path / "model", durable=False)
    with patch_tensorflow(dry_run=True), caplog.at_level("INFO"):
        tf.compat.v1.train.Saver([w]).restore(session, str(path))
    assert session.run(w).tolist() == [0] * 3 and "w" in caplog.text
    data = tmp_path / "model.data-00000-of-00001"
    data.write_bytes(b"\1" + data.read_bytes()[1:])
    with patch_tensorflow(dry_run=True):
        tf.compat.v1.train.Saver([w]).restore(session, str(path))
    with patch_tensorflow(dry_run="values"), pytest.raises(tf.errors.DataLossError):
        tf.compat.v1.train.Saver([w]).restore(session, str(path))
    assert session.run(w).tolist() == [0] * 3


@pytest.mark.parametrize("num", [1, 130], ids=["few", "by operations"])
@pytest.mark.parametrize("blocking", [True, False])
def test_directory_that_is_not_text_keeps_its_checkpoints(
    tf: Any, session: Any, tmp_path: pathlib.Path, num: int, blocking: bool
) -> None:
    v1 = tf.compat.v1
    variables = [v1.get_variable(f"w{index}", initializer=np.full(2, index, F4), use_resource=True) for index in range(num)]
    session.run(v1.global_variables_initializer())
    directory = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")
    os.mkdir(directory)
    saver = train.Saver(durable=False, blocking=blocking)
    path = saver.save(session, f"{directory}/model", 1)
    saver.wait()
    assert path == f"{directory}/model-1" == train.latest_checkpoint(directory)
    assert latest_verified_checkpoint(directory).prefix == path == latest_checkpoint(directory, trusted=False)
    assert saver.last_checkpoints == [path]
    for restore in (
        lambda: saver.restore(session, path),
        lambda: train.Saver().restore(session, path, cast=True),
        lambda: train.Saver().restore_latest(session, directory),
    ):
        session.run([variable.assign([-1, -1]) for variable in variables])
        restore()
        assert [value.tolist() for value in session.run(variables)] == [[index] * 2 for index in range(num)]
    # A message cannot hold the name, and says so; what is written there is not.
    with pytest.raises(InvalidArgumentError, match="latest_checkpoint returns the path"):
        train.get_checkpoint_state(directory)
    with pytest.raises(InvalidArgumentError, match="debug info"):
        saver.save(session, f"{directory}/model", 2, save_debug_info=True)
    assert not train.checkpoint_exists(f"{directory}/model-2")


def test_eager_variables_are_saved_to_a_directory_that_is_not_text(tf: Any, tmp_path: pathlib.Path) -> None:
    directory = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")
    os.mkdir(directory)
    w = tf.Variable([1.0, 2.0], name="w")
    saver = train.Saver([w], durable=False)
    path = saver.save(None, f"{directory}/model", 1)
    w.assign([0.0, 0.0])
    saver.restore(None, train.latest_checkpoint(directory))
    assert path == f"{directory}/model-1" and w.numpy().tolist() == [1.0, 2.0]
