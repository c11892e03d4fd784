"""Seconds from new weights in the trainer to the first token that an engine samples with them, for each transport."""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice

import numpy as np
import torch

from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.weight_transport.buffer import size_of
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

DEVICE, HOST = "memcpy on the device", "memcpy to the host"
BESIDE = {"direct": DEVICE, "cuda_ipc": DEVICE, "nccl": DEVICE}
"""The copy of the same bytes that a transport is compared with; the others go by way of the host."""
MARKS = {"object_store": Mark("≤", 1.0), "cuda_ipc": Mark("≤", 0.15)}
NOT_HERE = {"nccl": "it needs two cards, and this command uses one"}
INLINE = {"direct"}
"""Transports within one process, whose engine is then the embedded one."""
RANK = 16
"""Of the adapters that are sent alone."""
ALONE = f"weights to the first token, object_store, adapters of rank {RANK} alone"


def rows(sizes: Sizes, model: str) -> Iterator[Row]:
    """A row for adapters alone and for each built-in transport, beside a copy of all the weights."""
    learner = open_learner(sizes, model)
    copies = copy_seconds(sizes, learner)
    missing = NOT_HERE if sizes.device == "cuda" else {**NOT_HERE, "cuda_ipc": "it needs a GPU"}
    names = [name for name in TRANSPORTS.names if name not in missing]
    for inline in (False, True):
        yield from asyncio.run(
            measured(sizes, model, learner, copies, [name for name in names if (name in INLINE) == inline])
        )
    for name in TRANSPORTS.names:
        if name in missing:
            yield Row(f"weights to the first token, {name}", against=f"not measured: {missing[name]}")


async def measured(
    sizes: Sizes, model: str, learner: LocalLearner, copies: dict[str, float], names: Sequence[str]
) -> list[Row]:
    """Publish with each of these transports to one engine, on Ray or in this process."""
    if not names:
        return []
    inline = names[0] in INLINE
    engine = "torch" if inline else engine_name(sizes)
    with tempfile.TemporaryDirectory() as folder:
        spec = pool_spec(sizes, model, 0.3, engine=engine, eager=True, inline=inline)
        pool = open_pool(spec)
        try:
            versions = itertools.count(1)
            found = [] if inline else [await adapters_alone(sizes, model, pool, copies, versions)]
            return found + [await published(name, folder, sizes, learner, pool, copies, versions) for name in names]
        finally:
            await pool.close()


async def adapters_alone(
    sizes: Sizes, model: str, pool: Pool, copies: dict[str, float], versions: Iterator[int]
) -> Row:
    """The row of adapters, for an engine that was not sent all weights yet: after these it takes no adapters."""
    if find_spec("peft") is None:
        return Row(ALONE, against="not measured: peft is not installed (pip install -e '.[lora]')")
    if not all(info.adapters for info in await pool.infos()):
        return Row(ALONE, problem="the engine says that it takes no adapters")
    learner = open_learner(sizes, model, lora={"rank": RANK})
    return replace(await published("object_store", "", sizes, learner, pool, copies, versions), what=ALONE, mark=None)


async def published(
    name: str,
    folder: str,
    sizes: Sizes,
    learner: LocalLearner,
    pool: Pool,
    copies: dict[str, float],
    versions: Iterator[int],
) -> Row:
    """The best of some publications with one transport, after one to warm up."""
    what, taken = f"weights to the first token, {name}", []
    try:
        sender = open_sender(name, folder=folder) if name == "folder" else open_sender(name)
        for version in islice(versions, sizes.rounds + 1):
            start = time.perf_counter()
            shipment = learner.send(sender, version, adapters=True)
            sent = time.perf_counter()
            await pool.publish(shipment)
            arrived = time.perf_counter()
            prompt = np.random.default_rng(version).integers(0, sizes.vocabulary, sizes.prompt, dtype=np.int32)
            completion = await pool.generator().generate(Request(prompt, Sampling(max_tokens=1), version=version))
            end = time.perf_counter()
            assert completion.versions.tolist() == [version]
            taken.append((end - start, sent - start, arrived - sent, end - arrived))
    except LachesisError as error:
        return Row(what, problem=str(error))
    best = min(taken[1:])
    parts = dict(zip(("sent", "received", "first token"), best[1:], strict=True))
    parts["MB"] = sum(map(size_of, shipment.layout)) / 1e6
    copy = BESIDE.get(name, HOST)
    return Row(what, best[0], "s", copies[copy], copy, MARKS.get(name), details=parts)


def copy_seconds(sizes: Sizes, learner: LocalLearner) -> dict[str, float]:
    """Seconds for a copy of the published bytes, on the device and to pinned memory of the host."""
    dtype = getattr(torch, sizes.dtype)
    source = [parameter.detach().to(dtype) for parameter in learner.model.parameters()]
    on_device = [torch.empty_like(tensor) for tensor in source]
    pinned = sizes.device == "cuda"
    on_host = [torch.empty(tensor.shape, dtype=dtype, pin_memory=pinned) for tensor in source]

    def copy(target: list[torch.Tensor]) -> None:
        for tensor, copied in zip(source, target, strict=True):
            copied.copy_(tensor, non_blocking=True)

    print(f"       {sum(tensor.nbytes for tensor in source) / 1e9:.2f} GB of weights are published")
    taken = seconds(lambda: copy(on_device), lambda: copy(on_host), rounds=sizes.rounds)
    return dict(zip((DEVICE, HOST), taken, strict=True))
