"""`write_projector`: a tensor as the files that TensorBoard's embedding projector reads.

    projector_config.pbtxt    embeddings { tensor_name, tensor_path: "vectors.tsv", metadata_path: "metadata.tsv" }
    vectors.tsv               a row of the tensor a line, tabs between numbers
    metadata.tsv              the labels, a row a line; with several columns, their titles come first

`tensorboard --logdir DIR` shows them, and so does projector.tensorflow.org, where the two tables are uploaded.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfsaver.checkpoint.execution import DryRun
from tfsaver.checkpoint.report import Report, count
from tfsaver.errors import AlreadyExistsError, InvalidArgumentError, UnimplementedError
from tfsaver.lib import file_io
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.verbs.open_source import Checkpoint, open_source

CONFIG, VECTORS, METADATA = "projector_config.pbtxt", "vectors.tsv", "metadata.tsv"
# Written at once.
_ROWS = 4096


@dataclasses.dataclass(frozen=True)
class ProjectorReport(Report):
    """What was written.

    Attributes:
        tensor: The tensor's name.
        target: The directory; None after a dry run.
        num_points: The rows of the tensor.
        num_dimensions: Its columns.
        num_labels: The labels; 0 where none were given.
        files: The files that were written.
    """

    tensor: str
    target: str | None
    num_points: int
    num_dimensions: int
    num_labels: int
    files: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True: what cannot be written is an error."""
        return True

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line."""
        written = "nothing written, dry run" if self.target is None else self.target
        yield f"{self.tensor} -> {written}"
        labels = count(self.num_labels, "label") if self.num_labels else "no labels"
        yield f"{count(self.num_points, 'point')} of {count(self.num_dimensions, 'dimension')}, {labels}"
        if self.target is not None:
            yield f"tensorboard --logdir {self.target}"

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        return {"ok": True, **dataclasses.asdict(self), "files": list(self.files)}


@takes_storage_options("checkpoint", "target", "labels")
def write_projector(
    checkpoint: Checkpoint,
    tensor: str,
    target: file_io.PathLike,
    *,
    labels: file_io.PathLike | Sequence[str] | None = None,
    overwrite: bool = False,
    dry_run: DryRun = False,
    durable: bool = True,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> ProjectorReport:
    """Writes a matrix, such as an embedding, for TensorBoard's projector.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        tensor: The matrix: a row for each point.
        target: The directory.
        labels: A label for each row: a sequence, or a file of UTF-8 with a line for each; a file with tabs begins with a
            line of titles. None for none.
        overwrite: Whether files of an earlier call may be replaced.
        dry_run: If true, nothing is written.
        durable: Whether to fsync before returning.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        TensorNotFoundError: There is no such tensor; names the nearest ones.
        InvalidArgumentError: It is not a matrix, or there are more or fewer labels than rows.
        UnimplementedError: Its elements are not real numbers.
        AlreadyExistsError: The directory has such files, and `overwrite` does not say that they may go.

    Example:
        >>> tfsaver.write_projector("model.ckpt-1000", "embedding", "logs", labels="words.txt")  # doctest: +SKIP
    """
    directory = file_io.as_path(target)
    with open_source(checkpoint, trusted=trusted) as source:
        info = source.info(tensor)
        if len(info.shape) != 2:
            raise InvalidArgumentError(f"{tensor!r} has the shape {list(info.shape)}: a row for each point is needed")
        kind = np.dtype(info.dtype.numpy)
        if not info.dtype.has_fixed_size or kind.names is not None or kind.kind == "c":
            raise UnimplementedError(f"{tensor!r} is of type {info.dtype.name}: the projector shows real numbers")
        lines = _label_lines(labels, info.shape[0], tensor)
        names = [VECTORS, *([METADATA] if lines else []), CONFIG]
        files = [file_io.join(directory, name) for name in names]
        if not overwrite:
            for path in files:
                if file_io.exists(path):
                    raise AlreadyExistsError(f"{path} exists, and is replaced only with overwrite (--overwrite)")
        if not dry_run:
            with file_io.directory_made(directory, durable=durable):
                _write_vectors(files[0], source.read(tensor), durable)
                if lines:
                    file_io.write_file(files[1], "".join(f"{line}\n" for line in lines).encode(), durable=durable)
                # Last, since it names the others.
                file_io.write_file(files[-1], _config(tensor, bool(lines)).encode(), durable=durable)
    return ProjectorReport(
        tensor,
        None if dry_run else directory,
        *info.shape,
        num_labels=info.shape[0] if lines else 0,
        files=() if dry_run else tuple(files),
    )


def _label_lines(labels: file_io.PathLike | Sequence[str] | None, num_rows: int, tensor: str) -> list[str]:
    """The lines of the table of labels, its titles among them."""
    if labels is None:
        return []
    if isinstance(labels, (list, tuple)):
        lines = [" ".join(str(label).split()) for label in labels]
        where = "there are"
    else:
        path = file_io.as_path(labels)  # type: ignore[arg-type]
        try:
            text = file_io.read_file(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(f"{path} is not UTF-8: {error}") from None
        lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
        where = f"{path} has"
    num_titles = 1 if lines and "\t" in lines[0] else 0
    if len(lines) - num_titles != num_rows:
        titles = " after the line of titles" if num_titles else ""
        raise InvalidArgumentError(f"{where} {len(lines) - num_titles} labels{titles}, and {tensor!r} has {num_rows} rows")
    return lines


def _write_vectors(path: str, values: np.ndarray[Any, Any], durable: bool) -> None:
    # As short as it gets without another number: that of float32 for float32.
    numbers = values if values.dtype in (np.float32, np.float64) or values.dtype.kind in "iu" else values.astype(np.float32)
    with file_io.atomic_writer(path, durable=durable) as file:
        for start in range(0, len(numbers), _ROWS):
            rows = numbers[start : start + _ROWS].astype(str)
            file.append("".join("\t".join(row) + "\n" for row in rows.tolist()).encode())


def _config(tensor: str, has_labels: bool) -> str:
    fields = {"tensor_name": tensor, "tensor_path": VECTORS, **({"metadata_path": METADATA} if has_labels else {})}
    # Strings of protobuf's text have JSON's escapes for what is not ASCII, but for surrogates.
    body = "".join(f"  {key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())
    return f"embeddings {{\n{body}}}\n"
