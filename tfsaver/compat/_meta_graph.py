"""A graph as a MetaGraphDef: the one piece of a checkpoint that TensorFlow makes.

What belongs into it (collections, stripped operations, the surgery that its options ask for) is TensorFlow's to say, and the
graph is in its hands; so its own function does all of it but the writing. The file is written here: it appears whole, and is
on the disk or in the store. The places in the source where nodes were made TensorFlow writes itself, into a directory of
ours, or to the URL if its runtime knows the scheme.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from google.protobuf import text_format

from tfsaver.checkpoint.checkpoint_management import meta_graph_filename
from tfsaver.compat import _tensorflow
from tfsaver.compat._errors import writing
from tfsaver.compat._options import SaveOptions
from tfsaver.compat._paths import is_text
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.lib.temporary_directory import temporary_directory


def export_meta_graph(
    filename: str | None = None,
    meta_info_def: Any = None,
    graph_def: Any = None,
    saver_def: Any = None,
    collection_list: Any = None,
    as_text: bool = False,
    graph: Any = None,
    export_scope: str | None = None,
    clear_devices: bool = False,
    clear_extraneous_savers: bool = False,
    strip_default_attrs: bool = False,
    save_debug_info: bool = False,
    **kwargs: Any,
) -> Any:
    """A graph with its collections, written to `filename` if that is given.

    Args:
        filename: Where to; missing directories are made.
        meta_info_def: What to say about the graph, beside what TensorFlow says.
        graph_def: The nodes; those of `graph` if not given.
        saver_def: Which of the nodes save and restore the variables.
        collection_list: The keys of the collections to export; all of them if not given.
        as_text: Whether the file is a text.
        graph: The graph; the default one if not given.
        export_scope: The name scope to export, whose name is taken off.
        clear_devices: Whether devices are left out.
        clear_extraneous_savers: Whether the nodes of all Savers but that of `saver_def` are left out.
        strip_default_attrs: Whether attributes that have their default are left out.
        save_debug_info: Whether the places in the source where nodes were made are written beside the file.
        **kwargs: `unbound_inputs_col_name`, and `exclude_nodes`.

    Returns:
        The MetaGraphDef.

    Raises:
        RuntimeError: In eager mode, without a graph.
        TypeError: A definition is of the wrong type, or an argument is unknown.
        ValueError: The graph is larger than 2 GB.
    """
    if _tensorflow.tf.executing_eagerly() and (graph_def is None or graph is None):
        raise RuntimeError(
            "Exporting/importing meta graphs is not supported when eager execution is enabled. No graph exists when eager "
            "execution is enabled."
        )
    export = functools.partial(
        _tensorflow.meta_graph.export_scoped_meta_graph,
        as_text=as_text,
        meta_info_def=meta_info_def,
        graph_def=graph_def,
        saver_def=saver_def,
        collection_list=collection_list,
        graph=graph,
        export_scope=export_scope,
        clear_devices=clear_devices,
        clear_extraneous_savers=clear_extraneous_savers,
        strip_default_attrs=strip_default_attrs,
        **kwargs,
    )
    path = "" if not filename else file_io.as_path(filename)
    if file_io.is_remote(path) and save_debug_info:
        return export(filename=filename, save_debug_info=save_debug_info)[0]
    if not path or not save_debug_info:
        meta_graph_def = export()[0]
        if path:
            _write(meta_graph_def, path, as_text=as_text)
        return meta_graph_def
    with writing(path):
        file_io.make_directory(file_io.split(path)[0] or os.curdir)
        with temporary_directory(path) as directory:
            meta_graph_def, _ = export(filename=file_io.join(directory, file_io.split(path)[1]), save_debug_info=True)
            for name in file_io.list_directory(directory):
                file_io.sync_file(file_io.join(directory, name), path)
                file_io.replace(file_io.join(directory, name), file_io.join(file_io.split(path)[0], name))
        file_io.sync_directory(file_io.split(path)[0])
    return meta_graph_def


def begin_export(
    export: Callable[..., Any], graph: Any, prefix: str, options: SaveOptions
) -> Callable[[], None]:
    """What writes the meta graph of a checkpoint when it is called, in any thread.

    Args:
        export: What exports the default graph, to a file or as a MetaGraphDef alone.
        graph: The graph. Unless the save blocks it may change before that, and what it is now is written.
        prefix: The checkpoint.
        options: How the checkpoint is saved.
    """
    filename = meta_graph_filename(prefix, options.meta_graph_suffix)

    def exported(filename: str | None) -> Any:
        with graph.as_default():
            return export(
                filename, strip_default_attrs=options.strip_default_attrs, save_debug_info=options.save_debug_info
            )

    path = file_io.as_path(filename)
    if options.save_debug_info:
        if not is_text(filename):
            raise InvalidArgumentError(f"{filename!r} is not UTF-8: TensorFlow cannot write a graph's debug info there")
        return functools.partial(exported, filename)
    if options.blocking or graph.finalized:
        return lambda: _write(exported(None), path, durable=options.durable)
    return functools.partial(_write, exported(None), path, durable=options.durable)


def _write(meta_graph_def: Any, path: str, *, as_text: bool = False, durable: bool = True) -> None:
    """Writes the file, in one atomic step, with TensorFlow's bytes; missing directories are made."""
    if as_text:
        data = text_format.MessageToString(meta_graph_def).encode()
    else:
        data = meta_graph_def.SerializeToString(deterministic=True)
    with writing(path):
        file_io.make_directory(file_io.split(path)[0] or os.curdir, durable=durable)
        file_io.write_file(path, data, durable=durable)
