"""Tic-tac-toe: self-play with a reward for each side, scripted opponents, and moves that are none."""

import asyncio
from itertools import islice
from typing import Any

import pytest

from lachesis.environments.shipped.tic_tac_toe.environment import TicTacToe
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason, Trajectory

SELF = TicTacToe(opening=0)
EMPTY = Task("Play.", info={"opening": []})


def attempt(environment: TicTacToe, task: Task, **said: list[str]) -> Trajectory:
    return asyncio.run(environment.attempt(task, said))


def totals(trajectory: Trajectory) -> dict[str, float]:
    return {agent: reward.total for agent, reward in trajectory.rewards.items()}


def reasons(trajectory: Trajectory) -> dict[str, tuple[str, str]]:
    parts = {agent: reward.components[0].verdict for agent, reward in trajectory.rewards.items()}
    return {agent: (verdict.status, verdict.reason) for agent, verdict in parts.items()}


def test_winning_earns_1_and_losing_0() -> None:
    trajectory = attempt(SELF, EMPTY, x=["1", "2", "3"], o=["4", "5"])
    assert totals(trajectory) == {"x": 1.0, "o": 0.0}
    assert (trajectory.stop, trajectory.artifacts["moves"]) == (StopReason.DONE, [1, 4, 2, 5, 3])
    assert totals(attempt(SELF, EMPTY, x=["1", "2", "9"], o=["3", "5", "7"])) == {"x": 0.0, "o": 1.0}


def test_two_perfect_players_draw() -> None:
    trajectory = asyncio.run(SELF.attempt(EMPTY, SELF.demonstration(EMPTY)))
    assert totals(trajectory) == {"x": 0.5, "o": 0.5}
    assert len(trajectory.artifacts["moves"]) == 9
    drawn = TicTacToe(draw=0.25)
    assert totals(asyncio.run(drawn.attempt(EMPTY, drawn.demonstration(EMPTY)))) == {"x": 0.25, "o": 0.25}


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        ("1", "wrong", "illegal move: o takes cell 1"),
        ("0", "unparseable", "o named no cell"),
        ("10", "unparseable", "o named no cell"),
        ("", "unparseable", "o named no cell: ''"),
        ("the middle", "unparseable", "o named no cell"),
        ("²", "unparseable", "o named no cell"),
        ("<think>5", "unparseable", "o named no cell"),
        ("9" * 100_000, "unparseable", "o named no cell"),
        (" \n" * 50_000 + "x", "unparseable", "o named no cell"),
    ],
)
def test_a_move_that_is_none_loses(said: str, status: str, reason: str) -> None:
    trajectory = attempt(SELF, EMPTY, x=["1"], o=[said])
    assert totals(trajectory) == {"x": 1.0, "o": 0.0}
    assert reasons(trajectory)["o"][0] == status
    assert reason in reasons(trajectory)["o"][1]


@pytest.mark.parametrize("said", ["5", " 5\n", "5.", "I take cell 5", "<think>1 or 5?</think>5"])
def test_a_move_may_stand_at_the_end_of_a_sentence(said: str) -> None:
    assert attempt(SELF, EMPTY, x=[said]).artifacts["moves"] == [5]


def test_who_reaches_a_limit_has_lost() -> None:
    limited = TicTacToe(opening=0, limits={"turns": 1})
    trajectory = attempt(limited, EMPTY, x=["1", "2", "3"], o=["4", "5"])
    assert trajectory.stop is StopReason.TURNS
    assert totals(trajectory) == {"x": 0.0, "o": 1.0}
    assert reasons(trajectory)["x"] == ("unparseable", "x made no move")


@pytest.mark.parametrize(("opponent", "side"), [(o, s) for o in ("random", "first", "perfect") for s in "xo"])
def test_against_a_script_there_is_one_agent_and_perfect_play_does_not_lose(opponent: str, side: str) -> None:
    environment = TicTacToe(opponent=opponent, side=side, opening=0)
    assert environment.agents == (side,)
    trajectory = asyncio.run(environment.attempt(EMPTY, environment.demonstration(EMPTY)))
    assert totals(trajectory)[side] >= 0.5
    assert list(trajectory.messages) == [side]
    assert environment.score(EMPTY, "0").total == 0.0


def test_all_attempts_at_a_task_meet_the_same_opponent() -> None:
    environment = TicTacToe(opponent="random", opening=2)
    for task in islice(environment.tasks("train", 0), 20):
        said = environment.demonstration(task)
        games = [asyncio.run(environment.attempt(task, said)).artifacts["moves"] for _ in range(3)]
        assert games[0] == games[1] == games[2]
        assert totals(asyncio.run(environment.attempt(task, said)))["x"] >= 0.5


@pytest.mark.parametrize("opening", [1, 2, 3, 4])
def test_no_held_out_opening_is_trained(opening: int) -> None:
    environment = TicTacToe(opening=opening)
    test = {tuple(task.info["opening"]) for task in environment.tasks("test", 0)}
    train = {tuple(task.info["opening"]) for task in islice(environment.tasks("train", 0), 2000)}
    assert test
    assert train
    assert not test & train


def test_without_an_opening_there_is_one_task() -> None:
    assert len(list(SELF.tasks("test", 0))) == 1
    assert next(iter(SELF.tasks("train", 0))).info == {"opening": []}


def test_replies_of_an_agent_that_there_is_not_are_refused() -> None:
    said: dict[str, Any] = {"policy": ["5"]}
    with pytest.raises(ConfigError, match="no agent 'policy' to give replies"):
        attempt(SELF, EMPTY, **said)
