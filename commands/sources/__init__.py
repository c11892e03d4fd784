"""Runs and evaluations on disk, as the commands that show them read them."""
