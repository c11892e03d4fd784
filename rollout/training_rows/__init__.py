"""Rows for supervised and preference training, selected from scored trajectories and written as data sets."""
