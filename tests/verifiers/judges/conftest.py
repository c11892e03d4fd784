"""A real endpoint on this machine, whose judge answers from a script."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lachesis.verifiers.case import Case
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict

Said = str | dict[str, Any] | web.Response


class Asked:
    """A request as the judge sees it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.system, self.user = (message["content"] for message in body["messages"])
        self.nonce = re.findall(r"^VERDICT ([0-9a-f]{16}): X$", self.system, re.MULTILINE)[-1]
        self.fence = re.findall(r"<<<([0-9a-f]{16})", self.system)[0]

    @property
    def data(self) -> dict[str, str]:
        found = re.findall(rf"^<<<{self.fence} (.*)\n((?s:.*?))\n{self.fence}>>>$", self.user, re.MULTILINE)
        return dict(found)

    def verdict(self, answer: object) -> str:
        return f"I have weighed it.\nVERDICT {self.nonce}: {answer}"


class JudgeServer:
    """Answers each request with what ``script`` returns for it: the judge's text, a whole body, or a response."""

    def __init__(self) -> None:
        self.url = ""
        self.reset()

    def reset(self) -> None:
        self.script: Callable[[Asked], Said] = lambda asked: asked.verdict(8)
        self.asked: list[Asked] = []
        self.headers: list[dict[str, str]] = []
        self.delay = 0.0
        self.usage: Any = {"prompt_tokens": 100, "completion_tokens": 10}
        self.inside = self.most_inside = 0

    async def answer(self, request: web.Request) -> web.Response:
        asked = Asked(await request.json())
        self.asked.append(asked)
        self.headers.append(dict(request.headers))
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await asyncio.sleep(self.delay)
            said = self.script(asked)
        finally:
            self.inside -= 1
        if isinstance(said, web.Response):
            return said
        if isinstance(said, dict):
            return web.json_response(said)
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": self.usage})


@pytest.fixture(scope="module")
def running_server(serve_forever: Callable[..., AbstractContextManager[str]]) -> Iterator[JudgeServer]:
    server = JudgeServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    with serve_forever(web.AppRunner(app)) as url:
        server.url = f"{url}/v1"
        yield server


@pytest.fixture
def server(running_server: JudgeServer) -> JudgeServer:
    running_server.reset()
    return running_server


@pytest.fixture
def settings(server: JudgeServer, tmp_path: Path) -> dict[str, Any]:
    """The parameters of a judge that asks the server, with a cache of this test's own."""
    path = str(tmp_path / "judges.sqlite")
    return {"url": server.url, "model": "m", "rubric": "The reply is kind.", "cache": path, "backoff": 0.01, "tries": 2}


@pytest.fixture
def case() -> Callable[..., Case]:
    """``case(reply)``: an attempt at a task."""

    def make(reply: str, prompt: Any = "Say hello.", **task: Any) -> Case:
        said: Any = ({"role": "user", "content": str(prompt)}, {"role": "assistant", "content": reply})
        return Case(Trajectory(Task(prompt, **task), messages={POLICY: said}))

    return make


@pytest.fixture
def judge(settings: dict[str, Any], case: Callable[..., Case]) -> Callable[..., Verdict]:
    """``judge(reply, **params)``: the verdict of the verifier ``judge``."""

    def verdict(reply: str, *, task: dict[str, Any] | None = None, **params: Any) -> Verdict:
        verifier = make_verifier("judge", settings | params)
        return asyncio.run(verifier.verify(case(reply, **(task or {}))))

    return verdict
