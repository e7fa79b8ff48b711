"""What is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import programs
from tests.faults.test_tracer import follow
from tests.faults.values import exported
from tests.saved_model.graphs import dense
from tfsaver.compat.export import export_saved_model
from tfsaver.errors import AlreadyExistsError


@pytest.mark.usefixtures("tracing")
def test_an_export_where_one_is_makes_no_call_that_changes_anything(tmp_path: Path) -> None:
    program = programs.Exports()
    program.open(str(tmp_path))
    program.save(0)

    def export_again() -> None:
        with pytest.raises(AlreadyExistsError):
            export_saved_model(dense(), tmp_path / "export-0", outputs=["layer/y"], variables=exported(1))

    trace = follow(tmp_path, export_again)
    assert trace.status == 0
    assert trace.calls == []
