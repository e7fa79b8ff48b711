"""What the tests of graphs share: real graphs, and the TensorFlows that write and run others, each in its own process."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tests.plugins.exhaustive import is_exhaustive
from tests.plugins.tensorflow_programs import TensorFlowPrograms
from tfsaver import schemas

_ROOT = Path(__file__).parents[2]
_SCRIPTS = Path(__file__).parent / "guest"


@pytest.fixture(scope="session")
def read_meta_graphs(cases: Path) -> Callable[[str], list[Any]]:
    """The MetaGraphDefs of a .meta file or of a SavedModel among the cases, by its path."""

    def read(name: str) -> list[Any]:
        path = cases / name
        if path.suffix == ".meta":
            return [schemas.MetaGraphDef.FromString(path.read_bytes())]
        if path.suffix == ".pbtxt":
            saved_model = schemas.SavedModel()
            text_format.Parse(path.read_text(), saved_model, descriptor_pool=schemas.DESCRIPTOR_POOL)
            return list(saved_model.meta_graphs)
        return list(schemas.SavedModel.FromString(path.read_bytes()).meta_graphs)

    return read


@pytest.fixture(scope="session")
def every_meta_graph(cases: Path, read_meta_graphs: Callable[[str], list[Any]]) -> dict[str, Any]:
    """All graphs of the cases."""
    paths = sorted(path for pattern in ("*.meta", "saved_model.pb", "saved_model.pbtxt") for path in cases.rglob(pattern))
    found = {}
    for path in paths:
        name = str(path.relative_to(cases))
        for number, meta_graph in enumerate(read_meta_graphs(name)):
            found[f"{name}#{number}"] = meta_graph
    assert found
    return found


def tensorflow_python(version: str) -> str:
    """The interpreter that has TensorFlow 1.15, or the one that runs this, which may have a newer one."""
    if version == "1.15":
        named = os.environ.get("TFSAVER_TF115_PYTHON")
        python = Path(named) if named else _ROOT / ".venv-tf115" / "bin" / "python"
        if not python.exists():
            pytest.skip(f"needs tensorflow-1.15: nothing at {python}; where there is a Python 3.7, `make interop-env` makes it")
        return str(python)
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install tensorflow")
    return sys.executable


@pytest.fixture(scope="session")
def run_tensorflow(tensorflow_programs: Callable[[str], TensorFlowPrograms]) -> Callable[..., None]:
    """Runs a script of guest/ with the TensorFlow of a version."""

    def run(version: str, script: str, *arguments: str) -> None:
        done = tensorflow_programs(tensorflow_python(version)).run(_SCRIPTS / script, arguments, cwd=arguments[0])
        assert done.status == 0, done.stderr[-3000:]

    return run


@pytest.fixture(scope="session", params=["1.15", "2.21"])
def savers(request: pytest.FixtureRequest, run_tensorflow: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A version of TensorFlow, and a folder of graphs with Savers that it wrote: all of them in an exhaustive run."""
    folder = tmp_path_factory.mktemp("savers")
    run_tensorflow(request.param, "savers.py", str(folder), "all" if is_exhaustive() else "some")
    return request.param, folder


@dataclasses.dataclass(frozen=True)
class Models:
    """Models that a TensorFlow wrote: their graphs, their checkpoints, and what they gave.

    Attributes:
        version: Of the TensorFlow.
        folder: Where they are.
    """

    version: str
    folder: Path
    run_tensorflow: Callable[..., None]

    @property
    def names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def meta_graph(self, name: str) -> Any:
        return schemas.MetaGraphDef.FromString((self.folder / f"{name}.meta").read_bytes())

    def prefix(self, name: str) -> str:
        return str(self.folder / name)

    def expected(self, name: str) -> dict[str, Any]:
        """feeds, fetches, results."""
        described: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return described

    def run(self, folder: Path, graphs: dict[str, Any], jobs: list[dict[str, Any]]) -> list[Any]:
        """What the same TensorFlow gives for jobs, as guest/run_graphs.py has them, on graphs by their files' names."""
        for name, graph in graphs.items():
            (folder / name).write_bytes(graph.SerializeToString())
        (folder / "jobs.json").write_text(json.dumps(jobs))
        self.run_tensorflow(self.version, "run_graphs.py", str(folder))
        results: list[Any] = json.loads((folder / "results.json").read_text())
        return results

    def check(self, folder: Path, changed: dict[str, Any], **job: Any) -> None:
        """Other graphs of some of the models give what the models gave."""
        suffix = ".meta" if isinstance(next(iter(changed.values())), schemas.MetaGraphDef) else ".pb"
        graphs = {name + suffix: graph for name, graph in changed.items()}
        jobs = []
        for name in changed:
            expected = self.expected(name)
            extra = {key: value(name) if callable(value) else value for key, value in job.items()}
            jobs.append({"graph": name + suffix, "feeds": expected["feeds"], "fetches": expected["fetches"], **extra})
        for name, results in zip(changed, self.run(folder, graphs, jobs), strict=True):
            assert not isinstance(results[0], str), f"{name}: {results[0]}"
            for result, wanted in zip(results, self.expected(name)["results"], strict=True):
                np.testing.assert_allclose(result, wanted, rtol=1e-5, err_msg=name)


@pytest.fixture(scope="session", params=["1.15", "2.21"])
def models(request: pytest.FixtureRequest, run_tensorflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Small trained models of every kind, written by each of the TensorFlows."""
    folder = tmp_path_factory.mktemp("models")
    run_tensorflow(request.param, "models.py", str(folder))
    return Models(request.param, folder, run_tensorflow)
