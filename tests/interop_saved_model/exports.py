"""Models that a TensorFlow made, exported by tfsaver from each kind of source.

    prefix       a checkpoint with its .meta beside it
    meta_graph   a MetaGraphDef, and a mapping of values
    graph        a GraphDef, which has no collections, and a checkpoint
    session      a live session; in the process that has it
    saved_model  the export of the first, exported again
    frozen       the same, frozen: a GraphDef without variables
    unfrozen     that with variables again
    builder      a live session, exported by TensorFlow's own builder: for comparison

Once all exports of a model are made, everything that they were made from is removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tests.interop.guest_process import GuestProcess
from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.compat.export import export_saved_model
from tfsaver.graph.unfreezing import unfreeze_graph
from tfsaver.saved_model.freezing import freeze_saved_model

# The functions of guest/models.py; those whose content is not in variables alone.
TABLE_MODELS = ("tables", "filled_tables", "path_in_a_variable", "local_variables")
MODELS = (
    "reference",
    "resource",
    "partitioned_reference",
    "partitioned_resource",
    *TABLE_MODELS,
    "control_flow_v1",
    "control_flow_v2",
    "sparse",
    "ragged",
)
WITHOUT_TENSORFLOW = ("prefix", "meta_graph", "graph")
EXPORTED_AGAIN = ("saved_model", "frozen", "unfrozen")
TAGS = ["serve"]

Values = dict[str, list[Any]]


class Signature(NamedTuple):
    """What a signature was fed with and what TensorFlow computed before the export: names of tensors and values.

    Both by the names that the functions of loaded signatures give to the dense parts of their inputs and outputs.
    """

    feeds: dict[str, tuple[str, list[Any]]]
    fetches: dict[str, tuple[str, list[Any]]]

    @property
    def inputs(self) -> Values:
        """The values by the names of arguments."""
        return {key: value for key, (_, value) in self.feeds.items()}

    @property
    def fed_tensors(self) -> Values:
        """The values by the names of tensors."""
        return dict(self.feeds.values())

    @property
    def fetched_tensors(self) -> list[str]:
        """The names of the tensors that make up the outputs."""
        return [name for name, _ in self.fetches.values()]

    @property
    def expected(self) -> Values:
        """The outputs' values."""
        return {key: value for key, (_, value) in self.fetches.items()}

    @property
    def has_strings(self) -> bool:
        """Whether any of the values is of strings."""
        return any(value[0] == "string" for _, value in (*self.feeds.values(), *self.fetches.values()))


class Exported(NamedTuple):
    """A model's exports by kind of source, and what they must compute by the keys of signatures."""

    paths: dict[str, str]
    signatures: dict[str, Signature]


# The exports of a model by its maker, the name of a fixture, and its name.
Exports: TypeAlias = "Callable[[str, str], Exported]"


def export_from_every_source(maker: GuestProcess, model: str, directory: Path, live: tuple[str, ...]) -> Exported:
    """Has a TensorFlow make a model, exports it from every source, and removes the sources.

    Args:
        live: The kinds of export that the process itself makes of its session.
    """
    made = directory / "made"
    made.mkdir(parents=True)
    paths = {kind: str(directory / kind) for kind in (*WITHOUT_TENSORFLOW, *EXPORTED_AGAIN, *live)}
    answer = maker.ask("make", kind=model, directory=str(made), exports={kind: paths[kind] for kind in live})
    prefix = made / "model.ckpt"
    meta_graph = schemas.MetaGraphDef.FromString(Path(f"{prefix}.meta").read_bytes())
    graph = schemas.GraphDef.FromString((made / "graph.pb").read_bytes())
    signatures = dict(schemas.MetaGraphDef.FromString((made / "signatures.pb").read_bytes()).signature_def)
    with load_checkpoint(prefix) as reader:
        values = dict(reader)
    arguments: dict[str, Any] = {"signatures": signatures, "durable": False}
    export_saved_model(prefix, paths["prefix"], **arguments)
    export_saved_model(meta_graph, paths["meta_graph"], variables=values, **arguments)
    # A GraphDef does not say which variables are local.
    of_graph = {"init_op": "initialize_local_variables"} if model == "local_variables" else {}
    export_saved_model(graph, paths["graph"], variables=prefix, **of_graph, **arguments)
    shutil.rmtree(made)
    export_saved_model(paths["prefix"], paths["saved_model"], durable=False)
    frozen = freeze_saved_model(paths["prefix"])
    assert not {node.op for node in frozen.node} & {"VarHandleOp", "VariableV2", "RestoreV2"}
    export_saved_model(frozen, paths["frozen"], **arguments)
    unfrozen = unfreeze_graph(frozen, min_size=1)
    export_saved_model(unfrozen.meta_graph, paths["unfrozen"], variables=unfrozen.values, **arguments)
    described = {
        key: Signature(
            {name: (tensor, value) for name, (tensor, value) in each["feeds"].items()},
            {name: (tensor, value) for name, (tensor, value) in each["fetches"].items()},
        )
        for key, each in answer.items()
    }
    return Exported(paths, described)
