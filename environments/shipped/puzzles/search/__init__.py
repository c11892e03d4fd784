"""Puzzles whose solution is searched for: graphs, grids, plans and games."""
