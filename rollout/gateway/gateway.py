"""The gateway's server: agents of any program reach the policy through it, each episode with a key of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from aiohttp import web

from ...verifiers.errors import ConfigError
from ...verifiers.trajectory import POLICY
from ..chats.text_chat import TextPolicy
from ..chats.token_chat import TokenPolicy
from ..service.body import BodyLimits
from ..service.engine.requests import Refusal
from .answering import Handler, answered, counted
from .budget import GatewayLimits
from .dialects.chat_completions import ChatCompletions
from .dialects.completions import Completions
from .dialects.dialect import Dialect, openai_error
from .dialects.messages import Messages
from .dialects.responses import Responses
from .dialects.token_ids import TokenIds
from .episode import Opened
from .moderation import Hook
from .refusals import Refusals

DIALECTS: tuple[Dialect, ...] = (ChatCompletions(), Responses(), Messages(), Completions(), TokenIds())
"""Every API that the gateway speaks."""

_CLOSED = 10_000
"""So many of the latest closed keys are told from keys that never were."""


class Gateway:
    """An HTTP server for the episodes that are open; an async context manager.

    It belongs to the event loop on which it is started, and so do its episodes and their policies.

    Args:
        host: the address to listen at; by default only this machine can reach it.
        port: the TCP port; 0 for any that is free.
        socket: the path of a Unix socket to listen at too, for sandboxes without a network. At most about 100 bytes.
        heartbeat: seconds between the pings of a stream while the model thinks; an answer that is no stream begins
            with white space after five times as long.
        limits: of a request's body.
        refusals: how long refusals wait that are repeated.

    Attributes:
        url: ends before ``/v1``.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        socket: str | Path | None = None,
        heartbeat: float = 5.0,
        limits: BodyLimits | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.url = ""
        self._host, self._port, self._socket = host, port, socket
        self._heartbeat, self._limits = heartbeat, limits or BodyLimits(bytes=16 << 20)
        self._refusals = refusals or Refusals()
        self._open: dict[bytes, Opened] = {}
        self._closed: OrderedDict[bytes, None] = OrderedDict()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be listened at.
        """
        app = web.Application()
        for dialect in DIALECTS:
            for path in dialect.paths:
                handler = answered(self.episode, dialect, self._limits, self._heartbeat)
                app.router.add_post(path, self._patient(handler))
        app.router.add_post("/v1/messages/count_tokens", self._patient(counted(self.episode, Messages(), self._limits)))
        app.router.add_get("/v1/models", self._patient(self._models))
        app.router.add_get("/v1/models/{name:.+}", self._patient(self._model))
        self._runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, handler_cancellation=True, shutdown_timeout=1.0
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
            if self._socket is not None:
                _remove_stale(Path(self._socket))
                await web.UnixSite(self._runner, str(self._socket)).start()
        except OSError as error:
            await self._runner.cleanup()
            where = f"{self._host}:{self._port}" + (f" and {self._socket}" if self._socket else "")
            raise ConfigError(f"the gateway cannot listen at {where}: {error.strerror or error}") from None
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def close(self) -> None:
        """Close all episodes, and stop listening."""
        for opened in list(self._open.values()):
            await opened.close()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    @asynccontextmanager
    async def open(
        self,
        policy: TokenPolicy | TextPolicy,
        *,
        seed: tuple[int, ...] = (0,),
        agent: str = POLICY,
        model: str = "policy",
        limits: GatewayLimits | None = None,
        moderation: Hook | str | None = None,
        own_sampling: bool = True,
    ) -> AsyncIterator[Opened]:
        """Open an episode, which is closed at the end of the block; ``Opened.close`` returns its recording.

        Args:
            policy: what answers: an engine's for training, or a model behind a URL, which is only recorded.
            seed: of the episode: run seed, admission index, sample. Replies are seeded by it, the agent and the
                conversation, never by the order in which calls come.
            agent: name of the agent in segments and seeds.
            model: the name by which the agent asks for the model.
            limits: of the episode.
            moderation: see ``Hook``.
            own_sampling: sample as the policy does; the agent's temperature, top_p, top_k and penalties are ignored.
                If false, the agent chooses, and replies with top_p or top_k are not trained.
        """
        opened = Opened(
            policy,
            url=self.url,
            model=model,
            agent=agent,
            seed=seed,
            limits=limits,
            moderation=moderation,
            own_sampling=own_sampling,
            forget=self._forget,
        )
        self._open[_digest(opened.key)] = opened
        try:
            yield opened
        finally:
            await opened.close()

    def episode(self, request: web.Request) -> Opened:
        """The episode whose key a request has.

        Raises:
            Refusal: the key is missing or wrong, or its episode is closed.
        """
        key = _key(request)
        digest = _digest(key)
        if opened := self._open.get(digest):
            return opened
        if digest in self._closed:
            raise Refusal("this episode is closed", status=403, code="episode_closed")
        message = "the API key is wrong" if key else "an API key is needed: Authorization: Bearer KEY, or x-api-key"
        raise Refusal(message, status=401, code="invalid_api_key")

    def _patient(self, handler: Handler) -> Handler:
        """The handler, whose refusals wait before they are sent if there are many."""

        async def handle(request: web.Request) -> web.StreamResponse:
            response = await handler(request)
            source = self._source(request)
            if response.status < 400:
                self._refusals.forget(source)
            elif seconds := self._refusals.delay(source, response.status):
                await asyncio.sleep(seconds)
            return response

        return handle

    def _source(self, request: web.Request) -> Hashable:
        """Who asks: the episode, if the request has a key that is or was one's; else an address."""
        digest = _digest(_key(request))
        return digest if digest in self._open or digest in self._closed else request.remote

    def _forget(self, opened: Opened) -> None:
        digest = _digest(opened.key)
        self._open.pop(digest, None)
        self._closed[digest] = None
        while len(self._closed) > _CLOSED:
            self._closed.popitem(last=False)

    async def _models(self, request: web.Request) -> web.Response:
        try:
            opened = self.episode(request)
        except Refusal as refusal:
            return web.json_response(openai_error(refusal), status=refusal.status)
        return web.json_response({"object": "list", "data": [_entry(opened)], "has_more": False})

    async def _model(self, request: web.Request) -> web.Response:
        try:
            opened = self.episode(request)
            opened.check_model(request.match_info["name"])
        except Refusal as refusal:
            return web.json_response(openai_error(refusal), status=refusal.status)
        return web.json_response(_entry(opened))


def _key(request: web.Request) -> str:
    """The key that a request has, or nothing."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    key = token.strip() if kind.lower() == "bearer" else ""
    return key or request.headers.get("x-api-key", "").strip()


def _remove_stale(socket: Path) -> None:
    """Remove the socket of a gateway that was killed, and nothing else."""
    if socket.is_socket():
        socket.unlink()


def _entry(opened: Opened) -> dict[str, object]:
    """The model as OpenAI and Anthropic describe theirs, with the names that others have for its context."""
    entry: dict[str, object] = {"id": opened.model, "object": "model", "created": 0, "owned_by": "lachesis"}
    entry |= {"type": "model", "display_name": opened.model, "created_at": "1970-01-01T00:00:00Z"}
    return entry | ({"context_length": opened.context, "max_model_len": opened.context} if opened.context else {})


def _digest(key: str) -> bytes:
    """What the gateway keeps of a key; looking it up takes the same time for all wrong keys."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
