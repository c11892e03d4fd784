"""Verifier for quantities with units, compared by dimension and value."""
