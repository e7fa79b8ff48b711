"""Each finding of a doctor is one sentence about one file, and says whether it is a problem."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np
import pytest

from tests.checkpoint.test_latest_verified import DATA, flip, save
from tfsaver import save_checkpoint
from tfsaver.checkpoint.checkpoint_state import update_checkpoint_state
from tfsaver.checkpoint.doctor import doctor as doctor_module
from tfsaver.checkpoint.doctor.damage import describe_damage, listed
from tfsaver.checkpoint.doctor.doctor import diagnose
from tfsaver.checkpoint.doctor.findings import of_other_files
from tfsaver.checkpoint.doctor.state_survey import in_order_of_age, is_newer, read_state_file
from tfsaver.checkpoint.retention_file import LedgerEntry, LedgerPage, write_ledger
from tfsaver.checkpoint.verify import Problem, VerifyReport, verify_checkpoint
from tfsaver.errors import DataLossError


def told(diagnosis: Any) -> set[tuple[str, str, str, bool]]:
    return {(each.kind, each.where, each.message, each.is_problem) for each in diagnosis.findings}


def names(directory: pathlib.Path) -> list[str]:
    return sorted(diagnose(directory).survey.checkpoints)


def test_every_entry_of_a_state_file_is_said_with_what_is_wrong(tmp_path: pathlib.Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    save(here, 1, 2, 3, state=False)
    save(elsewhere, 3, 7, state=False)
    (here / "folder").mkdir()
    path = str(here / "checkpoint")
    entries = [f"{here}/model.ckpt-1", "model.ckpt-9", f"{elsewhere}/model.ckpt-7", "/gone/model.ckpt-2", f"{elsewhere}/model.ckpt-3"]
    lines = [f'model_checkpoint_path: "{entries[-1]}"', *(f'all_model_checkpoint_paths: "{entry}"' for entry in entries)]
    pathlib.Path(path).write_text("\n".join(lines))
    newest = f"names {str(elsewhere / 'model.ckpt-3')!r} as the newest, which is in another directory"
    assert told(diagnose(here)) == {
        ("entry-absolute", path, f"names {str(here / 'model.ckpt-1')!r}: wrong as soon as the directory moves", False),
        ("entry-missing", path, "names 'model.ckpt-9', which is not there", True),
        ("entry-elsewhere", path, f"names {str(elsewhere / 'model.ckpt-7')!r}, which is in another directory", False),
        ("entry-moved", path, "names '/gone/model.ckpt-2', which is not there; 'model.ckpt-2' is in this directory", True),
        (
            "entry-elsewhere",
            path,
            f"{newest}; 'model.ckpt-3' is also in this directory, which was probably copied",
            True,
        ),
    }


def test_entries_that_cannot_be_prefixes_are_each_said_once(tmp_path: pathlib.Path) -> None:
    save(tmp_path, 1, state=False)
    for name in "ab":
        (tmp_path / name).mkdir()
    path = tmp_path / "checkpoint"
    path.write_text('model_checkpoint_path: "model.ckpt-1"\n' + "".join(f'all_model_checkpoint_paths: "{name}"\n' for name in "ab"))
    found = {kind: (where, message) for kind, where, message, _ in told(diagnose(tmp_path))}
    assert set(found) == {"state-file-unreadable", "entry-not-a-prefix"}
    assert found["state-file-unreadable"][1].startswith("is no sound state file: it lists what is not a checkpoint: ")
    assert found["entry-not-a-prefix"][1].startswith("names 'b': ") and str(tmp_path / "b") in found["entry-not-a-prefix"][1]


def test_entries_that_are_relative_and_there_are_nothing_to_say(tmp_path: pathlib.Path) -> None:
    one, two = save(tmp_path, 1, 2, state=False)
    update_checkpoint_state(tmp_path, two, [one, two], save_relative_paths=True, durable=False)
    diagnosis = diagnose(tmp_path)
    assert told(diagnosis) == set() and diagnosis.ok
    assert str(diagnosis) == f"{tmp_path}: 2 checkpoints, 0 problems; {two} is the newest that is sound"


def test_checkpoints_that_the_state_file_does_not_list_are_said_if_they_are_newer_and_usable(tmp_path: pathlib.Path) -> None:
    one, two, _, four = save(tmp_path, 1, 2, 3, 4, state=False)
    os.remove(f"{four}{DATA}")
    update_checkpoint_state(tmp_path, two, [two], save_relative_paths=True, durable=False)
    found = told(diagnose(tmp_path))
    message = "names 'model.ckpt-2' as the newest; newer, and not listed: 'model.ckpt-3'"
    assert ("state-file-behind", str(tmp_path / "checkpoint"), message, True) in found
    assert {kind for kind, *_ in found} == {"state-file-behind", "damaged"}
    assert one


def test_remarks_are_no_problems(tmp_path: pathlib.Path) -> None:
    one, two = save(tmp_path, 1, 2, state=False)
    update_checkpoint_state(tmp_path, two, [one, two], save_relative_paths=True, durable=False)
    (tmp_path / "model.ckpt-2.data-00000-of-00004").write_bytes(b"")
    (tmp_path / "model.ckpt-2.meta").write_bytes(b"")
    (tmp_path / "model.ckpt-0.meta").write_bytes(b"")
    leftover = tmp_path / "model.ckpt-1.index.tempstate123"
    leftover.write_bytes(b"12345")
    os.utime(leftover, (1e9, 1e9))
    write_ledger(
        str(tmp_path / "checkpoint.retention.json"),
        LedgerPage([LedgerEntry("model.ckpt-0", "model.ckpt", 1.0), LedgerEntry("model.ckpt-1", "model.ckpt", 2.0, is_pinned=True)]),
    )
    ledger = str(tmp_path / "checkpoint.retention.json")
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ok and told(diagnosis) == {
        ("stray-data", two, "data files that its index does not count: 'model.ckpt-2.data-00000-of-00004'", False),
        ("no-meta-graph", str(tmp_path), "without a .meta file: 'model.ckpt-1'", False),
        ("meta-graph-alone", str(tmp_path / "model.ckpt-0.meta"), "a graph without weights", False),
        ("leftover", str(leftover), "left by a save that was killed, 5 bytes", False),
        ("ledger-behind", ledger, "lists what is not there: 'model.ckpt-0'; the next save corrects it", False),
        ("pinned", ledger, "pinned: 'model.ckpt-1'", False),
    }
    assert [each.is_problem for each in of_other_files(diagnosis.survey)] == [False, False]


@pytest.mark.parametrize(("is_pinned", "kinds"), [(True, {"pinned"}), (False, set())])
def test_ledger_of_what_is_there_has_nothing_to_say_but_pins(tmp_path: pathlib.Path, is_pinned: bool, kinds: set[str]) -> None:
    [one] = save(tmp_path, 1, state=False)
    update_checkpoint_state(tmp_path, one, [one], save_relative_paths=True, durable=False)
    page = LedgerPage([LedgerEntry("model.ckpt-1", "model.ckpt", 1.0, is_pinned=is_pinned)])
    write_ledger(str(tmp_path / "checkpoint.retention.json"), page, durable=False)
    assert {kind for kind, *_ in told(diagnose(tmp_path))} == kinds


def test_unreadable_ledger_is_a_problem_that_says_what_nobody_knows(tmp_path: pathlib.Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "checkpoint.retention.json").write_text("{")
    [finding] = [each for each in diagnose(tmp_path).findings if each.kind == "ledger-unreadable"]
    assert finding.is_problem and finding.where == str(tmp_path / "checkpoint.retention.json")
    assert finding.message.startswith("nobody knows what is pinned: ")


def test_damaged_index_without_the_number_of_shards_is_taken_by_the_names_of_its_data(tmp_path: pathlib.Path) -> None:
    for name, others in {"none": [], "one": ["00001-of-00003"], "two": ["00000-of-00001", "00000-of-00002"]}.items():
        (tmp_path / f"{name}.index").write_bytes(b"damaged")
        for other in others:
            (tmp_path / f"{name}.data-{other}").write_bytes(b"12")
    found = diagnose(tmp_path).survey.checkpoints
    assert found["none"].missing == found["two"].missing == ()
    assert found["one"].missing == tuple(str(tmp_path / f"one.data-0000{number}-of-00003") for number in (0, 2))
    assert [len(found[name].paths) for name in ("none", "one", "two")] == [1, 2, 3]
    assert [found[name].num_bytes for name in ("none", "one", "two")] == [7, 9, 11]
    assert all(each.stray == () and each.version == "V2" for each in found.values())


def test_what_cannot_be_opened_or_is_too_short_is_no_checkpoint(tmp_path: pathlib.Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "short").write_bytes(bytes.fromhex("57fb808b247547db"))
    (tmp_path / "folder").mkdir()
    assert names(tmp_path) == ["model.ckpt-1"]
    (tmp_path / "long enough").write_bytes(bytes(40) + bytes.fromhex("57fb808b247547db"))
    assert names(tmp_path) == ["long enough", "model.ckpt-1"]


def test_checkpoints_are_read_from_the_newest_until_one_is_sound_and_so_is_what_the_state_file_names(
    tmp_path: pathlib.Path,
) -> None:
    one, two, three, four = save(tmp_path, 1, 2, 3, 4, state=False)
    flip(f"{four}{DATA}")
    update_checkpoint_state(tmp_path, one, [two, three, four, one], durable=False)
    read: list[tuple[str, int, int]] = []
    diagnosis = diagnose(tmp_path, progress=lambda *said: read.append(said))
    assert [each.found.prefix for each in diagnosis.checkpoints] == [two, three, four, one]
    assert [each.is_read for each in diagnosis.checkpoints] == [False, False, False, True]
    assert {prefix for prefix, _, _ in read} == {one} and read[-1] == (one, 4008, 4008)
    update_checkpoint_state(tmp_path, one, [one], durable=False)
    diagnosis = diagnose(tmp_path)
    assert [each.found.prefix for each in diagnosis.checkpoints] == [one, two, three, four]
    assert [each.is_read for each in diagnosis.checkpoints] == [True, False, True, True]
    assert all(each.is_read for each in diagnose(tmp_path, verify_all=True).checkpoints)


def test_missing_files_of_a_checkpoint_that_is_not_read_are_its_damage(tmp_path: pathlib.Path) -> None:
    one, _ = save(tmp_path, 1, 2)
    os.remove(f"{one}{DATA}")
    first, second = diagnose(tmp_path).checkpoints
    assert not first.is_read and not first.is_usable and not first.is_sound
    assert [tuple(each) for each in first.damage] == [(f"{one}{DATA}", None, None, (), f"{one}{DATA} is missing")]
    assert second.is_read and second.is_usable and second.is_sound


def test_error_of_the_system_about_one_checkpoint_is_said_of_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = save(tmp_path, 1, 2)
    verify = doctor_module.verify_checkpoint

    def failing(prefix: str, **options: Any) -> VerifyReport:
        if prefix == two:
            raise PermissionError(13, "not for you")
        return verify(prefix, **options)

    monkeypatch.setattr(doctor_module, "verify_checkpoint", failing)
    diagnosis = diagnose(tmp_path)
    assert diagnosis.newest_sound is not None and diagnosis.newest_sound.found.prefix == one
    assert ("unreadable", two, "[Errno 13] not for you", True) in told(diagnosis)

    def starved(prefix: str, **_: Any) -> VerifyReport:
        raise OSError(24, "too many files")

    monkeypatch.setattr(doctor_module, "verify_checkpoint", starved)
    with pytest.raises(OSError, match="too many files"):
        diagnose(tmp_path)


def test_recorded_order_comes_before_steps_and_of_the_others_the_newer_come_last(tmp_path: pathlib.Path) -> None:
    save(tmp_path, 1, 2, 3, 9, state=False)
    save(tmp_path, 5, state=False, name="best")
    found = diagnose(tmp_path).survey.checkpoints
    by_name = {name.rpartition("-")[2]: each for name, each in found.items()}
    ordered = [each.name for each in in_order_of_age(found.values(), ["model.ckpt-3", "model.ckpt-2"])]
    assert ordered == ["best-5", "model.ckpt-1", "model.ckpt-3", "model.ckpt-2", "model.ckpt-9"]
    again = [each.name for each in in_order_of_age(found.values(), ["model.ckpt-2", "model.ckpt-3", "model.ckpt-2"])]
    assert again == ordered
    assert [each.name for each in in_order_of_age(found.values())] == ["best-5", *(f"model.ckpt-{step}" for step in (1, 2, 3, 9))]
    assert is_newer(by_name["3"], by_name["2"]) and not is_newer(by_name["2"], by_name["3"])
    assert not is_newer(by_name["2"], by_name["2"]) and not is_newer(by_name["5"], by_name["2"])


def test_state_file_keeps_its_times_and_a_broken_one_its_sound_lines(tmp_path: pathlib.Path) -> None:
    one, two = save(tmp_path, 1, 2, state=False)
    update_checkpoint_state(
        tmp_path, two, [one, two], all_model_checkpoint_timestamps=[1.5, 2.5], last_preserved_timestamp=0.5, durable=False
    )
    state = read_state_file(str(tmp_path))
    assert state.is_there and state.error is None and state.newest is not None
    assert [state.time_of(entry) for entry in state.entries] == [1.5, 2.5] and state.last_preserved_timestamp == 0.5
    assert [entry.text for entry in state.recorded] == [one, two]
    path = tmp_path / "checkpoint"
    path.write_text(f'broken: [\nall_model_checkpoint_paths: "{one}"\nmodel_checkpoint_path: "{two}"\n')
    state = read_state_file(str(tmp_path))
    assert state.error is not None and state.newest is not None and state.newest.text == two
    assert [entry.text for entry in state.entries] == [one] and state.timestamps == []
    assert [entry.text for entry in state.recorded] == [one, two]
    path.write_text("")
    assert str(read_state_file(str(tmp_path)).error) == "it names no newest checkpoint"
    path.unlink()
    path.mkdir()
    state = read_state_file(str(tmp_path))
    assert state.is_there and isinstance(state.error, IsADirectoryError)
    assert not read_state_file(str(tmp_path / "nowhere")).is_there


def test_names_are_listed_up_to_a_limit() -> None:
    names = [f"n{number}" for number in range(1004)]
    assert listed(names[:3]) == "'n0', 'n1', 'n2'"
    assert listed(names[:4]) == "'n0', 'n1', 'n2' and 1 more"
    assert listed(names) == "'n0', 'n1', 'n2' and 1,001 more"
    assert listed(names[:3], 2) == "'n0', 'n1' and 1 more"


def test_errors_of_other_kinds_are_each_a_damage() -> None:
    errors = [DataLossError(text) for text in ("one", "two")]
    for error in errors:
        error.path, error.offset, error.size = "m", 8, 4
    damage = describe_damage(VerifyReport("m", problems=[Problem(name, error) for name, error in zip("ab", errors, strict=True)]))
    assert [(each.tensors, each.offset, each.size) for each in damage] == [(("a",), 8, 4), (("b",), 8, 4)]


def test_bytes_that_several_tensors_lost_together_are_one_damage(tmp_path: pathlib.Path) -> None:
    prefix = save_checkpoint({name: np.ones(10) for name in "abcd"}, tmp_path / "m", durable=False)
    os.truncate(f"{prefix}{DATA}", 100)
    flip(f"{prefix}{DATA}", 0)
    damage = {each.tensors: each for each in describe_damage(verify_checkpoint(prefix))}
    assert set(damage) == {("a",), ("b", "c", "d")}
    assert (damage["a",].offset, damage["a",].size) == (0, 80)
    ends = damage["b", "c", "d"]
    assert (ends.path, ends.offset, ends.size) == (f"{prefix}{DATA}", 80, 240)
    assert ends.message == f"{ends.path} ends at byte 100, bytes 80 to 320 are needed; lost with them: 'b', 'c', 'd'"
    assert str(ends) == ends.message
