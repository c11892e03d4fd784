"""Puzzles of mathematics."""
