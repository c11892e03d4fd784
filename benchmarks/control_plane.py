"""The cost of a trajectory from 10 to 1,000 engines that answer from a script, with 120 trajectories in flight on each.

Everything but the models is real and in one process: the dispatcher, the fleet of workers, the workers, their chats and
their routers. There are no Ray actors, because a machine does not hold 1,000 of them; so this measures what the program
itself does, and not what Ray's calls cost. Each size runs in a process of its own. The limit of a row is the figure for
10 engines, so a ratio of 1 means that the cost does not grow. ``CONTROL_PLANE=100`` stops at 100 engines.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lachesis.environments.loading import describe
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.dispatcher import Dispatcher
from lachesis.rollout.engines.engine import Completion, Request, Sampling
from lachesis.rollout.engines.router import Router
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Order, Outcome
from lachesis.rollout.tasks.mixture import Mixture, Portion
from lachesis.rollout.workers.fleet.keeper import Pulse
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.rollout.workers.worker_fleet import WorkerFleet
from lachesis.verifiers.sandbox.settings import SandboxSettings

SIZES = (10, 100, 1_000)
GROUPS, ATTEMPTS = 15, 8
"""Groups in flight for each engine, and the attempts of each."""
IN_FLIGHT = GROUPS * ATTEMPTS


def rows() -> Iterator[tuple[str, float, str, float]]:
    largest = int(os.environ.get("CONTROL_PLANE", SIZES[-1]))
    for staleness in (0, 2):
        found = {engines: measure(engines, staleness) for engines in SIZES if engines <= largest}
        first = found[SIZES[0]]
        for engines, figures in found.items():
            name = f"S = {staleness}, {engines:,} engines, {engines * IN_FLIGHT:,} in flight"
            yield f"{name}: CPU", figures["us"], "µs a trajectory", first["us"]
            yield f"{name}: memory", figures["kb"], "kB in flight", first["kb"]


def measure(engines: int, staleness: int) -> dict[str, float]:
    """The figures of one size, from a process of its own."""
    command = [sys.executable, __file__, str(engines), str(staleness)]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent / "src"), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path})
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


class Holder:
    """Holds the requests of each group until the group is released."""

    def __init__(self) -> None:
        self.held = 0
        self._gates: dict[int, asyncio.Event] = {}

    def gate(self, group: int) -> asyncio.Event:
        return self._gates.setdefault(group, asyncio.Event())

    def release(self, groups: Sequence[int]) -> None:
        for group in groups:
            self._gates.pop(group).set()

    async def until(self, held: int) -> None:
        while self.held < held:  # noqa: ASYNC110 - it costs less than an event that each request sets
            await asyncio.sleep(0.01)


class HeldEngine:
    """An engine that answers a request with four tokens, once its group is released."""

    def __init__(self, holder: Holder, answer: list[int]) -> None:
        self._holder, self._answer = holder, answer

    async def generate(self, request: Request) -> Completion:
        self._holder.held += 1
        await self._holder.gate(request.route).wait()
        self._holder.held -= 1
        size = len(self._answer)
        logprobs = np.full(size, -1.0, np.float32)
        return Completion(np.array(self._answer, np.int32), logprobs, np.full(size, request.version, np.int32), "stop")


class HereWorker:
    """A worker without an actor around it, which its fleet asks for its pulse like any other."""

    def __init__(self, worker: GroupWorker) -> None:
        self._worker = worker

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        return await self._worker.run(orders)

    async def hello(self, deadline: float) -> Pulse:
        return Pulse(os.getpid())

    async def pulse(self, deadline: float) -> Pulse:
        return Pulse(os.getpid())

    async def kill(self, restart: bool) -> None:
        raise AssertionError("a worker was given up")


async def figures(engines: int, staleness: int) -> dict[str, float]:
    """Microseconds of CPU for each trajectory, and kilobytes for each one in flight."""
    window = engines * GROUPS
    prompts = window // (staleness + 1)
    renderer = Renderer(build_tiny_tokenizer())
    holder = Holder()
    router = Router([HeldEngine(holder, renderer.reply("046").tolist()) for _ in range(engines)], 3_600)
    spec = describe("arithmetic")
    config = RolloutConfig(inline=True, deadline=3_600)
    workers = [GroupWorker([spec], router, renderer, config, 64, SandboxSettings()) for _ in range(engines)]
    mixture = Mixture([spec.build()], [Portion(size=ATTEMPTS)], "train", 0)
    fleet = WorkerFleet([HereWorker(worker) for worker in workers])  # type: ignore[misc]
    dispatcher = Dispatcher(
        fleet,
        mixture,
        seed=0,
        sampling=Sampling(max_tokens=5),
        prompts=prompts,
        staleness=staleness,
        chunks=engines * (4 if staleness else 1),  # as in a run
        learn=mixture.learn,
    )
    gc.collect()
    before = resident()
    in_flight, began = 0.0, 0.0
    steps = max(1, min(8, 400 // engines))  # that are measured
    for step in range(steps + 1):
        if step == 1:  # the first step fills the pipeline and the caches
            began = time.process_time()
        waiting = asyncio.create_task(dispatcher.next_groups(prompts))
        await holder.until(window * ATTEMPTS)
        in_flight = in_flight or resident() - before
        holder.release(range(dispatcher.position, dispatcher.position + prompts))
        await waiting
        dispatcher.trained(step + 1)
    spent = time.process_time() - began
    await dispatcher.close()
    for keeping in fleet._keeping:  # ``close`` would end the workers' processes
        keeping.cancel()
    return {"us": 1e6 * spent / (steps * prompts * ATTEMPTS), "kb": in_flight / (window * ATTEMPTS)}


def resident() -> float:
    """The memory of this process, in kilobytes."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("Pss:")))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(figures(*map(int, sys.argv[1:])))))
