"""Rollouts per second with a model that answers at once, which shows the overhead: in process, and over HTTP.

The limits are awaiting as many instant answers without a framework, and plain posts of the same bodies to the same
endpoint, as many at a time.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice

import aiohttp

from lachesis.environments.play import play
from lachesis.environments.shipped.arithmetic import Arithmetic
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.text_chat import TextPolicy
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.verifiers.group import Group
from lachesis.verifiers.sandbox.settings import SandboxSettings

EPISODES, ATTEMPTS, AT_ONCE = 4096, 8, 512


def rows() -> Iterator[tuple[str, float, str, float]]:
    environment = Arithmetic()
    tasks = list(islice(environment.tasks("train", 0), EPISODES))
    tokenizer = build_tiny_tokenizer()
    answer = [*tokenizer.encode("000", add_special_tokens=False), tokenizer.eos_token_id]

    def instant(request: Request) -> list[int]:
        return answer

    async def bare() -> None:
        engine = ScriptedEngine(instant)
        sampling = Sampling(max_tokens=5, stop_ids=(tokenizer.eos_token_id,))
        prompt = Renderer(tokenizer).prompt(tasks[0].messages)
        for _ in range(EPISODES):
            await engine.generate(Request(prompt, sampling))

    async def ours() -> None:
        config = RolloutConfig(inline=True)
        worker = GroupWorker([], ScriptedEngine(instant), Renderer(tokenizer), config, 64, SandboxSettings())
        worker.environments = [environment]
        orders = [
            Order(index, 0, task, ATTEMPTS, (0, 0), Sampling(max_tokens=5))
            for index, task in enumerate(tasks[: EPISODES // ATTEMPTS])
        ]
        for start in range(0, len(orders), 64):
            assert all(isinstance(outcome, Group) for outcome in await worker.run(orders[start : start + 64]))

    yield "single-turn rollouts in process, groups of 8", rate(ours), "rollouts/s", rate(bare)
    with Endpoint() as url:

        async def posts() -> None:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

                async def one(number: int) -> None:
                    body = {"model": "x", "messages": [{"role": "user", "content": tasks[number].prompt}]}
                    async with session.post(f"{url}/chat/completions", json=body) as response:
                        await response.json()

                await side_by_side(one)

        async def episodes() -> None:
            async with TextPolicy(url, "x", Sampling(max_tokens=5)) as policy:

                async def one(number: int) -> None:
                    policies = {"policy": policy}
                    played = await play(environment, tasks[number], policies, (number,), inline=True)
                    assert (await environment.score_trajectory(played)).scored

                await side_by_side(one)

        yield f"single-turn rollouts over HTTP, {AT_ONCE} at once", rate(episodes), "rollouts/s", rate(posts)


async def side_by_side(one: Callable[[int], Awaitable[None]]) -> None:
    """Run ``one`` for all episodes, ``AT_ONCE`` at a time."""
    numbers = iter(range(EPISODES))

    async def work() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def rate(work: Callable[[], Awaitable[None]]) -> float:
    """Episodes per second; the best of three rounds."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        asyncio.run(work())  # type: ignore[arg-type]
        times.append(time.perf_counter() - start)
    return EPISODES / min(times)


class Endpoint:
    """An OpenAI-compatible endpoint in a process of its own that gives the same answer at once."""

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ""}
        )
        assert self._process.stdout is not None
        return f"http://127.0.0.1:{self._process.stdout.readline().strip()}/v1"

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


async def serve() -> None:
    """Print the port and answer until killed."""
    from aiohttp import web

    body = b'{"choices": [{"message": {"content": "000"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 4}}'

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2 * AT_ONCE)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
