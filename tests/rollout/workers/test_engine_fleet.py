"""Engines on Ray that are stopped or killed: no group is lost for it, and none serves with other weights."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.engines.probe import Probe
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import Shipment, ship
from lachesis.rollout.event_log import EventLog
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.pool import InlinePool, PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.verifiers.errors import EngineError
from lachesis.verifiers.group import Group

PROBE = np.arange(3, 19, dtype=np.int32)

Use = Callable[[RayPool], Awaitable[None]]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> PoolSpec:
    path = build_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden=32, layers=1, context=64)
    config = RolloutConfig(engines=2, workers=1, slots=16, deadline=120)
    return PoolSpec(ModelConfig(path=str(path), context=64), config, (describe("arithmetic"),))


@pytest.fixture(scope="module")
def weights(spec: PoolSpec) -> Shipment:
    return ship(ObjectStoreSender(), 0, load_model(spec.model.path, torch.float32, "cpu").state_dict())


@pytest.fixture(scope="module")
def orders(spec: PoolSpec) -> list[Order]:
    tasks = spec.environments[0].build().tasks("train", 0)
    return [
        Order(index, 0, task, 4, (7, 0), Sampling(max_tokens=24)) for index, task in zip(range(8), tasks, strict=False)
    ]


@pytest.fixture(scope="module")
def probe(spec: PoolSpec, weights: Shipment) -> Probe:
    async def inline() -> Probe:
        pool = InlinePool(spec)
        await pool.publish(weights)
        return Probe(PROBE, (await pool.compute_logprobs(PROBE))[0], 1e-3)

    return asyncio.run(inline())


def newer(weights: Shipment, version: int) -> Shipment:
    return ship(ObjectStoreSender(), version, dict(weights.receiver().receive(weights)))


def with_pool(spec: PoolSpec, folder: Path, use: Use) -> list[dict[str, Any]]:
    """Use a pool; return its events."""

    async def session() -> None:
        events = EventLog(folder / "events.jsonl")
        pool = RayPool(spec, events)
        try:
            async with asyncio.timeout(400):
                await use(pool)
        finally:
            await pool.close()
            events.close()

    asyncio.run(session())
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def states(events: list[dict[str, Any]], engine: int) -> list[str]:
    return [event["state"] for event in events if event["event"] == "engine_state" and event["engine"] == engine]


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    while not await true():  # noqa: ASYNC110 - a state of another process
        await asyncio.sleep(0.2)


@pytest.mark.slow
def test_a_publication_checks_weights_and_probe_in_one_call_and_a_killed_engine_serves_again_only_after_a_refit(
    spec: PoolSpec, weights: Shipment, probe: Probe, tmp_path: Path
) -> None:
    async def use(pool: RayPool) -> None:
        assert await pool.publish(weights, probe) <= probe.tolerance
        with pytest.raises(EngineError, match="arrived whole but have no effect"):
            await pool.publish(newer(weights, 1), replace(probe, expected=probe.expected - 1))

        async def back() -> bool:
            return pool.metrics()["rate/engines_healthy"] == 1

        await pool.publish(newer(weights, 2), probe)  # both were replaced: nothing may be sampled with such weights
        await until(back)
        assert [info.version for info in await pool.infos()] == [2, 2]

    events = with_pool(spec, tmp_path, use)
    for engine in range(2):
        assert states(events, engine) == ["stale", "healthy", "dead", "restarting", "stale", "healthy", "retired"]


@pytest.mark.slow
def test_a_stopped_engine_is_replaced_and_costs_no_group(
    spec: PoolSpec, weights: Shipment, orders: list[Order], tmp_path: Path
) -> None:
    async def use(pool: RayPool) -> None:
        await pool.publish(weights)
        expected = await pool.run(orders)
        stopped, other = await pool.engine_pids()
        running = asyncio.create_task(pool.run([replace(order, size=64) for order in orders]))
        await asyncio.sleep(0.2)
        os.kill(stopped, signal.SIGSTOP)
        outcomes = await running
        assert [outcome for outcome in outcomes if not isinstance(outcome, Group)] == []
        again = await pool.run(orders)
        assert [bits(outcome) for outcome in again] == [bits(outcome) for outcome in expected]

        async def back() -> bool:
            return pool.metrics()["rate/engines_healthy"] == 1

        await until(back)
        pids = await pool.engine_pids()
        assert stopped not in pids
        assert other in pids

    events = with_pool(replace(spec, rollout=spec.rollout.model_copy(update={"deadline": 60.0})), tmp_path, use)
    assert states(events, 0)[2:] == ["suspect", "dead", "restarting", "stale", "healthy", "retired"]
    assert states(events, 1) == ["stale", "healthy", "retired"]


def bits(outcome: object) -> list[bytes]:
    assert isinstance(outcome, Group), outcome
    return [part.tokens.tobytes() for attempt in outcome.trajectories for part in attempt.segments]


@pytest.mark.slow
def test_a_publication_goes_on_without_a_stopped_engine_which_is_refitted_before_it_serves(
    spec: PoolSpec, weights: Shipment, probe: Probe, tmp_path: Path
) -> None:
    async def use(pool: RayPool) -> None:
        await pool.publish(weights, probe)
        await pool.publish(newer(weights, 1), probe)  # measures what a publication takes
        stopped, _ = await pool.engine_pids()
        os.kill(stopped, signal.SIGSTOP)
        await pool.publish(newer(weights, 2), probe)
        assert pool.metrics()["rate/engines_healthy"] == 0.5
        os.kill(stopped, signal.SIGCONT)  # it may have been killed meanwhile

        async def back() -> bool:
            return pool.metrics()["rate/engines_healthy"] == 1

        await until(back)
        assert [info.version for info in await pool.infos()] == [2, 2]

    with_pool(spec, tmp_path, use)


@pytest.mark.slow
def test_a_driver_that_was_stopped_kills_no_engine(spec: PoolSpec, weights: Shipment, tmp_path: Path) -> None:
    async def use(pool: RayPool) -> None:
        await pool.publish(weights)
        pids = await pool.engine_pids()
        wake = f"import os, time; time.sleep(40); os.kill({os.getpid()}, {signal.SIGCONT:d})"
        with subprocess.Popen([sys.executable, "-c", wake]) as waker:  # noqa: ASYNC220 - it is started at once
            os.kill(os.getpid(), signal.SIGSTOP)
            await asyncio.sleep(5)
            assert await pool.engine_pids() == pids
            waker.wait()
        assert pool.metrics()["rate/engine_restarts"] == 0

    with_pool(spec, tmp_path, use)
