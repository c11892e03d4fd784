"""Agents of one episode on models of their own: what is learned of them, and what is not."""

import asyncio
from typing import Any

import pytest

from lachesis.environments.dialogue import Dialogue
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.text_chat import TextPolicy
from lachesis.rollout.chats.token_chat import TokenPolicy
from lachesis.rollout.config import AgentConfig, RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.agents import AgentPolicies
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.trainer.advantages.estimator import compute_advantages
from lachesis.trainer.learner.sample import samples_of
from lachesis.trainer.run.warm_start import demonstration_samples
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.message import check_message
from lachesis.verifiers.rubric import Rubric, reward
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.task import Task

TOKENIZER = build_tiny_tokenizer()
RED = "data:image/png;base64,iVBORw0KGgo="


class Shop(Dialogue):
    """Sells tea."""

    rubric = Rubric(success="polite")

    def tasks(self, split: str, seed: int) -> Any:
        yield Task("You sell tea.", answer="here it is", info={"user": "You want tea."})

    def tools(self, episode: Any) -> list[Any]:
        def stock(item: str) -> int:
            """How many there are."""
            return 3

        return [stock]

    @reward()
    def polite(self, case: Case) -> float:
        return float("please" in case.completion)


def worker(players: dict[str, AgentConfig], *says: str) -> GroupWorker:
    """Of a shop whose policy says the lines in turn."""

    def script(request: Request) -> list[int]:
        said = TOKENIZER.decode(request.prompt, skip_special_tokens=False)
        replies = said.count("<|im_start|>assistant") - 1
        return [*TOKENIZER.encode(says[replies], add_special_tokens=False), TOKENIZER.eos_token_id]

    engine = ScriptedEngine(script, context=4096)
    made = GroupWorker(
        [], engine, Renderer(TOKENIZER), RolloutConfig(inline=True), 4096, SandboxSettings(), agents=[players]
    )
    made.environments = [Shop(show_tools=False)]
    return made


def test_a_simulated_user_on_a_model_elsewhere_talks_to_the_policy_that_learns(endpoint: Any) -> None:
    call = '<tool_call>{"name": "stock", "arguments": {"item": "tea"}}</tool_call>'

    async def session() -> tuple[Any, list[Any]]:
        async with endpoint("Have you any tea?", "I take it.", "###OVER###") as (url, asked):
            players = {"user": AgentConfig(url=url, model="u", temperature=0.5)}
            shop = worker(players, call, "Three, please.", "Thanks, please.")
            (task,) = shop.environments[0].tasks("train", 0)
            (outcome,) = await shop.run([Order(0, 0, task, 2, (0, 0), Sampling(max_tokens=100))])
            await shop.close()
            return outcome, asked

    outcome, asked = asyncio.run(session())
    assert isinstance(outcome, Group), outcome
    for attempt in outcome.trajectories:
        roles = [message["role"] for message in attempt.messages["policy"]]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "user", "assistant"]
        assert attempt.messages["user"][0]["content"].endswith("You want tea.")
        assert [m["content"] for m in attempt.messages["user"] if m["role"] == "user"][1:] == [
            "Three, please.",
            "Thanks, please.",
        ]
        assert attempt.rewards["policy"].total == 1.0
        assert {segment.agent for segment in attempt.segments} == {"policy"}
    assert len(asked) == 6
    assert {(body["model"], body["temperature"]) for body in asked} == {("u", 0.5)}


def test_an_agent_that_is_not_trained_is_the_policy_all_the_same() -> None:
    players = {"user": AgentConfig(trainable=False, max_tokens=50)}
    shop = worker(players, "tea ###OVER###")
    (task,) = shop.environments[0].tasks("train", 0)
    (outcome,) = asyncio.run(shop.run([Order(0, 0, task, 2, (0, 0), Sampling(max_tokens=100))]))
    assert isinstance(outcome, Group), outcome
    assert [segment.trainable for attempt in outcome.trajectories for segment in attempt.segments] == [False, False]
    assert samples_of([outcome], compute_advantages([outcome], "grpo"), 4096) == []
    assert AgentPolicies(Shop(), players).learners == {"policy"}


def test_only_those_who_learn_are_shown_demonstrations() -> None:
    shop = Shop(show_tools=False)
    (task,) = shop.tasks("train", 0)
    everyone = asyncio.run(demonstration_samples(shop, task, Renderer(TOKENIZER)))
    policy = asyncio.run(demonstration_samples(shop, task, Renderer(TOKENIZER), {"policy"}))
    assert (len(everyone), len(policy)) == (2, 1)


def test_a_player_of_nobody_and_half_an_endpoint_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'user'"):
        AgentPolicies(Shop(), {"usr": AgentConfig()})
    with pytest.raises(ValueError, match="give both, or neither"):
        AgentConfig(url="http://localhost")


def test_images_go_to_endpoints_that_take_them_and_are_refused_by_engines_that_do_not(endpoint: Any) -> None:
    async def looked() -> list[Any]:
        async with endpoint("red") as (url, asked), TextPolicy(url, "sees", Sampling()) as policy:
            chat = policy.open("policy", (0,))
            chat.add("user", "Which colour?", images=[RED])
            await chat.reply()
            return asked

    (body,) = asyncio.run(looked())
    text, image = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "Which colour?"}
    assert image == {"type": "image_url", "image_url": {"url": RED}}
    blind = TokenPolicy(ScriptedEngine(lambda request: []), Renderer(TOKENIZER), Sampling(), context=64)
    with pytest.raises(DataError, match="text alone"):
        blind.open("policy", (0,)).add("user", "Which colour?", images=[RED])
    with pytest.raises(DataError, match="images are a list of URLs"):
        check_message({"role": "user", "content": "x", "images": ["file:///etc/passwd"]})


def test_a_prompt_of_several_messages_is_told_to_the_policy_and_a_user_without_rewards_fails_nothing() -> None:
    shop = Shop()
    messages: Any = [{"role": "system", "content": "You sell tea."}, {"role": "user", "content": "Hello?"}]
    task = Task(messages, answer="here it is, please", info={"user": "You want tea."})
    made = asyncio.run(shop.attempt(task, shop.demonstration(task)))
    assert [message["content"] for message in made.messages["policy"][:2]] == ["You sell tea.", "Hello?"]
    assert Group(0, task, (made,)).success_rate == 1.0
