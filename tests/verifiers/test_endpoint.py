"""An endpoint of several URLs: requests take turns, a dead URL is passed over, and headers keep their secrets."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from lachesis.verifiers.endpoint import Endpoint
from lachesis.verifiers.errors import ConfigError, EngineError

DEAD = "http://127.0.0.1:9"


async def _serve(stack: AsyncExitStack, status: int = 200) -> tuple[str, list[Any]]:
    """A server that answers with ``status``: its URL, and the headers of the requests that it got."""
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers)
        return web.json_response({"port": request.url.port, "token": request.headers.get("Token")}, status=status)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}", seen


async def _ask(endpoint: Endpoint, times: int = 1) -> list[Any]:
    async with endpoint.session() as session:
        return [await endpoint.complete(session, {}) for _ in range(times)]


def _endpoint(*urls: str, tries: int = 1, **headers: str) -> Endpoint:
    return Endpoint(urls, key_variable="NO_KEY", deadline=30.0, tries=tries, backoff=0.01, headers=headers)


def test_requests_take_turns_and_pass_over_urls_that_fail() -> None:
    async def session() -> None:
        async with AsyncExitStack() as stack:
            (one, asked_one), (other, asked_other) = await _serve(stack), await _serve(stack)
            broken, asked_broken = await _serve(stack, status=503)
            await _ask(_endpoint(one, other), times=6)
            assert (len(asked_one), len(asked_other)) == (3, 3)
            await _ask(_endpoint(broken, DEAD, one), times=3)
            assert (len(asked_one), len(asked_broken)) == (6, 1)

    asyncio.run(session())


def test_every_url_is_tried_before_a_request_fails() -> None:
    async def session() -> None:
        async with AsyncExitStack() as stack:
            broken, asked = await _serve(stack, status=500)
            with pytest.raises(EngineError, match=r"3 of 3 tries"):
                await _ask(_endpoint(DEAD, broken, tries=2))
            assert len(asked) == 1

    asyncio.run(session())


def test_a_headers_value_may_come_from_the_environment_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hunter22")

    async def session() -> None:
        async with AsyncExitStack() as stack:
            url, _ = await _serve(stack)
            assert (await _ask(_endpoint(url, Token="$MY_TOKEN")))[0]["token"] == "hunter22"
            refusing, _ = await _serve(stack, status=404)
            with pytest.raises(EngineError) as caught:
                await _ask(_endpoint(refusing, Token="$MY_TOKEN"))
            assert "<redacted>" in str(caught.value)
            assert "hunter22" not in str(caught.value)

    asyncio.run(session())
    with pytest.raises(ConfigError, match="environment variable GONE, which is not set"):
        _endpoint("http://host", Token="$GONE")
