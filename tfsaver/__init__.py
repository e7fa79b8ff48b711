"""Read, write, verify and restore TensorFlow checkpoints, with or without TensorFlow.

    reader = tfsaver.load_checkpoint("model.ckpt-1000")     # a Mapping from names to numpy arrays, V1 and V2 alike
    tfsaver.save_checkpoint({"w": w, "b": b}, "model")      # files that TensorFlow reads
    tfsaver.verify("model")                                 # every byte, every checksum
    saver = tfsaver.Saver(var_list)                         # in the place of tf.compat.v1.train.Saver

Every name is imported when it is first used, so that ``import tfsaver`` itself imports neither numpy nor protobuf nor
TensorFlow. The packages, from the bottom up: `errors`, `schemas`, `lib` (bytes and files), `table` (sorted string tables),
`framework` (tensors), `tensor_bundle` (V2), `checkpoint` (both formats, plans and executions), `graph` (graphs as data),
`saved_model`, `formats` (foreign files), `targets` (trees of tensors), `compat` (TensorFlow's own interfaces), `verbs`
(what a person calls), `cli`, `torch_dcp` (storage of torch.distributed.checkpoint), `testing` (checks for sources and
targets of your own).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfsaver._lazy_imports import lazy_import
from tfsaver._version import __version__

if TYPE_CHECKING:
    from tfsaver import checkpoint as checkpoint
    from tfsaver import cli as cli
    from tfsaver import compat as compat
    from tfsaver import errors as errors
    from tfsaver import formats as formats
    from tfsaver import framework as framework
    from tfsaver import graph as graph
    from tfsaver import lib as lib
    from tfsaver import saved_model as saved_model
    from tfsaver import schemas as schemas
    from tfsaver import table as table
    from tfsaver import targets as targets
    from tfsaver import tensor_bundle as tensor_bundle
    from tfsaver import testing as testing
    from tfsaver import torch_dcp as torch_dcp
    from tfsaver import verbs as verbs
    from tfsaver.checkpoint.checkpoint_management import checkpoint_exists as checkpoint_exists
    from tfsaver.checkpoint.checkpoint_management import get_checkpoint_state as get_checkpoint_state
    from tfsaver.checkpoint.checkpoint_management import latest_checkpoint as latest_checkpoint
    from tfsaver.checkpoint.checkpoint_reader import CheckpointReader as CheckpointReader
    from tfsaver.checkpoint.doctor.doctor import diagnose as diagnose
    from tfsaver.checkpoint.doctor.salvage import salvage_checkpoint as salvage
    from tfsaver.checkpoint.editing.diff import DiffReport as DiffReport
    from tfsaver.checkpoint.identify import Identity as Identity
    from tfsaver.checkpoint.identify import identify as identify
    from tfsaver.checkpoint.match_report import MatchReport as MatchReport
    from tfsaver.checkpoint.match_report import MatchReport as RestoreReport
    from tfsaver.checkpoint.retention import Retention as Retention
    from tfsaver.checkpoint.save import save_checkpoint as save_checkpoint
    from tfsaver.checkpoint.selection import Selection as Selection
    from tfsaver.checkpoint.verify import VerifyReport as VerifyReport
    from tfsaver.checkpoint.write_report import WriteReport as WriteReport
    from tfsaver.compat.export import export_saved_model as export_saved_model
    from tfsaver.compat.v1.saver import Saver as Saver
    from tfsaver.errors import SaverError as SaverError
    from tfsaver.lib.storage_path import StoragePath as StoragePath
    from tfsaver.saved_model.editing import edit_saved_model as edit_saved_model
    from tfsaver.saved_model.freezing import freeze_saved_model as freeze_saved_model
    from tfsaver.saved_model.loader import load_saved_model as load_saved_model
    from tfsaver.saved_model.merging import merge_saved_models as merge_saved_models
    from tfsaver.saved_model.unfrozen_files import unfreeze_graph as unfreeze_graph
    from tfsaver.tensor_bundle.merge import merge_bundles as merge_bundles
    from tfsaver.tensor_bundle.writer import BundleWriter as BundleWriter
    from tfsaver.verbs.average import average as average
    from tfsaver.verbs.cast import cast as cast
    from tfsaver.verbs.convert import convert as convert
    from tfsaver.verbs.diff import diff as diff
    from tfsaver.verbs.load_checkpoint import list_variables as list_variables
    from tfsaver.verbs.load_checkpoint import load_checkpoint as load_checkpoint
    from tfsaver.verbs.load_checkpoint import load_variable as load_variable
    from tfsaver.verbs.merge import merge as merge
    from tfsaver.verbs.projector import ProjectorReport as ProjectorReport
    from tfsaver.verbs.projector import write_projector as write_projector
    from tfsaver.verbs.ranks import PendingSave as PendingSave
    from tfsaver.verbs.ranks import ShardWriter as ShardWriter
    from tfsaver.verbs.ranks import abandon as abandon
    from tfsaver.verbs.ranks import commit as commit
    from tfsaver.verbs.ranks import load_slices as load_slices
    from tfsaver.verbs.ranks import pending as pending
    from tfsaver.verbs.rename import rename as rename
    from tfsaver.verbs.report import PageReport as PageReport
    from tfsaver.verbs.report import report as report
    from tfsaver.verbs.reshard import reshard as reshard
    from tfsaver.verbs.restore import compare as compare
    from tfsaver.verbs.restore import restore as restore
    from tfsaver.verbs.select import select as select
    from tfsaver.verbs.split import split as split
    from tfsaver.verbs.strip import strip as strip
    from tfsaver.verbs.trees import load as load
    from tfsaver.verbs.trees import save as save
    from tfsaver.verbs.verify import verify as verify

# Public name -> where it lives: the module, and its name there.
_HOMES = {
    "BundleWriter": ("tfsaver.tensor_bundle.writer", "BundleWriter"),
    "CheckpointReader": ("tfsaver.checkpoint.checkpoint_reader", "CheckpointReader"),
    "DiffReport": ("tfsaver.checkpoint.editing.diff", "DiffReport"),
    "Identity": ("tfsaver.checkpoint.identify", "Identity"),
    "MatchReport": ("tfsaver.checkpoint.match_report", "MatchReport"),
    # The report's earlier name.
    "RestoreReport": ("tfsaver.checkpoint.match_report", "MatchReport"),
    "Retention": ("tfsaver.checkpoint.retention", "Retention"),
    "Saver": ("tfsaver.compat.v1.saver", "Saver"),
    "SaverError": ("tfsaver.errors", "SaverError"),
    "StoragePath": ("tfsaver.lib.storage_path", "StoragePath"),
    "Selection": ("tfsaver.checkpoint.selection", "Selection"),
    "VerifyReport": ("tfsaver.checkpoint.verify", "VerifyReport"),
    "WriteReport": ("tfsaver.checkpoint.write_report", "WriteReport"),
    "average": ("tfsaver.verbs.average", "average"),
    "cast": ("tfsaver.verbs.cast", "cast"),
    "checkpoint_exists": ("tfsaver.checkpoint.checkpoint_management", "checkpoint_exists"),
    "compare": ("tfsaver.verbs.restore", "compare"),
    "convert": ("tfsaver.verbs.convert", "convert"),
    "diff": ("tfsaver.verbs.diff", "diff"),
    "diagnose": ("tfsaver.checkpoint.doctor.doctor", "diagnose"),
    "edit_saved_model": ("tfsaver.saved_model.editing", "edit_saved_model"),
    "export_saved_model": ("tfsaver.compat.export", "export_saved_model"),
    "freeze_saved_model": ("tfsaver.saved_model.freezing", "freeze_saved_model"),
    "get_checkpoint_state": ("tfsaver.checkpoint.checkpoint_management", "get_checkpoint_state"),
    "identify": ("tfsaver.checkpoint.identify", "identify"),
    "latest_checkpoint": ("tfsaver.checkpoint.checkpoint_management", "latest_checkpoint"),
    "list_variables": ("tfsaver.verbs.load_checkpoint", "list_variables"),
    "load": ("tfsaver.verbs.trees", "load"),
    "load_checkpoint": ("tfsaver.verbs.load_checkpoint", "load_checkpoint"),
    "load_saved_model": ("tfsaver.saved_model.loader", "load_saved_model"),
    "load_variable": ("tfsaver.verbs.load_checkpoint", "load_variable"),
    "merge": ("tfsaver.verbs.merge", "merge"),
    "merge_bundles": ("tfsaver.tensor_bundle.merge", "merge_bundles"),
    "merge_saved_models": ("tfsaver.saved_model.merging", "merge_saved_models"),
    "rename": ("tfsaver.verbs.rename", "rename"),
    "report": ("tfsaver.verbs.report", "report"),
    "reshard": ("tfsaver.verbs.reshard", "reshard"),
    "restore": ("tfsaver.verbs.restore", "restore"),
    "save": ("tfsaver.verbs.trees", "save"),
    "salvage": ("tfsaver.checkpoint.doctor.salvage", "salvage_checkpoint"),
    "save_checkpoint": ("tfsaver.checkpoint.save", "save_checkpoint"),
    "select": ("tfsaver.verbs.select", "select"),
    "split": ("tfsaver.verbs.split", "split"),
    "strip": ("tfsaver.verbs.strip", "strip"),
    "PageReport": ("tfsaver.verbs.report", "PageReport"),
    "PendingSave": ("tfsaver.verbs.ranks", "PendingSave"),
    "ShardWriter": ("tfsaver.verbs.ranks", "ShardWriter"),
    "abandon": ("tfsaver.verbs.ranks", "abandon"),
    "commit": ("tfsaver.verbs.ranks", "commit"),
    "load_slices": ("tfsaver.verbs.ranks", "load_slices"),
    "pending": ("tfsaver.verbs.ranks", "pending"),
    "unfreeze_graph": ("tfsaver.saved_model.unfrozen_files", "unfreeze_graph"),
    "verify": ("tfsaver.verbs.verify", "verify"),
    "ProjectorReport": ("tfsaver.verbs.projector", "ProjectorReport"),
    "write_projector": ("tfsaver.verbs.projector", "write_projector"),
}
_MODULES = frozenset(
    {
        "checkpoint",
        "cli",
        "compat",
        "errors",
        "formats",
        "framework",
        "graph",
        "lib",
        "saved_model",
        "schemas",
        "table",
        "targets",
        "tensor_bundle",
        "testing",
        "torch_dcp",
        "verbs",
    }
)

__all__ = [
    "BundleWriter",
    "CheckpointReader",
    "DiffReport",
    "Identity",
    "MatchReport",
    "PageReport",
    "PendingSave",
    "ProjectorReport",
    "RestoreReport",
    "Retention",
    "Saver",
    "SaverError",
    "Selection",
    "ShardWriter",
    "StoragePath",
    "VerifyReport",
    "WriteReport",
    "__version__",
    "abandon",
    "average",
    "cast",
    "checkpoint_exists",
    "commit",
    "compare",
    "convert",
    "diagnose",
    "diff",
    "edit_saved_model",
    "export_saved_model",
    "freeze_saved_model",
    "get_checkpoint_state",
    "identify",
    "latest_checkpoint",
    "list_variables",
    "load",
    "load_checkpoint",
    "load_saved_model",
    "load_slices",
    "load_variable",
    "merge",
    "merge_bundles",
    "merge_saved_models",
    "pending",
    "rename",
    "report",
    "reshard",
    "restore",
    "salvage",
    "save",
    "save_checkpoint",
    "select",
    "split",
    "strip",
    "unfreeze_graph",
    "verify",
    "write_projector",
]


# A type checker would take every name for one that is there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            module, attribute = _HOMES[name]
            with lazy_import():
                value = getattr(importlib.import_module(module), attribute)
        elif name in _MODULES:
            with lazy_import():
                value = importlib.import_module(f"tfsaver.{name}")
        else:
            raise AttributeError(f"module 'tfsaver' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
