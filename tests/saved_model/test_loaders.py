"""Lint predicts what TensorFlow's loaders do with real SavedModels, and with mutants of them.

`python -m tests.saved_model.loaders` tries all of them and prints the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.exhaustive import sample_size
from tests.saved_model.loaders import Loaders, compare, find_models, print_table
from tests.saved_model.mutants import CHANGES, make_mutants

pytest.importorskip("tensorflow", reason="needs tensorflow: pip install tensorflow")

# Small ones, of each kind: objects, tables, assets, reference and resource variables, control flow.
_SMALL = (
    "gen_tf1_savedmodel_two_metagraphs",
    "sm_capi_SimpleWhileLoop",
    "sm_tf_OptimizerSlotVariableModule",
    "sm_tf_StaticHashTableModule",
    "sm_tf_VarsAndArithmeticObjectGraph",
    "sm_tf_half_plus_two/00000123",
    "sm_tf_half_plus_two_v2/00000123",
    "sm_trt_variablev2",
)


@pytest.fixture(scope="module")
def loaders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaders]:
    with Loaders(tmp_path_factory.mktemp("loaders")) as started:
        yield started


def test_lint_predicts_what_loaders_do_with_real_models(
    loaders: Loaders, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = find_models([cases])
    size = sample_size(8)
    chosen = models if size is None else {name: models[name] for name in _SMALL[:size]}
    found = [each for name, path in chosen.items() for each in compare(loaders, name, path)]
    assert print_table(found, is_verbose=False), capsys.readouterr().out


def test_lint_predicts_what_loaders_do_with_mutants(
    loaders: Loaders, cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = find_models([cases])
    size = sample_size(len(CHANGES))
    if size is not None:
        models = {name: models[name] for name in _SMALL}
    mutants = make_mutants(models, tmp_path / "mutants", size or 200, seed=1)
    found = [each for name, path in mutants.items() for each in compare(loaders, name, path)]
    assert print_table(found, is_verbose=False), capsys.readouterr().out
