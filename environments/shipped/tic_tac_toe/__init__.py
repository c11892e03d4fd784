"""Tic-tac-toe between two agents."""
