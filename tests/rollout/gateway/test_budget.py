"""Budgets: what an agent with one key can make the gateway hold and keep is bounded, and the rest is refused."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from lachesis.rollout.gateway import answers, budget
from lachesis.rollout.gateway.budget import Budget, GatewayLimits, size_of
from lachesis.rollout.gateway.gateway import Gateway
from lachesis.rollout.service.engine.requests import Refusal
from lachesis.verifiers.trajectory import StopReason

from .conftest import BODIES, HELLO, Engine, ask, check_exact, opened, post, said, until, user

Engines = Callable[..., Engine]
CHAT = "/v1/chat/completions"


def head_of(episode: Any, size: int) -> bytes:
    """The beginning of a request whose body does not come."""
    lines = (f"POST {CHAT} HTTP/1.1", "Host: x", f"x-api-key: {episode.key}", f"Content-Length: {size}", "", "{")
    return "\r\n".join(lines).encode()


def test_bytes_are_kept_up_to_the_limit_and_a_smaller_call_still_fits() -> None:
    spent = Budget(GatewayLimits(bytes=100))
    spent.keep(60)
    with pytest.raises(Refusal, match="more than 100 bytes") as refused:
        spent.keep(41)
    assert (refused.value.status, refused.value.code, spent.reached) == (403, "budget_exceeded", StopReason.LENGTH)
    spent.keep(40)


def test_calls_at_a_time_have_so_many_bytes_together_and_one_alone_may_have_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "_BODIES", 100)
    spent = Budget(GatewayLimits(at_once=3))
    spent.enter(1, 200)
    spent.enter(0, 200)
    spent.leave(0, 200)
    with pytest.raises(Refusal, match="100 bytes at a time; wait for one") as refused:
        spent.enter(1, 1)
    assert refused.value.status == 429
    spent.leave(1, 200)
    for _ in range(3):
        spent.enter(1, 30)
    with pytest.raises(Refusal, match="3 calls at a time"):
        spent.enter(1, 0)
    with pytest.raises(Refusal, match="100 bytes"):
        spent.enter(0, 30)


def test_the_size_of_a_value_counts_everything_in_it() -> None:
    assert size_of({"a": ["x" * 1000, {"b": "\U0001f600" * 1000}]}) > 5000


def test_a_body_on_its_way_is_one_of_the_calls_at_a_time(engine: Engines) -> None:
    table = engine()

    async def talk() -> None:
        limits = GatewayLimits(at_once=2)
        async with (
            Gateway() as gateway,
            gateway.open(table.policy, limits=limits) as slow,
            gateway.open(table.policy) as other,
        ):
            at = urlsplit(slow.url)
            writers = []
            for _ in range(2):
                _, writer = await asyncio.open_connection(at.hostname, at.port)
                writer.write(head_of(slow, 1000))
                writers.append(writer)
            await until(lambda: slow._budget._entered == 2)
            status, answer = await post(slow, CHAT, HELLO)
            assert (status, answer["error"]["code"]) == (429, "busy")
            assert (await post(slow, "/v1/messages/count_tokens", HELLO))[0] == 429
            assert (await post(other, CHAT, HELLO))[0] == 200
            writers.pop().close()
            await until(lambda: slow._budget._entered == 1)
            assert (await post(slow, CHAT, HELLO))[0] == 200
            writers.pop().close()
            await until(lambda: slow._budget._entered == 0)
            assert (slow._budget._bodies, (await slow.close()).proof.refused) == (0, 2)

    asyncio.run(asyncio.wait_for(talk(), 60))


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_has_no_room_beside_others_is_given_when_the_client_asks_again(
    engine: Engines, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(budget, "_BODIES", 1000)
    table, body = engine(say=lambda request: "hello " * 100), {**HELLO, "stream": stream}

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy) as episode:
            at = urlsplit(episode.url)
            _, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write(head_of(episode, 500))
            await until(lambda: episode._budget._entered == 1)
            assert (await post(episode, CHAT, body))[0] == 429
            writer.close()
            await until(lambda: episode._budget._entered == 0)
            async with (
                aiohttp.ClientSession(headers={"x-api-key": episode.key}) as session,
                session.post(episode.url + CHAT, json=body) as answer,
            ):
                assert answer.status == 200
                assert "hello hello" in (await answer.text())
            recording = await episode.close()
            assert (recording.proof.calls, recording.proof.retried, recording.proof.untrained) == (1, 1, {})
            check_exact(table, recording)

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_new_messages_are_counted_and_those_of_a_conversation_that_goes_on_only_once(engine: Engines) -> None:
    table = engine(say=lambda request: "4")

    async def talk() -> None:
        async with opened(table, limits=GatewayLimits(bytes=200_000)) as episode:
            talked = [user("long " * 600)]
            for number in range(20):
                talked += [said(await ask(episode, talked)), user(f"more {number}")]
            kept = episode._budget._kept
            await ask(episode, [user("other " * 600)])
            each = episode._budget._kept - kept
            assert each > 2 * size_of("other " * 600)
            for number in range((200_000 - episode._budget._kept) // each):
                await ask(episode, [user(f"{number:05} " + "other " * 599)])
            with pytest.raises(Refusal, match="would keep more than 200000 bytes") as refused:
                await ask(episode, [user("again " * 600)])
            assert (refused.value.status, refused.value.code) == (403, "budget_exceeded")
            recording = await episode.close()
            assert (recording.stop, recording.failure) == (StopReason.LENGTH, "")
            check_exact(table, recording)

    asyncio.run(talk())


def test_prompts_without_messages_are_counted_too(engine: Engines) -> None:
    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(engine().policy, limits=GatewayLimits(bytes=200_000)) as episode:
            statuses = set()
            for number in range(30):
                body = {**BODIES["/v1/completions"], "prompt": [f"{number} {at} hello" * 100 for at in range(4)]}
                statuses.add((await post(episode, "/v1/completions", body))[0])
            assert statuses == {200, 403}

    asyncio.run(talk())


def test_calls_that_are_cancelled_leave_nothing_but_what_is_counted(engine: Engines) -> None:
    table = engine()
    table.gate.clear()

    async def talk() -> None:
        async with opened(table, limits=GatewayLimits(bytes=200_000)) as episode:
            begun = 0
            for number in range(100):
                asking = asyncio.create_task(ask(episode, [user(f"{number} hello")]))
                await until(lambda asking=asking, begun=begun: table.begun > begun or asking.done())
                if asking.done():
                    break
                begun = table.begun
                asking.cancel()
                with suppress(asyncio.CancelledError):
                    await asking
            with pytest.raises(Refusal, match="would keep more"):
                await asking
            assert not getattr(episode._player, "_taken", None)

    asyncio.run(talk())


def test_a_call_has_a_bounded_number_of_replies(engine: Engines) -> None:
    table = engine()

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy) as episode:
            body = {**BODIES["/v1/completions"], "prompt": ["hello"] * 129, "n": 2}
            status, answer = await post(episode, "/v1/completions", body)
            assert (status, "at most 256 replies" in answer["error"]["message"], table.begun) == (400, True, 0)

    asyncio.run(talk())


def test_replies_to_one_prompt_are_counted_before_they_are_sampled(engine: Engines) -> None:
    table = engine()

    async def talk() -> None:
        async with opened(table, limits=GatewayLimits(bytes=200_000)) as episode:
            with pytest.raises(Refusal, match="would keep more"):
                await ask(episode, [user("hello " * 500)], n=64)
            assert table.begun == 0
            await ask(episode, [user("hello " * 500)], n=2)

    asyncio.run(talk())


def test_the_ids_of_calls_count_for_the_context_too_before_anything_is_rendered(engine: Engines) -> None:
    table, long = engine(context=512), "c" * 64 * 512
    items = [
        {"role": "user", "content": "hello"},
        {"type": "function_call", "call_id": long, "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "seen"},
    ]

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy) as episode:
            status, answer = await post(episode, "/v1/responses", {"input": items})
            assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
            assert "the conversation, with its calls and the tools, is longer" in answer["error"]["message"]

    asyncio.run(talk())


def test_the_oldest_names_are_forgotten_if_their_conversations_are_long(
    engine: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(engine().policy) as episode:
            body = {**BODIES["/v1/responses"], "input": "hello " * 50}
            monkeypatch.setattr(answers, "_BYTES", 2 * len(json.dumps(body)))
            names = [(await post(episode, "/v1/responses", body))[1]["id"] for _ in range(3)]
            again: list[Any] = [
                await post(episode, "/v1/responses", {"input": "more", "previous_response_id": name}) for name in names
            ]
            assert [status for status, _ in again] == [400, 200, 200]
            assert again[0][1]["error"]["code"] == "previous_response_not_found"

    asyncio.run(talk())
