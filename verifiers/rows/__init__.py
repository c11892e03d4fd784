"""Rows of JSON files, and the verifiers that such a row may name."""
