"""Environments: settings, scoring without an engine, and endless tasks."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

import pytest
from pydantic import Field

from lachesis.environments.environment import Environment, EnvironmentConfig, Split, endless
from lachesis.environments.episode import Episode
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, EnvironmentFault
from lachesis.verifiers.rubric import Rubric, reward, use
from lachesis.verifiers.task import Task


class Greeting(Environment):
    """Two tasks; being short earns a little."""

    class Config(EnvironmentConfig):
        word: str = "hi"
        """What is to be said."""
        count: int = Field(2, ge=0)

    rubric = Rubric(use("exact"))

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        for number in range(self.config.count):
            yield Task(f"say {self.config.word}", answer=self.config.word, info={"number": number, "seed": seed})

    @reward(weight=0.5)
    def short(self, case: Case) -> bool:
        return len(case.completion) < 10


def test_a_text_is_scored_without_an_engine() -> None:
    environment = Greeting()
    task = next(environment.tasks("test", 0))
    assert environment.score(task, "hi").total == 1.5
    assert environment.score(task, "hello there").total == 0.0
    assert environment.score(task).score("exact") == 0.0


def test_a_text_is_scored_inside_a_running_event_loop_too() -> None:
    async def notebook() -> float:
        environment = Greeting()
        return environment.score(Task("say hi", "hi"), "hi").total

    assert asyncio.run(notebook()) == 1.5


def test_scoring_an_episode_that_fails_says_why() -> None:
    class Broken(Greeting):
        async def run(self, episode: Episode) -> None:
            raise RuntimeError("no board")

    with pytest.raises(ConfigError, match="no board"):
        Broken().score(Task("q"), "hi")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wrod": "ho"}, "did you mean 'word'"),
        ({"count": -1}, "'count'"),
        ({"count": "many"}, "'count'"),
        ({"limits": {"turn": 1}}, "did you mean 'turns'"),
        ({"limits": {"turns": 0}}, r"limits\.turns"),
    ],
)
def test_an_unknown_or_impossible_setting_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Greeting(**settings)


def test_endless_tasks_start_anew_with_the_next_seed() -> None:
    assert [task.info["seed"] for task in islice(endless(Greeting(), "train", 7), 5)] == [7, 7, 8, 8, 9]


def test_no_tasks_at_all_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="no tasks in split 'train'"):
        next(endless(Greeting(count=0), "train", 0))


def test_tasks_that_raise_midway_are_the_environments_fault_with_file_and_line() -> None:
    class Column(Greeting):
        def tasks(self, split: Split, seed: int) -> Iterator[Task]:
            yield from islice(super().tasks(split, seed), 1)
            raise KeyError("question")

    found = endless(Column(), "train", 0)
    assert isinstance(next(found), Task)
    with pytest.raises(EnvironmentFault, match=r"tasks\('train', …\) raised KeyError: 'question' \(.*\.py, line \d+\)"):
        next(found)


def test_what_is_no_task_is_refused_where_it_is_given() -> None:
    class Rows(Greeting):
        def tasks(self, split: Split, seed: int) -> Any:
            return [{"prompt": "Say hello"}]

    with pytest.raises(ConfigError, match=r"gives Task objects, found \{'prompt': 'Say hello'\}"):
        next(endless(Rows(), "test", 0))


def test_a_rubric_reweighted_by_one_environment_stays_as_it_was_for_the_next() -> None:
    first = Greeting()
    first.rubric = first.rubric.with_weights({"exact": 5.0})
    assert Greeting().rubric.weights == {"exact": 1.0, "short": 0.5}


def test_a_stage_that_is_not_async_is_refused_before_the_first_episode() -> None:
    class Sync(Greeting):
        def run(self, episode: Episode) -> None:  # type: ignore[override]
            pass

    with pytest.raises(ConfigError, match=r"Sync\.run is not a coroutine; write `async def run`"):
        Sync()


def test_a_reward_for_an_agent_that_is_not_there_is_refused() -> None:
    class TwoPlayers(Environment):
        agents: ClassVar[tuple[str, ...]] = ("white", "black")
        rubric = Rubric(use("exact", agent="whte"))

    with pytest.raises(ConfigError, match="did you mean 'white'"):
        TwoPlayers()


def test_each_agent_has_its_own_conversation_and_reward() -> None:
    class Duel(Environment):
        agents: ClassVar[tuple[str, ...]] = ("x", "o")
        rubric = Rubric(use("exact", agent="x"), use("exact", agent="o", label="echo"))

        async def run(self, episode: Episode) -> None:
            for agent in self.agents:
                chat = episode.chat(agent)
                chat.add("user", f"you are {agent}")
                await chat.reply()
            episode.reward("win", 1.0, agent="x")
            episode.reward("win", -1.0, agent="o")

    judged = asyncio.run(Duel().attempt(Task("play", "go"), ["go"]))
    assert judged.messages["o"][0]["content"] == "you are o"
    assert {agent: given.total for agent, given in judged.rewards.items()} == {"x": 2.0, "o": 0.0}


def test_an_environment_without_tasks_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="Environment has no tasks"):
        Environment().tasks("train", 0)
