"""Success in the shipped environments: defined in each of them, whatever weights a run gives to their rewards."""

import asyncio
from itertools import islice
from typing import Any

import pytest

from lachesis.environments.loading import BUILT_IN, find_environment
from lachesis.environments.shipped.arithmetic import Arithmetic
from lachesis.environments.shipped.calculator.environment import Calculator
from lachesis.environments.shipped.sql.environment import Sql
from lachesis.environments.shipped.tic_tac_toe.environment import TicTacToe
from lachesis.verifiers.task import Task

EMPTY = Task("Play.", info={"opening": []})


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_shipped_environment_says_what_success_is(name: str) -> None:
    success = find_environment(name).rubric.success
    assert isinstance(success, str)
    assert success


@pytest.mark.parametrize(
    ("environment", "weights"),
    [(Arithmetic(), {"digits": 9.0}), (Calculator(), {"called": 9.0}), (Sql(), {})],
    ids=["arithmetic", "calculator", "sql"],
)
def test_the_right_answer_alone_is_a_success_even_if_another_reward_weighs_more(
    environment: Any, weights: dict[str, float]
) -> None:
    environment.rubric = environment.rubric.with_weights(weights)
    for task in islice(environment.tasks("test", 0), 3):
        replies = environment.demonstration(task)
        script = [replies] if isinstance(replies, str) else list(replies)
        assert environment.score(task, *script).success is True
        assert environment.score(task, *script[:-1], "[[-7]]").success is False


@pytest.mark.parametrize(
    ("draw", "x", "o", "successes"),
    [
        (0.5, "123", "45", {"x": True, "o": False}),
        (0.5, "13489", "2567", {"x": True, "o": True}),
        (0.0, "13489", "2567", {"x": False, "o": False}),
        (0.5, "11", "5", {"x": False, "o": True}),
    ],
    ids=["won", "drawn", "drawn for nothing", "illegal"],
)
def test_a_game_that_is_not_lost_is_a_success_unless_a_draw_earns_nothing(
    draw: float, x: str, o: str, successes: dict[str, bool]
) -> None:
    played = asyncio.run(TicTacToe(opening=0, draw=draw).attempt(EMPTY, {"x": list(x), "o": list(o)}))
    assert {agent: reward.success for agent, reward in played.rewards.items()} == successes
