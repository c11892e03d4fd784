"""Seconds from new weights in the trainer to the first token that an engine samples with them, for each transport."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
import torch

from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.weight_transport.transport import TRANSPORTS, open_sender
from lachesis.rollout.workers.open_pool import open_pool
from lachesis.rollout.workers.pool import Pool
from lachesis.trainer.learner.local import LocalLearner
from lachesis.verifiers.errors import LachesisError

from ..update import seconds
from .learners import open_learner
from .policies import engine_name, pool_spec
from .row import Mark, Row
from .sizes import Sizes

MARKS = {"object_store": Mark("≤", 1.0), "ipc": Mark("≤", 0.15)}
NEEDS_GPUS = {"nccl": 2}
"""Transports that one card cannot run."""


def rows(sizes: Sizes, model: str) -> Iterator[Row]:
    """A row for each built-in transport, beside a copy of the same bytes on the device."""
    learner = open_learner(sizes, model)
    yield from asyncio.run(measured(sizes, model, learner, copy_seconds(sizes, learner)))


async def measured(sizes: Sizes, model: str, learner: LocalLearner, memcpy: float) -> list[Row]:
    """Publish with each transport to one engine on Ray."""
    pool = open_pool(pool_spec(sizes, model, 0.3, engine=engine_name(sizes), eager=True))
    try:
        await pool.infos()
        return [row async for row in each(sizes, learner, pool, memcpy)]
    finally:
        await pool.close()


async def each(sizes: Sizes, learner: LocalLearner, pool: Pool, memcpy: float) -> AsyncIterator[Row]:
    version = 0
    for name in TRANSPORTS.names:
        what = f"weights to the first token, {name}"
        if torch.cuda.device_count() < NEEDS_GPUS.get(name, 0):
            yield Row(what, against=f"not measured: needs {NEEDS_GPUS[name]} GPUs")
            continue
        try:
            sender, taken = open_sender(name), []
            for _ in range(sizes.rounds + 1):
                version += 1
                start = time.perf_counter()
                shipment = learner.send(sender, version)
                sent = time.perf_counter()
                await pool.publish(shipment)
                arrived = time.perf_counter()
                prompt = np.random.default_rng(version).integers(0, sizes.vocabulary, sizes.prompt, dtype=np.int32)
                completion = await pool.generator().generate(Request(prompt, Sampling(max_tokens=1), version=version))
                end = time.perf_counter()
                assert completion.versions.tolist() == [version]
                taken.append((end - start, sent - start, arrived - sent, end - arrived))
            best = min(taken[1:])
            parts = dict(zip(("sent", "received", "first token"), best[1:], strict=True))
            yield Row(what, best[0], "s", memcpy, "memcpy of the same bytes", MARKS.get(name), details=parts)
        except LachesisError as error:
            yield Row(what, problem=str(error))


def copy_seconds(sizes: Sizes, learner: LocalLearner) -> float:
    """Seconds for a copy of the published bytes on the device."""
    dtype = getattr(torch, sizes.dtype)
    source = [parameter.detach().to(dtype) for parameter in learner.model.parameters()]
    target = [torch.empty_like(tensor) for tensor in source]

    def copy() -> None:
        for tensor, copied in zip(source, target, strict=True):
            copied.copy_(tensor)

    print(f"weights of {sum(tensor.nbytes for tensor in source) / 1e9:.2f} GB are published")
    return seconds(copy, rounds=sizes.rounds)[0]
