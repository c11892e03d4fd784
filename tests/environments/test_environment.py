"""Environments: settings, scoring without an engine, and endless tasks."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar

import pytest
from pydantic import Field

from lachesis.environments.environment import Environment, EnvironmentConfig, Split, endless, tasks_of
from lachesis.environments.episode import Episode
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, DataError, EnvironmentFault
from lachesis.verifiers.rubric import Rubric, group_reward, reward, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory


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

    with pytest.raises(ConfigError, match=r"must yield Task objects, found \{'prompt': 'Say hello'\}"):
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


@pytest.mark.parametrize(("old", "new"), [("judge", "score_trajectory"), ("judge_group", "score_group")])
def test_a_method_by_its_old_name_is_refused_and_the_new_name_is_said(old: str, new: str) -> None:
    async def method(self: Environment, judged: Any) -> Any:
        return judged

    stale = type("Stale", (Greeting,), {old: method})
    with pytest.raises(ConfigError, match=rf"Stale\.{old} is called {new} now"):
        stale()


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


class Choir(Environment):
    """Two voices; each earns most by singing what nobody else sings."""

    agents: ClassVar[tuple[str, ...]] = ("high", "low")
    rubric = Rubric(use("exact", agent="high"), use("majority", agent="low", weight=2.0))

    @group_reward(agent="high", weight=0.5)
    def rare(self, cases: Sequence[Case]) -> list[float]:
        texts = [case.completion for case in cases]
        return [float(texts.count(text) == 1) for text in texts]

    async def run(self, episode: Episode) -> None:
        for agent in self.agents:
            chat = episode.chat(agent)
            chat.add("user", "sing")
            await chat.reply()


def sung(choir: Environment, *texts: str) -> list[Trajectory]:
    async def group() -> list[Trajectory]:
        return [await choir.attempt(Task("sing", "la"), [text]) for text in texts]

    return asyncio.run(group())


def test_group_rewards_are_added_for_each_agent_and_come_out_the_same_when_judged_again() -> None:
    choir = Choir()
    judged = asyncio.run(choir.score_group(sung(choir, "la", "la", "lo")))
    totals = [{agent: reward.total for agent, reward in attempt.rewards.items()} for attempt in judged]
    assert totals == [{"high": 1.0, "low": 2.0}, {"high": 1.0, "low": 2.0}, {"high": 0.5, "low": 0.0}]

    async def again() -> list[Trajectory]:
        stored = [Trajectory.from_json(json.loads(json.dumps(attempt.to_json()))) for attempt in judged]
        return await choir.score_group([await choir.score_trajectory(attempt) for attempt in stored])

    repeated = [{agent: reward.total for agent, reward in one.rewards.items()} for one in asyncio.run(again())]
    assert repeated == totals


def test_an_attempt_without_a_score_takes_no_part_in_group_rewards_and_one_alone_gets_none() -> None:
    choir = Choir()
    first, second, third = sung(choir, "la", "lo", "la")
    lost = third.with_rewards({})
    judged = asyncio.run(choir.score_group([first, lost, second]))
    assert judged[1] is lost
    assert [attempt.rewards["high"].score("rare") for attempt in (judged[0], judged[2])] == [1.0, 1.0]
    assert asyncio.run(choir.score_group([first, lost])) == [first, lost]


def test_group_rewards_are_reweighted_by_the_config_and_their_labels_are_taken() -> None:
    class Greedy(Choir):
        async def run(self, episode: Episode) -> None:
            episode.reward("rare", 1.0, agent="high")

    assert Choir().rubric.with_weights({"rare": 0.0}).weights == {"exact": 1.0, "majority": 2.0, "rare": 0.0}
    (attempt,) = sung(Greedy(), "la")
    assert "the rubric already has a reward labelled 'rare'" in (attempt.error or "")


def test_a_tasks_own_verifiers_judge_the_first_agent_and_bad_ones_stop_the_tasks() -> None:
    class Own(Choir):
        def tasks(self, split: Any, seed: int) -> Iterator[Task]:
            yield Task("sing", "la", verify=({"verifier": "exact", "weight": 0.25},))
            yield Task("sing", "la", verify=({"verifier": "exact", "params": {"timeout": 1e9}},))

    own = Own()
    drawn = tasks_of(own, "train", 0)
    attempt = asyncio.run(own.attempt(next(drawn), ["la"]))
    assert attempt.rewards["high"].total == 1.25
    assert attempt.rewards["low"].components == ()
    assert asyncio.run(own.score_trajectory(attempt)).rewards["high"].total == 1.25
    with pytest.raises(DataError, match=r"task \w+: a row cannot set 'timeout'"):
        next(drawn)
    with pytest.raises(DataError, match="a row cannot set 'timeout'"):  # in a test of the environment, as in a run
        own.score(list(own.tasks("train", 0))[1], "la")


def test_a_task_whose_answer_the_rubric_cannot_use_is_refused_when_it_is_drawn_or_collected() -> None:
    class Numbers(Greeting):
        rubric = Rubric(use("number"))

        def tasks(self, split: Split, seed: int) -> Iterator[Task]:
            yield from (Task("?", answer=answer) for answer in ("1", "two", "3"))

    with pytest.raises(DataError, match="not a number: 'two'"):
        list(tasks_of(Numbers(), "train", 0))
    refused: list[DataError] = []
    assert [task.answer for task in tasks_of(Numbers(), "train", 0, refused)] == ["1", "3"]
    assert len(refused) == 1
