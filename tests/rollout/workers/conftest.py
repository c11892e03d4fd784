"""What several tests of workers share."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

Endpoint = Callable[..., AbstractAsyncContextManager[tuple[str, list[Any]]]]


@pytest.fixture
def endpoint() -> Endpoint:
    """``async with endpoint("a", "b") as (url, asked)``; see ``serve``."""
    return serve


@asynccontextmanager
async def serve(*says: str) -> AsyncIterator[tuple[str, list[Any]]]:
    """An OpenAI-compatible endpoint that says the lines to each conversation, by its length; and what it was asked."""
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body)
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        choice = {"message": {"content": says[turn]}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"completion_tokens": 3}})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", asked
    finally:
        await runner.cleanup()
