"""Verifiers that look at an answer as text: matching, structure, length, instructions."""
