"""Answers requests over HTTP in any dialect: errors in its form, streams, and heartbeats while the model thinks."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from ...verifiers.errors import InfrastructureError, InputError
from ..service.body import BodyLimits, read_body
from ..service.engine.requests import Refusal, read_json
from .call import Answer, Call
from .dialects.dialect import Dialect
from .episode import Opened

log = logging.getLogger("lachesis")

_RETRY_AFTER = {429: "1", 503: "1"}
_SILENT = 5
"""After so many heartbeats an answer that is no stream begins, with white space, which JSON may begin with."""
_WHOLE = {"Content-Type": "application/json"}
_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_OWN = ("temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "repetition_penalty")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answered(
    episode: Callable[[web.Request], Opened], dialect: Dialect, limits: BodyLimits, heartbeat: float
) -> Handler:
    """The handler of a dialect's requests.

    Args:
        episode: finds the episode of a request; raises ``Refusal``.
        dialect: what the client speaks.
        limits: of a body.
        heartbeat: seconds between the pings of a stream; other answers have white space after five times as long.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        with contextlib.ExitStack() as entered:
            try:
                opened = episode(request)
                entered.enter_context(opened.entered(1, _most_bytes(request, limits)))
                call = await _received(request, opened, dialect, limits)
            except _BAD as error:
                return _error(dialect, _refusal(error))
            if call.stream:
                pulse = _Pulse(request, _STREAM, dialect.ping, heartbeat)
            else:
                pulse = _Pulse(request, _WHOLE, b"\n", _SILENT * heartbeat)
            outcome = await _outcome(opened, call, pulse)
            if isinstance(outcome, Refusal):
                return await _refuse(request, dialect, call, outcome, pulse.response)
            try:
                return await _deliver(request, opened, dialect, call, outcome, pulse.response)
            except Refusal as busy:  # other answers are on their way; the client is given this one when it asks again
                return await _refuse(request, dialect, call, busy, pulse.response)

    return handle


async def _received(request: web.Request, opened: Opened, dialect: Dialect, limits: BodyLimits) -> Call:
    """The call that a request makes."""
    body = await read_body(request, limits)
    digest = hashlib.blake2b(request.path.encode() + b"\0" + body, digest_size=16).digest()
    retried = request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
    opened.check_budget(digest, retried=retried)
    return replace(_read(opened, dialect, body), digest=digest, retried=retried, size=len(body))


def _most_bytes(request: web.Request, limits: BodyLimits) -> int:
    """The most bytes that a request's body has, before it is read."""
    length, packed = request.content_length, request.headers.get("Content-Encoding", "identity")
    return limits.bytes if length is None or packed.strip().lower() != "identity" else min(length, limits.bytes)


def _read(opened: Opened, dialect: Dialect, body: bytes) -> Call:
    given = read_json(body)
    if not isinstance(given, dict):
        raise Refusal("the body is a JSON object")
    if opened.own_sampling:
        given = _without_sampling(given)
    call = dialect.read(given, opened.conversations)
    opened.check_model(call.wanted.model)
    return call


def _without_sampling(given: dict[str, Any]) -> dict[str, Any]:
    """The body without what the policy decides."""
    kept = {name: value for name, value in given.items() if name not in _OWN}
    inner = kept.get("sampling_params")
    return {**kept, "sampling_params": _without_sampling(inner)} if isinstance(inner, dict) else kept


def counted(episode: Callable[[web.Request], Opened], dialect: Dialect, limits: BodyLimits) -> Handler:
    """The handler that counts the tokens of what a request of the dialect would ask, as Anthropic's API does.

    Args:
        episode: as in ``answered``.
        dialect: what the client speaks.
        limits: of a body.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            opened = episode(request)
            with opened.entered(1, _most_bytes(request, limits)):
                call = _read(opened, dialect, await read_body(request, limits))
                return web.json_response({"input_tokens": opened.count(call)})
        except _BAD as error:
            return _error(dialect, _refusal(error))

    return handle


class _Pulse:
    """Sends something every few seconds while the model thinks, so that programs and proxies keep the connection.

    Args:
        request: what is answered.
        headers: of the answer.
        ping: what is sent.
        seconds: before the first ping, and between two of them.

    Attributes:
        response: the answer, once it has begun with a ping.
    """

    def __init__(self, request: web.Request, headers: dict[str, str], ping: bytes, seconds: float) -> None:
        self.response: web.StreamResponse | None = None
        self._request, self._headers, self._ping, self._seconds = request, headers, ping, seconds
        self._pings: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)  # most calls end before

    def _begin(self) -> None:
        self._pings = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        self.response = web.StreamResponse(headers=self._headers)
        with contextlib.suppress(ConnectionError):  # the client is gone, so the server cancels the call
            await self.response.prepare(self._request)
            while True:
                await self.response.write(self._ping)
                await asyncio.sleep(self._seconds)

    async def stop(self) -> None:
        """Send no more pings."""
        self._timer.cancel()
        if self._pings:
            self._pings.cancel()
            await asyncio.wait([self._pings])


async def _outcome(opened: Opened, call: Call, pulse: _Pulse) -> Answer | Refusal:
    try:
        return await opened.answer(call)
    except _BAD as error:
        return _refusal(error)
    except Exception:  # a fault of an engine's own code, or here
        log.exception("the gateway could not answer a call")
        return Refusal("the gateway could not answer; its log says why", status=500, code="internal_error")
    finally:
        await pulse.stop()


async def _refuse(
    request: web.Request, dialect: Dialect, call: Call, refusal: Refusal, begun: web.StreamResponse | None
) -> web.StreamResponse:
    """Send an error; one that comes before the first ping has a status of its own."""
    if not begun:
        return _error(dialect, refusal)
    if call.stream:
        await begun.write(dialect.error_event(refusal))
    elif request.transport:  # the status was sent: to a client, this is a lost connection, and it asks again
        request.transport.abort()
    return begun


async def _deliver(
    request: web.Request, opened: Opened, dialect: Dialect, call: Call, answer: Answer, begun: web.StreamResponse | None
) -> web.StreamResponse:
    """Send the answer, after the pings if there were any."""
    whole = False
    try:
        if call.stream:
            body = b"".join(dialect.events(call, answer))
            response = begun or web.StreamResponse(headers=_STREAM)
        else:
            body = json.dumps(dialect.write(call, answer)).encode()
            response = begun or web.Response(body=body, headers=_WHOLE)
        with opened.entered(0, len(body)):
            if not begun:
                await response.prepare(request)
            if begun or call.stream:
                await response.write(body)
            await response.write_eof()
        whole = _connected(request)
    except ConnectionError:
        pass
    finally:
        opened.delivered(call, answer, whole=whole)
    return response


def _connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


_BAD = (Refusal, InputError, InfrastructureError, RecursionError, web.HTTPException)


def _refusal(error: BaseException) -> Refusal:
    """The error as one that the dialect can write."""
    match error:
        case Refusal():
            return error
        case web.HTTPException():
            return Refusal(error.text or error.reason, status=error.status)
        case InfrastructureError():
            return Refusal(str(error), status=503, code="engine_unavailable")
    return Refusal(str(error) or type(error).__name__)


def _error(dialect: Dialect, refusal: Refusal) -> web.Response:
    wait: Any = {"Retry-After": _RETRY_AFTER[refusal.status]} if refusal.status in _RETRY_AFTER else None
    return web.json_response(dialect.error(refusal), status=refusal.status, headers=wait)
