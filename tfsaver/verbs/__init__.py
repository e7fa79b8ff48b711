"""The functions that a person calls: each opens what it is given, plans, and hands the plan to one execution.

    open_source     a path of any format, an open source, or arrays by name, as a `TensorSource`
    rename ...      one file for each verb that edits: its signature, its plan and its report
    convert         from any format to any other
    restore         a checkpoint's tensors into a program's variables; `compare` says whether they are there
    trees           `save` and `load`: nested containers of tensors

A verb's options are spelled out in its signature. The plans are made in `checkpoint.editing`; `docs/renamed_options.md` maps
earlier names of options to those of today.
"""
