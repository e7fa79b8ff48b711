"""The processes that make the sweeps, and whether this system lets them."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.faults import ptrace
from tests.faults.processes import fork
from tests.faults.scenarios import is_sampled
from tests.faults.system_calls import RULES
from tests.faults.worker import Worker
from tests.plugins.exhaustive import is_exhaustive


def _why_not() -> str | None:
    """Why nothing can be traced here."""
    if sys.platform != "linux" or not RULES:
        return f"system calls are followed on Linux, on x86_64 and aarch64, not on {sys.platform} {platform.machine()}"
    reading, writing = os.pipe()

    def wait() -> None:
        os.close(writing)
        os.read(reading, 1)

    child = fork(wait)
    try:
        ptrace.attach(child)
        os.waitpid(child, ptrace.WAIT_ALL)
        ptrace.call_of(child)
        ptrace.resume(child)
    except OSError as error:
        return f"this system lets no process follow its child: {error}"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
    return None


@pytest.fixture(scope="session")
def tracing() -> None:
    """Skips where it is not possible."""
    # In a process that may have threads a child must do next to nothing, and this one does.
    if (reason := _why_not()) is not None:
        pytest.skip(reason)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A scenario's name; skips those that no sample has, and those that lack a library."""
    found: str = request.param
    if not is_exhaustive() and not is_sampled(found):
        pytest.skip("others of TensorFlow's programs are the sample: TFSAVER_EXHAUSTIVE=1 tries all")
    if "safetensors" in found:
        pytest.importorskip("safetensors")
    return found


@pytest.fixture(scope="session")
def worker_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Worker]]:
    """The worker of a kind: ``plain``, or ``tensorflow``."""
    directory = tmp_path_factory.mktemp("workers")
    workers: dict[str, Worker] = {}

    def find(kind: str) -> Worker:
        if kind == "tensorflow":
            pytest.importorskip("tensorflow", reason="needs tensorflow: pip install 'tfsaver[tensorflow]'")
        elif not is_exhaustive():
            # In a sample TensorFlow reads what its own processes save: to import it once more takes longer than all trials.
            kind = "alone"
        return workers.setdefault(kind, Worker(kind, directory / f"{kind}.txt"))

    yield find
    for worker in workers.values():
        worker.close()
