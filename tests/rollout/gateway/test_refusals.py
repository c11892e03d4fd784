"""Refusals that are repeated: by themselves, and over HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from lachesis.rollout.gateway.budget import GatewayLimits
from lachesis.rollout.gateway.gateway import Gateway
from lachesis.rollout.gateway.refusals import Refusals

from .conftest import HELLO, Engine, until

HOUR = 3600.0


def test_a_refusal_waits_longer_each_time_up_to_a_limit_until_a_call_is_answered() -> None:
    refusals = Refusals(free=2, first=0.5, most=3.0)
    assert [refusals.delay("a", 403) for _ in range(7)] == [0, 0, 0.5, 1, 2, 3, 3]
    assert refusals.delay("b", 401) == 0
    refusals.forget("a")
    assert refusals.delay("a", 403) == 0
    assert [Refusals(free=0).delay("a", 503) for _ in range(9)] == [0] * 9  # the engine is away


def test_refusals_are_counted_for_ever_without_an_overflow() -> None:
    refusals = Refusals(free=0)
    assert max(refusals.delay("a", 403) for _ in range(5000)) == 5.0
    for source in range(10_000):
        refusals.delay(source, 401)
    assert len(refusals._counts) == 4096


@pytest.mark.parametrize("why", ["closed", "over budget", "wrong key", "wrong key for the models", "another model"])
def test_a_program_that_is_refused_in_a_loop_waits_and_no_other_does(engine: Callable[..., Engine], why: str) -> None:
    table = engine()

    async def talk() -> None:
        limits = GatewayLimits(turns=1)
        async with (
            Gateway(refusals=Refusals(free=2, first=HOUR, most=HOUR)) as gateway,
            gateway.open(table.policy, limits=limits) as looping,
            gateway.open(table.policy) as other,
        ):
            assert await status_of(looping.url, looping.key) == 200
            if why == "closed":
                await looping.close()
            key = "wrong" if "wrong" in why else looping.key
            path = "/v1/models" if "models" in why else "/v1/chat/completions"
            body = {**HELLO, "model": "other"} if why == "another model" else HELLO
            refused = [asyncio.create_task(status_of(looping.url, key, path, body)) for _ in range(3)]
            await until(lambda: sum(task.done() for task in refused) == 2)
            assert {task.result() for task in refused if task.done()} <= {401, 403, 404}
            assert await status_of(other.url, other.key) == 200
            assert await status_of(other.url, other.key, body=[]) == 400
            assert not all(task.done() for task in refused)
            for task in refused:
                task.cancel()
            await asyncio.gather(*refused, return_exceptions=True)

    asyncio.run(asyncio.wait_for(talk(), 60))


async def status_of(url: str, key: str, path: str = "/v1/chat/completions", body: Any = HELLO) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        asking = session.get(url + path) if path == "/v1/models" else session.post(url + path, json=body)
        async with asking as answer:
            return answer.status


def test_a_gateway_closes_while_refusals_wait(engine: Callable[..., Engine]) -> None:
    async def talk() -> None:
        async with Gateway(refusals=Refusals(free=0, first=HOUR, most=HOUR)) as gateway:
            waiting = asyncio.create_task(status_of(gateway.url, "wrong"))
            await until(lambda: gateway._refusals._counts)
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(asyncio.wait_for(talk(), 60))
