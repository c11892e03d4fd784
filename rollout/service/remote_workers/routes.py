"""A trainer's routes for workers: what they must know of the run, its engine, and whole groups that they send."""

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from ....verifiers.errors import EngineError, EngineLost
from ...chats.renderer import Renderer
from ...engines.engine import Generator
from ..body import BodyLimits, packed, read_body
from ..service import Service
from ..storage.queue import QueuedGroup
from ..training.source import oldest_version
from ..training.trainer_door import TrainerDoor
from ..wire import refused
from .packed_groups import unpack_group
from .packed_requests import pack_completion, unpack_request
from .welcome import Figures, Welcome, pack_tokenizer

BINARY = "application/msgpack"

MOST_WORKERS = 1024
"""So many workers are remembered; a further one takes the place of the one that was silent for the longest time."""

CONNECTED = 60.0
"""Seconds since its last request for which a worker counts as connected."""


@dataclass
class Worker:
    """A worker that has been heard of.

    Attributes:
        slot: under which name in the store its last sequence number is kept.
        stored: sequence number of its last group that is on the disk.
        heard: when its last request came.
        lock: one of its groups is stored at a time, so that one sent again waits for the first answer.
    """

    slot: int
    stored: int = 0
    heard: float = field(default_factory=time.monotonic)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class Terms:
    """What the run asks of its workers.

    Attributes:
        welcome: with the run's settings; ``tokenizer`` and ``figures`` are filled in by ``WorkerRoutes``.
        enough: groups that may wait before workers pause.
    """

    welcome: Welcome
    enough: int


class WorkerRoutes:
    """Tells workers what they must know, generates for them, and stores their groups.

    A group is stored once, however often it is sent: a worker numbers its groups upwards and sends them one by one, and
    the number of the last one is written in the same commit as the group.

    Args:
        service: whose queue takes the groups.
        door: checks against the trained model.
        generator: samples the tokens.
        renderer: the model's tokenizer and chat template.
        terms: what the run asks of its workers.
        limits: of a body.
    """

    def __init__(
        self,
        service: Service,
        door: TrainerDoor,
        generator: Generator,
        renderer: Renderer,
        terms: Terms,
        limits: BodyLimits | None = None,
    ) -> None:
        self._service, self._door, self._generator = service, door, generator
        self._enough, self._limits = terms.enough, limits or BodyLimits()
        digest, self._tokenizer = pack_tokenizer(renderer)
        state = service.queue.state()
        self._welcome = msgspec.structs.replace(terms.welcome, tokenizer=digest)
        self.workers: OrderedDict[str, Worker] = OrderedDict()
        """By client, the one that was silent for the longest time first."""
        for name, value in sorted(state.items()):
            if name.startswith("worker-"):
                self.workers[value[0]] = Worker(int(name.removeprefix("worker-")), value[1], heard=float("-inf"))

    @property
    def connected(self) -> int:
        """How many workers were heard of lately."""
        now = time.monotonic()
        return sum(now - worker.heard < CONNECTED for worker in self.workers.values())

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/workers/welcome/{client}", self._welcomed),
            web.get("/workers/tokenizer/{digest}", self._files),
            web.post("/workers/{run}/generate", self._generated),
            web.put("/workers/{run}/groups/{client}/{sequence}", self._stored),
        ]

    async def _welcomed(self, request: web.Request) -> web.Response:
        self._worker(request.match_info["client"])
        welcome = msgspec.structs.replace(self._welcome, figures=self._figures())
        return web.Response(body=msgspec.json.encode(welcome), content_type="application/json")

    async def _files(self, request: web.Request) -> web.Response:
        if request.match_info["digest"] != self._welcome.tokenizer:
            raise web.HTTPNotFound(text=f"the tokenizer of this run has the digest {self._welcome.tokenizer}")
        return await packed(request, self._tokenizer, BINARY)

    async def _generated(self, request: web.Request) -> web.Response:
        self._check_run(request)
        limits, body = self._door.limits, await read_body(request, self._limits)
        wanted = unpack_request(body, context=limits.context, vocabulary=limits.vocabulary, version=self._newest)
        try:
            completion = await self._generator.generate(wanted)
        except EngineLost:
            raise
        except EngineError as error:  # asking again would not help
            raise refused(["sampling"], str(error), "engine") from None
        return web.Response(body=pack_completion(completion), content_type=BINARY)

    async def _stored(self, request: web.Request) -> web.Response:
        self._check_run(request)
        sequence = request.match_info["sequence"]
        if not re.fullmatch(r"[1-9]\d{0,15}", sequence):
            raise refused(["sequence"], f"the number of a group is 1 or more, found {sequence!r:.40}")
        client = request.match_info["client"]
        worker, body = self._worker(client), await read_body(request, self._limits)
        async with worker.lock:
            again = int(sequence) <= worker.stored
            if not again:
                await self._store(body, worker, [client, int(sequence)])
                worker.stored = int(sequence)
        answer = {"status": "stored", "again": again, "figures": self._figures()}
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def _store(self, body: bytes, worker: Worker, number: list[str | int]) -> None:
        groups = await self._service.checked(body, lambda: [self._check(body)])
        await self._service.put(groups, [None], {f"worker-{worker.slot}": number})
        self._service.note(groups)

    def _check(self, body: bytes) -> QueuedGroup:
        """The group if the trainer can take it, and if all of it was sampled with versions that are new enough.

        Raises:
            BadBody: it cannot.
        """
        door, current = self._door, self._door.current()
        group = unpack_group(body, limits=door.limits, most=door.max_sequences)
        segments = [segment for attempt in group.trajectories for segment in attempt.segments]
        newest = max(int(segment.versions.max()) for segment in segments)
        if newest > self._newest:
            raise refused(["attempts"], f"{newest} is no version of the weights; they are at {current}", "version")
        oldest = oldest_version(group)
        if door.max_staleness is not None and current - oldest > door.max_staleness:
            message = f"version {oldest} is {current - oldest} versions old, and {door.max_staleness} are allowed"
            raise refused(["attempts"], f"{message}; sample again with newer weights", "stale")
        return QueuedGroup(0, None, len(group.trajectories), body)

    @property
    def _newest(self) -> int:
        """The newest version that an engine may hold: that of the run, or the one that is being published."""
        return self._door.current() + 1

    def _check_run(self, request: web.Request) -> None:
        if request.match_info["run"] != self._welcome.run:
            raise web.HTTPConflict(text="another run has this address now; ask for its welcome")

    def _figures(self) -> Figures:
        known = self._service.registration
        wanted = max(0, self._enough - len(self._service.queue)) if self._service.started else 0
        return Figures(self._door.current(), self._service.step, known.num_steps if known else 0, wanted)

    def _worker(self, client: str) -> Worker:
        """What is known of a worker, which was heard of just now."""
        if not re.fullmatch(r"[\w-]{1,64}", client, re.ASCII):
            raise refused(["client"], f"a worker's name is 1 to 64 letters and digits, found {client!r:.80}")
        if client not in self.workers:
            if len(self.workers) >= MOST_WORKERS:
                self.workers.popitem(last=False)
            taken = {worker.slot for worker in self.workers.values()}
            self.workers[client] = Worker(min(set(range(MOST_WORKERS)) - taken))
        worker = self.workers[client]
        worker.heard = time.monotonic()
        self.workers.move_to_end(client)
        return worker
