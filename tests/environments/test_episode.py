"""Episodes: limits, stop reasons, and environments that misbehave."""

import asyncio
import contextlib
import json
import re
import sys
import threading
import time
from typing import Any, ClassVar

import numpy as np
import pytest

from lachesis.environments.chat import Reply, ScriptedChat, ScriptedPolicy
from lachesis.environments.environment import Environment, EnvironmentConfig
from lachesis.environments.episode import Episode
from lachesis.environments.limits import Limits
from lachesis.environments.play import play
from lachesis.verifiers.errors import EngineLost
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task
from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.trajectory import StopReason, Trajectory
from lachesis.verifiers.verdict import infra_error

CALL = '<tool_call>{"name": "ping", "arguments": {}}</tool_call>'


class Base(Environment):
    """Notes which stages ran; ``raises`` maps a stage to what it does."""

    rubric = Rubric(use("exact"))
    agents: ClassVar[tuple[str, ...]] = ("policy",)

    def __init__(self, raises: dict[str, Any] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.raises = raises or {}
        self.stages: list[str] = []

    async def stage(self, name: str, episode: Episode) -> None:
        self.stages.append(name)
        if act := self.raises.get(name):
            result = act(episode)
            if asyncio.iscoroutine(result):
                await result

    async def setup(self, episode: Episode) -> None:
        await self.stage("setup", episode)

    async def run(self, episode: Episode) -> None:
        await self.stage("run", episode)
        await super().run(episode)

    async def finish(self, episode: Episode) -> None:
        await self.stage("finish", episode)

    async def close(self, episode: Episode) -> None:
        await self.stage("close", episode)

    def tools(self, episode: Episode) -> list[Any]:
        def ping() -> str:
            return "pong"

        return [ping]


class MeteredPolicy:
    """A scripted policy whose every reply costs ten tokens and notes what it was allowed."""

    def __init__(self, *script: str, stop: str = "stop") -> None:
        self.script, self.stop = script, stop
        self.allowed: list[int] = []

    def open(self, agent: str, seed: tuple[int, ...], tools: Any = (), thinking: Any = None) -> ScriptedChat:
        return MeteredChat(list(self.script), policy=self)


class MeteredChat(ScriptedChat):
    def __init__(self, script: list[str], policy: MeteredPolicy) -> None:
        super().__init__(script)
        self.policy = policy

    async def reply(self, **sampling: Any) -> Reply:
        self.policy.allowed.append(sampling["max_tokens"])
        reply = await super().reply(**sampling)
        return Reply(reply.text, reply.reasoning, reply.tool_calls, self.policy.stop, reply.raw, 10)

    def fork(self) -> "MeteredChat":
        return MeteredChat(list(self.script), self.policy)


def run(environment: Environment, *script: str, policy: Any = None) -> Trajectory:
    policies = {agent: policy or ScriptedPolicy(script) for agent in environment.agents}
    return asyncio.run(play(environment, Task("q", "42"), policies, seed=(0, 1)))


def fail(episode: Episode) -> None:
    raise RuntimeError("oh no")


def hang(episode: Episode) -> Any:
    return asyncio.sleep(60)


def test_a_reply_ends_a_single_turn_episode() -> None:
    environment = Base()
    made = run(environment, "42")
    assert (made.stop, made.error, made.completion()) == (StopReason.DONE, None, "42")
    assert made.metrics == {"turns": 1.0, "tool_calls": 0.0, "segments": 0.0, "template_breaks": 0.0}
    assert environment.stages == ["setup", "run", "finish", "close"]
    assert asyncio.run(environment.score_trajectory(made)).rewards["policy"].total == 1.0


def test_the_tool_loop_goes_on_until_a_reply_without_a_call() -> None:
    made = run(Base(), CALL, CALL, "42")
    assert [message["role"] for message in made.messages["policy"]] == ["user"] + ["assistant", "tool"] * 2 + [
        "assistant"
    ]
    assert made.messages["policy"][2]["content"] == "pong"
    assert (made.metrics["turns"], made.metrics["tool_calls"], made.metrics["tool_errors"]) == (3, 2, 0)


def test_a_result_is_cut_before_it_becomes_part_of_the_conversation() -> None:
    class Long(Base):
        def tools(self, episode: Any) -> list[Any]:
            def ping() -> str:
                return "\n" * 2_000_000 + "x"

            return [ping]

    for limits, most in ((Limits(), 50_000), (Limits(result_characters=100), 100)):
        made = run(Long(limits=limits), CALL, CALL.replace("ping", "pang" * 100_000), "42")
        first, second = (message for message in made.messages["policy"] if message["role"] == "tool")
        for message in (first, second):
            assert len(message["content"]) < most + 100
            assert len(message["name"]) <= 200  # type: ignore[typeddict-item]
            assert "were cut out" in message["content"]
        assert first["content"].endswith("x")


@pytest.mark.parametrize(
    ("limits", "stop", "turns"),
    [
        (Limits(turns=2), StopReason.TURNS, 2),
        (Limits(tool_calls=2), StopReason.TOOL_CALLS, 3),
        (Limits(tokens=25), StopReason.LENGTH, 3),
    ],
)
def test_each_limit_ends_the_episode_in_order_with_its_reason(limits: Limits, stop: StopReason, turns: int) -> None:
    environment = Base(limits=limits)
    policy = MeteredPolicy(*[CALL] * 9)
    made = run(environment, policy=policy)
    assert (made.stop, made.error, made.metrics["turns"]) == (stop, None, turns)
    assert environment.stages == ["setup", "run", "finish", "close"]
    assert asyncio.run(environment.score_trajectory(made)).rewards["policy"].total == 0.0


def test_the_token_limit_is_passed_down_and_no_sampling_option_lifts_it() -> None:
    async def talk(episode: Episode) -> None:
        for asked in ({}, {"max_tokens": 5}, {"max_tokens": 10_000}):
            await episode.chat().reply(**asked)

    policy = MeteredPolicy()
    run(Base({"run": talk}, limits=Limits(tokens=100)), policy=policy)
    assert policy.allowed[:3] == [100, 5, 80]


def test_forks_use_up_the_limits_of_their_agent() -> None:
    async def talk(episode: Episode) -> None:
        while True:
            await episode.chat().fork().reply()

    made = run(Base({"run": talk}, limits=Limits(turns=3)), policy=MeteredPolicy())
    assert (made.stop, made.metrics["turns"]) == (StopReason.TURNS, 3)


def test_a_reply_cut_at_its_length_is_told_from_one_that_ended() -> None:
    assert run(Base(), policy=MeteredPolicy("4", stop="length")).stop is StopReason.LENGTH
    assert run(Base(), policy=MeteredPolicy("4", stop="stop")).stop is StopReason.DONE


@pytest.mark.parametrize("stage", ["setup", "run", "finish"])
def test_a_stage_that_hangs_ends_at_the_time_limit_and_is_closed(stage: str) -> None:
    environment = Base({stage: hang}, limits=Limits(seconds=0.05))
    start = time.monotonic()
    made = run(environment, "42")
    assert (made.stop, made.error) == (StopReason.SECONDS, None)
    assert time.monotonic() - start < 30
    assert environment.stages[-1] == "close"


def test_a_timeout_of_the_environments_own_is_its_error_and_not_the_limit() -> None:
    async def wait(episode: Episode) -> None:
        await asyncio.wait_for(asyncio.sleep(60), 0.01)

    made = run(Base({"run": wait}), "42")
    assert made.stop is StopReason.ENVIRONMENT_ERROR
    assert made.error is not None
    assert made.error.startswith("TimeoutError")


@pytest.mark.parametrize("stage", ["setup", "run", "finish", "close"])
def test_a_stage_that_raises_harms_its_trajectory_with_file_and_line_and_is_closed(stage: str) -> None:
    environment = Base({stage: fail})
    made = run(environment, "42")
    assert made.stop is StopReason.ENVIRONMENT_ERROR
    assert made.error is not None
    assert "RuntimeError: oh no" in made.error
    assert f"{__file__}, line {fail.__code__.co_firstlineno + 1}" in made.error
    assert environment.stages[-1] == "close"
    assert not asyncio.run(environment.score_trajectory(made)).scored


def test_the_line_named_is_the_environments_own_and_not_a_librarys() -> None:
    def parse(episode: Episode) -> None:
        import json

        json.loads("{")

    made = run(Base({"run": parse}), "42")
    assert made.error is not None
    assert f"({__file__}, line" in made.error


def test_an_environment_that_exits_harms_only_its_trajectory() -> None:
    made = run(Base({"run": lambda episode: sys.exit(3)}), "42")
    assert (made.stop, (made.error or "")[:10]) == (StopReason.ENVIRONMENT_ERROR, "SystemExit")


@pytest.mark.parametrize(
    ("nonsense", "message"),
    [
        (lambda e: e.metric("loss", float("nan")), "finite"),
        (lambda e: e.metric("loss", "high"), "metric 'loss' must be a finite number, found 'high'"),
        (lambda e: e.reward("win", float("inf")), "finite"),
        (lambda e: e.reward("win", None), "the reward 'win' gave None; return a number or a Verdict"),
        (lambda e: (e.reward("win", 1), e.reward("win", 1)), "unique"),
        (lambda e: e.reward("win", 1, agent="polcy"), "did you mean 'policy'"),
        (lambda e: e.chat("polcy"), "did you mean 'policy'"),
        (lambda e: e.artifacts.update(board={1, 2}), "JSON"),
        (lambda e: e.chat().add("robot", "beep"), "role"),
        (lambda e: e.chat().add("user", None), "content is text"),
    ],
)
def test_nonsense_from_an_environment_harms_only_its_trajectory(nonsense: Any, message: str) -> None:
    def act(episode: Episode) -> None:
        nonsense(episode)

    made = run(Base({"run": act}), "42")
    assert made.stop is StopReason.ENVIRONMENT_ERROR
    assert message in (made.error or "")
    made.to_json()


def test_tools_that_are_none_are_the_environments_error() -> None:
    class NoList(Base):
        def tools(self, episode: Episode) -> Any:
            return None

    assert run(NoList(), "42").stop is StopReason.ENVIRONMENT_ERROR


def test_a_lost_engine_leaves_the_trajectory_unscored_and_is_no_fault_of_the_environment() -> None:
    def lose(episode: Episode) -> None:
        raise EngineLost("engine 2 died")

    environment = Base({"run": lose})
    made = run(environment)
    assert (made.stop, made.error) == (StopReason.INFRA_ERROR, "EngineLost: engine 2 died")
    assert environment.stages == ["setup", "run", "close"]
    assert asyncio.run(environment.score_trajectory(made)).rewards == {}


class Failing(ScriptedChat):
    """Loses its engine at the first ``losses`` replies."""

    losses = 1

    async def reply(self, **sampling: Any) -> Reply:
        self.losses -= 1
        if self.losses >= 0:
            raise EngineLost("engine 0 died")
        return await super().reply(**sampling)


@pytest.mark.parametrize(("tries", "stop"), [(1, StopReason.INFRA_ERROR), (2, StopReason.DONE)])
def test_an_environment_that_swallows_a_lost_engine_gets_no_reward_for_it(tries: int, stop: StopReason) -> None:
    class Stubborn(Environment):
        rubric = Rubric(use("exact"))

        async def run(self, episode: Episode) -> None:
            for _ in range(tries):
                with contextlib.suppress(Exception):
                    await episode.chat().reply()

    class Lossy(ScriptedPolicy):
        def open(self, agent: str, seed: tuple[int, ...], tools: Any = (), thinking: Any = None) -> ScriptedChat:
            return Failing(["42"])

    environment = Stubborn()
    played = asyncio.run(play(environment, Task("q", "42"), {"policy": Lossy(())}, seed=(0,)))
    assert played.stop is stop
    assert asyncio.run(environment.score_trajectory(played)).scored is (stop is StopReason.DONE)


def test_a_cancelled_episode_is_closed_and_stays_cancelled() -> None:
    environment = Base({"run": hang})

    async def cancel() -> None:
        playing = asyncio.ensure_future(play(environment, Task("q"), {"policy": ScriptedPolicy(())}, seed=(0,)))
        await asyncio.sleep(0.05)
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing

    asyncio.run(cancel())
    assert environment.stages == ["setup", "run", "close"]


def test_a_hanging_tool_ends_at_the_time_limit() -> None:
    released, waited = threading.Event(), []

    class Slow(Base):
        def tools(self, episode: Episode) -> list[Any]:
            def ping() -> str:
                waited.append(released.wait(60))
                return "late"

            return [ping]

    assert run(Slow(limits=Limits(seconds=0.1)), CALL, "42").stop is StopReason.SECONDS
    assert waited == []  # the tool hangs still
    released.set()


def test_rewards_given_in_the_episode_join_the_rubrics() -> None:
    def give(episode: Episode) -> None:
        episode.reward("win", 1.0, weight=0.5)
        episode.metric("moves", 3)

    environment = Base({"run": give})
    judged = asyncio.run(environment.score_trajectory(run(environment, "42")))
    assert [(c.label, c.weight) for c in judged.rewards["policy"].components] == [("exact", 1.0), ("win", 0.5)]
    assert judged.rewards["policy"].total == 1.5
    assert judged.metrics["moves"] == 3
    again = asyncio.run(environment.score_trajectory(judged))
    assert again.rewards["policy"].total == 1.5


def test_a_reward_under_a_label_of_the_rubric_is_refused_and_not_dropped() -> None:
    made = run(Base({"run": lambda episode: episode.reward("exact", 1.0)}), "42")
    assert made.stop is StopReason.ENVIRONMENT_ERROR
    assert made.error
    assert "the rubric already has a reward labelled 'exact'" in made.error


def test_a_verdict_of_an_infrastructure_error_given_in_the_episode_leaves_it_unscored() -> None:
    environment = Base({"run": lambda episode: episode.reward("win", infra_error("the server is down"))})
    assert not asyncio.run(environment.score_trajectory(run(environment, "42"))).scored


class Stepwise(Base):
    """Scores each of three turns but the second."""

    async def run(self, episode: Episode) -> None:
        chat = episode.chat()
        for number, score in enumerate((0.5, None, 0.25)):
            chat.add("user", f"turn {number}")
            await chat.reply()
            if score is not None:
                episode.step_reward("progress", score, weight=2.0)
                episode.step_reward("best", score, weight=0.0, total="max")
                episode.step_reward("best", 0.0, weight=0.0, total="max")


def test_rewards_of_single_turns_are_kept_by_turn_and_add_up_to_the_labels_score() -> None:
    environment = Stepwise()
    judged = asyncio.run(environment.score_trajectory(run(environment, "a", "b", "42")))
    reward = judged.rewards["policy"]
    steps = {part.label: part.verdict.steps for part in reward.components}
    assert steps == {"exact": (), "progress": (0.5, 0.0, 0.25), "best": (0.5, 0.0, 0.25)}
    assert (reward.score("progress"), reward.score("best"), reward.total) == (0.75, 0.5, 2.5)
    again = asyncio.run(environment.score_trajectory(Trajectory.from_json(judged.to_json()))).rewards["policy"]
    assert {part.label: part.verdict.steps for part in again.components} == steps
    assert again.total == reward.total


@pytest.mark.parametrize(
    ("give", "says"),
    [
        (lambda episode: episode.step_reward("early", 1.0), "has had 0 turns"),
        (lambda episode: episode.step_reward("exact", 1.0), "already has a reward labelled 'exact'"),
        (lambda episode: episode.step_reward("task/exact", 1.0), "already has a reward labelled 'task/exact'"),
        (lambda episode: episode.step_reward("early", 1.0, agent="x"), "no agent 'x'"),
    ],
)
def test_a_reward_of_a_turn_that_cannot_be_is_the_environments_fault(give: Any, says: str) -> None:
    made = run(Base({"run": give}), "42")
    assert made.stop is StopReason.ENVIRONMENT_ERROR
    assert says in (made.error or "")


@pytest.mark.parametrize(
    ("value", "agent", "replies", "says"),
    [
        (0.5, "policy", 0, "there is no reply yet"),
        (float("nan"), "policy", 1, "must be a finite number of at most 3.4e+38 (float32), found nan"),
        (0.5, "polcy", 1, "did you mean 'policy'"),
    ],
)
def test_an_advantage_of_a_turn_that_cannot_be_is_the_environments_fault(
    value: float, agent: str, replies: int, says: str
) -> None:
    async def act(episode: Episode) -> None:
        for _ in range(replies):
            await episode.chat().reply()
        episode.turn_advantage(value, agent=agent)

    made = run(Base({"run": act}), "42")
    assert made.stop is StopReason.ENVIRONMENT_ERROR
    assert says in (made.error or "")


def test_a_policy_without_tokens_ignores_the_advantage_of_a_turn() -> None:
    async def act(episode: Episode) -> None:
        await episode.chat().reply()
        episode.turn_advantage(-1.0)

    made = run(Base({"run": act}), "41", "42")
    assert (made.stop, made.error, made.segments) == (StopReason.DONE, None, ())


def test_equal_seeds_give_equal_randomness() -> None:
    numbers = [Episode(Task("q"), {}, seed, EnvironmentConfig()).rng.random() for seed in ((0, 1), (0, 1), (1, 0))]
    assert numbers[0] == numbers[1] != numbers[2]


def test_a_system_prompt_comes_first() -> None:
    made = run(Base(system_prompt="Be brief."), "42")
    assert [message["content"] for message in made.messages["policy"]] == ["Be brief.", "q", "42"]


def test_a_single_turn_episode_costs_far_less_than_a_millisecond() -> None:
    environment, task, policies = Environment(), Task("q", "42"), {"policy": ScriptedPolicy(("42",))}
    environment.rubric = Rubric(use("exact"))

    async def many(count: int) -> float:
        start = time.process_time()
        for _ in range(count):
            await environment.score_trajectory(await play(environment, task, policies, seed=(0,)))
        return (time.process_time() - start) / count

    assert min(asyncio.run(many(200)) for _ in range(5)) < 500e-6


def test_arguments_that_are_no_json_leave_no_trajectory_that_cannot_be_stored() -> None:
    class Odd(Base):
        async def run(self, episode: Episode) -> None:
            chat = episode.chat()
            calls = [ToolCall("ping", {"n": float("inf")}), ToolCall("ping", {})]
            await episode.call_tools(chat, calls)

    made = run(Odd(), "42")
    assert json.dumps(made.to_json(), allow_nan=False)
    results = [message for message in made.messages["policy"] if message["role"] == "tool"]
    assert [("arguments" in message, message.get("error", False)) for message in results] == [
        (False, True),
        (True, False),
    ]


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raise_rude(_: Episode) -> None:
    raise Rude


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (lambda episode: setattr(episode, "artifacts", ["x"]), "artifacts are a dict, found list"),
        (lambda episode: setattr(episode, "artifacts", None), "artifacts are a dict, found NoneType"),
        (lambda episode: episode.artifacts.update({"by": {1: "x"}}), "keys are text, found 1"),
        (lambda episode: episode.chat().add("user", "thanks", meta={1, 2}), "a message of an episode"),
        (lambda episode: episode.metric(("a",), 1.0), "metric's name is text"),
        (lambda episode: episode.reward("big", 1e308, weight=100.0), "not finite"),
        (lambda episode: setattr(episode, "tools", None), ""),
        (raise_rude, "Rude, whose message cannot be had"),
    ],
)
def test_what_an_environment_leaves_that_is_no_record_harms_its_own_trajectory(does: Any, says: str) -> None:
    made = run(Base({"finish": does}), "42")
    assert made.stop is (StopReason.ENVIRONMENT_ERROR if says else StopReason.DONE)
    assert says in (made.error or "")
    json.dumps(made.to_json(), allow_nan=False)


