"""What is wrong with a directory of checkpoints, and what can be had back: surveys, a diagnosis, repairs, salvage."""
