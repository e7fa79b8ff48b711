"""The names that `import tfsaver` promises."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import tfsaver
from tfsaver import _version


@pytest.mark.parametrize("name", tfsaver.__all__)
def test_promised_name_resolves(name: str) -> None:
    value = getattr(tfsaver, name)
    assert value is not None
    assert getattr(tfsaver, name) is value
    assert name in dir(tfsaver)
    if name in tfsaver._MODULES:
        assert callable(value)
    elif name != "__version__":
        assert inspect.getdoc(value)
        module, attribute = tfsaver._HOMES[name]
        assert getattr(importlib.import_module(module), attribute) is value


@pytest.mark.parametrize("name", sorted(tfsaver._MODULES))
def test_room_is_reached_from_the_front_door(name: str) -> None:
    if name == "torch_dcp":
        pytest.importorskip("torch")
    assert getattr(tfsaver, name) is importlib.import_module(f"tfsaver.{name}")


def test_every_room_has_a_door() -> None:
    package = Path(tfsaver.__file__).parent
    rooms = {path.name for path in package.iterdir() if (path / "__init__.py").exists()} | {"errors", "testing", "torch_dcp"}
    assert rooms == tfsaver._MODULES


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tfsaver' has no attribute 'Sever'"):
        _ = tfsaver.Sever


def test_version_is_the_packages() -> None:
    assert tfsaver.__version__ == _version.__version__
    assert all(part.isdigit() for part in tfsaver.__version__.split(".")[:2])


def test_typed_names_are_the_promised_ones() -> None:
    # mypy sees the imports under TYPE_CHECKING, a program the table: both must say the same.
    source = inspect.getsource(tfsaver)
    typed = {line.rsplit(" as ", 1)[1] for line in source.splitlines() if line.startswith("    from tfsaver.")}
    assert typed == set(tfsaver.__all__) - {"__version__"}
    assert set(tfsaver._HOMES) == typed - tfsaver._MODULES


def test_star_import_gives_every_name() -> None:
    code = "from tfsaver import *; print(sorted(name for name in dir() if not name.startswith('__')))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sorted(set(tfsaver.__all__) - {"__version__"}))
