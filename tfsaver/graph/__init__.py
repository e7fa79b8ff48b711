"""GraphDefs and MetaGraphDefs as data: what is in them, what they need, what they can do, and other graphs made from them.

Protos in; new protos or findings out: no function here changes what it is given, none reads a file, none needs TensorFlow.

`variables` finds a graph's variables and the names of their values in a checkpoint, `tables` its lookup tables and what
fills them, `save_restore` makes the nodes that save and restore variables. `pruning` keeps what some outputs need;
`devices`, `default_attrs` and `freezing` make graphs for other places to run in. `lint` says what is wrong with a graph,
`op_risks` what it can do to the machine that runs it, `reach` what of it is run at all.
"""
