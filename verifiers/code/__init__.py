"""Verifier that runs the program in a completion against tests, in a sandbox."""
