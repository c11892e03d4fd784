"""The desk of an engine actor: every answer reaches its caller once, and a silent caller holds up nobody."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from lachesis.rollout.engines.activity import Activity
from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.workers.answer_desk import AnswerDesk
from lachesis.verifiers.errors import EngineError, EngineStale

Exchange = Callable[..., Awaitable[list[tuple[int, Completion | EngineError]] | None]]


class Gates:
    """An engine whose requests wait until they are let through, by their first token."""

    def __init__(self) -> None:
        self.open: dict[int, asyncio.Event] = {}
        self.cancelled: list[int] = []

    async def generate(self, request: Request) -> Completion:
        name = int(request.prompt[0])
        try:
            await self.open.setdefault(name, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if name == 13:
            raise EngineStale("old weights")
        if name == 14:
            raise ZeroDivisionError
        return Completion(request.prompt, np.zeros(1, np.float32), request.prompt, "stop")

    def let(self, *names: int) -> None:
        for name in names:
            self.open.setdefault(name, asyncio.Event()).set()


def request(name: int) -> tuple[int, Request]:
    return name, Request(np.array([name], np.int32), Sampling())


def with_desk(use: Callable[[Gates, AnswerDesk, Exchange], Awaitable[None]]) -> None:
    async def session() -> None:
        engine, desk = Gates(), AnswerDesk(Activity())
        async with asyncio.timeout(60):
            await use(engine, desk, lambda name, *numbers: desk.exchange(engine, name, [*map(request, numbers)]))  # type: ignore[arg-type]

    asyncio.run(session())


def test_each_caller_gets_its_answers_once_as_they_come() -> None:
    async def use(engine: Gates, _: AnswerDesk, exchange: Exchange) -> None:
        engine.let(1, 7)
        assert [key for key, _ in await exchange("a", 1, 2) or ()] == [1]
        assert [key for key, _ in await exchange("b", 7) or ()] == [7]
        engine.let(2)
        assert [key for key, _ in await exchange("a") or ()] == [2]

    with_desk(use)


def test_the_desk_knows_the_mean_size_of_requests() -> None:
    async def use(engine: Gates, desk: AnswerDesk, exchange: Exchange) -> None:
        assert desk.request_tokens == 0
        engine.let(1, 2)
        await exchange("a", 1, 2)
        assert desk.request_tokens == 2  # a prompt of one token, and one more

    with_desk(use)


def test_an_answer_that_comes_between_two_calls_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnswerDesk, "WAIT", 0.01)

    async def use(engine: Gates, _: AnswerDesk, exchange: Exchange) -> None:
        assert await exchange("a", 1, 2) == []
        engine.let(1, 2)
        await asyncio.sleep(0.01)
        assert sorted(key for key, _ in await exchange("a") or ()) == [1, 2]

    with_desk(use)


def test_a_caller_that_never_collects_holds_up_nobody() -> None:
    async def use(engine: Gates, _: AnswerDesk, exchange: Exchange) -> None:
        frozen = asyncio.create_task(exchange("frozen", *range(100, 200)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        engine.let(1, *range(100, 200))
        assert [key for key, _ in await exchange("a", 1) or ()] == [1]
        await frozen

    with_desk(use)


def test_errors_are_the_answer_of_their_own_request() -> None:
    async def use(engine: Gates, _: AnswerDesk, exchange: Exchange) -> None:
        engine.let(1, 13, 14)
        found: dict[int, object] = {}
        while len(found) < 3:
            found |= dict(await exchange("a", *(() if found else (1, 13, 14))) or ())
        assert isinstance(found[1], Completion)
        assert isinstance(found[13], EngineStale)
        assert "ZeroDivisionError" in str(found[14])

    with_desk(use)


def test_a_call_without_answers_returns_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnswerDesk, "WAIT", 0.01)

    async def use(engine: Gates, _: AnswerDesk, exchange: Exchange) -> None:
        assert await exchange("a", 1) == []
        assert await exchange("a") == []
        engine.let(1)
        assert [key for key, _ in await exchange("a") or ()] == [1]

    with_desk(use)


def test_the_requests_of_a_silent_caller_are_ended_and_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnswerDesk, "WAIT", 0.01)
    monkeypatch.setattr(AnswerDesk, "PATIENCE", 0.0)

    async def use(engine: Gates, _: AnswerDesk, exchange: Exchange) -> None:
        assert await exchange("silent", 1, 2) == []
        engine.let(7)
        await asyncio.sleep(0.01)
        assert [key for key, _ in await exchange("b", 7) or ()] == [7]
        await asyncio.sleep(0)
        assert sorted(engine.cancelled) == [1, 2]
        assert await exchange("silent") is None

    with_desk(use)


def test_a_caller_that_waits_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnswerDesk, "PATIENCE", 0.0)

    async def use(engine: Gates, _: AnswerDesk, exchange: Exchange) -> None:
        waiting = asyncio.create_task(exchange("a", 1))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        engine.let(7)
        await exchange("b", 7)
        engine.let(1)
        assert [key for key, _ in await waiting or ()] == [1]

    with_desk(use)
