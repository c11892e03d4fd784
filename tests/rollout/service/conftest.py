"""A service on a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from lachesis.rollout.service.app import BodyLimits, Door, Service, Times, make_app, make_runner
from lachesis.rollout.service.queue import GroupQueue

REGISTRATION = {
    "wandb_group": "group",
    "wandb_project": "project",
    "batch_size": 8,
    "max_token_len": 64,
    "checkpoint_dir": "folder",
    "save_checkpoint_interval": 5,
    "starting_step": 3,
    "num_steps": 100,
}


class Client:
    """Talks to a service as an Atropos client does."""

    def __init__(self, session: ClientSession, service: Service, address: str) -> None:
        self.session, self.service, self.address = session, service, address

    async def get(self, path: str, **options: Any) -> Any:
        async with self.session.get(self.address + path, **options) as response:
            text = await response.text()
            assert response.status == 200, text
            return await response.json() if "json" in response.content_type else text

    async def post(self, path: str, body: Any) -> Any:
        async with self.session.post(self.address + path, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def status(self, method: str, path: str, **options: Any) -> int:
        async with self.session.request(method, self.address + path, **options) as response:
            await response.read()
            return response.status

    async def environment(self, **changes: Any) -> int:
        body = {"max_token_length": 64, "desired_name": "sums", "weight": 1.0, "group_size": 4} | changes
        answer = await self.post("/register-env", body)
        return int(answer["env_id"])

    async def batch(self, **options: Any) -> list[int] | None:
        """The first token of each group of the next batch."""
        batch = (await self.get("/batch", **options))["batch"]
        return None if batch is None else [group["tokens"][0][0] for group in batch]


def group(first: int = 1, sequences: int = 4, **changes: Any) -> dict[str, Any]:
    """A good group whose first token tells it apart."""
    tokens = [[first, 7, 9] for _ in range(sequences)]
    return {"tokens": tokens, "masks": [[-100, *row[1:]] for row in tokens], "scores": [0.5] * sequences} | changes


@asynccontextmanager
async def serving(
    path: Path,
    *,
    token: str = "",
    max_groups: int = 10_000,
    patience: float = 30.0,
    times: Times | None = None,
    door: Door | None = None,
    limits: BodyLimits | None = None,
    port: int = 0,
) -> AsyncIterator[Client]:
    queue = GroupQueue(path / "store.sqlite", max_groups=max_groups, max_bytes=1 << 30, patience=patience)
    service = Service(queue, times=times or Times(room=0.2), door=door)
    runner = make_runner(make_app(service, token=token, limits=limits))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host, port = runner.addresses[0][:2]
        async with ClientSession() as session:
            yield Client(session, service, f"http://{host}:{port}")
    finally:
        await runner.cleanup()
        queue.close()


Talk = Callable[[Client], Coroutine[Any, Any, None]]


@pytest.fixture
def talk(tmp_path: Path) -> Callable[..., None]:
    """Runs a conversation with a service in a folder of its own, which stays for the next conversation."""

    def converse(talk: Talk, seconds: float = 60, **options: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(seconds), serving(tmp_path, **options) as client:
                await talk(client)

        asyncio.run(bounded())

    return converse
