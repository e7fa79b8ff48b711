"""The package's metadata, and that building it needs no protoc unless the sources of the schemas have changed."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_COPIED = ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "protos", "tfsaver")
_SCHEMAS = ("__init__.pyi", "sources.sha256", "tensorflow.binpb")
# A protoc that must not be needed.
_WITHOUT_PROTOC = "import sys; sys.modules['grpc_tools'] = None\n"


def _run(code: str, directory: pathlib.Path) -> str:
    # setuptools takes warnings of its own for errors otherwise.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=False, env=environment
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout.splitlines()[-1] if process.stdout else ""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An sdist of the package, unpacked."""
    pytest.importorskip("grpc_tools")
    directory = tmp_path_factory.mktemp("package")
    for name in _COPIED:
        if (_ROOT / name).is_dir():
            shutil.copytree(_ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__", *_SCHEMAS))
        else:
            shutil.copy(_ROOT / name, directory)
    (directory / "tests").mkdir()
    (directory / "tests" / "test_one.py").write_text("")
    # The stub of the sources, which is not a generated file, is where the generated one will be.
    made = _run("from setuptools import build_meta; print(build_meta.build_sdist('dist'))", directory)
    with tarfile.open(directory / "dist" / made) as archive:
        archive.extractall(directory / "unpacked", filter="data")
    [unpacked] = (directory / "unpacked").iterdir()
    return unpacked


def test_sdist_has_the_schemas_the_changelog_and_the_tests(unpacked):
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")}
    assert {*(f"tfsaver/schemas/{name}" for name in _SCHEMAS), "CHANGELOG.md", "LICENSE", "tests/test_one.py"} <= names


def test_wheel_is_built_from_an_sdist_without_protoc(unpacked):
    build = "from setuptools import build_meta; print(build_meta.get_requires_for_build_wheel())"
    assert _run(_WITHOUT_PROTOC + build, unpacked) == "[]"
    made = _run(_WITHOUT_PROTOC + "from setuptools import build_meta; print(build_meta.build_wheel('dist'))", unpacked)
    with zipfile.ZipFile(unpacked / "dist" / made) as wheel:
        names = wheel.namelist()
        assert {"tfsaver/schemas/tensorflow.binpb", "tfsaver/schemas/__init__.pyi", "tfsaver/py.typed"} <= set(names)
        assert not any(name.startswith("tests/") for name in names)
        metadata = next(wheel.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert re.findall(r"(?m)^Project-URL: (\w+),", metadata) == ["Documentation", "Changelog", "Source", "Issues"]
    links = re.findall(r"\]\(([^)]+)\)", metadata)
    assert len(links) >= 20
    assert all(link.startswith("https://") for link in links)


def test_changed_protos_ask_for_protoc(unpacked, tmp_path):
    changed = shutil.copytree(unpacked, tmp_path / "changed")
    proto = next((changed / "protos").rglob("types.proto"))
    proto.write_bytes(proto.read_bytes() + b"// one line more\n")
    build = "from setuptools import build_meta; print(build_meta.get_requires_for_build_wheel())"
    assert _run(_WITHOUT_PROTOC + build, changed) == "['grpcio-tools>=1.62']"
