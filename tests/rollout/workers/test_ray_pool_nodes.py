"""A node of the cluster that is lost: the run goes on without what was on it, and says so."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from lachesis.environments.loading import describe
from lachesis.rollout.cluster.config import ClusterConfig
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.engines.probe import Probe
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.fleet.keeper import Keeper
from lachesis.rollout.workers.pool import PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.verifiers.group import Group
from lachesis.verifiers.settings import validated

TOKENS = np.arange(3, 19, dtype=np.int32)


@pytest.mark.slow
def test_a_lost_node_is_told_the_run_goes_on_without_its_engine_and_with_it_again_once_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "UNPLACED", 5.0)
    path = build_tiny_model(tmp_path / "tiny", hidden=32, layers=1, context=64)
    state = load_model(str(path), torch.float32, "cpu").state_dict()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    far = cluster.add_node(num_cpus=1)
    settings = validated(ClusterConfig, {"address": cluster.address}, "cluster")
    config = RolloutConfig(engines=2, workers=1, slots=16, deadline=600)
    model = ModelConfig(path=str(path), context=64)
    tasks = describe("arithmetic").build().tasks("train", 0)
    sampling = Sampling(max_tokens=8)
    orders = [Order(index, 0, task, 2, (7, 0), sampling) for index, task in zip(range(4), tasks, strict=False)]

    async def until(true: Callable[[], bool]) -> None:
        while not true():  # noqa: ASYNC110 - what other processes do
            await asyncio.sleep(0.2)

    async def made(work: Awaitable[object]) -> None:
        async with asyncio.timeout(200):
            await work

    async def session() -> None:
        pool = RayPool(PoolSpec(model, config, (describe("arithmetic"),), cluster=settings))
        try:
            await pool.publish(ship(ObjectStoreSender(), 0, state))
            probe = Probe(TOKENS, (await pool.compute_logprobs(TOKENS))[0], 1e-3)
            await until(lambda: pool.metrics()["rate/engines_healthy"] == 1)
            cluster.remove_node(far)  # with SIGKILL
            await made(until(lambda: "is lost" in caplog.text))
            for version in range(1, 4):
                await made(pool.publish(ship(ObjectStoreSender(), version, state), probe))
                assert all(isinstance(outcome, Group) for outcome in await pool.run(orders))
            await made(until(lambda: "has not come back" in caplog.text))
            cluster.add_node(num_cpus=1)
            await made(until(lambda: pool.metrics()["rate/engines_healthy"] == 1))
            assert [info.version for info in await pool.infos()] == [3, 3]
        finally:
            await pool.close()

    try:
        with caplog.at_level(logging.WARNING, "lachesis"):
            asyncio.run(session())
    finally:
        ray.shutdown()
        cluster.shutdown()
    [lost] = [record.getMessage() for record in caplog.records if "is lost" in record.getMessage()]
    assert "and with it engine " in lost
    assert far.node_ip_address in lost
