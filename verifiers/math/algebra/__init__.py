"""Exact algebra: formulas read as expressions in a canonical form, and their comparison without a worker."""
