import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lachesis.rollout.chats.chat_tokenizer import ChatTokenizer
from lachesis.rollout.engines.engine import Completion, Request
from lachesis.rollout.service.engine.conversations import Conversations, Turn, message_keys

Rooms = Callable[..., Any]


def remembered(memory: Conversations, prompt: list[int], sampled: list[int], version: int = 0) -> Turn:
    ids = np.array(sampled, np.int32)
    completion = Completion(ids, np.full(ids.size, -1, np.float32), np.full(ids.size, version, np.int32), "stop")
    return memory.remember(memory.open(np.array(prompt, np.int32)), completion, 1.0, shown="")


async def turns(table: Any, client: Any, *texts: str, **more: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for text in texts:
        messages.append({"role": "user", "content": text})
        answer = await table.chat(client, messages, **more)
        messages.append(answer["choices"][0]["message"])
    return messages


def test_a_prompt_that_goes_on_from_a_conversation_shares_its_ids(room: Rooms) -> None:
    memory = room().memory
    first = remembered(memory, [65, 66], [67, 68])
    second = remembered(memory, [65, 66, 67, 68, 69], [70])
    assert second.before is first
    assert (second.context.tolist(), second.tokens().tolist()) == ([69], [65, 66, 67, 68, 69, 70])
    assert memory.open(np.array([65, 66, 67], np.int32)).before is None


def test_a_chat_goes_on_from_the_very_ids_that_were_sampled(room: Rooms) -> None:
    table = room(["the answer is hello", "hello the answer", "is"])

    async def converse() -> None:
        async with table.client() as client:
            await turns(table, client, "a", "b", "c")

    asyncio.run(converse())
    first, second, third = (request.prompt for request in table.engine.requests)
    (*_, last) = table.memory._turns.keys()
    chain = max(table.memory._turns, key=lambda turn: turn.size).chain()
    assert last in chain
    for earlier, later, turn in ((first, second, chain[0]), (second, third, chain[1])):
        expected = np.concatenate([earlier, turn.completion.tokens])
        assert np.array_equal(later[: expected.size], expected)
    text = table.renderer.decode(third, ())
    assert text == table.renderer.decode(table.renderer.prompt(messages_of(table)), ())
    assert third.tolist() != table.renderer.prompt(messages_of(table)).tolist(), "rendered anew it would have other ids"


def messages_of(table: Any) -> list[Any]:
    chain = max(table.memory._turns, key=lambda turn: turn.size).chain()
    said = [turn.text for turn in chain[:-1]]
    contents = ["a", said[0], "b", said[1], "c"]
    return [
        {"role": "assistant" if number % 2 else "user", "content": content} for number, content in enumerate(contents)
    ]


def test_tool_calls_come_back_as_the_ids_that_they_were_read_from(room: Rooms) -> None:
    call = '<think>so</think>the <tool_call>{"name":   "look", "arguments": {"at": "door"}}</tool_call>'
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    table = room([call, "is hello"])

    async def converse() -> dict[str, Any]:
        async with table.client() as client:
            messages: list[dict[str, Any]] = [{"role": "user", "content": "where?"}]
            choice = (await table.chat(client, messages, tools=[tool]))["choices"][0]
            (asked,) = choice["message"]["tool_calls"]
            messages += [choice["message"], {"role": "tool", "tool_call_id": asked["id"], "content": "here"}]
            await table.chat(client, messages, tools=[tool])
            return dict(choice)

    choice = asyncio.run(converse())
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "<think>so</think>the ")
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": "door"}'}
    assert table.memory.counts.continued == 1
    assert call in table.renderer.decode(table.engine.requests[-1].prompt, ())


@pytest.mark.parametrize("change", ["strip", "other tools", "user"])
def test_a_conversation_that_was_changed_is_rendered_anew(room: Rooms, change: str) -> None:
    table = room([" the answer "])
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}

    async def converse() -> None:
        async with table.client() as client:
            (question, reply) = await turns(table, client, "a")
            if change == "strip":
                reply["content"] = reply["content"].strip()
            if change == "user":
                question["content"] = "other"
            messages = [question, reply, {"role": "user", "content": "b"}]
            await table.chat(client, messages, **({"tools": [tool]} if change == "other tools" else {}))

    asyncio.run(converse())
    assert table.memory.counts.continued == 0


def test_where_the_template_cannot_bridge_the_conversation_is_rendered_anew_and_counted(room: Rooms) -> None:
    table = room(["<think>x</think>the answer", "is"])
    table.tokenizer.chat_template = (
        "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\n' }}"
        "{{ message.content.split('</think>')[-1] + '<|im_end|>\n' }}{%- endfor -%}"
        "{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
    )
    table.renderer._data = ChatTokenizer.of(table.tokenizer)
    table.renderer._forget()

    async def converse() -> None:
        async with table.client() as client:
            await turns(table, client, "a", "b")

    asyncio.run(converse())
    assert (table.memory.counts.continued, table.memory.counts.broken) == (0, 1)
    assert "think" not in table.renderer.decode(table.engine.requests[-1].prompt, ())


def test_a_later_turn_is_never_sampled_by_older_weights_and_goes_to_the_same_engine(room: Rooms) -> None:
    table = room()
    table.version = 0

    async def converse() -> None:
        async with table.client() as client:
            await turns(table, client, "a", "b")
            await turns(table, client, "c")

    asyncio.run(converse())
    requests: list[Request] = table.engine.requests
    assert [request.version for request in requests] == [0, 3, 0]
    assert requests[0].route == requests[1].route != requests[2].route


def test_the_number_of_replies_and_their_bytes_are_bounded_and_what_was_unused_longest_goes_first(room: Rooms) -> None:
    table = room(most=3)
    memory = table.memory
    first = remembered(memory, [65], [66])
    for other in range(70, 75):
        remembered(memory, [65, 66, other], [67])
    assert (len(memory), memory.counts.forgotten) == (3, 3)
    assert memory.open(np.array([65, 66], np.int32)).before is first, "replies go before those that they continue"
    small = room(most_bytes=10_000).memory
    for other in range(100):
        remembered(small, [other], [66] * 100)
        assert small.bytes <= 10_000
    assert 0 < len(small) < 5
    assert small.bytes == sum(turn.cost for turn in small._turns)


def test_what_is_held_is_about_what_is_counted_however_long_a_conversation_grows(room: Rooms) -> None:
    memory = room().memory
    ids = [65] * 2000
    tracemalloc.start()
    for turn in range(200):
        sampled = [66, 67, *[68 + turn % 5] * 30]
        remembered(memory, ids, sampled)
        ids = [*ids, *sampled]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert memory.bytes / 3 < held < memory.bytes * 3


def test_what_is_forgotten_leaves_nothing_behind(room: Rooms) -> None:
    memory = room(most=2).memory
    for other in range(20):
        remembered(memory, [other % 5], [66, other])
    for index in (memory._by_ids, memory._by_prompt, memory._by_root, memory._by_reading, memory._by_messages):
        assert sum(map(len, index._values.values())) <= 2
        assert sum(index._lengths.values()) <= 2


def test_the_key_of_a_conversation_tells_apart_messages_tools_and_variants() -> None:
    hello: list[Any] = [{"role": "user", "content": "hello"}]
    keys = {
        message_keys(hello, [])[0],
        message_keys(hello, [{"name": "look"}])[0],
        message_keys(hello, [], "thinking")[0],
        message_keys([{"role": "user", "content": "hell"}], [])[0],
        message_keys([*hello, *hello], [])[1],
    }
    assert len(keys) == 5
    assert message_keys([*hello, *hello], [])[0] == message_keys(hello, [])[0]
