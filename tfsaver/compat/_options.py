"""How a Saver saves, and how it restores where its program does not match the checkpoint.

`SaveOptions` are what a Saver was made with, and what a call of `save` says besides. `RestoreOptions` are said in three
places:

    saver.restore(sess, path, cast=True)        the call
    Saver(cast=True)                            the Saver, for every restore
    patch_tensorflow(cast=True)                 the process, for programs whose sessions restore by themselves

What a call says counts before what its Saver says, and that before what a patch says; of several patches the last one that
began. Without any option a restore is TensorFlow's: every tensor by its name, of its dtype and shape.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME
from tfsaver.checkpoint.execution import DryRun
from tfsaver.checkpoint.names.name_map import NameMap, NameMapLike, as_name_map
from tfsaver.checkpoint.names.name_steps import RenameTogether
from tfsaver.checkpoint.selection import Select, as_selection
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework.dtypes import DType

Scope: TypeAlias = "str | tuple[str, str] | None"

_AVERAGE = "/ExponentialMovingAverage"


@dataclasses.dataclass(frozen=True)
class SaveOptions:
    """What is said about saving: by the Saver first, and by each call then.

    Attributes:
        version: SaverDef.V1 or SaverDef.V2.
        sharded: Whether each device has a data file of its own.
        num_data_shards: How many data files a checkpoint has that is not sharded.
        durable: Whether a save returns only once the disk has the bytes.
        save_dtype: The type in which numbers of its kind are written; None for the variables' own.
        pad_step_number: Whether a step in a file name has eight digits.
        save_relative_paths: Whether the state file names checkpoints relative to its directory.
        blocking: Whether all is done when `save` returns.
        latest_filename: The name of the state file.
        meta_graph_suffix: How the name of the meta graph ends.
        write_meta_graph: Whether the graph is written as well.
        write_state: Whether the state file is written, and old checkpoints are removed.
        strip_default_attrs: Whether attributes that have their default are left out of the meta graph.
        save_debug_info: Whether the places in the source where nodes were made are written next to the meta graph.
        metric: How good the values are, for a retention policy that keeps the best.

    Raises:
        InvalidArgumentError: `num_data_shards` is less than 1, or the name of the state file is a path.
    """

    version: int = schemas.SaverDef.V2
    sharded: bool = False
    num_data_shards: int = 1
    durable: bool = True
    save_dtype: DType | None = None
    pad_step_number: bool = False
    save_relative_paths: bool = False
    blocking: bool = True
    latest_filename: str = STATE_FILE_NAME
    meta_graph_suffix: str = "meta"
    write_meta_graph: bool = True
    write_state: bool = True
    strip_default_attrs: bool = False
    save_debug_info: bool = False
    metric: float | None = None

    def __post_init__(self) -> None:
        if self.num_data_shards < 1:
            raise InvalidArgumentError(f"num_data_shards is {self.num_data_shards}, at least 1 is needed")
        if os.path.split(self.latest_filename)[0]:
            raise InvalidArgumentError(f"'latest_filename' must not contain path components: {self.latest_filename!r}")

    @property
    def is_v2(self) -> bool:
        """Whether the checkpoint is of the newer format; anything else that a SaverDef says is V1."""
        return self.version == schemas.SaverDef.V2

    def of_nodes(self, saver_def: Any) -> SaveOptions:
        """The options with what the nodes of a SaverDef decide; None when there are no nodes.

        Raises:
            InvalidArgumentError: The data files are to be counted, and are one for each device, or none.
        """
        options = self
        if saver_def is not None:
            options = dataclasses.replace(self, version=saver_def.version, sharded=saver_def.sharded)
        if options.num_data_shards > 1 and (options.sharded or not options.is_v2):
            raise InvalidArgumentError(
                f"num_data_shards={self.num_data_shards}: a sharded checkpoint has a data file for each device, "
                "and V1 has no data files"
            )
        return options


@dataclasses.dataclass(frozen=True)
class RestoreOptions:
    """What is said about restoring; None where nothing is.

    Attributes:
        mapping: From names in the checkpoint to the names of the Saver's variables; see `tfsaver.restore`.
        cast: Whether numbers of another dtype are converted; a loss beyond precision is an error.
        scope: Words in front of the names in the checkpoint, or the words there and the words here.
        select: Which of the Saver's variables are restored.
        strict: Whether it is an error that a tensor is missing or does not fit.
        dry_run: Whether to report only.
        trusted: If false, a name in a file that leads out of its directory is an error.
        initialize_missing: Whether variables of the graph that have no value after the restore are initialized.
        averages: Whether a variable gets its moving average where the checkpoint has one.
        accept_guesses: Whether the guesses of a report are taken.
    """

    mapping: NameMapLike = None
    cast: bool | None = None
    scope: Scope = None
    select: Select = None
    strict: bool | None = None
    dry_run: DryRun | None = None
    trusted: bool | None = None
    initialize_missing: bool | None = None
    averages: bool | None = None
    accept_guesses: bool | None = None

    def __post_init__(self) -> None:
        as_name_map(self.mapping)
        if self.select is not None:
            selection = as_selection(self.select)
            if selection.without_optimizer or selection.trainable_only or selection.collection:
                raise InvalidArgumentError("select= of a restore takes include and exclude, patterns of names")

    def over(self, others: RestoreOptions) -> RestoreOptions:
        """These options, and where they say nothing the others."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        return dataclasses.replace(others, **said) if said else others

    @property
    def is_plain(self) -> bool:
        """Whether every variable gets the tensor of its own name, dtype and shape, or the restore fails."""
        return not (self.names or self.strict is False or self.dry_run or self.initialize_missing or self.trusted is False)

    @property
    def names(self) -> list[str]:
        """The options in force that say which tensor a variable gets, and how it is made."""
        given = ("mapping", "cast", "scope", "select", "averages", "accept_guesses")
        return [name for name in given if getattr(self, name) not in (None, False)]

    @property
    def name_map(self) -> NameMap:
        """The mapping, with the averages first in the places of the variables."""
        steps = as_name_map(self.mapping).steps
        return NameMap([RenameTogether(_averages_first), *steps] if self.averages else steps)


_patched: list[RestoreOptions] = []


def patched() -> RestoreOptions:
    """What patches say, the last one first."""
    options = RestoreOptions()
    for each in _patched:
        options = each.over(options)
    return options


def begin_patch(options: RestoreOptions) -> None:
    """Has the options count for every Saver of the process."""
    _patched.append(options)


def end_patch(options: RestoreOptions) -> None:
    """Takes that back."""
    for index in reversed(range(len(_patched))):
        if _patched[index] is options:
            del _patched[index]
            return


def _averages_first(names: Sequence[str]) -> dict[str, Any]:
    """Each moving average for its variable, and for itself where a program keeps both."""
    there = set(names)
    averaged = [name for name in names if name.endswith(_AVERAGE)]
    renamed: dict[str, Any] = {name: [name.removesuffix(_AVERAGE), name] for name in averaged}
    return {**dict.fromkeys((name for name in map(_of_average, averaged) if name in there), None), **renamed}


def _of_average(name: str) -> str:
    return name.removesuffix(_AVERAGE)
