"""Named variables through time: one reader for both generations of checkpoints, and what surrounds the files.

`checkpoint_reader` opens whatever a path means; `tensor_slice_reader` and `tensor_slice_writer` are the V1 format (V2 is
`tfsaver.tensor_bundle`); `save` writes a mapping, `verify` reads every byte; `checkpoint_management` and
`checkpoint_state` know which checkpoint is the latest. `matching` compares what a program wants with what a checkpoint has,
`restore_report` says what came of it, `renames` which other names may be meant; `object_graph` is what a checkpoint says of
the objects that it was written from.

Of a directory that is not well `directory_survey` and `state_survey` say what is there, `doctor` what is wrong;
`state_repair`, `leftovers` and `salvage` do something about it, and `latest_verified` finds the newest sound checkpoint.
"""
