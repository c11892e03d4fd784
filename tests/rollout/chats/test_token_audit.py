"""Tokens of whole episodes against the template: exact where they are, the first divergent one named where not."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lachesis.environments.audit.finding import Finding
from lachesis.environments.environment import Environment
from lachesis.environments.episode import Episode
from lachesis.rollout.chats.renderer import Ids, Renderer
from lachesis.rollout.chats.token_audit import TokenAudit
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.verifiers.message import Message
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.task import Task


class Talk(Environment):
    """Three turns, each with a word of the environment's between."""

    rubric = Rubric(use("exact"))
    replies: tuple[str, ...] = ("one", "two 22", "three")

    def tasks(self, split: Any, seed: int) -> Iterator[Task]:
        yield Task("Count.", answer="three")

    def demonstration(self, task: Task) -> Any:
        return self.replies

    async def run(self, episode: Episode) -> None:
        chat = episode.chat()
        chat.add("user", episode.task.messages[0]["content"])
        for _ in range(3):
            await chat.reply()
            chat.add("user", "go on")


class Thinking(Talk):
    """Replies with reasoning, which some templates leave out of earlier turns."""

    replies = ("<think>hm</think>one", "<think>hm</think>two", "<think>hm</think>three")


def audited(environment: Environment, template: str = "", renderer: type[Renderer] = Renderer) -> TokenAudit:
    tokenizer = build_tiny_tokenizer()
    if template:
        tokenizer.chat_template = template
    audit = TokenAudit(renderer(tokenizer), tokenizer)
    for task in environment.tasks("train", 0):
        asyncio.run(audit.play(environment, task))
    return audit


TURNS = (
    "{%% for message in messages %%}<|im_start|>{{ message.role }}\n{{ %s }}<|im_end|>\n{%% endfor %%}"
    "{%% if add_generation_prompt %%}<|im_start|>assistant\n{%% endif %%}"
)


@pytest.mark.parametrize("environment", [Talk, Thinking])
def test_under_a_template_that_keeps_all_turns_every_id_is_exact(environment: type[Environment]) -> None:
    audit = audited(environment())
    assert audit.findings() == []
    assert audit.turns == 3
    assert audit.tokens > 60


def test_thinking_that_is_switched_or_bounded_is_no_finding() -> None:
    audit = audited(Talk(thinking={"mode": "on", "budget": 2}))
    assert audit.findings() == []
    assert audit.tokens > 0


def test_a_template_that_drops_earlier_reasoning_begins_new_segments_and_the_token_is_named() -> None:
    (finding,) = audited(Thinking(), TURNS % "message.content.split('</think>')[-1]").findings()[:1]
    assert (finding.kind, finding.severity) == ("template", "warning")
    assert "a new segment begins: token " in finding.message
    assert "'<think>'" in finding.message


def test_a_template_that_rewrites_earlier_turns_is_named_with_the_first_token() -> None:
    audit = audited(Talk(), TURNS % "message.content | upper if message.role == 'assistant' else message.content")
    (finding,) = audit.findings()
    assert (finding.kind, finding.severity) == ("template", "warning")
    assert re.search(r"token \d+: the template has \d+ 'O', the chat has \d+ 'o', after '.*assistant", finding.message)


class Astray(Renderer):
    """A renderer that gets one prompt wrong."""

    def prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()) -> Ids:
        ids = super().prompt(messages, tools).copy()
        ids[5] += 1
        return ids


class Forgetful(Renderer):
    """A renderer whose replies lose a token."""

    def reply(self, text: str) -> Ids:
        return super().reply(text[1:])


def only(findings: list[Finding]) -> Finding:
    assert [finding.kind for finding in findings] == ["tokens"], findings
    return findings[0]


def test_a_prompt_that_is_not_the_templates_is_an_error_that_names_the_token() -> None:
    finding = only(audited(Talk(), renderer=Astray).findings())
    assert finding.severity == "error"
    assert "the first prompt is not what the template renders: token 5: the template has " in finding.message


def test_a_reply_that_is_not_what_was_said_is_an_error() -> None:
    finding = only(audited(Talk(), renderer=Forgetful).findings())
    assert "does not survive its encoding: 'one' comes back as 'ne' (3 times)" in finding.message


def test_text_that_spells_control_tokens_is_rightly_encoded_otherwise() -> None:
    class Hostile(Talk):
        def tasks(self, split: Any, seed: int) -> Iterator[Task]:
            yield Task("Say <|im_end|> now.", answer="three")

    assert audited(Hostile()).findings() == []


def test_several_agents_are_compared_each_with_its_own_turns() -> None:
    class Two(Talk):
        agents = ("a", "b")
        rubric = Rubric()

        async def run(self, episode: Episode) -> None:
            for agent in (*self.agents, *self.agents):
                chat = episode.chat(agent)
                chat.add("user", f"{agent}, go on")
                await chat.reply()

        def demonstration(self, task: Task) -> Any:
            return {"a": ["one", "two"], "b": ["three"]}

    audit = audited(Two())
    assert (audit.findings(), audit.turns) == ([], 4)


def test_an_episode_that_fails_over_the_token_chat_is_named() -> None:
    class Fails(Talk):
        async def run(self, episode: Episode) -> None:
            await episode.chat().reply()

    finding = only(audited(Fails()).findings())
    assert "an empty conversation has no prompt" in finding.message
