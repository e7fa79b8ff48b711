"""TensorFlow as a guest: the one layer that may import it.

Everything here fetches values from a TensorFlow program, hands them to the layers below, and assigns values back; no byte of
a checkpoint is read or written by TensorFlow itself.

    _tensorflow   the door: the names we use of TensorFlow, imported when the first of them is asked for
    _errors       our errors as TensorFlow's classes
    _binding      one variable tied to one tensor of a checkpoint: where its value is read, how it is assigned
    _variables    a `var_list` in all its forms -> bindings
    _transfer     values between a session and memory, in batches of bounded size
    _matching     bindings against a checkpoint: what is missing, what does not fit
    _restore      from a checkpoint into variables, all or nothing
    _retention    which checkpoints are kept
    v1            the names that replace those of `tf.compat.v1`

Importing this package or any module in it does not import TensorFlow.
"""
