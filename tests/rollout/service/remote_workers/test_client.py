import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.service.app import Service, make_app, make_runner
from lachesis.rollout.service.remote_workers.client import GroupRefused, RunChanged, ServiceClient
from lachesis.rollout.service.remote_workers.connection import ServiceLost
from lachesis.rollout.service.storage.queue import GroupQueue
from lachesis.verifiers.errors import ConfigError, EngineError

from .conftest import Host, group, until

Hosts = Callable[..., Host]
PROMPT = np.array([3, 4, 5], np.int32)


def bounded(talk: Any) -> Any:
    async def run() -> Any:
        async with asyncio.timeout(60):
            return await talk

    return asyncio.run(run())


def test_a_completion_is_the_engines_to_the_bit_with_its_version(host: Hosts) -> None:
    logprobs = [-0.1, -float(np.float32(1) / 3), -1e-30]

    async def talk() -> None:
        async with host(script=lambda request: ([7, 8, 9], logprobs)).open() as one, one.client() as client:
            await client.welcome()
            found = await client.generate(Request(PROMPT, Sampling(max_tokens=8), 2))
            assert found.tokens.tolist() == [7, 8, 9]
            assert found.logprobs.tobytes() == np.array(logprobs, np.float32).tobytes()
            assert found.versions.tolist() == [3, 3, 3]
            with pytest.raises(EngineError, match="9 is no version of the weights, the newest is 4"):
                await client.generate(Request(PROMPT, Sampling(), 9))

    bounded(talk())


def test_a_service_that_went_away_is_waited_for_and_no_group_is_lost_or_doubled(host: Hosts) -> None:
    one = host()

    async def talk() -> None:
        async with one.client(patience=30) as client:
            async with one.open():
                await client.welcome()
                await client.send(1, group(11))
            late = [
                asyncio.create_task(client.send(2, group(12))),
                asyncio.create_task(client.generate(Request(PROMPT, Sampling()))),
            ]
            await until(lambda: client.lost)
            assert not any(task.done() for task in late)
            async with one.open():
                await asyncio.gather(*late)
                assert not client.lost
                assert await one.firsts() == [11, 12]

    bounded(talk())


def test_a_service_that_stays_away_is_given_up_after_the_patience(host: Hosts) -> None:
    async def talk() -> None:
        async with ServiceClient("http://127.0.0.1:1", "w", patience=0.2) as client:
            with pytest.raises(ServiceLost, match=r"has not answered for .* A longer --patience"):
                await client.welcome()

    bounded(talk())


def test_another_run_at_the_same_address_is_noticed(host: Hosts) -> None:
    one = host()

    async def talk() -> None:
        async with one.client() as client:
            async with one.open():
                await client.welcome()
            one.run = "another"
            async with one.open():
                with pytest.raises(RunChanged):
                    await client.generate(Request(PROMPT, Sampling()))
                assert client.changed
                with pytest.raises(RunChanged):
                    await client.send(1, group())
                assert (await client.welcome()).run == "another"
                assert not client.changed
                await client.send(1, group())

    bounded(talk())


def test_a_refused_group_says_why(host: Hosts) -> None:
    async def talk() -> None:
        async with host(max_staleness=0).open() as one, one.client() as client:
            await client.welcome()
            with pytest.raises(GroupRefused, match="1 versions old, and 0 are allowed"):
                await client.send(1, group(version=2))

    bounded(talk())


def test_a_token_is_asked_for_and_may_stand_in_the_url(host: Hosts) -> None:
    async def talk() -> None:
        async with host(token="secret").open() as one:
            for options in ({}, {"token": "wrong"}):
                async with one.client(**options) as client:
                    with pytest.raises(ConfigError, match="LACHESIS_TOKEN"):
                        await client.welcome()
            async with one.client(token="secret") as client:
                await client.welcome()
            async with ServiceClient(one.url.replace("//", "//any:secret@"), "w", patience=5) as client:
                await client.welcome()

    bounded(talk())


def test_a_service_without_an_engine_is_no_place_to_work_for(tmp_path: Any) -> None:
    async def talk() -> None:
        queue = GroupQueue(tmp_path / "store.sqlite", max_groups=10, max_bytes=1 << 20)
        runner = make_runner(make_app(Service(queue)))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with ServiceClient(f"http://127.0.0.1:{runner.addresses[0][1]}", "w", patience=5) as client:
            with pytest.raises(ConfigError, match="has no engine for workers"):
                await client.welcome()
        await runner.cleanup()
        queue.close()

    bounded(talk())
