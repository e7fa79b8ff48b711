"""The process in which one contender lives: takes steps from standard input, answers each with a line of JSON.

    <- {"contender": "tfsaver", "num_tensors": 10, "tensor_size": 100000000, "directory": "..."}
    -> {"ready": true}
    <- {"step": "write", "measure": "seconds"}        -> {"seconds": 0.31}
    <- {"step": "save", "measure": "memory"}          -> {"extra_bytes": 83886080}
    <- {"source": true}                               -> {"ready": true}
                                                      -> {"skipped": "why, in words"}     the program cannot do that
                                                      -> {"error": "what happened"}

Time is the time that the call takes, as its caller sees it: what it returns is let go of when the clock has stopped.
Python's garbage collector rests meanwhile, as in `timeit`.

Memory is the peak of what the process holds during the call (VmHWM, which writing 5 to clear_refs resets) beyond what it
held before; what it had freed without giving it back is given back first, so that nothing hides in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from benchmarks import contenders
from benchmarks.contenders.contender import Contender, NotThereError, Work
from benchmarks.places import NotColdError
from benchmarks.workloads import Workload


def seconds_of(work: Work) -> dict[str, float]:
    """How long it takes."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        work.result = work.call()
        return {"seconds": time.perf_counter() - start}
    finally:
        gc.enable()


def extra_memory_of(work: Work) -> dict[str, float]:
    """How much more memory the process holds meanwhile, at most."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        # Of glibc; another C library gives back by itself or not at all.
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    work.result = work.call()
    return {"extra_bytes": _status("VmHWM") - before}


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise NotThereError(f"/proc/self/status has no {key}")


_MEASURES = {"seconds": seconds_of, "memory": extra_memory_of}


def answer(contender: Contender, request: dict[str, Any]) -> dict[str, Any]:
    """Takes a step."""
    if request.get("source"):
        contender.make_source()
        return {"ready": True}
    with contender.step(request["step"]) as work:
        measured = _MEASURES[request["measure"]](work)
    return measured  # noqa: RET504 - a step that fails afterwards has no answer


def answer_or_say_why(contender: Contender, request: dict[str, Any]) -> dict[str, Any]:
    """Takes a step; whatever goes wrong is said in the answer."""
    try:
        return answer(contender, request)
    except (NotThereError, NotColdError) as error:
        return {"skipped": str(error)}
    except Exception as error:  # noqa: BLE001 - said where it can be read, and the others go on
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}


def main() -> None:
    """Answers until standard input ends."""
    # Libraries print what they like: it goes where errors go.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def reply(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=replies, flush=True)

    told = json.loads(sys.stdin.readline())
    try:
        contender = contenders.make_contender(
            told["contender"], Workload(told["num_tensors"], told["tensor_size"]), Path(told["directory"])
        )
    except ImportError as error:
        reply({"skipped": str(error)})
        return
    reply({"ready": True})
    for line in sys.stdin:
        reply(answer_or_say_why(contender, json.loads(line)))
    contender.close()


if __name__ == "__main__":
    main()
