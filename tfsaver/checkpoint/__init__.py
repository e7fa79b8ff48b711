"""Named variables through time: one reader for both generations of checkpoints, and what surrounds the files.

Here: `checkpoint_reader` opens whatever a path means; `tensor_slice_reader` and `tensor_slice_writer` are the V1 format (V2
is `tfsaver.tensor_bundle`); `save` writes a mapping, `verify` reads every byte; `checkpoint_management` and
`checkpoint_state` know which checkpoint is the latest; `tensor_source` is the one face of everything with named tensors.

A folder for each of the larger matters:

    names        old names and new: mappings, ready tables, guesses
    objects      checkpoints written from objects: their graph read, built and found tensors for
    optimizers   which tensors are an optimizer's, and what other libraries call them
    restoring    what a program wants against what a checkpoint has
    editing      views of checkpoints: selected, renamed, cast, averaged, merged
    doctor       what is wrong with a directory of checkpoints, and what can be had back
"""
