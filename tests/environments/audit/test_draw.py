"""What is wrong with tasks before anyone plays them."""

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from lachesis.environments.audit.draw import MOST, audit_draws, compare_draws, draw
from lachesis.environments.audit.finding import Finding
from lachesis.environments.environment import Environment
from lachesis.verifiers.task import Task


def findings(tasks: Callable[[str, int], Iterable[Any]]) -> dict[str, Finding]:
    class Drawn(Environment):
        def tasks(self, split: Any, seed: int) -> Iterable[Task]:
            return tasks(split, seed)

    environment = Drawn()
    splits: tuple[Any, ...] = ("train", "test")
    return {
        finding.kind: finding for finding in audit_draws({split: draw(environment, split, 0, 4) for split in splits})
    }


def questions(split: str, seed: int) -> Iterable[Task]:
    numbers = range(10) if split == "train" else range(10, 20)
    return (Task(f"Twice {number}?", answer=str(2 * number)) for number in numbers)


def test_sound_tasks_are_clean() -> None:
    assert findings(questions) == {}


def test_an_infinite_split_is_looked_at_as_far_as_is_right() -> None:
    class Endless(Environment):
        def tasks(self, split: Any, seed: int) -> Iterable[Task]:
            return (Task(str(number)) for number in itertools.count())

    drawn = draw(Endless(), "train", 0, 4)
    assert (len(drawn.tasks), drawn.ended) == (MOST, False)
    assert (len(draw(Endless(), "train", 0, 4, 7).tasks), drawn.failure) == (7, "")


def test_tasks_in_both_splits_are_an_overlap_and_only_a_warning_where_nothing_is_answered() -> None:
    both = findings(lambda split, seed: questions("train", seed))
    assert both["overlap"].severity == "error"
    assert "10 tasks" in both["overlap"].message
    assert findings(lambda split, seed: [Task("play")])["overlap"].severity == "warning"


def test_an_empty_split_is_named() -> None:
    found = findings(lambda split, seed: questions(split, seed) if split == "train" else [])
    assert "'test' has no tasks" in found["tasks"].message


def test_tasks_that_raise_or_are_none_are_named_with_their_place() -> None:
    def broken(split: str, seed: int) -> Iterable[Task]:
        yield Task("one")
        raise KeyError("question")

    assert f"KeyError: 'question' ({__file__}, line " in findings(broken)["tasks"].message
    assert "must yield Task objects, found 'text'" in findings(lambda split, seed: ["text"])["tasks"].message


def test_one_id_for_two_tasks_is_an_error_and_a_task_twice_a_warning() -> None:
    shared = findings(lambda split, seed: [Task(f"{split} {number}", id=f"{split}-id") for number in range(3)])
    assert shared["duplicate"].severity == "error"
    again = findings(lambda split, seed: [Task(split, "1"), Task(split, "1")])
    assert (again["duplicate"].severity, again["duplicate"].message[:12]) == ("warning", "1 of 2 tasks")


def test_drawing_with_replacement_is_no_duplicate() -> None:
    def dice(split: str, seed: int) -> Iterable[Task]:
        rng = random.Random(f"{split} {seed}")
        while True:
            yield Task(f"{split} {rng.randrange(5000)}")

    assert findings(dice) == {}


def test_a_prompt_with_two_answers_is_a_conflict_unless_more_than_the_prompt_decides() -> None:
    def torn(info: bool) -> Callable[[str, int], Iterable[Task]]:
        return lambda split, seed: [
            Task(f"{split}?", answer=str(number), info={"hidden": number} if info else {}) for number in range(2)
        ]

    assert findings(torn(False))["conflict"].severity == "warning"
    assert "conflict" not in findings(torn(True))


@pytest.mark.parametrize(
    ("prompt", "answer", "severity"),
    [
        ("Twice {0}? (It is {1}.)", "12345", "error"),
        ("Twice {0}? (It is {1}7.)", "12345", None),
        ("Is {0} even? Yes is {1}.", "yes", None),
        ("Choose from red, {1}, blue for {0}.", "green", None),
        ("Is {0} true or {1}?", "false", None),
        ("{0}\nA) {1}\nB) rain", "snow", None),
        ("{0}: BERLIN is it", "Berlin", "error"),
    ],
)
def test_an_answer_in_the_prompt_leaks_unless_it_is_short_or_an_option(
    prompt: str, answer: str, severity: str | None
) -> None:
    found = findings(
        lambda split, seed: [Task(prompt.format(f"{split} {number}", answer), answer=answer) for number in range(4)]
    )
    assert ("leak" in found) == (severity is not None)
    assert severity is None or found["leak"].severity == severity


def test_an_answer_in_the_tasks_own_system_message_leaks_and_one_in_an_example_reply_does_not() -> None:
    def told(role: str) -> dict[str, Finding]:
        messages = [{"role": role, "content": "It is Berlin."}, {"role": "user", "content": "The capital?"}]
        return findings(
            lambda split, seed: [
                Task([*messages, {"role": "user", "content": f"{split} {n}"}], answer="Berlin") for n in range(4)
            ]
        )

    assert "leak" in told("system")
    assert "leak" not in told("assistant")


def test_an_answer_that_stands_in_few_prompts_is_a_warning() -> None:
    def some(split: str, seed: int) -> Iterable[Task]:
        yield Task(f"{split}: what is 5000 less nothing?", answer="5000")
        yield from (Task(f"{split}: twice {number}?", answer=str(2 * number)) for number in range(1000, 1009))

    assert findings(some)["leak"].severity == "warning"


def test_draws_with_one_seed_that_part_are_unseeded_and_a_draw_cut_short_is_not() -> None:
    assert compare_draws("train", ["a", "b"], ["a", "b", "c"], whole=False) == []
    assert compare_draws("train", ["a", "b"], ["a", "b"], whole=True) == []
    (parted,) = compare_draws("train", ["a", "b"], ["a", "c"], whole=False)
    assert (parted.kind, "task 1 of split 'train'" in parted.message) == ("unseeded", True)
    (longer,) = compare_draws("test", ["a"], ["a", "b"], whole=True)
    assert "the length of split 'test' differs" in longer.message
