"""Arithmetic: procedural, seeded, and held out by unordered pair."""

from itertools import islice

import pytest

from lachesis.environments.shipped.arithmetic import Arithmetic
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.task import Task


def pairs(tasks: list[Task]) -> set[tuple[int, int]]:
    return {(min(t.info["a"], t.info["b"]), max(t.info["a"], t.info["b"])) for t in tasks}


@pytest.mark.parametrize(("digits", "held_out"), [(1, 11), (2, 500), (3, 500)])
def test_no_pair_of_the_test_split_is_trained_in_either_order(digits: int, held_out: int) -> None:
    environment = Arithmetic(digits=digits)
    test, train = list(environment.tasks("test", 0)), list(islice(environment.tasks("train", 0), 20_000))
    assert len(test) == len(pairs(test)) == held_out
    assert not pairs(test) & pairs(train)


def test_training_never_ends_and_reaches_every_pair_that_is_not_held_out() -> None:
    environment = Arithmetic(digits=1)
    assert len(pairs(list(islice(environment.tasks("train", 0), 5_000)))) == 55 - 11


def test_equal_seeds_give_equal_tasks_and_the_test_split_knows_no_seed() -> None:
    environment = Arithmetic()
    first, again, other = (list(islice(environment.tasks("train", seed), 100)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert list(environment.tasks("test", 0)) == list(Arithmetic().tasks("test", 1))


@pytest.mark.parametrize("order", ["least_first", "most_first"])
def test_the_answer_is_the_sum_with_a_digit_more(order: str) -> None:
    environment = Arithmetic(order=order)
    for task in islice(environment.tasks("train", 0), 200):
        left, _, right = task.prompt.rstrip("=").partition("+")  # type: ignore[union-attr]
        numbers = [text[::-1] if order == "least_first" else text for text in (left, right, task.answer)]
        assert [len(text) for text in numbers] == [2, 2, 3]
        assert int(numbers[0]) + int(numbers[1]) == int(numbers[2])


def test_sums_of_several_lengths_say_how_difficult_they_are() -> None:
    environment = Arithmetic(digits=3, least_digits=1)
    test, train = list(environment.tasks("test", 0)), list(islice(environment.tasks("train", 0), 600))
    assert {len(str(task.answer)) - 1 for task in train} == {task.info["difficulty"] for task in test} == {1, 2, 3}
    assert all(len(str(task.answer)) - 1 == task.info["difficulty"] for task in (*test, *train))
    assert not {task.prompt for task in test} & {task.prompt for task in train}
    with pytest.raises(ConfigError, match="least_digits 3 is above digits 2"):
        Arithmetic(digits=2, least_digits=3)


def test_the_demonstration_earns_everything_and_another_number_nothing() -> None:
    environment = Arithmetic()
    task = next(iter(environment.tasks("train", 0)))
    assert environment.score(task, environment.demonstration(task)).total == 1.0
    assert environment.score(task, "000").total == 0.0


def test_impossible_settings_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="digits"):
        Arithmetic(digits=0)
    with pytest.raises(ConfigError, match="did you mean 'digits'"):
        Arithmetic(digit=2)
