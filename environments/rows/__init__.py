"""Rows of datasets: where they are found, and how their columns are read."""
