"""Foreign file formats: safetensors, npz, PyTorch, Keras's HDF5 and Orbax, each read and written through its own library.

`registry` is the table of all formats. Every other module stands alone: a source that reads the format, a target that
writes it, and an error that names the pip line where the library is missing. Nothing here knows TensorFlow.
"""
