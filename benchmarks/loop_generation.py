"""Tokens per second of CPU time of whole episodes in one process, against the same engine with the same prompts."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from lachesis.environments.loading import describe
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.pool import InlinePool, PoolSpec
from lachesis.verifiers.group import Group
from lachesis.verifiers.task import Task

GROUPS, ATTEMPTS, SLOTS, CONTEXT = 64, 8, 256, 128


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


def episodes(pool: InlinePool, tasks: list[Task], length: int) -> int:
    """Play and score all groups; the number of sampled tokens."""
    sampling = Sampling(max_tokens=length)
    orders = [Order(index, 0, task, ATTEMPTS, (0, 0), sampling) for index, task in enumerate(tasks)]
    groups = [outcome for outcome in asyncio.run(pool.run(orders)) if isinstance(outcome, Group)]
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
