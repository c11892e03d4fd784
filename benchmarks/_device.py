"""Stand-ins for engines on GPUs and for slow environments, which wait instead of computing, so that a CPU is free.

The underscore keeps this file out of the list of benchmarks.
"""

import asyncio
import json
import random
import time
from collections import deque
from pathlib import Path

import numpy as np

from lachesis.environments.episode import Episode
from lachesis.environments.shipped.arithmetic import Arithmetic
from lachesis.rollout.engines.engine import Completion, EngineInfo, Ids, Logprobs, Request
from lachesis.rollout.engines.registry import EngineSetup
from lachesis.rollout.engines.request_checks import check_version
from lachesis.rollout.engines.weight_transport.transport import Shipment

DECODE = 0.015
"""Seconds of a decode step."""

LETTER = 65
"""The token that every reply repeats."""


class DeviceEngine:
    """An ``Engine`` whose decode step takes ``DECODE`` seconds for up to ``setup.slots`` requests.

    Lengths of replies follow from the seeds of the requests. New weights are used from the next decode step on.

    Args:
        setup: with the arguments of ``length`` as its options. One more, ``trace``, names a folder for a file with
            a line for each decode step: when it ended, in seconds since 1970, and how many slots it used.
    """

    def __init__(self, setup: EngineSetup) -> None:
        self._setup, self._version = setup, setup.version
        self._vocabulary = int(json.loads((Path(setup.path) / "config.json").read_text())["vocab_size"])
        self._lengths = {name: value for name, value in setup.options.items() if name != "trace"}
        folder = setup.options.get("trace")
        self._trace = (Path(folder) / f"{time.time_ns()}").open("w", buffering=1) if folder else None
        self._queue: deque[_Running] = deque()
        self._pump: asyncio.Task[None] | None = None

    async def generate(self, request: Request) -> Completion:
        """A reply of one letter, after as many decode steps as it has tokens."""
        check_version(self._version, request.version)
        running = _Running(length(request.sampling.seed, **self._lengths))
        self._queue.append(running)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._decode())
        await running.ended.wait()
        tokens = np.full(len(running.versions), LETTER, np.int32)
        tokens[-1] = request.sampling.stop_ids[0]
        return Completion(tokens, np.full(len(tokens), -1, np.float32), np.array(running.versions, np.int32), "stop")

    async def _decode(self) -> None:
        slots: list[_Running] = []
        tick = time.perf_counter()
        while self._queue or slots:
            while self._queue and len(slots) < self._setup.slots:
                slots.append(self._queue.popleft())
            tick = max(tick + DECODE, time.perf_counter())
            await asyncio.sleep(tick - time.perf_counter())
            if self._trace:
                self._trace.write(f"{time.time():.4f} {len(slots)}\n")
            for one in slots:
                one.versions.append(self._version)
                if len(one.versions) == one.length:
                    one.ended.set()
            slots = [one for one in slots if not one.ended.is_set()]

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> Logprobs:
        """-1 for each token; the first is NaN."""
        logprobs = np.full(len(tokens), -1, np.float32)
        logprobs[:1] = np.nan
        return logprobs

    async def update(self, shipment: Shipment) -> str:
        """Take the shipment's version, and forget its tensors."""
        receiver = shipment.open()
        for _ in receiver.receive(shipment):
            pass
        self._version = shipment.version
        return receiver.finish()

    async def info(self) -> EngineInfo:
        """The engine's kind and state."""
        return EngineInfo("device", self._version, self._setup.context, self._vocabulary)

    async def close(self) -> None:
        """Nothing to give back."""


class _Running:
    """A request: how long its reply will be, and the version of each token so far."""

    def __init__(self, length: int) -> None:
        self.length, self.versions, self.ended = length, list[int](), asyncio.Event()


def length(seed: int, most: int, typical: int = 0, spread: float = 0.0, least: int = 1) -> int:
    """Draw the tokens of a reply, at most ``most``.

    They have a log-normal distribution with the median ``typical``. Without it, all lengths from ``least`` to ``most``
    are equally likely.
    """
    drawn = random.Random(seed)
    if not typical:
        return drawn.randint(least, most)
    return max(least, min(most, round(drawn.lognormvariate(0.0, spread) * typical)))


class Waiting(Arithmetic):
    """Arithmetic whose episodes wait for something outside, such as a web page, for times with a long tail."""

    async def run(self, episode: Episode) -> None:
        """Wait from half a second to 10 seconds, then ask."""
        await asyncio.sleep(min(10.0, 0.5 * episode.rng.paretovariate(1.5)))
        await super().run(episode)
