"""The board: its rules, and a player that cannot be beaten."""

import random

import pytest

from lachesis.environments.shipped.tic_tac_toe.board import Board, best_moves, scripted_move


@pytest.mark.parametrize(
    ("moves", "winner", "over"),
    [
        ((), None, False),
        ((1, 4, 2, 5, 3), "x", True),
        ((1, 3, 2, 5, 9, 7), "o", True),
        ((5, 1, 9, 2, 4, 6, 3, 7, 8), None, True),
    ],
)
def test_a_game_ends_with_three_in_a_row_or_a_full_board(
    moves: tuple[int, ...], winner: str | None, over: bool
) -> None:
    assert (Board(moves).winner, Board(moves).over) == (winner, over)


def test_free_cells_show_their_number() -> None:
    assert str(Board((5, 1))) == "o 2 3\n4 x 6\n7 8 9"
    assert (Board((5, 1)).turn, Board((5,)).turn) == ("x", "o")


@pytest.mark.parametrize("opponent", ["random", "first", "perfect"])
@pytest.mark.parametrize("side", ["x", "o"])
def test_best_moves_never_lose_from_an_empty_board(opponent: str, side: str) -> None:
    for seed in range(30):
        rng, board = random.Random(seed), Board()
        while not board.over:
            kind = "perfect" if board.turn == side else opponent
            board = board.after(scripted_move(kind, board, rng))  # type: ignore[arg-type]
        assert board.winner in (side, None)
        assert opponent != "perfect" or board.winner is None


def test_a_win_and_a_threat_are_seen() -> None:
    assert best_moves(Board((1, 4, 2, 5))) == (3,)
    assert best_moves(Board((1, 5, 2))) == (3,)
