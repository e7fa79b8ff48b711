"""Checkpoints edited as files, without a graph: each verb is a plan over one source of tensors, or over several.

See `plan`: a plan reads when it is read, so that an edit needs the memory of a piece, not of the checkpoint.

    select, rename, cast, average, merge    a plan builder, and the verb that writes what it plans
    split, reshard, diff                    verbs that need no builder of their own
    object_graph_*                          what becomes of the description of objects when tensors go, move, or meet others
    edit, write                             from a plan to files
    comparing                               two tensors element by element

`tfsaver.graph.strip` stands above: it asks the graph beside a checkpoint what only training needs.
"""
