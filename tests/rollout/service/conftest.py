"""A service on a real socket, and a policy that says given lines in ids that no tokenizer would give."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from tokenizers import processors

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.engines.engine import Request
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.service.app import BodyLimits, Door, Service, Times, make_app, make_runner
from lachesis.rollout.service.engine.conversations import Conversations
from lachesis.rollout.service.engine.openapi import engine_part
from lachesis.rollout.service.engine.routes import engine_routes
from lachesis.rollout.service.storage.queue import GroupQueue

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
    port: int = 0,
    token: str = "",
    max_groups: int = 10_000,
    patience: float = 30.0,
    times: Times | None = None,
    door: Door | None = None,
    limits: BodyLimits | None = None,
    room: "Room | None" = None,
    kind: type[Service] = Service,
) -> AsyncIterator[Client]:
    """A service; with a ``room`` also the engine."""
    queue = GroupQueue(path / "store.sqlite", max_groups=max_groups, max_bytes=1 << 30, patience=patience)
    service = kind(queue, times=times or Times(room=0.2), door=door)
    engine = {"routes": room.routes(limits), "described": [engine_part()]} if room else {}
    runner = make_runner(make_app(service, token=token, limits=limits, **engine))
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


WORDS = ("the", "answer", "is", "hello", "number", "sum", "of")
"""Tokens with merges: the same text letter by letter has other ids."""


@dataclass
class Room:
    """An engine behind the routes, over a tokenizer with merges.

    Attributes:
        lines: what the policy says next, one line a request; ``say`` is asked where there are none left.
        whole: whether it says lines as the tokenizer encodes them, rather than letter by letter here and there.
        ends: whether it ends its turns.
    """

    lines: list[str] = field(default_factory=list)
    say: Callable[[Request], str] = lambda request: "the answer is 4"
    whole: bool = False
    ends: bool = True
    context: int = 512
    version: int = 3
    model: str = "policy"
    most: int = 1000
    most_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        self.tokenizer = build_tiny_tokenizer(words=WORDS)
        self.renderer = Renderer(self.tokenizer)
        self.memory = Conversations(self.renderer, most=self.most, most_bytes=self.most_bytes)
        self.engine = ScriptedEngine(self.script, context=self.context, version=self.version)
        self.rng = np.random.default_rng(0)

    def script(self, request: Request) -> tuple[list[int], list[float]]:
        ids = self.sampled(self.lines.pop(0) if self.lines else self.say(request))
        return ids, (-self.rng.random(len(ids)) - 0.1).tolist()

    def sampled(self, text: str) -> list[int]:
        """Ids of a text, as a policy may sample them: some words are one token, others are spelled in letters."""
        ids: list[int] = []
        for word in self.renderer.written(text).tolist():
            letters = self.renderer.decode(np.array([word]), ())
            spelled = not self.whole and "<" not in letters and letters.isascii() and self.rng.random() < 0.5
            ids += [token for letter in letters for token in self.renderer.written(letter)] if spelled else [word]
        return [int(token) for token in ids] + [self.tokenizer.eos_token_id] * self.ends

    def begin_with(self, text: str) -> int:
        """Have the tokenizer, and its template, put a token before every text."""
        begin = int(self.tokenizer.convert_tokens_to_ids(text))
        self.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{text} $A", special_tokens=[(text, begin)]
        )
        self.tokenizer.chat_template = text + self.tokenizer.chat_template
        self.renderer = Renderer(self.tokenizer)
        self.memory = Conversations(self.renderer, most=self.most, most_bytes=self.most_bytes)
        return begin

    def tokenized(self, messages: list[dict[str, Any]], trains_all: bool = False) -> tuple[list[int], list[int]]:
        """What ``atroposlib.utils.tokenize_for_trainer`` makes of messages: tokens and masks."""

        def ids(upto: int, ask: bool) -> list[int]:
            if not upto:
                return []
            whole = self.tokenizer.apply_chat_template(messages[:upto], add_generation_prompt=ask)
            return list(whole["input_ids"])

        tokens = ids(len(messages), False)
        mask = [-100] * len(tokens)
        for number, message in enumerate(messages):
            if message["role"] == "assistant" and (trains_all or number == len(messages) - 1):
                span = slice(len(ids(number, True)), len(ids(number + 1, False)))
                mask[span] = tokens[span]
        return tokens, mask

    def routes(self, limits: BodyLimits | None = None) -> list[web.RouteDef]:
        return engine_routes(
            self.engine,
            self.renderer,
            context=self.context,
            version=lambda: self.version,
            memory=self.memory,
            model=self.model,
            limits=limits,
        )

    @asynccontextmanager
    async def client(self) -> AsyncIterator[TestClient[Any, Any]]:
        app = web.Application()
        app.add_routes(self.routes())
        async with TestClient(TestServer(app)) as client:
            yield client

    async def chat(self, client: TestClient[Any, Any], messages: list[Any], **more: Any) -> dict[str, Any]:
        body = {"model": self.model, "messages": messages, **more}
        response = await client.post("/v1/chat/completions", json=body)
        assert response.status == 200, await response.text()
        return dict(await response.json())


@pytest.fixture
def room() -> Callable[..., Room]:
    """``room(lines=[…], …)``; see ``Room``."""
    return Room
