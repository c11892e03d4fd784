"""The feeder: plays groups of one environment for as long as a trainer's service wants them, and sends each one."""

import asyncio
import logging
import secrets
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ....environments.loading import EnvironmentSpec
from ....verifiers.errors import DataError, InfrastructureError
from ....verifiers.group import Group
from ....verifiers.processes.temporary import own_prefix
from ....verifiers.sandbox.settings import SandboxSettings
from ...chats.renderer import Renderer
from ...config import RolloutConfig
from ...engines.engine import Generator
from ...models.tokenizer import load_tokenizer
from ...orders import TRAINING, Failure, Order
from ...tasks.stream import TaskStream
from ...workers.threads import WorkerThreads
from ...workers.watchdog import Watchdog
from ...workers.worker import GroupWorker
from .client import GroupRefused, RunChanged
from .welcome import Figures, Welcome

log = logging.getLogger("lachesis")

POLL = 1.0
"""Seconds after which a worker asks again what the run needs, unless an answer to a group has told it."""

FAILURES = 8
"""After so many groups in a row that could not be made, or as many as are played at once, a worker gives up."""


class Client(Generator, Protocol):
    """A trainer as a feeder sees it: what it needs, its engine, and where groups go."""

    @property
    def lost(self) -> str:
        """Why it does not answer; empty while it does."""
        ...

    @property
    def silent(self) -> float:
        """Seconds since its last answer."""
        ...

    @property
    def changed(self) -> bool:
        """Whether it is another run than at the last welcome."""
        ...

    @property
    def over(self) -> bool:
        """Whether it needs no more groups."""
        ...

    async def welcome(self) -> Welcome:
        """What the run is and needs now; raises ``RunChanged`` if the feeder has to begin anew."""
        ...

    async def tokenizer(self, digest: str, folder: Path) -> None:
        """Write the files of the run's tokenizer into ``folder``."""
        ...

    async def send(self, sequence: int, group: Group) -> Figures:
        """Have a group stored; returns where the run is then. Raises ``GroupRefused`` if it is not taken."""
        ...


@dataclass
class Tally:
    """What a worker has done.

    Attributes:
        playing: attempts that are under way.
        waiting: groups that are made and not yet answered for.
        sent: groups that the service has on its disk.
        refused: groups that the service did not take.
        failed: groups that could not be made.
        last_problem: why the last of those was refused, or failed.
        figures: where the run is.
    """

    playing: int = 0
    waiting: int = 0
    sent: int = 0
    refused: int = 0
    failed: int = 0
    last_problem: str = ""
    figures: Figures = field(default_factory=lambda: Figures(0, 0, 0, 0))
    _sampled: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=1000))
    _successes: deque[float] = field(default_factory=lambda: deque(maxlen=100))

    def made(self, group: Group) -> None:
        """Note a group that is finished."""
        segments = [segment for attempt in group.trajectories for segment in attempt.segments]
        self._sampled.append((time.monotonic(), sum(int(segment.sampled.sum()) for segment in segments)))
        if (rate := group.success_rate) is not None:
            self._successes.append(rate)

    @property
    def tokens_per_second(self) -> float:
        """Sampled tokens of finished groups, over the last minute."""
        now = time.monotonic()
        return sum(tokens for moment, tokens in self._sampled if now - moment <= 60) / 60

    @property
    def success(self) -> float | None:
        """Mean success rate of the last 100 groups; None if success is undefined."""
        return sum(self._successes) / len(self._successes) if self._successes else None


