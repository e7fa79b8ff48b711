"""Checkpoints edited as files, without a graph: each verb is a view of one source of tensors, or of several.

See `tensor_source`: a view reads when it is read, so that an edit needs the memory of a piece, not of the checkpoint.

    select, rename, cast, average, merge    a view, and the verb that writes what it shows
    split, reshard, diff                    verbs that need no view of their own
    view                                    what views have in common
    object_graph_*                          what becomes of the description of objects when tensors go, move, or meet others
    edit, write, edit_report                from a view to files, and what is said of it
    cast_errors, comparing                  two tensors element by element

`tfsaver.graph.strip` stands above: it asks the graph beside a checkpoint what only training needs.
"""
