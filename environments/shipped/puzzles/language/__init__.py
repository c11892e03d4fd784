"""Puzzles of logic, words, dates, tables and programs."""
