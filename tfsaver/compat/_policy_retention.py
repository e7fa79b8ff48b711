"""A Saver's checkpoints under a `tfsaver.checkpoint.retention` policy, in the place of `_retention`'s rules.

What a policy remembers is in the directory, not in the Saver: in one ledger beside each state file. So a Saver that was just
made knows what an earlier run has saved, and `last_checkpoints` lists after each save all that the directory keeps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME
from tfsaver.checkpoint.retention import Retention as Policy
from tfsaver.checkpoint.retention_ledger import RetentionLedger
from tfsaver.compat._retention import Retention
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io


class PolicyRetention(Retention):
    """The checkpoints that a policy keeps; `max_to_keep` and `keep_every_n_hours` say nothing here.

    Attributes:
        policy: What is kept.
        removed: What the last sweep has removed.
    """

    def __init__(self, policy: Policy, *, durable: bool = True) -> None:
        if not isinstance(policy, Policy):
            raise InvalidArgumentError(f"retention must be a tfsaver.checkpoint.retention.Retention, not {policy!r}")
        super().__init__(0, 0)
        self.policy = policy
        self.removed: list[str] = []
        self._durable = durable
        self._ledgers: dict[tuple[str, str], RetentionLedger] = {}
        self._latest: RetentionLedger | None = None
        self._recovered: list[str] = []

    @contextlib.contextmanager
    def recording(
        self,
        path: str,
        *,
        latest_filename: str = STATE_FILE_NAME,
        metric: float | None = None,
        version: int = schemas.SaverDef.V2,
        meta_graph_suffix: str = "meta",
    ) -> Iterator[None]:
        """Records a checkpoint; inside the block `paths` are what the state file must list.

        The checkpoint is there already, so that its entry stays when the block fails.
        """
        ledger = self._ledger(path, latest_filename)
        checkpoints = ledger.record(path, metric=metric, version=version, meta_graph_suffix=meta_graph_suffix)
        before, self.checkpoints = self.checkpoints, checkpoints
        self._latest = ledger
        try:
            yield
        except BaseException:
            self.checkpoints = before
            raise

    def sweep(self, version: int, meta_graph_suffix: str) -> None:
        """Removes what the policy does not keep."""
        if self._latest is not None:
            self.removed = self._latest.sweep()

    def recover(self, paths: Iterable[str]) -> None:
        """Takes those of `paths` that are there for the Saver's own; it goes on with their series."""
        super().recover(paths)
        self._recovered = self.paths

    def pin(self, path: file_io.PathLike, latest_filename: str = STATE_FILE_NAME) -> None:
        """Keeps a checkpoint until `unpin`, whatever the policy says.

        Raises:
            CheckpointNotFoundError: There is no such checkpoint.
        """
        self._ledger(path, latest_filename).pin(path)

    def unpin(self, path: file_io.PathLike, latest_filename: str = STATE_FILE_NAME) -> None:
        """Leaves a checkpoint to the policy again.

        Raises:
            CheckpointNotFoundError: There is no such checkpoint.
        """
        self._ledger(path, latest_filename).unpin(path)

    def _ledger(self, path: file_io.PathLike, latest_filename: str) -> RetentionLedger:
        directory = file_io.split(file_io.as_path(path))[0]
        place = (directory, latest_filename)
        if place not in self._ledgers:
            ledger = RetentionLedger(directory, self.policy, latest_filename, durable=self._durable)
            ledger.adopt(self._recovered)
            self._ledgers[place] = ledger
        return self._ledgers[place]
