"""A model behind a URL: the gateway proxies all dialects to it, and records the conversations."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import anthropic
import openai
from aiohttp import web
from aiohttp.test_utils import TestServer

from lachesis.rollout.chats.text_chat import TextPolicy
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.gateway.gateway import Gateway
from lachesis.rollout.gateway.recording import Recording

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
TOOL: Any = {"name": "look", "input_schema": {"type": "object"}}


def recorded(replies: list[Any], talk: Callable[[Any], Any]) -> tuple[Recording, list[Any]]:
    """What an episode leaves, and the requests that the endpoint was sent."""
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        message = replies.pop(0)
        if message is None:
            return web.json_response({"error": "the maximum context length is 10 tokens"}, status=400)
        choice = {"message": message, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 5}})

    async def play() -> Recording:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        async with (
            TestServer(app) as server,
            TextPolicy(str(server.make_url("/v1")), "big", Sampling(0.5, max_tokens=99), tries=1) as policy,
            Gateway() as gateway,
            gateway.open(policy) as opened,
        ):
            await talk(opened)
            return await opened.close()

    return asyncio.run(asyncio.wait_for(play(), 60)), asked


def test_an_agent_uses_and_the_gateway_records_a_model_behind_a_url() -> None:
    replies = [{"content": "I look.", "reasoning_content": "hm", "tool_calls": [CALL]}, {"content": "the answer is 4"}]

    async def talk(opened: Any) -> None:
        client = anthropic.AsyncAnthropic(base_url=opened.url, api_key=opened.key)
        options: dict[str, Any] = {"model": "policy", "max_tokens": 50, "tools": [TOOL]}
        messages: list[Any] = [{"role": "user", "content": "hello"}]
        first = await client.messages.create(messages=messages, **options)
        assert [block.type for block in first.content] == ["thinking", "text", "tool_use"]
        assert first.usage.output_tokens == 5
        result = {"type": "tool_result", "tool_use_id": first.content[2].id, "content": "42"}  # type: ignore[union-attr]
        messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        await client.messages.create(messages=messages, **options)

    recording, asked = recorded(replies, talk)
    assert [message["role"] for message in recording.messages] == ["user", "assistant", "tool", "assistant"]
    assert recording.messages[1]["content"].startswith("<think>\nhm\n</think>\n\nI look.\n<tool_call>")
    assert (recording.segments, recording.proof.calls, recording.proof.complete) == ((), 2, True)
    assert (asked[0]["model"], asked[0]["temperature"], asked[0]["max_tokens"]) == ("big", 0.5, 50)
    sent = asked[1]["messages"][1]
    assert (sent["content"], sent["reasoning_content"], sent["tool_calls"][0]["id"]) == ("I look.", "hm", "c1")
    assert asked[0]["seed"] != asked[1]["seed"]


def test_prompts_without_messages_and_overlong_ones_are_refused() -> None:
    async def talk(opened: Any) -> None:
        headers = {"Authorization": f"Bearer {opened.key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(f"{opened.url}/v1/completions", json={"prompt": "x"}) as answer:
                assert "/v1/chat/completions" in (await answer.json())["error"]["message"]
            body = {"messages": [{"role": "user", "content": "hello"}]}
            async with session.post(f"{opened.url}/v1/chat/completions", json=body) as answer:
                assert (await answer.json())["error"]["code"] == "context_length_exceeded"

    assert recorded([None], talk)[0].proof.refused == 2


PNG = "data:image/png;base64,iVBORw0KGgo="
WEB = "https://example.org/a.png"
SHOWN: list[Any] = [
    {"type": "text", "text": "Compare "},
    {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
    {"type": "text", "text": " with "},
    {"type": "image_url", "image_url": {"url": WEB}},
]
SOURCE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def test_images_pass_to_a_model_behind_a_url_as_they_were_sent() -> None:
    async def talk(opened: Any) -> None:
        client = openai.AsyncOpenAI(base_url=f"{opened.url}/v1", api_key=opened.key)
        await client.chat.completions.create(model="policy", messages=[{"role": "user", "content": SHOWN}])
        typed: Any = [
            {"type": "input_text", "text": "Compare "},
            {"type": "input_image", "image_url": PNG, "detail": "high"},
            {"type": "input_text", "text": " with "},
            {"type": "input_image", "image_url": WEB},
        ]
        await client.responses.create(model="policy", input=[{"role": "user", "content": typed}])
        anthropics = anthropic.AsyncAnthropic(base_url=opened.url, api_key=opened.key)
        blocks: list[Any] = [
            {"type": "text", "text": "Compare "},
            {"type": "image", "source": SOURCE},
            {"type": "text", "text": " with "},
            {"type": "image", "source": {"type": "url", "url": WEB}},
        ]
        result = {"type": "tool_result", "tool_use_id": "c1", "content": blocks}
        used = {"type": "tool_use", "id": "c1", "name": "look", "input": {}}
        messages: list[Any] = [
            {"role": "user", "content": blocks},
            {"role": "assistant", "content": [used]},
            {"role": "user", "content": [result]},
        ]
        await anthropics.messages.create(model="policy", max_tokens=9, messages=messages)

    recording, asked = recorded([{"content": "one"}, {"content": "two"}, {"content": "three"}], talk)
    plain = [part if "detail" not in str(part) else {"type": "image_url", "image_url": {"url": PNG}} for part in SHOWN]
    assert [body["messages"][0] for body in asked[:2]] == [{"role": "user", "content": SHOWN}] * 2
    first, _, third = asked[2]["messages"]
    assert first == {"role": "user", "content": plain}
    assert third == {"role": "tool", "tool_call_id": "c1", "content": plain}
    (shown, *_) = recording.branches
    assert shown.messages[0] == {"role": "user", "content": "Compare  with ", "images": [PNG, WEB]}


def test_another_image_is_another_conversation() -> None:
    async def talk(opened: Any) -> None:
        client = openai.AsyncOpenAI(base_url=f"{opened.url}/v1", api_key=opened.key)
        said: Any = {"role": "assistant", "content": "one"}
        for url in (PNG, WEB, PNG):
            asked: Any = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
            again = [] if opened.answered == 0 else [said, {"role": "user", "content": "and?"}]
            await client.chat.completions.create(model="policy", messages=[asked, *again])

    recording, asked = recorded([{"content": "one"}, {"content": "two"}, {"content": "three"}], talk)
    assert [len(body["messages"]) for body in asked] == [1, 3, 3]
    assert sorted(len(branch.messages) for branch in recording.branches) == [4, 4]  # the third goes on from the first
