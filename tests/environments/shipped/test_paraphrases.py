"""Puzzles in several wordings: each attempt has its own, and agreement on a right answer earns more."""

import asyncio
from itertools import islice

from lachesis.environments.chat import ScriptedPolicy
from lachesis.environments.play import play
from lachesis.environments.shipped.paraphrases import Paraphrases
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory

ENVIRONMENT = Paraphrases(difficulty=[1])


async def group(task: Task, replies: list[str]) -> list[Trajectory]:
    played = [
        await play(ENVIRONMENT, task, {"policy": ScriptedPolicy((reply,))}, (0, number), inline=True)
        for number, reply in enumerate(replies)
    ]
    return await ENVIRONMENT.score_group([await ENVIRONMENT.score_trajectory(one) for one in played])


def consistency(attempts: list[Trajectory]) -> list[float | None]:
    parts = [attempt.rewards["policy"].components for attempt in attempts]
    return [next(part.verdict.score for part in each if part.label == "consistency") for each in parts]


def test_attempts_at_one_task_are_asked_in_different_words() -> None:
    for task in islice(ENVIRONMENT.tasks("train", 0), 20):
        attempts = asyncio.run(group(task, ["?"] * 16))
        asked = [str(attempt.messages["policy"][0]["content"]) for attempt in attempts]
        assert len(set(asked)) > 1, task.info
        assert asked == [str(each.messages["policy"][0]["content"]) for each in asyncio.run(group(task, ["?"] * 16))]


def test_only_right_answers_earn_for_agreement() -> None:
    task = next(iter(ENVIRONMENT.tasks("train", 1)))
    right, wrong = ENVIRONMENT.demonstration(task), "<answer>no such answer</answer>"
    attempts = asyncio.run(group(task, [right, right, right, wrong, ""]))
    assert consistency(attempts) == [0.5, 0.5, 0.5, 0.0, 0.0]
    assert [attempt.rewards["policy"].success for attempt in attempts] == [True, True, True, False, False]
    assert consistency(asyncio.run(group(task, [wrong] * 4))) == [0.0] * 4
