"""The command line: prints what the layers below return, and turns errors into exit codes.

`main` is the parser and knows the verbs by name; each verb is a module of its own, imported when it is asked for, with

    NAME, HELP               what is typed, and what ``--help`` says of it
    add_arguments(parser)    its options
    run(arguments) -> int    its work, and the exit code

`survey` gathers what `inspect` tells of a checkpoint; `text` writes numbers and names, `values` arrays; `arguments` reads
what is typed; `screen` draws tables, in plain text for a pipe and through `rich_screen` for a person.
"""
