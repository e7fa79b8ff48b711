"""Fuzzes one target in a process of its own, since libFuzzer ends the process: ``python -m tests.fuzz.one NAME ...``.

What stands behind the name goes to libFuzzer. With ``--replay FOLDER`` the inputs in a folder are run instead, and what each
takes of memory is compared with its size. Both ways, address space is limited: memory that is asked for and never touched
shows too.
"""

from __future__ import annotations

import logging
import pathlib
import resource
import sys

from tests.fuzz import harness

# Beyond what the process has when it begins, and what libFuzzer itself takes in time.
_ADDRESS_SPACE = 512 << 20


def main() -> None:
    name, *arguments = sys.argv[1:]
    if arguments and arguments[0] == "--replay":
        replay(name, pathlib.Path(arguments[1]))
    else:
        fuzz(name, arguments)


def replay(name: str, folder: pathlib.Path) -> None:
    target = harness.load_target(name)
    _limit_address_space()
    count = 0
    for path in sorted(folder.iterdir()):
        try:
            harness.run_measured(target, path.read_bytes())
        except BaseException:
            print(f"replay: {path}", file=sys.stderr)
            raise
        count += 1
    print(f"replay: {count} inputs")


def fuzz(name: str, arguments: list[str]) -> None:
    # Warnings that a file is ignored.
    logging.getLogger("tfsaver").setLevel(logging.ERROR)
    import atheris  # an optional program: the same targets run without it under pytest

    with atheris.instrument_imports(include=["tfsaver"]):
        target = harness.load_target(name)
    # Whatever is made once is made before anything is measured.
    for seed in harness.small_seeds(target):
        harness.run_once(target, seed)

    def run(data: bytes) -> None:
        harness.run_once(target, data)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        return harness.changed(target, bytes(data), lambda piece: bytes(atheris.Mutate(piece, max_size)), seed)[:max_size]

    _limit_address_space()
    options = {"custom_mutator": mutate} if target.mutate is not None else {}
    atheris.Setup([sys.argv[0], f"-max_len={target.max_size}", *arguments], run, **options)
    atheris.Fuzz()


def _limit_address_space() -> None:
    pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + _ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
