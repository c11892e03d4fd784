"""Plays environments of the Atropos repository against our service."""
