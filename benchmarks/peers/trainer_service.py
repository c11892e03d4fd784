"""The service of a trainer without the trainer, for the benchmark of its doors: run it with a port and a file."""

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.service.app import make_app, make_runner
from lachesis.rollout.service.engine.conversations import Conversations
from lachesis.rollout.service.remote_workers.routes import Terms, WorkerRoutes
from lachesis.rollout.service.remote_workers.welcome import Figures, Welcome
from lachesis.rollout.service.storage.queue import GroupQueue
from lachesis.rollout.service.training.scored_data import Limits
from lachesis.rollout.service.training.trainer_door import TrainerDoor
from lachesis.trainer.run.services import HostedService


async def host(port: int, store: Path) -> None:
    """Take groups of up to 2048 tokens until the process is ended."""
    renderer = Renderer(build_tiny_tokenizer())
    door = TrainerDoor(limits=Limits(2048, 150_000), current=lambda: 0, memory=Conversations(renderer))
    queue = GroupQueue(store, max_groups=1_000_000, max_bytes=1 << 40)
    service = HostedService(queue, door=door, step=lambda: 0, hold_odd=False)
    welcome = Welcome("run", "", 2048, "", [], 8, Sampling(), Figures(0, 0, 0, 0))
    workers = WorkerRoutes(service, door, ScriptedEngine(lambda _: [0]), renderer, Terms(welcome, 1))
    runner = make_runner(make_app(service, routes=workers.routes()))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(host(int(sys.argv[1]), Path(sys.argv[2])))
