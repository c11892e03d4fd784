"""Tokens per second of whole episodes, against the same engine that is given the same prompts directly.

In one process, where everything takes turns, seconds are of CPU time. On Ray, they are of the clock: two engines of 64
slots wait as long as GPUs would compute (decode steps of 15 ms), for replies of 1 to 256 tokens with a long tail.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from lachesis.environments.loading import describe
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.engines.registry import EngineSetup
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.pool import InlinePool, PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.verifiers.group import Group
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.task import Task

from ._device import DeviceEngine

GROUPS, ATTEMPTS, SLOTS, CONTEXT = 64, 8, 256, 128
ENGINES, DEVICE_SLOTS, DEVICE_GROUPS, CHUNK = 2, 64, 160, 8
TAIL = {"typical": 150, "spread": 0.8, "most": 256}


def rows() -> Iterator[tuple[str, float, str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(build_tiny_model(Path(folder), context=CONTEXT))
        config = RolloutConfig(inline=True, slots=SLOTS)
        spec = PoolSpec(ModelConfig(path=path, context=CONTEXT), config, (describe("arithmetic"),), version=0)
        tasks = list(islice(spec.environments[0].build().tasks("train", 0), GROUPS))
        renderer = Renderer.load(path)
        engine = TorchEngine.from_path(path, slots=SLOTS, context=CONTEXT)
        pool = InlinePool(spec)
    for length in (5, 48):
        loop = rate(lambda length=length: episodes(pool, tasks, length))  # type: ignore[misc]
        alone = rate(lambda length=length: requests(engine, renderer, tasks, length))  # type: ignore[misc]
        yield f"episodes of up to {length} tokens, against the engine alone", loop, "tokens/s", alone
    loop, alone = asyncio.run(on_ray())
    yield "episodes on Ray with engines that wait, against these alone", loop, "tokens/s", alone


def episodes(pool: InlinePool, tasks: list[Task], length: int) -> int:
    """Play and score all groups; the number of sampled tokens."""
    sampling = Sampling(max_tokens=length)
    orders = [Order(index, 0, task, ATTEMPTS, (0, 0), sampling) for index, task in enumerate(tasks)]
    return sampled([outcome for outcome in asyncio.run(pool.run(orders)) if isinstance(outcome, Group)])


def sampled(groups: list[Group]) -> int:
    """The number of sampled tokens."""
    segments = [one for group in groups for attempt in group.trajectories for one in attempt.segments]
    return sum(int(segment.sampled.sum()) for segment in segments)


def requests(engine: TorchEngine, renderer: Renderer, tasks: list[Task], length: int) -> int:
    """Continue the prompts of all attempts; the number of sampled tokens."""
    prompts = [renderer.prompt(task.messages) for task in tasks for _ in range(ATTEMPTS)]
    for key, prompt in enumerate(prompts):
        engine.add(key, Request(prompt, Sampling(max_tokens=length, seed=key, stop_ids=renderer.stop_ids), 0, key))
    done = tokens = 0
    while done < len(prompts):
        for _, completion in engine.step():
            done, tokens = done + 1, tokens + completion.tokens.size
    return tokens


def rate(work: Callable[[], int]) -> float:
    """Tokens per second of CPU time; the best of three rounds."""
    rates = []
    for _ in range(3):
        start = time.process_time()
        tokens = work()
        rates.append(tokens / (time.process_time() - start))
    return max(rates)


async def on_ray() -> tuple[float, float]:
    """Tokens per second of the clock: of episodes on Ray, and of the same engines with the same requests."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(build_tiny_model(Path(folder), hidden=32, layers=1, context=512))
        config = RolloutConfig(
            engine="benchmarks._device:DeviceEngine",
            engine_options=TAIL,
            engines=ENGINES,
            workers=2,
            slots=DEVICE_SLOTS,
        )
        spec = PoolSpec(ModelConfig(path=path, context=512), config, (describe("arithmetic"),), version=0)
        tasks = islice(spec.environments[0].build().tasks("train", 0), DEVICE_GROUPS)
        sampling = Sampling(max_tokens=int(TAIL["most"]))
        orders = [Order(index, 0, task, ATTEMPTS, (0, 0), sampling) for index, task in enumerate(tasks)]
        alone = await device_requests(path, await requests_of(orders, spec))
        pool = RayPool(spec.for_workers())
        try:
            await pool.infos()  # they are up
            await pool.run(orders[:CHUNK])
            begun = time.perf_counter()
            made = await asyncio.gather(*(pool.run(orders[at : at + CHUNK]) for at in range(0, DEVICE_GROUPS, CHUNK)))
            spent = time.perf_counter() - begun
        finally:
            await pool.close()
    groups = [outcome for chunk in made for outcome in chunk if isinstance(outcome, Group)]
    assert len(groups) == DEVICE_GROUPS
    return sampled(groups) / spent, alone


async def requests_of(orders: list[Order], spec: PoolSpec) -> list[Request]:
    """The requests that the episodes of ``orders`` send, in order."""
    found: list[Request] = []

    class Recorder:
        async def generate(self, request: Request) -> Completion:
            found.append(request)
            token = np.array([request.sampling.stop_ids[0]], np.int32)
            return Completion(token, np.full(1, -1, np.float32), np.zeros(1, np.int32), "stop")

    renderer = Renderer.load(spec.model.path)
    worker = GroupWorker(spec.environments, Recorder(), renderer, spec.rollout, 512, SandboxSettings())
    await worker.run(orders)
    return found


async def device_requests(path: str, requests: list[Request]) -> float:
    """Tokens per second of engines that have all requests from the beginning."""
    engines = [
        DeviceEngine(EngineSetup(path, context=512, slots=DEVICE_SLOTS, version=0, options=TAIL))
        for _ in range(ENGINES)
    ]
    begun = time.perf_counter()
    made = await asyncio.gather(*(engines[request.route % ENGINES].generate(request) for request in requests))
    return sum(completion.tokens.size for completion in made) / (time.perf_counter() - begun)
