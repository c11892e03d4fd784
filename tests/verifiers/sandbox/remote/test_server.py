"""The door of the sandbox server: who may enter, with how much, and how many at a time."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from lachesis.verifiers.sandbox.job import Execution, Job, Level
from lachesis.verifiers.sandbox.layers import Layer
from lachesis.verifiers.sandbox.protocol import Session
from lachesis.verifiers.sandbox.remote.messages import PATHS, message, pack_jobs, unpack_executions
from lachesis.verifiers.sandbox.remote.server import make_runner


@dataclass
class WaitingSandbox:
    """A sandbox whose jobs end when the test lets them."""

    name: str = "waiting"
    level: Level = Level.STRONG
    layers: tuple[Layer, ...] = (Layer("job", True, "a job runs"),)
    running: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, job: Job) -> Execution:
        self.running += 1
        try:
            await self.released.wait()
        finally:
            self.running -= 1
        return Execution("ok", 0, stdout=job.code, level=self.level)

    async def converse(
        self, jobs: Sequence[Job], drive: Callable[[Sequence[Session]], object]
    ) -> tuple[object, list[Execution]]:
        return await asyncio.to_thread(drive, []), [await self.run(job) for job in jobs]

    def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def served(sandbox: WaitingSandbox, token: str = "", max_bytes: int = 1 << 20) -> AsyncIterator[str]:
    runner = make_runner(sandbox, 1, token, max_bytes)  # type: ignore[arg-type]
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


BODY = pack_jobs([Job("print(1)")])


async def status(url: str, method: str = "POST", path: str = PATHS.jobs, **given: object) -> int:
    async with aiohttp.ClientSession() as session, session.request(method, url + path, **given) as answer:  # type: ignore[arg-type]
        return answer.status


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer \u00e9"}, {"Authorization": ""}]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", PATHS.sandbox), ("POST", PATHS.jobs), ("GET", PATHS.conversations)]
)
def test_nothing_is_answered_without_the_token(method: str, path: str, header: dict[str, str]) -> None:
    async def ask() -> int:
        async with served(WaitingSandbox(), "right") as url:
            return await status(url, method, path, headers=header, data=BODY if method == "POST" else None)

    assert asyncio.run(ask()) == 401


def test_the_right_token_is_answered() -> None:
    async def ask() -> int:
        async with served(WaitingSandbox(), "right") as url:
            return await status(url, "GET", PATHS.sandbox, headers={"Authorization": "Bearer right"})

    assert asyncio.run(ask()) == 200


def test_a_web_page_may_not_call_a_server_without_token() -> None:
    async def ask() -> int:
        async with served(WaitingSandbox()) as url:
            return await status(url, data=BODY, headers={"Origin": "https://elsewhere"})

    assert asyncio.run(ask()) == 403


@pytest.mark.parametrize(
    ("body", "header", "wanted"),
    [
        (b"x" * (2 << 20), {}, 413),
        (gzip.compress(bytes(100 << 20), mtime=0), {"Content-Encoding": "gzip"}, 422),
        (b"", {}, 422),
        (b"\0\0\0\2{}", {}, 422),
        (b"\xff\xff\xff\xff", {}, 422),
        (pack_jobs([]), {}, 422),
        (pack_jobs([Job(""), Job("")]), {}, 422),
        (BODY.replace(b'"wall": 10.0', b'"wall": -1.0'), {}, 422),
        (BODY.replace(b'"cpu"', b'"cpx"'), {}, 422),
    ],
)
def test_a_body_that_holds_no_job_is_refused(body: bytes, header: dict[str, str], wanted: int) -> None:
    async def ask() -> int:
        sandbox = WaitingSandbox()
        sandbox.released.set()
        async with served(sandbox) as url:
            return await status(url, data=body, headers=header)

    assert asyncio.run(ask()) == wanted


def test_a_server_that_is_full_says_when_to_come_back_and_a_caller_that_goes_frees_its_place() -> None:
    async def ask() -> tuple[int, str | None, str]:
        sandbox = WaitingSandbox()
        async with served(sandbox) as url, aiohttp.ClientSession() as session:
            held = [asyncio.create_task(status(url, data=BODY)) for _ in range(2)]
            while sandbox.running < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            async with session.post(url + PATHS.jobs, data=BODY) as answer:
                full = answer.status, answer.headers.get("Retry-After")
            for task in held:
                task.cancel()
            while sandbox.running:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            sandbox.released.set()
            async with session.post(url + PATHS.jobs, data=BODY) as answer:
                (execution,) = unpack_executions(await answer.read())
            return *full, execution.stdout

    assert asyncio.run(ask()) == (503, "1", "print(1)")


@pytest.mark.parametrize(
    "sent",
    [
        [message(b"?")],
        [message(b"J", 0, b"\xff")],
        [message(b"J", 0, BODY), b"S"],
        [message(b"J", 0, BODY), message(b"S", 7, b"line")],
        [message(b"J", 0, BODY), message(b"Z")],
    ],
)
def test_a_conversation_of_nonsense_ends_with_one_line(sent: list[bytes]) -> None:
    async def ask() -> bytes:
        async with (
            served(WaitingSandbox()) as url,
            aiohttp.ClientSession() as session,
            session.ws_connect(url + PATHS.conversations) as socket,
        ):
            for data in sent:
                await socket.send_bytes(data)
            answers = [received.data async for received in socket]
            return answers[-1]

    assert asyncio.run(asyncio.wait_for(ask(), 30))[:1] == b"F"