def test_weights_of_other_libraries_numbers_are_stored_as_plain_ones() -> None:
    environment = Base({"finish": lambda episode: episode.reward("r", 1.0, weight=np.float32(2))})
    made = asyncio.run(environment.score_trajectory(run(environment, "42")))
    assert made.rewards["policy"].total == 3.0
    assert Trajectory.from_json(json.loads(json.dumps(made.to_json()))).rewards["policy"].total == 3.0


def test_what_the_environment_says_for_the_policy_is_no_reply_of_its() -> None:
    task = Task([{"role": "user", "content": "1"}, {"role": "assistant", "content": "42"}], answer="42")

    class Examples(Base):
        async def run(self, episode: Episode) -> None:
            for message in episode.task.messages:
                episode.chat().add(**message)
            await asyncio.sleep(9)

    environment = Examples(limits=Limits(seconds=0.1))
    made = asyncio.run(play(environment, task, {"policy": ScriptedPolicy(["7"])}, (0,)))
    judged = asyncio.run(environment.score_trajectory(made))
    assert judged.completion() == ""
    assert judged.rewards["policy"].total == 0.0


def test_replies_that_are_under_way_count_for_the_limit_of_turns() -> None:
    class Forks(Base):
        async def run(self, episode: Episode) -> None:
            forks = [episode.chat().fork() for _ in range(10)]
            await asyncio.gather(*(fork.reply() for fork in forks))

    made = run(Forks(limits=Limits(turns=2)), *["1"] * 10)
    assert made.stop is StopReason.TURNS
    assert made.metrics["turns"] <= 2


