"""What a program wants against what a checkpoint has, and the report about it."""
