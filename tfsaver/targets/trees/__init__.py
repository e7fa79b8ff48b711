"""Nests of arrays, as programs of PyTorch and JAX save them, as checkpoints of objects."""