class Feeder:
    """Plays the environment's training tasks on this machine, with tokens from the trainer's engine.

    Each feeder draws its own tasks and seeds, so any number of them may come and go. A group that could not be made is
    left out, never scored 0. If another run takes the service's address, the feeder begins anew with that run.

    Args:
        client: of the trainer.
        spec: the environment.
        rollout: how failures are treated, and on how many threads episodes run.
        sandbox: where verifiers run programs.
        concurrency: most attempts at once, but at least one group.
        seed: of tasks and sampling; None draws one.
        groups: how many to send before it ends; None for no end.
    """

    def __init__(
        self,
        client: Client,
        spec: EnvironmentSpec,
        rollout: RolloutConfig,
        sandbox: SandboxSettings,
        *,
        concurrency: int = 64,
        seed: int | None = None,
        groups: int | None = None,
    ) -> None:
        self._client, self._spec, self._rollout, self._sandbox = client, spec, rollout, sandbox
        self._concurrency, self._groups = concurrency, groups
        self._seed = secrets.randbits(31) if seed is None else seed
        self._tasks = TaskStream(spec.build(), "train", self._seed)
        self._sending = asyncio.Lock()  # groups go out one by one, numbered upwards
        self._sequence = 0
        self._failures = 0
        self._running: set[asyncio.Task[None]] = set()
        self.tally = Tally()

    async def run(self) -> None:
        """Feed the service until enough groups are sent.

        Raises:
            ConfigError: the service cannot be fed.
            InfrastructureError: it did not answer for too long, or no group could be made.
        """
        while not self._done:
            try:
                await self._feed(await self._client.welcome())
            except RunChanged as error:
                log.warning("beginning anew: %s", error)

    @property
    def _done(self) -> bool:
        return self._client.over or (self._groups is not None and self.tally.sent >= self._groups)

    async def _feed(self, welcome: Welcome) -> None:
        with tempfile.TemporaryDirectory(prefix=own_prefix("tokenizer")) as folder:
            await self._client.tokenizer(welcome.tokenizer, Path(folder))
            threads = await asyncio.to_thread(self._open, welcome, folder)
        joined, asked = welcome.identity, time.monotonic()
        self.tally.figures = welcome.figures
        try:
            while not self._done:
                if time.monotonic() - asked >= POLL:
                    welcome, asked = await self._client.welcome(), time.monotonic()
                    self.tally.figures = welcome.figures
                    if welcome.identity != joined:
                        raise RunChanged("the service has another run now")
                self._start(threads, welcome)
                await self._some()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            self._running.clear()
            await asyncio.to_thread(threads.close)

    def _open(self, welcome: Welcome, folder: str) -> WorkerThreads:
        def build(engine: Generator) -> GroupWorker:
            renderer = Renderer(load_tokenizer(folder), stop_ids=welcome.stop_ids)
            return GroupWorker([self._spec], engine, renderer, self._rollout, welcome.context, self._sandbox)

        return WorkerThreads(build, self._client, self._rollout.threads, Watchdog(self._rollout.blocking))

    def _start(self, threads: WorkerThreads, welcome: Welcome) -> None:
        """Start as many groups as there is room for, and as the run wants."""
        most = min(max(1, self._concurrency // welcome.group_size), self.tally.figures.wanted)
        if self._groups is not None:
            most = min(most, self._groups - self.tally.sent)
        while len(self._running) < most:
            number, task = self._tasks.take()
            seed, version = (self._seed, TRAINING), self.tally.figures.version
            order = Order(number, 0, task, welcome.group_size, seed, welcome.sampling, version)
            self._running.add(asyncio.create_task(self._group(threads, order)))

    async def _some(self) -> None:
        """Wait until a group has ended, or until it is time to ask what the run needs; raises what ended a group."""
        if not self._running:
            await asyncio.sleep(POLL)
            return
        done, self._running = await asyncio.wait(self._running, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _group(self, threads: WorkerThreads, order: Order) -> None:
        self.tally.playing += order.size
        try:
            (outcome,) = await threads.run([order])
        finally:
            self.tally.playing -= order.size
        if isinstance(outcome, Failure):
            self._failed(outcome.reason, order.size)
            return
        self._failures = 0
        self.tally.made(outcome)
        self.tally.waiting += 1
        try:
            async with self._sending:
                self._sequence += 1
                self.tally.figures = await self._client.send(self._sequence, outcome)
            self.tally.sent += 1
        except (GroupRefused, DataError) as error:
            self.tally.refused += 1
            self._problem(f"refused: {error}")
        finally:
            self.tally.waiting -= 1

    def _failed(self, reason: str, size: int) -> None:
        if self._client.changed:
            raise RunChanged(reason)
        self.tally.failed += 1
        self._failures += not self._client.lost
        self._problem(f"not made: {reason}")
        if self._failures >= max(FAILURES, self._concurrency // size):
            raise InfrastructureError(f"{self._failures} groups in a row could not be made, the last: {reason}")

    def _problem(self, text: str) -> None:
        if text != self.tally.last_problem:
            log.warning("a group was %s", text)
        self.tally.last_problem = text
