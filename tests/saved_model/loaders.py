"""Which of TensorFlow's loaders take a SavedModel, and what `tfsaver saved-model lint` says of that beforehand.

    python -m tests.saved_model.loaders [--mutants N] [FOLDER ...]

Looks at every SavedModel below the folders, by default the cases and the programs next to them, and at mutants of them; prints
a table of what lint predicts and what the loaders do, and exits with 1 where they differ.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.interop.guest_process import GuestError
from tests.saved_model.mutants import make_mutants
from tests.saved_model.serving import ServingProcess
from tfsaver.cli import main as program
from tfsaver.errors import SaverError
from tfsaver.graph.findings import LOADERS
from tfsaver.saved_model.loader import load_saved_model

# Those that are in every TensorFlow; the others need packages of their own.
TRIED = LOADERS[:3]
_ROOT = Path(__file__).parents[2]
CASES = Path(os.environ.get("TFSAVER_CASES") or _ROOT.parent / "shared" / "cases")


class Comparison(NamedTuple):
    """What lint says of one model, and what a loader does.

    Attributes:
        name: The model.
        loader: The loader.
        predicted: ``loads``, ``refuses`` or ``cannot say``.
        error: What the loader raises; empty where it loads the model.
        codes: Of the findings that predict it.
    """

    name: str
    loader: str
    predicted: str
    error: str
    codes: tuple[str, ...]

    @property
    def is_wrong(self) -> bool:
        """Whether lint predicts the opposite."""
        return self.predicted == ("loads" if self.error else "refuses")


class Loaders:
    """The loaders of one TensorFlow, in processes of their own; a context manager."""

    def __init__(self, directory: Path, python: str = sys.executable) -> None:
        self._process = ServingProcess(python, directory / "stderr.txt")

    def __enter__(self) -> Loaders:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.close()

    def error_of(self, loader: str, path: Path, tags: list[str]) -> str:
        """What a loader raises; empty where it loads the model."""
        verb = dict(zip(TRIED, ("load", "load_v1", "load_v2"), strict=True))[loader]
        process = self._process.c_interface if verb == "load" else self._process
        try:
            process.ask(verb, path=str(path), tags=tags)
        except GuestError as error:
            return re.sub(r"\s+", " ", str(error))[:600] or "error"
        return ""


def predictions(path: Path, tags: list[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """What lint predicts for each loader, with the codes of the findings that say it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        program.main(["saved-model", "lint", str(path), "--tags", ",".join(tags), "--json"])
    document = json.loads(printed.getvalue())
    if document["report"] is None:
        verdict = "cannot say" if document["error"]["class"] == "UnimplementedError" else "refuses"
        return dict.fromkeys(TRIED, (verdict, (document["error"]["class"],)))
    found = document["report"]
    return {
        loader: (
            found["loaders"][loader],
            tuple(sorted({each["code"] for each in found["findings"] if loader in each["refused_by"] + each["unsure"]})),
        )
        for loader in TRIED
    }


def tags_of(path: Path) -> list[str]:
    """The tags of the first graph; those of a server where the file cannot be read."""
    try:
        with load_saved_model(path) as model:
            return list(model.meta_graphs[0].proto.meta_info_def.tags) if model.meta_graphs else ["serve"]
    except (SaverError, OSError):
        return ["serve"]


def compare(loaders: Loaders, name: str, path: Path) -> Iterator[Comparison]:
    """What each loader does with a model, next to the prediction."""
    tags = tags_of(path)
    predicted = predictions(path, tags)
    for loader in TRIED:
        verdict, codes = predicted[loader]
        yield Comparison(name, loader, verdict, loaders.error_of(loader, path, tags), codes)


def find_models(folders: Iterable[Path]) -> dict[str, Path]:
    """The directories with a SavedModel below some folders, by their names there."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.rglob("saved_model.pb*")):
            found.setdefault(str(file.parent.relative_to(folder)), file.parent)
    return found


def print_table(found: list[Comparison], *, is_verbose: bool) -> bool:
    """Prints the counts, and each wrong prediction; returns whether there is none."""
    rows = Counter((each.loader, each.predicted, "refuses" if each.error else "loads") for each in found)
    print(f"{'loader':22} {'lint says':12} {'and it':10} models")
    for (loader, predicted, actual), number in sorted(rows.items()):
        print(f"{loader:22} {predicted:12} {actual:10} {number}")
    wrong = [each for each in found if each.is_wrong]
    unsure = sum(each.predicted == "cannot say" for each in found)
    print(f"{len(found)} predictions, {len(wrong)} wrong, {unsure} cannot say ({unsure / max(1, len(found)):.1%})")
    for each in found if is_verbose else wrong:
        print(f"{'WRONG ' if each.is_wrong else ''}{each.name}: {each.loader}: {each.predicted} {','.join(each.codes)} | {each.error[:300]}")
    return not wrong and unsure <= 0.1 * len(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, help="where to look for SavedModels")
    parser.add_argument("--mutants", type=int, default=200, help="how many to make (200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a pattern for names")
    parser.add_argument("--keep", type=Path, help="where to leave the mutants")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every prediction")
    arguments = parser.parse_args()
    models = find_models(arguments.folders or [CASES, CASES.parent / "reports"])
    with tempfile.TemporaryDirectory() as text:
        directory = arguments.keep or Path(text)
        directory.mkdir(exist_ok=True, parents=True)
        mutants = make_mutants(models, directory / "mutants", arguments.mutants, arguments.seed)
        found: list[Comparison] = []
        with Loaders(directory) as loaders:
            for name, path in [*models.items(), *mutants.items()]:
                if re.search(arguments.only, name):
                    found += compare(loaders, name, path)
        is_right = print_table(found, is_verbose=arguments.verbose)
        if arguments.keep is None:
            shutil.rmtree(directory / "mutants", ignore_errors=True)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
