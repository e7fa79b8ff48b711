"""tf.compat.v1.train.Saver, which never waits for the disk."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders.session_contender import SessionContender, tf1


class TensorFlowSaver(SessionContender):
    def make_saver(self) -> Any:
        return tf1.train.Saver(self.variables)
