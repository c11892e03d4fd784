"""The catalogue of puzzles: importing it fills ``FAMILIES`` with every family."""

from .language import automata, ciphers, dates, logic, strings, tables
from .mathematics import algebra, arithmetic, combinatorics, geometry, number_theory, probability, sequences
from .puzzle import FAMILIES, LEVELS
from .search import boards, games, graphs, grids, number_games, planning, routes

__all__ = ["FAMILIES", "LEVELS", "SUBJECTS"]

SUBJECTS = (
    *(arithmetic, number_theory, algebra, sequences, combinatorics, probability, geometry),
    *(graphs, routes, grids, boards, planning, number_games, games),
    *(logic, strings, ciphers, dates, tables, automata),
)
"""The modules that define the families, one for each subject."""
