"""A run on disk: its folder, checkpoints and state, written by the loop and read by anybody."""
