"""Verifiers that treat an answer as text: matching, structure, length, instructions."""
