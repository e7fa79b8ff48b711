"""What optimizers keep in checkpoints: which tensors are slots, of what, and what another library calls them."""
