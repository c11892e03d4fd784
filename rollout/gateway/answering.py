"""Answers requests over HTTP in any dialect: errors in its form, streams with heartbeats, and calls that can end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
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

_RETRY_AFTER = {429: "1", 503: "1"}
_SILENT = 5
"""After so many heartbeats an answer that is no stream begins, with white space, which JSON may begin with."""
_JSON = "application/json"
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
        try:
            opened = episode(request)
            body = await read_body(request, limits)
            digest = hashlib.blake2b(request.path.encode() + b"\0" + body, digest_size=16).digest()
            retried = request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
            opened.check_budget(digest, retried=retried)
            call = replace(_read(opened, dialect, body), digest=digest, retried=retried)
        except _BAD as error:
            return _error(dialect, _refusal(error))
        task = asyncio.create_task(opened.answer(call))
        try:
            if call.stream:
                return await _stream(request, opened, dialect, call, task, heartbeat)
            return await _whole(request, opened, dialect, call, task, _SILENT * heartbeat)
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, *_BAD):
                    await task

    return handle


def _read(opened: Opened, dialect: Dialect, body: bytes) -> Call:
    given = read_json(body)
    if not isinstance(given, dict):
        raise Refusal("the body is a JSON object")
    if opened.own_sampling:
        given = _without_sampling(given)
    call = dialect.read(given)
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
            call = _read(opened, dialect, await read_body(request, limits))
            return web.json_response({"input_tokens": opened.count(call)})
        except _BAD as error:
            return _error(dialect, _refusal(error))

    return handle


async def _whole(
    request: web.Request, opened: Opened, dialect: Dialect, call: Call, task: asyncio.Task[Answer], silent: float
) -> web.StreamResponse:
    """Send the answer in one piece; programs and proxies that would give up are sent white space before it."""
    begun: web.StreamResponse | None = None
    while not (await asyncio.wait([task], timeout=silent))[0]:
        if not begun:
            begun = web.StreamResponse(headers={"Content-Type": _JSON})
            await begun.prepare(request)
        await begun.write(b"\n")  # raises if the client is gone
    try:
        answer = task.result()
    except _BAD as error:
        if not begun:
            return _error(dialect, _refusal(error))
        if request.transport:  # the status was sent: to a client, this is a lost connection, and it asks again
            request.transport.abort()
        return begun
    body = json.dumps(dialect.write(call, answer)).encode()
    response = begun or web.Response(body=body, headers={"Content-Type": _JSON})
    whole = False
    try:
        if begun:
            await begun.write(body)
        else:
            await response.prepare(request)
        await response.write_eof()
        whole = _connected(request)
    except ConnectionError:
        pass
    finally:
        opened.delivered(call, answer, whole=whole)
    return response


async def _stream(
    request: web.Request,
    opened: Opened,
    dialect: Dialect,
    call: Call,
    task: asyncio.Task[Answer],
    heartbeat: float,
) -> web.StreamResponse:
    """Send the events of the answer; errors that come before the first heartbeat have a status of their own."""
    response = web.StreamResponse(headers=_STREAM)
    while not (await asyncio.wait([task], timeout=heartbeat))[0]:
        if not response.prepared:
            await response.prepare(request)
        await response.write(dialect.ping)  # raises if the client is gone
    try:
        answer = task.result()
    except _BAD as error:
        refusal = _refusal(error)
        if not response.prepared:
            return _error(dialect, refusal)
        await response.write(dialect.error_event(refusal))
        return response
    whole = False
    try:
        if not response.prepared:
            await response.prepare(request)
        await response.write(b"".join(dialect.events(call, answer)))
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
