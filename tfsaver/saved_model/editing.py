"""Changes a SavedModel: its signatures, tags, variables, graphs. The old one stays as it is; a new directory is written.

    with edit_saved_model("export/1") as edit:
        edit.rename_signature("predict", "serving_default")
        edit.rename_output("serving_default", "Identity_3", "probabilities")
        edit.replace_variables("model.ckpt-2000")
        edit.save("export", versioned=True)

A model of TensorFlow 2 has its signatures twice: as names of tensors, which servers use, and as functions among its
objects, which `tf.saved_model.load` uses. Signatures of such a model can be renamed and removed, in both places; what would
need other functions takes `forget_objects` first, after which every loader goes by the names of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeAlias

from tfsaver import schemas
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.errors import InvalidArgumentError, NotFoundError, UnimplementedError, nearest_names
from tfsaver.graph import default_attrs, devices
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.saved_model import assets, constants, directory_files, export_plan, signature_def, sources, tensor_requests
from tfsaver.saved_model.builder import SavedModelBuilder, check_target
from tfsaver.saved_model.changed_variables import ChangedVariables
from tfsaver.saved_model.graph_tensors import GraphTensors
from tfsaver.saved_model.loader import SavedModel, as_tags, format_tags, load_saved_model

Tags: TypeAlias = "Iterable[str] | str | None"

# What TensorFlow calls the object whose children are the signatures.
_SIGNATURE_MAP = "signature_map"


@renamed_options(path="saved_model")
@takes_storage_options("saved_model")
def edit_saved_model(
    saved_model: file_io.PathLike,
    *,
    trusted: bool | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> SavedModelEditor:
    """Opens a SavedModel to change it.

    Args:
        saved_model: What `load_saved_model` takes.
        trusted: By default, `prune` refuses to copy files outside of the model's directory that only the graph names, and
            `save` copies what symbolic links point to. True copies both. False refuses both.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        SaverError: As `load_saved_model` has it.
    """
    return SavedModelEditor(load_saved_model(saved_model, trusted=trusted is not False), follow_graph=trusted is True)


class SavedModelEditor:
    """A SavedModel being changed; a context manager. Nothing is written before `save`.

    Where a method takes `tags`, they say which graph is meant; without them it is every graph that has what is named.

    Attributes:
        proto: The SavedModel message as it will be written.
    """

    def __init__(self, model: SavedModel, *, follow_graph: bool = False) -> None:
        self.proto = schemas.SavedModel()
        self.proto.CopyFrom(model.proto)
        self._model = model
        # Where links may lead, and where what the graph alone names may be.
        self._confinement = Confinement(model.directory, model.trusted)
        self._graph_confinement = Confinement(model.directory, follow_graph)
        self._variables = ChangedVariables(model.variables, trusted=model.trusted)
        # The files by their names below assets/, once the graphs read others than those that are there.
        self._asset_sources: dict[str, str] | None = None

    @property
    def signatures(self) -> dict[str, signature_def.Signature]:
        """The signatures as they are now; of several graphs, of the first that has one of the name."""
        found: dict[str, signature_def.Signature] = {}
        for graph in self.proto.meta_graphs:
            for key in signature_def.natural_order(graph.signature_def):
                if key not in constants.RESERVED_SIGNATURE_KEYS:
                    found.setdefault(key, signature_def.read_signature(key, graph.signature_def[key]))
        return found

    def rename_signature(self, old: str, new: str, *, tags: Tags = None) -> None:
        """Gives a signature another key.

        Raises:
            NotFoundError: There is no such signature; names the nearest ones.
            InvalidArgumentError: The new key is taken, or reserved.
        """
        for graph in self._graphs_with(old, tags):
            if new != old and new in graph.signature_def:
                raise InvalidArgumentError(f"signature {new!r} is there already")
            signature = _removed(graph.signature_def, old)
            signature_def.check_signatures({new: signature})
            graph.signature_def[new].CopyFrom(signature)
            for edge in _signature_edges(graph):
                if edge.local_name == old:
                    edge.local_name = new

    def remove_signature(self, key: str, *, tags: Tags = None) -> None:
        """Removes a signature; what it needs of the graph stays until `prune`.

        Raises:
            NotFoundError: There is no such signature; names the nearest ones.
        """
        for graph in self._graphs_with(key, tags):
            del graph.signature_def[key]
            for node in graph.object_graph_def.nodes:
                if node.user_object.identifier == _SIGNATURE_MAP:
                    kept = [edge for edge in node.children if edge.local_name != key]
                    del node.children[:]
                    node.children.extend(kept)

    def add_signature(
        self,
        key: str,
        *,
        inputs: tensor_requests.Tensors | None = None,
        outputs: tensor_requests.Tensors | None = None,
        method_name: str = constants.PREDICT,
        tags: Tags = None,
    ) -> None:
        """Adds a signature of tensors that are in the graph; arguments as `export_saved_model` has them.

        Raises:
            InvalidArgumentError: The key is taken or reserved, or the signature is unsound.
            NotFoundError: A tensor is not in the graph.
            UnimplementedError: The model is one of objects, where a signature is a function.
        """
        for graph in self._graphs(tags):
            self._refuse_objects(graph, "add a signature")
            if key in graph.signature_def:
                raise InvalidArgumentError(f"signature {key!r} is there already")
            asked = {"inputs": inputs, "outputs": outputs, "method_name": method_name}
            made = export_plan.make_signature(key, asked, GraphTensors(graph))
            signature_def.check_signatures({key: made})
            signature_def.check_method(key, made)
            graph.signature_def[key].CopyFrom(made)

    def rename_input(self, signature: str, old: str, new: str, *, tags: Tags = None) -> None:
        """Gives an input of a signature another key.

        Raises:
            NotFoundError: There is no such signature, or it has no such input.
            InvalidArgumentError: The new key is taken.
            UnimplementedError: The model is one of objects, where the key belongs to a function.
        """
        self._rename(signature, old, new, tags, lambda each: each.inputs, "input")

    def rename_output(self, signature: str, old: str, new: str, *, tags: Tags = None) -> None:
        """Gives an output of a signature another key; raises what `rename_input` raises."""
        self._rename(signature, old, new, tags, lambda each: each.outputs, "output")

    def remove_output(self, signature: str, key: str, *, tags: Tags = None) -> None:
        """Takes an output off a signature; raises what `rename_input` raises."""
        for graph in self._graphs_with(signature, tags):
            self._refuse_objects(graph, "remove an output")
            _removed(graph.signature_def[signature].outputs, key, f"signature {signature!r} has no output")

    def set_method_name(self, signature: str, method_name: str, *, tags: Tags = None) -> None:
        """Says what a server may do with a signature, as in ``tensorflow/serving/predict``.

        Raises:
            NotFoundError: There is no such signature; names the nearest ones.
        """
        for graph in self._graphs_with(signature, tags):
            graph.signature_def[signature].method_name = method_name

    def set_tags(self, new: Iterable[str] | str, *, tags: Tags = None) -> None:
        """Gives a graph other tags.

        Raises:
            InvalidArgumentError: Another graph has them already, or it is not said which of several graphs is meant.
            NotFoundError: No graph has the tags `tags`.
        """
        graphs = self._graphs(tags)
        if len(graphs) != 1:
            raise InvalidArgumentError("tags must say which graph gets other ones")
        wanted = as_tags(new)
        if any(as_tags(graph.meta_info_def.tags) == wanted for graph in self.proto.meta_graphs if graph is not graphs[0]):
            raise InvalidArgumentError(f"a graph with the tags {format_tags(wanted)} is there already")
        del graphs[0].meta_info_def.tags[:]
        graphs[0].meta_info_def.tags.extend(wanted)

    def clear_devices(self) -> None:
        """Makes all nodes forget the devices that they were made for."""
        for graph in self.proto.meta_graphs:
            graph.graph_def.CopyFrom(devices.clear_devices(graph.graph_def))

    def strip_default_attrs(self) -> None:
        """Takes off attributes that only say the default, so that older programs can load the graphs."""
        for graph in self.proto.meta_graphs:
            graph.CopyFrom(default_attrs.strip_default_attrs(graph, portable=True))

    def forget_objects(self) -> None:
        """Makes a model of objects one of graphs and signatures, as TensorFlow 1 writes them."""
        for graph in self.proto.meta_graphs:
            graph.ClearField("object_graph_def")

    def replace_variables(self, variables: sources.Variables) -> list[str]:
        """Gives variables other values: all that `variables` has of the names in this model.

        Args:
            variables: A mapping from names to values, or a checkpoint.

        Returns:
            The names of the variables that have other values now.

        Raises:
            NotFoundError: It has none of the names.
            InvalidArgumentError: A value is of another type.
            ShapeMismatchError: A value is of another shape.
        """
        return self._variables.replace(variables)

    def prune(self) -> None:
        """Leaves out what no signature and no init op needs, variables too.

        A model of objects becomes one of graphs and signatures.

        Raises:
            InvalidArgumentError: It would be empty.
            UntrustedPathError: The graph names files outside of the model's directory.
        """
        kept: dict[str, str] = {}
        asset_sources: dict[str, str] = {}
        for graph in self.proto.meta_graphs:
            source = sources.ExportSource(
                graph,
                self._variables,
                self._asset_paths(graph),
                self._model.directory,
                confinement=self._graph_confinement,
            )
            request = export_plan.ExportRequest(
                tags=list(graph.meta_info_def.tags), clear_devices=False, strip_default_attrs=False
            )
            plan = export_plan.plan_export(source, request)
            graph.CopyFrom(plan.meta_graph)
            kept.update(plan.variables.values.keys_of_source)
            asset_sources.update(plan.asset_sources)
        self._variables.keep(kept)
        self._asset_sources = asset_sources

    @renamed_options(export_dir="target")
    def save(
        self,
        target: file_io.PathLike,
        *,
        as_text: bool | None = None,
        versioned: bool = False,
        durable: bool = True,
        dry_run: DryRun = False,
        progress: Progress | None = None,
    ) -> str:
        """Writes the changed model, with all other files of the old one, in one atomic step.

        Args:
            target: As `export_saved_model` has it; another directory than the old one's.
            as_text: Whether to write ``saved_model.pbtxt``; by default as the old one.
            versioned: Whether `target` is the directory of a server's versions.
            durable: Whether to return only once disks have the bytes.
            dry_run: If true, nothing is written: the target is checked, and returned.
            progress: Called with the bytes of variables done and the bytes in all.

        Returns:
            The directory of the new SavedModel.

        Raises:
            AlreadyExistsError: Something is at `target` already.
            UntrustedPathError: The old model is not trusted, and symbolic links lead out of it.
        """
        old = self._model.directory
        text = directory_files.is_text(old) if as_text is None else as_text
        if dry_run:
            check_target(file_io.as_path(target), versioned=versioned)
            return file_io.as_path(target)
        with SavedModelBuilder(target, versioned=versioned, durable=durable) as builder:
            if self._variables.has_checkpoint:
                builder.write_variables(self._variables.by_key(), progress=progress)
            builder.add_files(self._other_files(old))
            if self._model.fingerprint is not None:
                builder.add_fingerprint(self.proto)
            return builder.finish(self.proto, as_text=text)

    def _other_files(self, old: str) -> dict[str, str]:
        """The paths of the files to copy by their names; of the assets, after pruning, those that a graph still reads."""
        files = directory_files.other_files(old, self._confinement)
        if self._asset_sources is None:
            return files
        folder = f"{constants.ASSETS_DIRECTORY}/"
        kept = {name: path for name, path in files.items() if not name.startswith(folder)}
        return {**kept, **{folder + name: path for name, path in self._asset_sources.items()}}

    def _asset_paths(self, graph: schemas.MetaGraphDef) -> dict[str, str]:
        if self._asset_sources is None:
            paths = directory_files.asset_paths(self._model.directory, graph)
            self._confinement.check(*paths.values())
            return paths
        return {asset.tensor_name: self._asset_sources[asset.filename] for asset in assets.read_assets(graph)}

    def _graphs(self, tags: Tags) -> list[schemas.MetaGraphDef]:
        if tags is None:
            return list(self.proto.meta_graphs)
        wanted = as_tags(tags)
        found = [graph for graph in self.proto.meta_graphs if as_tags(graph.meta_info_def.tags) == wanted]
        if not found:
            there = ", ".join(format_tags(as_tags(graph.meta_info_def.tags)) for graph in self.proto.meta_graphs)
            raise NotFoundError(f"no graph with the tags {format_tags(wanted)}: there is {there or 'none at all'}")
        return found

    def _graphs_with(self, signature: str, tags: Tags) -> list[schemas.MetaGraphDef]:
        graphs = self._graphs(tags)
        found = [graph for graph in graphs if signature in graph.signature_def]
        if not found or signature in constants.RESERVED_SIGNATURE_KEYS:
            known = [key for graph in graphs for key in graph.signature_def if key not in constants.RESERVED_SIGNATURE_KEYS]
            raise NotFoundError(f"no signature {signature!r}{_hint(signature, known)}")
        return found

    def _rename(
        self, signature: str, old: str, new: str, tags: Tags, select: Callable[[schemas.SignatureDef], Any], what: str
    ) -> None:
        for graph in self._graphs_with(signature, tags):
            self._refuse_objects(graph, f"rename an {what}")
            infos = select(graph.signature_def[signature])
            if not new or (new != old and new in infos):
                raise InvalidArgumentError(f"signature {signature!r}: {what} {new!r} is there already, or is no key")
            infos[new].CopyFrom(_removed(infos, old, f"signature {signature!r} has no {what}"))

    @staticmethod
    def _refuse_objects(graph: schemas.MetaGraphDef, what: str) -> None:
        if graph.HasField("object_graph_def"):
            raise UnimplementedError(
                f"to {what} of a model of objects would take another function: forget_objects() makes it one of tensors"
            )

    def close(self) -> None:
        """Closes the files of the old model."""
        self._model.close()

    def __enter__(self) -> SavedModelEditor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _signature_edges(graph: schemas.MetaGraphDef) -> Iterator[Any]:
    """The edges of the object graph that lead from the signatures' map to their functions."""
    for node in graph.object_graph_def.nodes:
        if node.user_object.identifier == _SIGNATURE_MAP:
            yield from node.children


def _removed(messages: Any, key: str, what: str = "no signature") -> Any:
    """Takes a message out of a map."""
    if key not in messages:
        raise NotFoundError(f"{what} {key!r}{_hint(key, messages)}")
    copy = type(messages[key])()
    copy.CopyFrom(messages[key])
    del messages[key]
    return copy


def _hint(name: str, known: Iterable[str]) -> str:
    near = nearest_names(name, known)
    listed = ", ".join(sorted(set(known))) or "none"
    return f"; did you mean {', '.join(map(repr, near))}?" if near else f"; there is {listed}"
