"""Verifiers that run the program a completion holds, in a sandbox."""
