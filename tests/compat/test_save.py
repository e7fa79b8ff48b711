"""A save holds one batch of values at a time, and takes back the directory it made when it fails."""

from __future__ import annotations

import gc
import pathlib
import weakref
from typing import Any

import numpy as np
import pytest

from tests.compat.stand_ins import Session, binding
from tfsaver import load_checkpoint, schemas
from tfsaver.compat import _transfer
from tfsaver.compat._options import SaveOptions
from tfsaver.compat._save import begin_save
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import overlapped_file

V1, V2 = schemas.SaverDef.V1, schemas.SaverDef.V2


class WatchingSession(Session):
    """Returns new arrays, and counts at each run how many of the earlier ones are still held."""

    def __init__(self) -> None:
        super().__init__()
        self.returned: list[weakref.ref[Any]] = []
        self.held: list[int] = []

    def run(self, fetches: Any, feeds: Any = None) -> Any:
        gc.collect()
        self.held.append(sum(reference() is not None for reference in self.returned))
        values = [np.array(value) for value in super().run(fetches, feeds)]
        self.returned += map(weakref.ref, values)
        return values


class FailingSession(Session):
    """Fails at the second run."""

    def run(self, fetches: Any, feeds: Any = None) -> Any:
        if self.runs:
            raise RuntimeError("the session was closed")
        return super().run(fetches, feeds)


def save(session: Session, path: pathlib.Path, version: int = V2, count: int = 5) -> None:
    bindings = [binding(f"v{index}", np.full(10, index, np.float32)) for index in range(count)]
    begin_save(session, [bindings], str(path), str(path), SaveOptions(version=version, durable=False), held=False)()


def test_values_are_let_go_of_when_they_are_written(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 16 << 20
    monkeypatch.setattr(_transfer, "BATCH_SIZE", size)
    session = WatchingSession()
    bindings = [binding(f"v{index}", np.full(size, index, np.uint8)) for index in range(8)]
    begin_save(session, [bindings], *[str(tmp_path / "model")] * 2, SaveOptions(version=V2, durable=False), held=False)()
    # What waits to be written, the value that is being handed over and the one that is being written.
    assert max(session.held) * size <= overlapped_file.MAX_PENDING + 2 * size
    with load_checkpoint(tmp_path / "model") as reader:
        assert {name: value[0] for name, value in reader.items()} == {f"v{index}": index for index in range(8)}


def test_one_missing_directory_is_made_for_v2(tmp_path: pathlib.Path) -> None:
    save(Session(), tmp_path / "new" / "model")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["model.data-00000-of-00001", "model.index"]
    for path, version in ((tmp_path / "a" / "b" / "model", V2), (tmp_path / "c" / "model", V1)):
        with pytest.raises(InvalidArgumentError, match=f"^Parent directory of {path} doesn't exist, can't save.$"):
            save(Session(), path, version)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_directory_that_was_made_goes_when_the_save_fails(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfer, "BATCH_SIZE", 40)
    with pytest.raises(RuntimeError, match="closed"):
        save(FailingSession(), tmp_path / "new" / "model")
    assert list(tmp_path.iterdir()) == []


def test_directory_in_which_something_else_appeared_stays(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfer, "BATCH_SIZE", 40)

    class Neighbour(FailingSession):
        def run(self, fetches: Any, feeds: Any = None) -> Any:
            if self.runs:
                (tmp_path / "new" / "theirs").touch()
            return super().run(fetches, feeds)

    with pytest.raises(RuntimeError, match="closed"):
        save(Neighbour(), tmp_path / "new" / "model")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["theirs"]


@pytest.mark.parametrize("version", [V1, V2], ids=["V1", "V2"])
def test_failed_save_keeps_what_was_there(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr(_transfer, "BATCH_SIZE", 40)
    save(Session(), tmp_path / "model", version)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RuntimeError, match="closed"):
        save(FailingSession(), tmp_path / "model", version, count=3)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
