import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.engine import Completion, EngineInfo, Request, Sampling
from lachesis.rollout.engines.local import LocalEngine
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.verifiers.errors import EngineError


def core(slots: int = 4) -> TorchEngine:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=256,
    )
    return TorchEngine(Qwen3ForCausalLM(config), slots=slots, context=256)


def request(seed: int, max_tokens: int = 10, version: int = 0) -> Request:
    return Request(np.array([1, 2, 3], np.int32), Sampling(seed=seed, max_tokens=max_tokens), version)


def test_many_waits_share_the_core_and_each_gets_its_own() -> None:
    async def together(engine: LocalEngine) -> list[Completion]:
        return await asyncio.gather(*(engine.generate(request(seed, 5 + seed)) for seed in range(10)))

    async def one_by_one(engine: LocalEngine) -> list[Completion]:
        return [await engine.generate(request(seed, 5 + seed)) for seed in range(10)]

    engine = LocalEngine(core())
    for one, other in zip(asyncio.run(together(engine)), asyncio.run(one_by_one(engine)), strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
        assert one.logprobs.tobytes() == other.logprobs.tobytes()
    assert asyncio.run(engine.info()).tokens_generated == 2 * sum(range(5, 15))


def test_other_tasks_run_between_steps() -> None:
    async def main() -> int:
        turns, engine = 0, LocalEngine(core())
        waiting = asyncio.ensure_future(engine.generate(request(0, 50)))
        while not waiting.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(main()) >= 50


def test_a_refused_request_raises_and_harms_no_other() -> None:
    async def main() -> None:
        engine = LocalEngine(core())
        good = asyncio.ensure_future(engine.generate(request(0)))
        with pytest.raises(EngineError, match="stale weights"):
            await engine.generate(request(1, version=9))
        assert len((await good).tokens) == 10

    asyncio.run(main())


def test_cancelling_a_wait_gives_back_its_slot() -> None:
    async def main() -> None:
        inner = core()
        engine = LocalEngine(inner)
        waits = [asyncio.ensure_future(engine.generate(request(seed, 200))) for seed in range(4)]
        await asyncio.sleep(0.01)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        generated = inner.info().tokens_generated
        assert inner.step() == []
        assert inner.info().tokens_generated == generated

    asyncio.run(main())


def test_update_and_score_reach_the_core() -> None:
    async def main() -> None:
        inner = core()
        engine = LocalEngine(inner)
        sent = ship(ObjectStoreSender(), 3, {name: tensor * 2 for name, tensor in inner.model.state_dict().items()})
        before = await engine.compute_logprobs(np.array([1, 2, 3], np.int32))
        assert await engine.update(sent) == sent.digest
        assert (await engine.info()).version == 3
        assert not np.array_equal(await engine.compute_logprobs(np.array([1, 2, 3], np.int32)), before, equal_nan=True)
        assert (await engine.generate(request(0, version=3))).versions.tolist() == [3] * 10

    asyncio.run(main())


@dataclass
class FailingCore:
    """Fails at its second step while a request runs."""

    keys: set[int] = field(default_factory=set)
    steps: int = 0

    def add(self, key: int, request: Request) -> None:
        self.keys.add(key)

    def step(self) -> list[tuple[int, Completion]]:
        self.steps += 1
        if self.steps == 2:
            raise MemoryError("no room")
        return []

    def abort(self, key: int) -> Completion:
        self.keys.remove(key)
        raise EngineError("it is gone")

    def info(self) -> EngineInfo:
        return EngineInfo("failing")


def test_a_failing_step_fails_every_wait_and_says_why() -> None:
    async def main() -> None:
        failing = FailingCore()
        engine = LocalEngine(failing)  # type: ignore[arg-type]
        waits = [asyncio.ensure_future(engine.generate(request(seed))) for seed in range(3)]
        for wait in waits:
            with pytest.raises(EngineError, match="the failing engine failed: no room") as caught:
                await asyncio.wait_for(wait, 60)
            assert isinstance(caught.value.__cause__, MemoryError)
        assert failing.keys == set()

    asyncio.run(main())


def test_a_closed_loop_leaves_nothing_behind_for_the_next() -> None:
    inner = core()
    engine, loop = LocalEngine(inner), asyncio.new_event_loop()
    abandoned = loop.create_task(engine.generate(request(0, 200)))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    generated = inner.info().tokens_generated

    async def main() -> Completion:
        return await engine.generate(request(1, 5))

    assert len(asyncio.run(main()).tokens) == 5
    assert inner.info().tokens_generated == generated + 5
    assert not abandoned.done()
