"""What a tensor is: its element type, its shape, which part of it a slice names, and its form as a TensorProto.

`dtypes` is one table; `tensor_shape` and `tensor_slice` carry shapes and slices in and out of their protos;
`tensor_slice_set` puts slices together again; `varint_array` and `tensor_util` are the wire form of values.
"""
