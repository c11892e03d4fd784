"""The publication of a run: adapters alone if they are trained and all engines take them, else all weights."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.probe import Probe
from lachesis.rollout.engines.weight_transport.transport import Shipment
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.workers.open_pool import open_pool
from lachesis.rollout.workers.pool import InlinePool, Pool, PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.async_learner import AsyncLearner
from lachesis.trainer.learner.config import LoraConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.sample import Sample
from lachesis.trainer.run.weight_sync import WeightSync
from lachesis.verifiers.errors import ConfigError

PROBE = np.arange(5, 45, dtype=np.int32)
OWN_ENGINE = """
from lachesis.rollout.engines.embedded.engine import open_engine


class Engine:
    \"\"\"A user's engine, which says nothing about adapters.\"\"\"

    def __init__(self, setup):
        self.inner = open_engine(setup)
        for name in ("generate", "compute_logprobs", "update", "close"):
            setattr(self, name, getattr(self.inner, name))

    async def info(self):
        from dataclasses import replace

        return replace(await self.inner.info(), adapters=False)
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_tiny_model(tmp_path_factory.mktemp("model"), hidden=32, layers=2, context=64))


def learner_of(path: str, rank: int) -> LocalLearner:
    return LocalLearner(ModelConfig(path=path, context=64), TrainerConfig(lora=LoraConfig(rank=rank)))


def spec_of(path: str, **rollout: Any) -> PoolSpec:
    return PoolSpec(
        ModelConfig(path=path, context=64), RolloutConfig(slots=4, workers=1, **rollout), (describe("arithmetic"),)
    )


def step(learner: LocalLearner) -> None:
    mask = np.arange(PROBE.size) > 8
    learner.supervised_step([Sample(PROBE, mask, None, np.zeros(PROBE.size, np.float32))], lr=1e-2)


async def publish(pool: Pool, learner: LocalLearner, versions: int) -> list[float]:
    """Train and publish ``versions`` times; return the gaps between engine and trainer."""
    sync = WeightSync(pool, AsyncLearner(learner, apart=False), PROBE, 1e-3)
    await sync.meet_engines(learner.vocabulary)
    gaps = []
    for version in range(versions):
        step(learner)
        gaps.append((await sync.publish(version))["probe_gap"])
    return gaps


@pytest.mark.parametrize(("rank", "engine", "alone"), [(4, "torch", True), (0, "torch", False), (4, "own", False)])
def test_adapters_go_alone_if_they_are_trained_and_the_engine_takes_them(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int, engine: str, alone: bool
) -> None:
    (tmp_path / "own_engine.py").write_text(OWN_ENGINE)
    monkeypatch.syspath_prepend(tmp_path)
    shipped: list[Shipment] = []

    class Seen(InlinePool):
        async def publish(self, shipment: Shipment, probe: Probe | None = None) -> float:
            shipped.append(shipment)
            return await super().publish(shipment, probe)

    async def session() -> list[float]:
        pool = Seen(spec_of(path, inline=True, engine="own_engine:Engine" if engine == "own" else engine))
        try:
            return await publish(pool, learner_of(path, rank), 3)
        finally:
            await pool.close()

    assert max(asyncio.run(session())) < 1e-4
    assert [shipment.adapters is not None for shipment in shipped] == [alone] * 3


@pytest.mark.slow
def test_an_engine_that_was_killed_gets_base_and_newest_adapters(path: str) -> None:
    learner = learner_of(path, 4)

    async def session() -> float:
        pool = open_pool(spec_of(path, engines=2))
        assert isinstance(pool, RayPool)
        try:
            await publish(pool, learner, 2)
            os.kill((await pool.engine_pids())[0], signal.SIGKILL)
            while [info.version for info in await pool.infos()] != [1, 1]:  # noqa: ASYNC110 - Ray restarts it
                await asyncio.sleep(0.2)
            expected = learner.compute_logprobs(PROBE)[1:]
            return max(float(np.abs(found[1:] - expected).max()) for found in await pool.compute_logprobs(PROBE))
        finally:
            await pool.close()

    try:
        assert asyncio.run(asyncio.wait_for(session(), 300)) < 1e-4
    finally:
        ray.shutdown()


def test_an_engine_with_another_vocabulary_than_the_trainer_is_refused(path: str, tmp_path: Path) -> None:
    learner = learner_of(str(build_tiny_model(tmp_path, hidden=32, layers=1, words=["hello"], context=64)), 0)

    async def session() -> None:
        pool = open_pool(spec_of(path, inline=True))
        try:
            sync = WeightSync(pool, AsyncLearner(learner, apart=False), PROBE, 1e-3)
            await sync.meet_engines(learner.vocabulary)
        finally:
            await pool.close()

    with pytest.raises(
        ConfigError, match=r"a torch engine has a vocabulary of \d+ tokens, and the trainer's .* of \d+"
    ):
        asyncio.run(session())
