"""Environment workers on Ray that are stopped: others play their groups, and no engine is touched."""

import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.event_log import EventLog
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.pool import PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.verifiers.group import Group


@pytest.mark.slow
def test_a_stopped_worker_is_replaced_its_groups_are_made_by_another_and_no_engine_is_killed(tmp_path: Path) -> None:
    path = build_tiny_model(tmp_path / "tiny", hidden=32, layers=1, context=64)
    config = RolloutConfig(engines=1, workers=2, slots=16, deadline=600, blocking=5)
    spec = PoolSpec(ModelConfig(path=str(path), context=64), config, (describe("arithmetic"),))
    weights = ship(ObjectStoreSender(), 0, load_model(str(path), torch.float32, "cpu").state_dict())
    tasks = spec.environments[0].build().tasks("train", 0)
    sampling = Sampling(max_tokens=24)
    orders = [Order(index, 0, task, 16, (7, 0), sampling) for index, task in zip(range(8), tasks, strict=False)]

    async def session() -> None:
        events = EventLog(tmp_path / "events.jsonl")
        pool = RayPool(spec, events)
        try:
            await pool.publish(weights)
            engines, (stopped, other) = await pool.engine_pids(), await pool.worker_pids()
            running = [asyncio.create_task(pool.run([replace(order, index=n)])) for n, order in enumerate(orders * 4)]
            await asyncio.sleep(0.5)
            os.kill(stopped, signal.SIGSTOP)
            async with asyncio.timeout(300):  # the deadline of a group is 600 s
                outcomes = [outcome for made in running for outcome in await made]
            assert [outcome for outcome in outcomes if not isinstance(outcome, Group)] == []
            assert await pool.engine_pids() == engines
            while pool.metrics()["rate/workers_healthy"] < 1:  # noqa: ASYNC110 - a state of another process
                await asyncio.sleep(0.2)
            assert stopped not in (pids := await pool.worker_pids())
            assert other in pids
        finally:
            await pool.close()
            events.close()

    asyncio.run(session())
    found = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    states = [event["state"] for event in found if event["event"] == "worker_state" and event["worker"] == 0]
    assert states == [
        "stale",
        "healthy",
        "suspect",
        "dead",
        "restarting",
        "stale",
        "healthy",
        "retired",
    ]
