"""Trains the recorded batches of a run again, and compares the results with what the run recorded."""
