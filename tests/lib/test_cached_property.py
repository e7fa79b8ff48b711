"""A cached property is computed once, by instance, and under no lock."""

from __future__ import annotations

import ast
import pathlib
import threading
from typing import Any

import pytest

from tfsaver.lib.cached_property import cached_property

_PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "tfsaver"


class _Counted:
    num_calls = 0

    @cached_property
    def value(self) -> list[int]:
        """What it is."""
        self.num_calls += 1
        return [self.num_calls]


def test_the_value_is_computed_once_for_each_instance() -> None:
    first, second = _Counted(), _Counted()
    assert first.value is first.value
    assert first.value is not second.value
    assert (first.num_calls, second.num_calls) == (1, 1)
    assert vars(first)["value"] is first.value


def test_the_class_shows_the_property_and_its_text() -> None:
    assert isinstance(_Counted.value, cached_property)
    assert _Counted.value.__doc__ == "What it is."


def test_an_error_is_raised_again_and_not_stored() -> None:
    class Failing:
        num_calls = 0

        @cached_property
        def value(self) -> int:
            self.num_calls += 1
            raise ValueError(self.num_calls)

    failing = Failing()
    for number in (1, 2):
        with pytest.raises(ValueError, match=str(number)):
            failing.value  # noqa: B018 - asked for
    assert "value" not in vars(failing)


def test_threads_that_ask_at_once_do_not_wait_for_each_other_and_get_one_object() -> None:
    # Passed only when both threads are in the method at once.
    both = threading.Barrier(2)

    class Shared:
        @cached_property
        def value(self) -> list[int]:
            both.wait(30)
            return []

    shared = Shared()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(shared.value)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] is found[1] is shared.value


def test_the_package_never_uses_the_cached_property_that_holds_a_lock() -> None:
    users = []
    for path in sorted(_PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_imported = isinstance(node, ast.ImportFrom) and node.module == "functools" and any(
                name.name in ("cached_property", "*") for name in node.names
            )
            # Whatever name the module has there.
            if is_imported or (isinstance(node, ast.Attribute) and node.attr == "cached_property"):
                users.append(f"{path.relative_to(_PACKAGE)}:{node.lineno}")
    assert users == []
