"""What a retention policy must remember of a directory's checkpoints, in one file beside the state file.

The file is written in one atomic step, under the directory's lock, and read again each time: several Savers and processes,
with one policy or several, lose nothing of each other. A policy applies to one series and removes nothing else.

    record   the checkpoint just written is entered, and all that stay are returned, for the state file
    (the caller writes the state file)
    sweep    what does not stay is removed

The ledger follows the directory: what was removed by hand leaves it, and what the state file lists and the ledger does not
(a Saver of TensorFlow's was at work, or no ledger was kept before) enters it with the time of its file. A checkpoint that
neither of them lists is nobody's to remove.

Damage never removes a checkpoint: a ledger that cannot be read is put aside under another name, with a warning, and what the
state file lists is pinned in the new one, since nobody knows any more what was.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_management
from tfsaver.checkpoint.checkpoint_files import series_of
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME, path_or_empty, recorded_state
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.retention_file import LEDGER_SUFFIX, LedgerEntry, LedgerPage, read_ledger, write_ledger
from tfsaver.errors import CheckpointNotFoundError, InvalidArgumentError, SaverError
from tfsaver.lib import file_io
from tfsaver.lib.directory_lock import directory_lock

__all__ = ["LedgerEntry", "RetentionLedger", "series_of"]

_logger = logging.getLogger(__name__)


class RetentionLedger:
    """A directory's checkpoints, and the policy by which they are kept.

    The policy may be None for `pin`, `unpin` and `checkpoints`. A checkpoint whose series was not named by the policy, and
    cannot be told from its name, is counted with those that this object recorded before it.

    Args:
        directory: The directory of the state file.
        retention: The policy.
        latest_filename: The name of the state file, if it is not `checkpoint`.
        durable: Whether a write waits for the disk.
    """

    def __init__(
        self,
        directory: file_io.PathLike,
        retention: Retention | None = None,
        latest_filename: str | None = None,
        *,
        durable: bool = True,
    ) -> None:
        self.directory = path_or_empty(directory)
        self.retention = retention
        self.latest_filename = latest_filename or STATE_FILE_NAME
        self.path = file_io.join(self.directory, f"{self.latest_filename}{LEDGER_SUFFIX}")
        self._durable = durable
        self._series = retention.series if retention else None

    @property
    def checkpoints(self) -> list[LedgerEntry]:
        """What the ledger says, oldest first; nothing is written."""
        page = read_ledger(self.path)
        return [] if page is None else page.entries

    def record(
        self,
        prefix: file_io.PathLike,
        *,
        metric: float | None = None,
        version: int = schemas.SaverDef.V2,
        meta_graph_suffix: str = "meta",
    ) -> list[tuple[str, float]]:
        """Enters the checkpoint just written, as the newest; one of that name that was there is replaced, its pin stays.

        Args:
            prefix: The checkpoint; a relative path is relative to the working directory.
            metric: How good it is. A metric that is not finite says nothing.
            version: SaverDef.V1 or SaverDef.V2.
            meta_graph_suffix: How the name of its meta graph ends.

        Returns:
            All checkpoints of the directory that stay, of all series, oldest first, with the time at which each was written:
            what the state file must list.

        Raises:
            InvalidArgumentError: `metric` is no number, or the checkpoint is in another directory.
            UnimplementedError: A newer version of the library keeps the ledger; nothing is removed.
            FileNotFoundError: There is no such directory.
        """
        metric = _as_metric(metric)
        with directory_lock(self.directory):
            page = self._follow()
            name = self._name(prefix)
            if self._series is None:
                self._series = series_of(prefix)
            old = next((entry for entry in page.entries if entry.name == name), None)
            now = time.time()
            entry = LedgerEntry(
                name,
                self._series,
                now,
                "V1" if version == schemas.SaverDef.V1 else "V2",
                metric,
                old is not None and old.is_pinned,
                meta_graph_suffix,
                {} if old is None else old.unknown,
            )
            page.entries = [entry for entry in page.entries if entry.name != name] + [entry]
            began = min(entry.time for entry in page.entries if entry.series == self._series)
            page.series.setdefault(self._series, {}).setdefault("began", began)
            write_ledger(self.path, page, durable=self._durable)
            removable = {entry.name for entry in self._removable(page)}
            return [(self._prefix(entry), entry.time) for entry in page.entries if entry.name not in removable]

    def sweep(self) -> list[str]:
        """Removes what the policy does not keep; call it when the state file does not list that any more.

        The newest, a pinned one, and what the state file names as the newest are never removed. A checkpoint that cannot be
        removed is logged, and the next sweep tries again.

        Returns:
            The prefixes that were removed, oldest first.
        """
        with directory_lock(self.directory):
            page = self._follow()
            removed = []
            newest = self._named_by_state_file()[-1:]
            for entry in self._removable(page):
                prefix = self._prefix(entry)
                if entry.name in newest:
                    continue
                version = schemas.SaverDef.V1 if entry.format == "V1" else schemas.SaverDef.V2
                try:
                    checkpoint_management.remove_checkpoint(prefix, version, entry.meta_graph_suffix)
                except (SaverError, OSError) as error:
                    _logger.warning("Ignoring: %s", error)
                    continue
                removed.append(prefix)
                page.entries.remove(entry)
            if removed:
                write_ledger(self.path, page, durable=self._durable)
            return removed

    def pin(self, prefix: file_io.PathLike) -> None:
        """Keeps a checkpoint until `unpin`, whatever any policy says.

        Raises:
            CheckpointNotFoundError: There is no such checkpoint.
            InvalidArgumentError: It is in another directory.
        """
        self._set_pin(prefix, True)

    def unpin(self, prefix: file_io.PathLike) -> None:
        """Leaves a checkpoint to the policy again, which decides at the next save.

        Raises:
            CheckpointNotFoundError: There is no such checkpoint.
            InvalidArgumentError: It is in another directory.
        """
        self._set_pin(prefix, False)

    def adopt(self, prefixes: Iterable[file_io.PathLike]) -> None:
        """Goes on with the series of the last of these checkpoints, those of an earlier run; unless the policy names one."""
        names = [name for name in map(self._name_here, prefixes) if name is not None]
        if self.retention is not None and self.retention.series is None and names:
            recorded = {entry.name: entry.series for entry in self.checkpoints}
            self._series = recorded.get(names[-1]) or series_of(names[-1])

    def _set_pin(self, prefix: file_io.PathLike, is_pinned: bool) -> None:
        with directory_lock(self.directory):
            page = self._follow()
            name = self._name(prefix)
            position = next((i for i, entry in enumerate(page.entries) if entry.name == name), None)
            if position is None:
                path = file_io.as_path(prefix)
                mtimes = checkpoint_management.get_checkpoint_mtimes([path])
                if not mtimes:
                    raise CheckpointNotFoundError(path, looked_for=[f"{path}.index", path])
                # Nobody recorded it, so that it is older than whatever was.
                page.entries.insert(0, self._adopted(name, mtimes[0]))
                position = 0
            page.entries[position] = dataclasses.replace(page.entries[position], is_pinned=is_pinned)
            write_ledger(self.path, page, durable=self._durable)

    def _removable(self, page: LedgerPage) -> list[LedgerEntry]:
        if self.retention is None or self._series is None:
            return []
        mine = [entry for entry in page.entries if entry.series == self._series]
        began = page.series.get(self._series, {}).get("began", mine[0].time if mine else 0.0)
        kept = self.retention.keeps(mine, began)
        removable = [entry for entry, stays in zip(mine, kept, strict=True) if not stays]
        # A pin is meant for the checkpoint, whichever state file lists it.
        pinned = pinned_in(self.directory, but=self.latest_filename) if removable else set()
        return [entry for entry in removable if entry.name not in pinned]

    def _follow(self) -> LedgerPage:
        """What the file says, brought in line with what is on disk."""
        try:
            page = read_ledger(self.path)
            pinned = False
        except InvalidArgumentError as error:
            aside = self.path + ".damaged"
            file_io.replace(self.path, aside)
            _logger.warning("%s; it is now %s, and what the state file lists is pinned", error, aside)
            page, pinned = None, True
        if page is None:
            page = LedgerPage()
        page.entries = [entry for entry in page.entries if checkpoint_management.checkpoint_exists(self._prefix(entry))]
        known = {entry.name for entry in page.entries}
        for name in self._named_by_state_file():
            if name in known:
                continue
            for mtime in checkpoint_management.get_checkpoint_mtimes([file_io.join(self.directory, name)]):
                page.entries.append(self._adopted(name, mtime, pinned))
        return page

    def _adopted(self, name: str, mtime: float, pinned: bool = False) -> LedgerEntry:
        is_v2 = file_io.exists(file_io.join(self.directory, name) + ".index")
        return LedgerEntry(name, series_of(name), mtime, "V2" if is_v2 else "V1", is_pinned=pinned)

    def _named_by_state_file(self) -> list[str]:
        """The names in the state file, the newest last."""
        try:
            state = recorded_state(self.directory, self.latest_filename)
        except InvalidArgumentError:
            return []
        if state is None:
            return []
        paths = (*state.all_model_checkpoint_paths, state.model_checkpoint_path)
        names = [name for name in map(self._name_here, paths) if name is not None]
        # Of a name that comes twice the last place counts.
        return list(dict.fromkeys(reversed(names)))[::-1]

    def _name(self, prefix: file_io.PathLike) -> str:
        name = self._name_here(prefix)
        if name is None:
            raise InvalidArgumentError(f"{file_io.as_path(prefix)} is not in {self.directory or os.curdir}")
        return name

    def _name_here(self, prefix: file_io.PathLike) -> str | None:
        """The last part of a prefix in this directory; None for one elsewhere.

        A state file that was copied with its directory may name the checkpoints of the original by their absolute paths;
        they are not for this directory's policy to remove.
        """
        directory, name = file_io.split(file_io.as_path(prefix))
        if directory.rstrip("/") == self.directory.rstrip("/"):
            return name
        if file_io.is_remote(directory) or file_io.is_remote(self.directory):
            return None
        return name if os.path.realpath(directory) == os.path.realpath(self.directory) else None

    def _prefix(self, entry: LedgerEntry) -> str:
        return file_io.join(self.directory, entry.name)


def ledgers_in(directory: str) -> Iterator[tuple[str, LedgerPage]]:
    """The ledgers of a directory, each with the name of its state file.

    One that cannot be read is left out, with a warning in the log: it is its own Savers' to put aside.
    """
    for name in file_io.list_directory(directory):
        if not name.endswith(LEDGER_SUFFIX):
            continue
        path = file_io.join(directory, name)
        try:
            page = read_ledger(path)
        except (SaverError, OSError) as error:
            _logger.warning("%s: what is pinned there is not known: %s", path, error)
            continue
        if page is not None:
            yield name.removesuffix(LEDGER_SUFFIX), page


def pinned_in(directory: str, *, but: str | None = None) -> set[str]:
    """The names of the checkpoints that the ledgers of a directory pin, all of them or all but that of one state file."""
    ledgers = (page for latest_filename, page in ledgers_in(directory) if latest_filename != but)
    return {entry.name for page in ledgers for entry in page.entries if entry.is_pinned}


def _as_metric(metric: Any) -> float | None:
    if metric is None:
        return None
    try:
        value = float(metric)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"metric={metric!r}: a metric is a number") from None
    return value if math.isfinite(value) else None
