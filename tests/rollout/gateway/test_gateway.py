"""The gateway over HTTP: keys, errors in each dialect's form, heartbeats, clients that leave, sockets."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from lachesis.rollout.gateway.budget import GatewayLimits
from lachesis.rollout.gateway.gateway import Gateway
from lachesis.verifiers.errors import ConfigError, EngineError

from .conftest import BODIES, CHAT, HELLO, Engine, check_exact, post, until, user

Engines = Callable[..., Engine]


def message_of(path: str, answer: Any) -> str:
    """The error's message, in the dialect's own form."""
    if path.startswith("/v1/messages"):
        assert answer["type"] == "error"
        assert set(answer["error"]) == {"type", "message"}
    else:
        assert set(answer["error"]) == {"message", "type", "param", "code"}
    return str(answer["error"]["message"])


@pytest.mark.parametrize("path", BODIES)
def test_every_dialect_answers_and_says_its_errors_in_its_own_form(engine: Engines, path: str) -> None:
    table, body = engine(context=256), BODIES[path]
    long = {"messages": [user("long " * 500)], "input": "long " * 500, "prompt": "long " * 500, "token_ids": [66] * 999}

    async def talk() -> None:
        async with Gateway() as gateway:
            async with gateway.open(table.policy, limits=GatewayLimits(turns=1)) as opened:
                status, answer = await post(opened, path, {**body, **{k: v for k, v in long.items() if k in body}})
                assert (status, "context" in message_of(path, answer)) == (400, True)
                for wrong, expected, words in (
                    ({**body, "model": "other"}, 404, "does not exist"),
                    ([], 400, "object"),
                    ({}, 400, ""),
                ):
                    status, answer = await post(opened, path, wrong)
                    assert (status, words in message_of(path, answer)) == (expected, True), answer
                assert (await post(opened, path, body))[0] == 200
                for unread in (body, []):
                    status, answer = await post(opened, path, unread)
                    assert (status, "1 turns" in message_of(path, answer)) == (403, True), answer
                status, answer = await post(opened, path, body, key="wrong")
                assert (status, message_of(path, answer)) == (401, "the API key is wrong")
            status, answer = await post(opened, path, body)
            assert (status, message_of(path, answer)) == (403, "this episode is closed")
        check_exact(table, await opened.close())

    asyncio.run(talk())


def test_a_budget_that_is_spent_refuses_new_calls_and_gives_old_answers_again(engine: Engines) -> None:
    table, path = engine(context=256), "/v1/chat/completions"

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy, limits=GatewayLimits(tokens=1)) as opened:
            status, first = await post(opened, path, BODIES[path])
            assert status == 200
            status, refused = await post(opened, path, b"{ this is not parsed")
            assert (status, refused["error"]["code"]) == (403, "budget_exceeded")
            assert await post(opened, path, BODIES[path], retried="1") == (200, first)
        recording = await opened.close()
        assert (recording.proof.calls, recording.proof.refused, recording.proof.retried) == (1, 1, 1)
        assert recording.stop == "length"

    asyncio.run(talk())


PNG = "data:image/png;base64,iVBORw0KGgo="
IMAGES: dict[str, tuple[str, Any]] = {
    "/v1/chat/completions": ("messages", {"type": "image_url", "image_url": {"url": PNG}}),
    "/v1/messages": ("messages", {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}),
    "/v1/responses": ("input", {"type": "input_image", "image_url": PNG}),
}


@pytest.mark.parametrize("path", IMAGES)
def test_images_are_refused_in_the_dialects_form_by_a_policy_that_reads_text(engine: Engines, path: str) -> None:
    table = engine()
    name, image = IMAGES[path]
    damaged = {"type": image["type"], "image_url": 5, "source": {"type": "base64", "data": None}}

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy) as opened:
            for part, words in (
                (image, "this model reads text only"),
                (damaged, "an image has a data: or http(s) URL"),
                ({"type": "input_audio", "input_audio": {}}, "found one of type 'input_audio'"),
                (5, "found 5"),
            ):
                content = [{"type": "text", "text": "Look."}, part]
                body = {**BODIES[path], name: [{"role": "user", "content": content}]}
                status, answer = await post(opened, path, body)
                if part == 5 and path == "/v1/messages":
                    words = "list of blocks"
                assert (status, words in message_of(path, answer)) == (400, True), answer
            assert (await opened.close()).proof.sampled == 0

    asyncio.run(talk())


def test_models_tell_the_context(engine: Engines) -> None:
    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(engine().policy, model="org/name") as opened:
            client = openai.AsyncOpenAI(base_url=f"{opened.url}/v1", api_key=opened.key)
            assert [model.id async for model in client.models.list()] == ["org/name"]
            async with aiohttp.ClientSession(headers={"x-api-key": opened.key}) as session:
                async with session.get(f"{opened.url}/v1/models/org/name") as answer:
                    assert (await answer.json())["context_length"] == 8192
                async with session.get(f"{opened.url}/v1/models/other") as answer:
                    assert answer.status == 404
                async with session.post(f"{opened.url}/api/show", json={}) as answer:
                    assert answer.status == 404

    asyncio.run(talk())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_a_stream_is_kept_open_by_heartbeats_and_tells_of_a_late_error(engine: Engines, path: str) -> None:
    table = engine()
    table.gate.clear()

    async def talk() -> None:
        async with Gateway(heartbeat=0.01) as gateway, gateway.open(table.policy) as opened:
            async with (
                aiohttp.ClientSession(headers={"Authorization": f"Bearer {opened.key}"}) as session,
                session.post(opened.url + path, json={**BODIES[path], "stream": True}) as answer,
            ):
                assert "ping" in (await answer.content.readuntil(b"\n\n")).decode()
                table.say = failing
                table.gate.set()
                rest = (await answer.read()).decode()
            assert "no engine" in rest
            assert (await opened.close()).failure == "no engine"

    def failing(request: Any) -> str:
        raise EngineError("no engine")

    asyncio.run(talk())


@pytest.mark.parametrize("path", BODIES)
def test_a_fault_is_an_error_of_the_dialect_and_of_the_infrastructure(
    engine: Engines, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = engine()

    def faulty(request: Any) -> str:
        raise KeyError("a bug")

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy) as opened:
            table.say = faulty
            status, body = await post(opened, path, BODIES[path])
            assert status == 500
            assert "its log says why" in message_of(path, body)
            recording = await opened.close()
            assert (recording.failure, recording.proof.refused) == ("KeyError('a bug')", 1)
            assert opened.key not in caplog.text

    asyncio.run(asyncio.wait_for(talk(), 30))
    assert "KeyError: 'a bug'" in caplog.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_its_generation_and_its_retry_counts_once(engine: Engines, stream: bool) -> None:
    table = engine()

    async def talk() -> None:
        async with Gateway(heartbeat=0.01) as gateway, gateway.open(table.policy) as opened:
            table.gate.clear()
            leaving = asyncio.create_task(post(opened, "/v1/chat/completions", {**HELLO, "stream": stream}))
            await until(lambda: table.begun)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            await until(lambda: opened._counts["cancelled"])
            table.gate.set()
            assert (await post(opened, "/v1/chat/completions", HELLO))[0] == 200
            recording = await opened.close()
            assert (recording.proof.calls, recording.proof.cancelled) == (1, 1)
            check_exact(table, recording)

    asyncio.run(asyncio.wait_for(talk(), 30))


def test_a_unix_socket_reaches_the_gateway(engine: Engines, tmp_path: Path) -> None:
    path = tmp_path / "gateway"
    with socket.socket(socket.AF_UNIX) as killed:  # as a gateway leaves it that was killed
        killed.bind(str(path))

    async def talk() -> None:
        async with Gateway(socket=path) as gateway, gateway.open(engine().policy) as opened:
            connector = aiohttp.UnixConnector(str(path))
            headers = {"Authorization": f"Bearer {opened.key}"}
            async with (
                aiohttp.ClientSession(connector=connector, headers=headers) as session,
                session.post("http://gateway/v1/chat/completions", json=HELLO) as answer,
            ):
                assert answer.status == 200

    asyncio.run(talk())


def test_a_file_where_the_socket_should_be_stays(engine: Engines, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="cannot listen"):
        asyncio.run(Gateway(socket=path).start())
    assert path.read_text() == "mine"


def test_an_episode_that_is_closed_twice_at_once_leaves_one_recording(engine: Engines) -> None:
    table = engine()

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy) as opened:
            await post(opened, "/v1/chat/completions", HELLO)
            table.gate.clear()
            late = asyncio.create_task(post(opened, "/v1/chat/completions", HELLO))
            await until(lambda: table.begun == 2)
            one, other = await asyncio.gather(opened.close(), opened.close())
            assert one is other
            assert (one.proof.calls, one.proof.cancelled) == (1, 1)
            assert (await late)[0] == 403

    asyncio.run(asyncio.wait_for(talk(), 30))


def test_equal_calls_at_the_same_time_are_all_trained(engine: Engines) -> None:
    table = engine()

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy) as opened:
            table.gate.clear()
            posts = [asyncio.create_task(post(opened, "/v1/chat/completions", HELLO)) for _ in range(8)]
            await until(lambda: table.begun == 8)
            table.gate.set()
            assert [status for status, _ in await asyncio.gather(*posts)] == [200] * 8
            recording = await opened.close()
            assert (len(recording.segments), recording.proof.untrained) == (8, {})
            check_exact(table, recording)

    asyncio.run(asyncio.wait_for(talk(), 30))


def test_an_answer_that_did_not_arrive_is_given_again(engine: Engines) -> None:
    table = engine(lines=["one", "two"])

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy) as opened:
            call = CHAT.read(HELLO, opened.conversations)
            lost = await opened.answer(call)
            opened.delivered(call, lost, whole=False)
            assert opened.recording().proof.untrained == {"not delivered": table.returned[0][1].tokens.size}
            assert await opened.answer(call) is lost
            opened.delivered(call, lost, whole=True)
            recording = await opened.close()
            assert (recording.proof.calls, recording.proof.retried, recording.proof.untrained) == (1, 1, {})

    asyncio.run(talk())


def test_calls_wait_while_an_episode_is_paused(engine: Engines) -> None:
    table = engine()

    async def talk() -> None:
        limits = GatewayLimits(waiting=0.01)
        async with Gateway() as gateway, gateway.open(table.policy, limits=limits) as short:
            short.pause()
            assert (await post(short, "/v1/chat/completions", HELLO))[0] == 503
            async with gateway.open(table.policy) as opened:
                opened.pause()
                waiting = asyncio.create_task(post(opened, "/v1/chat/completions", HELLO))
                await until(lambda: opened._running)
                assert table.begun == 0
                opened.resume()
                assert (await waiting)[0] == 200

    asyncio.run(asyncio.wait_for(talk(), 30))


HOSTILE = [b"", b"{", b"[" * 100_000, b"null", b'{"messages": [null]}', b'{"messages": [{"role": []}]}']
HOSTILE += [b'{"messages": 7, "input": 7, "prompt": 7, "token_ids": 7}', b"\xff\xfe", b'{"stream": true}']
HOSTILE += [
    json.dumps({**HELLO, "input": "x", "prompt": "x", "token_ids": [1], name: value}).encode()
    for name, value in (
        ("tools", [7]),
        ("tools", [{}]),
        ("model", {}),
        ("n", 10**9),
        ("max_tokens", -1),
        ("response_format", {"type": []}),
        ("text", {"format": {"type": []}}),
        ("sampling_params", 7),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}]),
        ("messages", [{"role": "assistant", "tool_calls": [{}]}, {"role": "tool", "content": {}}]),
        ("input", [{"type": []}, {"type": "reasoning", "encrypted_content": "lachesis:%"}]),
        ("token_ids", [2**31]),
        ("messages", [{"role": "user", "content": "x" * 600_000}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}, {"text": 5}]}]),
        ("messages", [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": []}}]}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/\ud800,"}]}]),
        ("messages", [{"role": "assistant", "content": [{"type": "image_url", "image_url": "https://a/b.png"}]}]),
        ("messages", [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]),
        ("input", [{"role": "user", "content": [{"type": "input_image", "image_url": None}]}]),
        ("tools", [{"function": {"name": "\ud800<|im_end|>", "x": 1e999}}]),
    )
]


@pytest.mark.parametrize("path", [*BODIES, "/v1/messages/count_tokens"])
def test_no_body_is_the_servers_error(engine: Engines, path: str) -> None:
    table = engine()

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(table.policy) as opened:
            headers = {"Authorization": f"Bearer {opened.key}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                for body in HOSTILE:
                    async with session.post(opened.url + path, data=body) as answer:
                        assert answer.status in (200, 400), (body[:80], await answer.text())
                        assert answer.status == 200 or message_of(path, await answer.json()), body[:80]
            check_exact(table, await opened.close())

    asyncio.run(talk())


def test_an_address_that_is_taken_is_a_clear_error(engine: Engines) -> None:
    async def talk() -> None:
        async with Gateway() as gateway:
            with pytest.raises(ConfigError, match=r"cannot listen at 127\.0\.0\.1"):
                await Gateway(port=int(gateway.url.rpartition(":")[2])).start()

    asyncio.run(talk())


def test_no_key_is_logged_or_recorded(engine: Engines, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def talk() -> None:
        async with Gateway() as gateway, gateway.open(engine().policy) as opened:
            said = [user(f"my key is {opened.key}")]
            await post(opened, "/v1/chat/completions", {**HELLO, "messages": said})
            await post(opened, "/v1/chat/completions", {"broken": opened.key})
            recording = await opened.close()
            assert "my key is <redacted>" in str(recording.messages)
            assert opened.key not in caplog.text + repr(opened) + str(recording.messages) + str(recording.branches)

    asyncio.run(talk())


def test_an_agent_that_floods_harms_only_its_own_episode(engine: Engines) -> None:
    table = engine()

    async def talk() -> None:
        limits = GatewayLimits(at_once=2)
        async with (
            Gateway() as gateway,
            gateway.open(table.policy, limits=limits) as flooding,
            gateway.open(table.policy) as other,
        ):
            table.gate.clear()
            posts = [asyncio.create_task(post(flooding, "/v1/chat/completions", HELLO)) for _ in range(20)]
            await until(lambda: sum(task.done() for task in posts) == 18)
            table.gate.set()
            assert (await post(other, "/v1/chat/completions", HELLO))[0] == 200
            assert sorted(status for status, _ in await asyncio.gather(*posts)) == [200] * 2 + [429] * 18

    asyncio.run(asyncio.wait_for(talk(), 30))
