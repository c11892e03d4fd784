import itertools
from collections import Counter

import pytest

from lachesis.environments.arithmetic import Arithmetic
from lachesis.environments.environment import Environment, Split
from lachesis.rollout.mixture import Mixture
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.task import Task


class Finite(Environment):
    """Three tasks in an order that the seed decides."""

    def tasks(self, split: Split, seed: int) -> list[Task]:
        return [Task(f"{seed}: {n}") for n in range(3)]


class Empty(Environment):
    """No task at all."""

    def tasks(self, split: Split, seed: int) -> list[Task]:
        return []


def test_shares_hold_at_every_length() -> None:
    mixture = Mixture([Arithmetic(), Arithmetic(digits=3)], [3.0, 1.0], [8, 4], "train", seed=0)
    drawn = [draw.environment for draw in itertools.islice(mixture, 400)]
    for length in range(1, 400):
        assert abs(Counter(drawn[:length])[0] - 0.75 * length) <= 1


def test_the_same_seed_gives_the_same_sequence_and_another_seed_another() -> None:
    def sequence(seed: int) -> list[str]:
        mixture = Mixture([Arithmetic()], [1.0], [8], "train", seed)
        return [draw.task.hash for draw in itertools.islice(mixture, 20)]

    assert sequence(1) == sequence(1)
    assert sequence(1) != sequence(2)


def test_a_finite_environment_starts_anew_with_the_next_seed() -> None:
    mixture = Mixture([Finite()], [1.0], [2], "train", seed=5)
    prompts = [draw.task.prompt for draw in itertools.islice(mixture, 5)]
    assert prompts == ["5: 0", "5: 1", "5: 2", "6: 0", "6: 1"]


def test_an_environment_without_tasks_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(ConfigError, match="no tasks"):
        next(iter(Mixture([Empty()], [1.0], [2], "train", seed=0)))
