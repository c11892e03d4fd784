"""Puzzles as an environment: the splits, the levels, where the answer is put, and who earns what."""

import asyncio
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from lachesis.environments.loading import describe
from lachesis.environments.shipped.puzzles.catalogue import FAMILIES, LEVELS
from lachesis.environments.shipped.puzzles.environment import MAX_ANSWER, Puzzles
from lachesis.rollout.tasks.curriculum import Curriculum, CurriculumConfig
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.task import Task
from lachesis.verifiers.verdict import Verdict


def verdict(environment: Puzzles, task: Task, reply: str) -> Verdict:
    trajectory = asyncio.run(environment.attempt(task, [reply]))
    (found,) = (part.verdict for part in trajectory.rewards["policy"].components if part.label == "puzzle")
    return found


@pytest.fixture(scope="module")
def tested() -> list[Task]:
    return list(Puzzles().tasks("test", 0))


def test_every_family_is_tested_at_every_level_and_no_prompt_is_trained(tested: list[Task]) -> None:
    kinds = Counter((task.info["family"], task.info["difficulty"]) for task in tested)
    assert set(kinds) == {(name, level) for name in FAMILIES for level in range(1, LEVELS + 1)}
    assert set(kinds.values()) == {1}
    train = list(islice(Puzzles().tasks("train", 0), 1500))
    assert {task.info["family"] for task in train} == set(FAMILIES)
    assert not {str(task.info["puzzle"]) for task in train} & {str(task.info["puzzle"]) for task in tested}
    few = Puzzles(families=["coin_tosses"], difficulty=[1], test_tasks=5)
    some = {task.prompt for task in few.tasks("test", 0)}
    assert not some & {task.prompt for task in islice(few.tasks("train", 1), 500)}


def test_equal_seeds_give_equal_tasks_and_the_test_split_knows_no_seed(tested: list[Task]) -> None:
    first, again, other = (list(islice(Puzzles().tasks("train", seed), 60)) for seed in (0, 0, 1))
    assert first == again != other
    assert tested[:50] == list(islice(Puzzles().tasks("test", 1), 50))


@pytest.mark.parametrize("place", ["tag", "box"])
def test_the_demonstration_earns_everything_and_the_prompt_nothing(place: str) -> None:
    environment = describe("puzzles", config={"answer_in": place}).build()
    for task in islice(environment.tasks("test", 0), 70):
        said = environment.demonstration(task)
        assert ("\\boxed" if place == "box" else "<answer>") in str(task.prompt)
        assert environment.score(task, f"<think>Let me see.</think>Here it is: {said}").total == 1.0, task
        assert environment.score(task, str(task.prompt)).total == 0.0, task


def test_the_last_answer_counts_in_a_tag_or_a_box() -> None:
    environment = Puzzles(families=["multiplication"], difficulty=[1])
    task = next(iter(environment.tasks("train", 0)))
    gold = task.answer
    for reply, score in (
        (f"<answer>{gold}</answer>", 1.0),
        (rf"\boxed{{{gold}}}", 1.0),
        (rf"<answer>\boxed{{{gold}}}</answer>", 1.0),
        (f"<answer>1</answer> no: <answer>{gold}</answer>", 1.0),
        (f"<answer>{gold}</answer> no: <answer>1</answer>", 0.0),
        (rf"\boxed{{1}} \boxed{{{gold}}}", 1.0),
        (f"<answer>1</answer><answer>{gold}", 0.0),
        (f"<think><answer>{gold}</answer></think>", 0.0),
        (f"<answer>{gold} or 1</answer>", 0.0),
        (gold, 0.0),
        ("", 0.0),
    ):
        assert environment.score(task, reply).total == score, reply


def test_a_malformed_a_long_and_a_wrong_answer_are_told_apart() -> None:
    environment = Puzzles(families=["multiplication"])
    task = next(iter(environment.tasks("train", 0)))
    assert verdict(environment, task, "<answer>many</answer>").status == "unparseable"
    assert verdict(environment, task, f"<answer>{'9' * 250}</answer>").status == "wrong"
    assert verdict(environment, task, f"<answer>{'9' * (MAX_ANSWER + 1)}</answer>").status == "limit"
    assert verdict(environment, task, "<answer>" * 100_000).status == "unparseable"
    other = Task("?", answer="1", info={"family": "gone"})
    assert verdict(environment, other, "<answer>1</answer>").status == "infra_error"


def test_a_curriculum_finds_every_level() -> None:
    curriculum = Curriculum(CurriculumConfig(bands=[2, 5, 8]), "puzzles")
    bands = Counter(curriculum.band_of(task) for task in islice(Puzzles().tasks("train", 0), 60))
    assert set(bands) == {0, 1, 2}


@pytest.mark.parametrize(
    ("setting", "said"),
    [({"families": ["sudoko"]}, "'sudoku'"), ({"difficulty": [9]}, "difficulty"), ({"difficulty": []}, "difficulty")],
)
def test_settings_that_cannot_be_are_refused(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Puzzles(**setting)
