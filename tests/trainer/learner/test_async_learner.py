import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.async_learner import AsyncLearner
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.sample import Sample
from lachesis.verifiers.errors import InfrastructureError


def samples() -> list[Sample]:
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 250, (3, 20)).astype(np.int32)
    mask = np.arange(20) >= 6
    logprobs = np.where(mask, -5.5, np.nan).astype(np.float32)
    return [Sample(row, mask, logprobs, np.full(20, float(k) - 1, np.float32)) for k, row in enumerate(tokens)]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_has_the_same_bits_in_the_thread(tmp_path: Path, threads: int) -> None:
    path = str(build_tiny_model(tmp_path / "tiny", hidden=64, layers=1, context=64))
    before = torch.get_num_threads()

    async def trained(apart: bool) -> tuple[Any, ...]:
        config = TrainerConfig(threads=threads)
        found = AsyncLearner(LocalLearner(ModelConfig(path=path, context=64), config), apart=apart)
        first = await found.supervised_step(samples(), 1e-3)
        metrics, *computed = await found.policy_step(samples(), 1e-3)
        probe = await found.compute_logprobs(samples()[0].tokens)
        digest = (await found.send(ObjectStoreSender(), 1)).digest
        found.close()
        parts = [part.tolist() for kind in computed for part in kind if part is not None]
        return first, metrics, parts, probe[1:].tolist(), digest

    try:
        assert asyncio.run(trained(apart=True)) == asyncio.run(trained(apart=False))
    finally:
        torch.set_num_threads(before)


def test_only_in_its_thread_a_call_leaves_the_event_loop_free(tmp_path: Path) -> None:
    path = str(build_tiny_model(tmp_path / "tiny", hidden=32, layers=1, context=64))

    class Slow(LocalLearner):
        def saved(self) -> bool:
            places.append(threading.current_thread().name)
            time.sleep(0.01)
            return True

    async def others_run(apart: bool) -> bool:
        learner = AsyncLearner(Slow(ModelConfig(path=path, context=64), TrainerConfig()), apart=apart)
        turns: list[int] = []
        other = asyncio.ensure_future(count(turns))
        await asyncio.sleep(0)
        await learner.saved()
        other.cancel()
        learner.close()
        return len(turns) > 1

    async def count(turns: list[int]) -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    places: list[str] = []
    assert [asyncio.run(others_run(apart)) for apart in (False, True)] == [False, True]
    assert places == [threading.main_thread().name, "learner_0"]


def test_an_error_in_the_thread_is_raised_where_the_call_is_awaited(tmp_path: Path) -> None:
    path = str(build_tiny_model(tmp_path / "tiny", hidden=32, layers=1, context=64))
    bad = [Sample(one.tokens, one.mask, one.logprobs, one.advantages * np.float32(np.nan)) for one in samples()]

    async def step() -> None:
        config = TrainerConfig(max_nonfinite_steps=0)
        learner = AsyncLearner(LocalLearner(ModelConfig(path=path, context=64), config), apart=True)
        try:
            with pytest.raises(InfrastructureError, match="diverged"):
                await learner.policy_step(bad, 1e-3)
        finally:
            learner.close()

    asyncio.run(step())
