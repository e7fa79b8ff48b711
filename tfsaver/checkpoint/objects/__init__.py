"""Checkpoints written from objects: their graph read, built, taken from elsewhere, and tensors found for it."""