def test_attempts_share_no_task() -> None:
    def counts(episode: Episode) -> None:
        episode.task.info["n"] = episode.artifacts["n"] = episode.task.info.get("n", 0) + 1

    task = Task("q", answer="42", info={"n": 5})
    environment = Base({"setup": counts})
    made = [asyncio.run(play(environment, task, {"policy": ScriptedPolicy(["42"])}, (0,))) for _ in range(3)]
    assert [one.artifacts["n"] for one in made] == [6, 6, 6]
    assert all(one.task is task for one in made)
    assert task.info == {"n": 5}


def test_a_sandbox_that_is_lost_while_closing_is_no_fault_of_the_environment() -> None:
    def lost(_: Episode) -> None:
        raise EngineLost("gone")

    assert run(Base({"close": lost}), "42").stop is StopReason.INFRA_ERROR


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda ep: ep.reward(5, 1.0), "a reward's label is a text, found 5; write episode.reward"),
        (lambda ep: ep.reward("", 1.0), "a reward's label is a text, found ''"),
        (lambda ep: ep.reward("x", 1.0, weight="2"), "the weight of reward 'x' is a finite number, found '2'"),
        (lambda ep: ep.step_reward(None, 1.0), "a reward's label is a text, found None"),
        (lambda ep: ep.step_reward("x", "1"), "needs a turn and a finite score.*the score is '1'"),
        (lambda ep: ep.metric(5, 1.0), "a metric's name is text, found 5; write episode.metric"),
        (lambda ep: ep.metric("x", "1"), "metric 'x' must be a finite number, found '1'"),
        (lambda ep: ep.metric("x", 10**400), "metric 'x' must be a finite number, found 1000"),
        (lambda ep: ep.turn_advantage("1"), r"finite number of at most 3\.4e\+38 \(float32\), found '1'"),
        (lambda ep: ep.turn_advantage(1e39), r"finite number of at most 3\.4e\+38 \(float32\), found 1e\+39"),
    ],
)
def test_an_episode_says_what_its_calls_take(act: Any, message: str) -> None:
    class Odd(Base):
        async def run(self, episode: Episode) -> None:
            await super().run(episode)
            act(episode)

    made = asyncio.run(Odd().attempt(Task("?"), "1"))
    assert made.stop is StopReason.ENVIRONMENT_ERROR
    assert re.search(message, made.error or ""), made.error
