"""What receives tensors in memory: trees of containers with arrays of numpy, PyTorch or JAX for leaves.

A framework's library is imported when something of its kind is met. Nothing here knows TensorFlow: its variables are
targets in `compat`.
"""
