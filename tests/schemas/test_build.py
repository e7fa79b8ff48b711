"""`build_schemas`: what it generates, and that the generated files are those of today's protos/."""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from tfsaver import schemas

_PACKAGE = pathlib.Path(schemas.__file__).parent
_ROOT = pathlib.Path(__file__).parents[2]
_PROTOS = _ROOT / "protos"


def _build(directory: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_schemas", f"--output-dir={directory}"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["tensorflow.binpb", "__init__.pyi"])
def test_installed_schemas_are_those_of_protos(tmp_path, name):
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("needs grpcio-tools: pip install grpcio-tools")
    process = _build(tmp_path)
    assert process.returncode == 0, process.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["__init__.pyi", "sources.sha256", "tensorflow.binpb"]
    stale = f"{name} is not what protos/ says today: run `python setup.py build_schemas`"
    assert (_PACKAGE / name).read_bytes() == (tmp_path / name).read_bytes(), stale


def test_missing_compiler_is_named(tmp_path):
    # None in sys.modules makes the import fail, whether grpc_tools is installed or not.
    script = (
        "import sys, runpy; sys.modules['grpc_tools'] = None;"
        f"sys.argv = ['setup.py', '-q', 'build_schemas', '--output-dir={tmp_path}'];"
        "runpy.run_path('setup.py', run_name='__main__')"
    )
    process = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert "build_schemas: protoc is missing" in process.stderr
    assert "pip install grpcio-tools" in process.stderr
    assert list(tmp_path.iterdir()) == []


def _names_in(node: ast.Module | ast.ClassDef, scope: str = "") -> Iterator[str]:
    """Every class, attribute and property of a stub, with the names of its classes in front."""
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield scope + child.name
            yield from _names_in(child, f"{scope}{child.name}.")
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            yield scope + child.target.id
        elif isinstance(child, ast.FunctionDef) and child.name != "__init__":
            yield scope + child.name


def _names_of_message(descriptor: Descriptor, scope: str) -> Iterator[str]:
    name = scope + descriptor.name
    yield name
    yield from (f"{name}.{field.name}" for field in descriptor.fields)
    for enum in descriptor.enum_types:
        yield f"{name}.{enum.name}"
        yield from (f"{name}.{value.name}" for value in enum.values)
    for nested in descriptor.nested_types:
        if not nested.GetOptions().map_entry:
            yield from _names_of_message(nested, f"{name}.")


def _names_of_namespace(namespace: Any, scope: str = "") -> Iterator[str]:
    for name in dir(namespace):
        value = getattr(namespace, name)
        if isinstance(getattr(value, "DESCRIPTOR", None), Descriptor):
            yield from _names_of_message(value.DESCRIPTOR, scope)
        else:
            yield scope + name


def test_stub_names_everything_that_is_there():
    stub = ast.parse((_PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    there = set(_names_of_namespace(schemas))
    for package in ("error", "proto_splitter", "protobuf"):
        there |= set(_names_of_namespace(getattr(schemas, package), f"{package}."))
    in_stub = list(_names_in(stub))
    assert len(in_stub) == len(set(in_stub))
    assert set(in_stub) == there


def test_every_schema_opens_with_a_comment_and_is_compiled():
    paths = sorted(_PROTOS.rglob("*.proto"))
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("// "), f"{path} does not say what it describes"
        package = re.search(r"^package ([\w.]+);$", text, re.MULTILINE)
        assert package, path
        file = schemas.DESCRIPTOR_POOL.FindFileByName(path.relative_to(_PROTOS).as_posix())
        assert file.package == package[1]
    assert len(paths) > 20
