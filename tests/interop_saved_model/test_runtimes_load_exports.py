"""What tfsaver exports, every TensorFlow loads and computes with: bit for bit where it is the one that trained the model."""

from __future__ import annotations

import itertools

import pytest

from tests.interop_saved_model.comparison import assert_close
from tests.interop_saved_model.exports import (
    EXPORTED_AGAIN,
    MODELS,
    TABLE_MODELS,
    TAGS,
    WITHOUT_TENSORFLOW,
    Exported,
    Exports,
    Signature,
    Values,
)
from tests.interop_saved_model.runtime_process import RuntimeProcess

SOURCES = (*WITHOUT_TENSORFLOW, "session")

every_model = pytest.mark.parametrize("model", MODELS)
every_source = pytest.mark.parametrize("source", SOURCES)


def run_in_session(runtime: RuntimeProcess, path: str, signature: Signature, verb: str = "run_v1") -> Values:
    """The outputs of a loaded model, by the tensors' names."""
    values = runtime.ask(verb, path=path, tags=TAGS, feeds=signature.fed_tensors, fetches=signature.fetched_tensors)
    return dict(zip(signature.fetches, values, strict=True))


def signatures(exported: Exported, *, strings: bool = True) -> list[Signature]:
    """The signatures to run; `strings` is False for a runtime whose strings the tests cannot make."""
    return [each for each in exported.signatures.values() if strings or not each.has_strings]


table_exports = pytest.mark.parametrize(("model", "source"), list(itertools.product(TABLE_MODELS, EXPORTED_AGAIN)))


@table_exports
def test_what_is_exported_again_has_its_tables_in_every_runtime(
    exports: Exports, tensorflow_2: RuntimeProcess, c_loader_2: RuntimeProcess, model: str, source: str
) -> None:
    exported = exports("tensorflow_2", model)
    path = exported.paths[source]
    for key, signature in exported.signatures.items():
        assert run_in_session(tensorflow_2, path, signature) == signature.expected
        assert run_in_session(c_loader_2, path, signature, "run") == signature.expected
        loaded = tensorflow_2.ask("run_v2", path=path, tags=TAGS, key=key, inputs=signature.inputs)
        assert loaded["outputs"] == signature.expected


@table_exports
def test_tensorflow_1_runs_what_is_exported_again(
    exports: Exports, tensorflow_1: RuntimeProcess, model: str, source: str
) -> None:
    for maker in ("tensorflow_1", "tensorflow_2"):
        exported = exports(maker, model)
        for signature in exported.signatures.values():
            assert_close(run_in_session(tensorflow_1, exported.paths[source], signature), signature.expected)


@every_model
@every_source
def test_session_of_tensorflow_2(exports: Exports, tensorflow_2: RuntimeProcess, model: str, source: str) -> None:
    exported = exports("tensorflow_2", model)
    for signature in signatures(exported):
        assert run_in_session(tensorflow_2, exported.paths[source], signature) == signature.expected


@every_model
@every_source
def test_function_of_tensorflow_2(exports: Exports, tensorflow_2: RuntimeProcess, model: str, source: str) -> None:
    exported = exports("tensorflow_2", model)
    for key, signature in exported.signatures.items():
        loaded = tensorflow_2.ask("run_v2", path=exported.paths[source], tags=TAGS, key=key, inputs=signature.inputs)
        assert loaded["outputs"] == signature.expected


@every_model
@every_source
def test_c_loader_of_tensorflow_2(exports: Exports, c_loader_2: RuntimeProcess, model: str, source: str) -> None:
    exported = exports("tensorflow_2", model)
    for signature in signatures(exported):
        assert run_in_session(c_loader_2, exported.paths[source], signature, "run") == signature.expected


@every_model
@every_source
def test_tensorflow_1_loads_what_was_made_by_tensorflow_2(
    exports: Exports, tensorflow_1: RuntimeProcess, model: str, source: str
) -> None:
    exported = exports("tensorflow_2", model)
    for signature in signatures(exported):
        assert_close(run_in_session(tensorflow_1, exported.paths[source], signature), signature.expected)


@every_model
@pytest.mark.parametrize("source", WITHOUT_TENSORFLOW)
def test_session_of_tensorflow_1(exports: Exports, tensorflow_1: RuntimeProcess, model: str, source: str) -> None:
    exported = exports("tensorflow_1", model)
    for signature in signatures(exported):
        assert run_in_session(tensorflow_1, exported.paths[source], signature) == signature.expected


@pytest.mark.parametrize("model", [model for model in MODELS if model not in TABLE_MODELS])
def test_c_loader_of_tensorflow_1(exports: Exports, c_loader_1: RuntimeProcess, model: str) -> None:
    exported = exports("tensorflow_1", model)
    for signature in signatures(exported, strings=False):
        assert run_in_session(c_loader_1, exported.paths["prefix"], signature, "run") == signature.expected


@every_model
def test_tensorflow_2_loads_what_was_made_by_tensorflow_1(
    exports: Exports, tensorflow_2: RuntimeProcess, c_loader_2: RuntimeProcess, model: str
) -> None:
    exported = exports("tensorflow_1", model)
    path = exported.paths["prefix"]
    for key, signature in exported.signatures.items():
        assert_close(run_in_session(tensorflow_2, path, signature), signature.expected)
        assert_close(run_in_session(c_loader_2, path, signature, "run"), signature.expected)
        loaded = tensorflow_2.ask("run_v2", path=path, tags=TAGS, key=key, inputs=signature.inputs)
        assert_close(loaded["outputs"], signature.expected)


@every_source
def test_function_of_tensorflow_2_has_the_variables_of_the_model_alone(
    exports: Exports, tensorflow_2: RuntimeProcess, source: str
) -> None:
    exported = exports("tensorflow_2", "resource")
    key, signature = "features", exported.signatures["features"]
    loaded = tensorflow_2.ask("run_v2", path=exported.paths[source], tags=TAGS, key=key, inputs=signature.inputs)
    assert loaded["variables"] == ["hidden/bias:0", "hidden/kernel:0", "out/bias:0", "out/kernel:0"]
