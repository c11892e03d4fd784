"""Rows of JSON files, and the verifiers that a dataset's row brings along."""
