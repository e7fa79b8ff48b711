"""Checkpoints edited as files, without a graph: each verb is a view of one source of tensors, or of several.

See `tensor_source`: a view reads when it is read, so that an edit needs the memory of a piece, not of the checkpoint.
"""
