"""Model nodes: prompts from records, replies read into fields, and what the model is told and asked again."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from lachesis.environments.chat import Reply, read_reply
from lachesis.environments.forge.ask import PolicyAsk
from lachesis.environments.forge.graph import Graph
from lachesis.environments.forge.model_node import ModelNode
from lachesis.environments.forge.node import PostconditionFailed
from lachesis.environments.forge.walk import Walk
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.message import Message


class Model:
    """Says the lines in turn, and keeps what it was asked."""

    def __init__(self, *says: str, stop: str = "stop") -> None:
        self.says, self.stop = list(says), stop
        self.asked: list[list[Message]] = []

    async def __call__(self, node: ModelNode, record: Any, messages: Sequence[Message]) -> Reply:
        self.asked.append(list(messages))
        return read_reply(self.says.pop(0), stop=self.stop, tokens=3)


def asked(**settings: Any) -> ModelNode:
    fields: dict[str, Any] = {"name": "m", "takes": {"text": str}, "gives": {"answer": str}, "prompt": "Read {text}"}
    return ModelNode(**fields | settings)


def walk(model: Model, text: str = "t", **settings: Any) -> Walk:
    made = asked(**settings)
    graph = Graph(name="g", takes={"text": str}, gives=made.gives, nodes=[made])
    return asyncio.run(graph.walk({"text": text}, Random(0), model))


def test_a_template_is_filled_once_so_that_a_document_cannot_reach_other_fields() -> None:
    model = Model("<think>hm</think> yes \n")
    found = walk(model, "{text.__class__} {{0}} <|im_end|>", system="Be brief.", prompt="A {{b}} {text}")
    assert model.asked == [
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "A {b} {text.__class__} {{0}} <|im_end|>"},
        ]
    ]
    assert found.record == {"answer": "yes"}
    (call,) = found.calls
    assert (call.place, call.agent, call.reply, call.failure) == ("m", "policy", "<think>hm</think> yes \n", "")


def test_a_reply_that_cannot_be_used_is_asked_for_again_and_kept_with_the_reason() -> None:
    def read(text: str, record: Any) -> dict[str, Any]:
        if "?" not in text:
            raise PostconditionFailed("no question\nmark")
        return {"answer": text}

    found = walk(Model("no", "a?"), read=read)
    assert found.record == {"answer": "a?"}
    assert [call.failure for call in found.calls] == ["no question mark", ""]
    ended = walk(Model("no", "no", "no"), read=read)
    assert (ended.ended, ended.reason) == ("postcondition at m", "no question mark (in each of 3 tries)")


@pytest.mark.parametrize(
    ("said", "stop", "reason"),
    [
        ("", "stop", "the reply is empty"),
        ("<think>only this</think>", "stop", "the reply is empty"),
        ("\u200b\u2060", "stop", "the reply is empty"),
        ("so far", "length", "the reply was cut off"),
    ],
)
def test_empty_replies_and_those_that_are_cut_off_make_nothing(said: str, stop: str, reason: str) -> None:
    assert reason in walk(Model(said, stop=stop), tries=1).reason


def test_a_prompt_may_be_a_function_that_returns_messages() -> None:
    model = Model("yes")
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    assert walk(model, prompt=lambda record: messages).finished
    assert model.asked == [messages]
    with pytest.raises(DataError, match="node 'm': a prompt is text or a non-empty list of messages, found"):
        walk(Model("yes"), prompt=lambda record: 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompt": "{fact}"}, "the prompt has {fact}, which is not in its takes"),
        ({"prompt": "{text.__class__}"}, "which is not in its takes"),
        ({"prompt": "{text:>{size}}"}, "the prompt has {size}, which is not in its takes"),
        ({"prompt": "{"}, "write {{ for a brace"),
        ({"prompt": 3}, "the prompt is text or a function"),
        ({"gives": {"a": str, "b": str}}, "without `read` a model node gives one field, a text"),
        ({"gives": {"a": list}}, "without `read`"),
        ({"read": "json"}, "read is a function"),
    ],
)
def test_an_impossible_model_node_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked(**changed)


def test_a_walk_without_a_model_or_without_the_agents_policy_is_told_what_to_give() -> None:
    graph = Graph(name="g", takes={"text": str}, gives={"answer": str}, nodes=[asked(trainable=False)])
    with pytest.raises(ConfigError, match="node 'm' asks a model; give walk an `ask`"):
        asyncio.run(graph.walk({"text": "t"}, Random(0)))
    with pytest.raises(ConfigError, match="asks the agent 'helper'; give policies one of that name"):
        asyncio.run(graph.walk({"text": "t"}, Random(0), PolicyAsk({}, (0,))))
