"""Verifier for SQL queries, by the results that they have on test databases in the sandbox."""
