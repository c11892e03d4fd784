"""A trainer's service and its routes for workers on a real socket, over a scripted engine; and groups to send."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from aiohttp import ClientSession, web

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.service.app import Service, Times, make_app, make_runner
from lachesis.rollout.service.engine.conversations import Conversations
from lachesis.rollout.service.remote_workers.client import ServiceClient
from lachesis.rollout.service.remote_workers.packed_groups import MAGIC, unpack_group
from lachesis.rollout.service.remote_workers.routes import Terms, WorkerRoutes
from lachesis.rollout.service.remote_workers.welcome import Figures, Welcome
from lachesis.rollout.service.storage.queue import GroupQueue
from lachesis.rollout.service.training.scored_data import Limits
from lachesis.rollout.service.training.trainer_door import TrainerDoor
from lachesis.rollout.service.wire import Registration
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

from ....ports import free_port

CONTEXT = 64


def group(first: int = 1, *, version: int = 0, attempts: int = 2) -> Group:
    """A good group whose first token tells it apart."""
    task = Task("2+2=", "4")
    reward = [Reward((Component("exact", 1.0, Verdict(float(place))),)) for place in range(attempts)]
    segment = Segment(
        np.array([first, 7, 9]),
        np.array([False, True, True]),
        np.array([False, True, True]),
        np.array([np.nan, -0.1, -1.5], np.float32),
        np.array([-1, version, version]),
    )
    return Group(0, task, tuple(Trajectory(task, segments=(segment,), rewards={"policy": one}) for one in reward))


def altered(body: bytes, change: Callable[[Any], None]) -> bytes:
    """A packed group of which ``change`` has altered the parts."""
    parts = msgspec.msgpack.decode(body[len(MAGIC) :])
    change(parts)
    return MAGIC + msgspec.msgpack.encode(parts)


@dataclass
class Host:
    """A trainer's service without a trainer.

    Attributes:
        path: of the store.
        script: what the engine answers; see ``ScriptedEngine``.
        version: of the weights now.
        run: its name.
        enough: groups that may wait.
        started: whether the warm start is over.
        port: where it listens, whenever it is opened.
    """

    path: Path
    script: Callable[[Request], Any] = lambda request: [65, *request.sampling.stop_ids[:1]]
    version: int = 3
    run: str = "run"
    enough: int = 100
    max_staleness: int | None = None
    token: str = ""
    started: bool = True
    port: int = field(default_factory=free_port)
    max_groups: int = 1000
    renderer: Renderer = field(default_factory=lambda: Renderer(build_tiny_tokenizer()))

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Host"]:
        self.engine = ScriptedEngine(self.script, version=self.version, context=CONTEXT)
        limits = Limits(CONTEXT, self.renderer.vocabulary)
        memory = Conversations(self.renderer)
        door = TrainerDoor(max_staleness=self.max_staleness, limits=limits, current=lambda: self.version, memory=memory)
        self.queue = GroupQueue(self.path / "store.sqlite", max_groups=self.max_groups, max_bytes=1 << 30)
        self.service = Service(self.queue, door=door, times=Times(room=0.1), step=lambda: 7)
        self.service.started = self.started
        self.service.registration = Registration("", "", 8, CONTEXT, "", 1, 0, 20)
        welcome = Welcome(
            self.run, "name", CONTEXT, "", [*self.renderer.stop_ids], 2, Sampling(max_tokens=4), Figures(0, 0, 0, 0)
        )
        self.routes = WorkerRoutes(self.service, door, self.engine, self.renderer, Terms(welcome, self.enough))
        runner = make_runner(make_app(self.service, token=self.token, routes=self.routes.routes()))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            yield self
        finally:
            await runner.cleanup()
            self.queue.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, name: str = "w", **options: Any) -> ServiceClient:
        return ServiceClient(self.url, name, **{"patience": 5.0, **options})

    async def put(self, body: bytes, *, name: str = "w", sequence: object = 1, run: str = "") -> tuple[int, Any]:
        """Status and body of the answer to one post."""
        path = f"/workers/{run or self.run}/groups/{name}/{sequence}"
        async with ClientSession() as session, session.put(self.url + path, data=body) as response:
            return response.status, await response.json()

    async def firsts(self) -> list[int]:
        """The first token of each group that waits, in order; of JSON groups too."""
        found, number = [], 0
        while (queued := await self.queue.next(number, 0.0)) is not None:
            number = queued.number
            json = None if queued.body.startswith(MAGIC) else msgspec.json.decode(queued.body)
            tokens = json["tokens"][0] if json else unpack_group(queued.body).trajectories[0].segments[0].tokens
            found.append(int(tokens[0]))
        return found


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what other tasks do."""
    while not condition():  # noqa: ASYNC110 - it is no event of ours
        await asyncio.sleep(0.01)


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Host]:
    """``host(version=…, …)``; see ``Host``."""
    return lambda **options: Host(tmp_path, **options)
