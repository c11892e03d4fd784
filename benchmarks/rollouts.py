"""Rollouts per second of engines and workers on Ray, against one of each in this process."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import Shipment, ship
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.pool import InlinePool, Pool, PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.verifiers.group import Group

GROUPS, ATTEMPTS, CHUNK = 128, 8, 32


def rows() -> Iterator[tuple[str, float, str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(build_tiny_model(Path(folder), context=64))
        config = RolloutConfig(engines=2, workers=2, slots=256)
        spec = PoolSpec(ModelConfig(path=path, context=64), config, (describe("arithmetic"),))
        weights = ship(ObjectStoreSender(), 0, load_model(path, torch.float32, "cpu").state_dict())
        on_ray = asyncio.run(rate(lambda: RayPool(spec), spec, weights))
        inline = asyncio.run(rate(lambda: InlinePool(spec), spec, weights))
    yield "rollouts, 2 engines and 2 workers on Ray", on_ray, "rollouts/s", inline


async def rate(make_pool, spec: PoolSpec, weights: Shipment) -> float:  # type: ignore[no-untyped-def]
    """Trajectories per second; the best of three rounds after a warm-up round."""
    pool: Pool = make_pool()
    try:
        await pool.publish(weights)
        tasks = islice(spec.environments[0].build().tasks("train", 0), GROUPS)
        sampling = Sampling(max_tokens=5)
        orders = [Order(index, 0, task, ATTEMPTS, (0, 0), sampling) for index, task in enumerate(tasks)]
        chunks = [orders[start : start + CHUNK] for start in range(0, GROUPS, CHUNK)]
        times = []
        for _ in range(4):
            start = time.perf_counter()
            outcomes = await asyncio.gather(*(pool.run(chunk) for chunk in chunks))
            times.append(time.perf_counter() - start)
            assert all(isinstance(outcome, Group) for chunk in outcomes for outcome in chunk)
        return GROUPS * ATTEMPTS / min(times[1:])
    finally:
        await pool.close()
