"""How an episode ends: limits and infrastructure failures count as such, also inside a task group of the author's."""

import asyncio

from lachesis.environments.chat import ScriptedPolicy
from lachesis.environments.environment import Environment
from lachesis.environments.episode import Episode
from lachesis.environments.play import play
from lachesis.verifiers.errors import EngineLost
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason, Trajectory


class Together(Environment):
    """Three replies asked for at the same time."""

    async def run(self, episode: Episode) -> None:
        chat = episode.chat()
        chat.add("user", "?")
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(self.one(episode))

    async def one(self, episode: Episode) -> None:
        await episode.chat().fork().reply()


class Lost(Together):
    async def one(self, episode: Episode) -> None:
        raise EngineLost("gone")


class Mixed(Together):
    async def one(self, episode: Episode) -> None:
        raise EngineLost("gone") if episode.rng.random() < 0.5 else ValueError("mine")


def played(environment: Environment) -> Trajectory:
    return asyncio.run(play(environment, Task("?"), {"policy": ScriptedPolicy(("a",) * 9)}, (0,), inline=True))


def test_a_limit_reached_in_a_task_group_is_a_limit() -> None:
    assert played(Together(limits={"turns": 2})).stop is StopReason.TURNS


def test_an_infrastructure_failure_in_a_task_group_is_one() -> None:
    made = played(Lost())
    assert (made.stop, made.error) == (StopReason.INFRA_ERROR, "EngineLost: gone")


def test_an_error_of_the_authors_among_them_is_the_authors() -> None:
    assert played(Mixed()).stop is StopReason.ENVIRONMENT_ERROR
