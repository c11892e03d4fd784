"""Moderation: a hook refuses or rewrites what goes in and what comes out, and nothing passes if it fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from lachesis.rollout.gateway.recording import Recording
from lachesis.rollout.service.engine.requests import Refusal
from lachesis.verifiers.errors import ConfigError, InfrastructureError

from .conftest import BODIES, Engine, ask, check_exact, opened, post, said, user

Engines = Callable[..., Engine]


def recorded(engine: Engine, hook: Any, talk: Any) -> Recording:
    async def play() -> Recording:
        async with opened(engine, moderation=hook) as episode:
            await talk(episode)
            return await episode.close()

    recording = asyncio.run(play())
    check_exact(engine, recording)
    return recording


def test_a_rewritten_request_is_what_the_model_reads_and_goes_on_in_one_segment(engine: Engines) -> None:
    table = engine()

    def hook(shown: Any) -> Any:
        if shown["stage"] == "request":
            return {"messages": [{"role": "system", "content": "Be kind."}, *shown["messages"]]}
        return None

    async def talk(episode: Any) -> None:
        reply = said(await ask(episode, [user("hello")]))
        await ask(episode, [user("hello"), reply, user("more")])

    recording = recorded(table, hook, talk)
    assert recording.messages[0]["content"] == "Be kind."
    assert len(recording.segments) == 1


def test_a_rewritten_reply_is_given_and_not_trained(engine: Engines) -> None:
    async def hook(shown: Any) -> Any:
        bad = shown["stage"] == "reply" and "4" in shown["reply"]["content"]
        return {"reply": "the answer is hidden"} if bad else None

    async def talk(episode: Any) -> None:
        reply = said(await ask(episode, [user("hello")]))
        assert reply["content"] == "the answer is hidden"
        await ask(episode, [user("hello"), reply, user("more")])

    table = engine(lines=["the answer is 4", "hello"])
    recording = recorded(table, hook, talk)
    assert list(recording.proof.untrained) == ["moderated"]
    assert [message["content"] for message in recording.messages] == ["hello", "the answer is hidden", "more", "hello"]
    assert recording.messages[1].get("given") is True
    (segment,) = recording.segments
    assert "hidden" in table.renderer.decode(segment.tokens)


@pytest.mark.parametrize("stage", ["request", "reply"])
def test_a_refusal_is_an_error_and_what_was_sampled_is_not_trained(engine: Engines, stage: str) -> None:
    table = engine()

    async def talk(episode: Any) -> None:
        with pytest.raises(Refusal, match="not that") as refused:
            await ask(episode, [user("hello")])
        assert (refused.value.status, refused.value.code) == (403, "content_policy")

    proof = recorded(table, lambda shown: {"refuse": "not that"} if shown["stage"] == stage else None, talk).proof
    assert (proof.trained, proof.refused) == (0, 1)
    assert table.begun == (stage == "reply")


@pytest.mark.parametrize("stage", ["request", "reply"])
@pytest.mark.parametrize("path", BODIES)
def test_every_way_to_refuse_is_403_in_the_dialects_own_form(engine: Engines, path: str, stage: str) -> None:
    refused, ways = Refusal("not that", status=503, code="other"), ["raised", "returned", "said"]
    kind = {"type": "permission_error", "message": "not that"}
    if path != "/v1/messages":
        kind |= {"param": None, "code": "content_policy"}

    def hook(shown: Any) -> Any:
        way = ways.pop(0) if shown["stage"] == stage else None
        if way == "raised":
            raise refused
        return {"returned": refused, "said": {"refuse": "not that"}}.get(str(way))

    async def talk(episode: Any) -> None:
        while ways:
            status, answer = await post(episode, path, BODIES[path])
            assert (status, answer["error"]) == (403, kind)

    recording = recorded(engine(), hook, talk)
    assert (recording.proof.refused, recording.failure) == (3, "")


@pytest.mark.parametrize("answer", [7, {"reply": 7}, {"messages": "x"}, {"messages": [{"role": "x"}]}, {"other": 1}])
@pytest.mark.parametrize("stage", ["request", "reply"])
def test_a_hook_that_breaks_its_promise_lets_nothing_pass(engine: Engines, stage: str, answer: Any) -> None:
    async def talk(episode: Any) -> None:
        with pytest.raises(InfrastructureError, match="moderation hook"):
            await ask(episode, [user("hello")])

    recorded(engine(), lambda shown: answer if shown["stage"] == stage else None, talk)


def test_a_hook_may_be_a_service(engine: Engines) -> None:
    async def answer(request: web.Request) -> web.Response:
        shown = await request.json()
        if shown["stage"] == "reply":
            return web.json_response({"reply": "moderated"})
        return web.Response(status=204)

    async def play() -> None:
        app = web.Application()
        app.router.add_post("/", answer)
        async with TestServer(app) as server:
            async with opened(engine(), moderation=str(server.make_url("/"))) as episode:
                assert said(await ask(episode, [user("hello")]))["content"] == "moderated"
            async with opened(engine(), moderation=str(server.make_url("/gone"))) as episode:
                with pytest.raises(InfrastructureError, match="hook failed"):
                    await ask(episode, [user("hello")])

    asyncio.run(play())


def test_a_hook_is_a_function_or_a_url(engine: Engines) -> None:
    async def play() -> None:
        async with opened(engine(), moderation="file:///hook"):
            raise AssertionError

    with pytest.raises(ConfigError, match="a function or an http"):
        asyncio.run(play())


def test_a_hook_that_changes_what_it_is_shown_changes_no_call(engine: Engines) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    talked = [user("hello"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    talked.append({"role": "tool", "tool_call_id": "c", "content": "seen"})

    def hook(shown: Any) -> None:
        for message in shown["messages"]:
            for used in message.get("tool_calls", []):
                used["function"]["name"] = "hidden"
            message["content"] = "hidden"

    async def talk(episode: Any) -> None:
        for _ in range(2):
            await ask(episode, talked)
        assert "hidden" not in str(episode.messages)

    recorded(engine(), hook, talk)
