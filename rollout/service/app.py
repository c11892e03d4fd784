"""The HTTP server of the trajectory service: every route of the Atropos wire, without the reference's faults."""

import base64
import binascii
import hmac
import json
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ...verifiers.errors import InfrastructureError
from .body import BodyLimits, packed, read_body
from .door import Door
from .metrics import exposition
from .openapi import Part, document
from .service import Service, Times
from .storage.queue import QueueFull
from .wire import ENVIRONMENT_IDENTIFIER, ENVIRONMENT_REGISTRATION, REGISTRATION, BadBody

__all__ = ["BodyLimits", "Door", "Service", "Times", "make_app", "make_runner"]

_log = logging.getLogger(__name__)
_RETRY_AFTER = "5"
_NO_EXAMPLE = (
    "tokens masks scores advantages ref_logprobs generation_params inference_logprobs messages images".split()  # noqa: SIM905
)


def make_app(
    service: Service,
    *,
    token: str = "",
    routes: Sequence[web.RouteDef] = (),
    described: Sequence[Part] = (),
    limits: BodyLimits | None = None,
    max_requests: int = 256,
) -> web.Application:
    """The application over ``service``; run it with ``make_runner``.

    Args:
        service: the state.
        token: what callers must show as ``Authorization: Bearer TOKEN``, or as the password in the URL; empty for none.
        routes: further routes, for example the engine's.
        described: what the OpenAPI document says of these.
        limits: of a body.
        max_requests: requests that are answered at a time; further ones get 503.
    """
    wire = _Wire(service, limits or BodyLimits(), described)
    guard = _Guard(token, max_requests, wire.answers)
    app = web.Application(middlewares=[guard.middleware()], client_max_size=wire.limits.bytes)
    app.add_routes([*wire.routes(), *routes])

    async def close(_: web.Application) -> None:
        service.closing = True

    app.on_shutdown.append(close)
    return app


def make_runner(app: web.Application) -> web.AppRunner:
    """What runs the application; bodies are unpacked by ``read_body``, which bounds them, and not by aiohttp."""
    return web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=5.0, read_bufsize=1 << 20)


class _Guard:
    """What every request passes: the token, the number of requests at a time, and errors as JSON."""

    def __init__(self, token: str, max_requests: int, answers: Counter[tuple[str, int]]) -> None:
        self._token, self._max_requests, self._answers = token, max_requests, answers
        self._requests = 0

    def middleware(self) -> Middleware:
        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._watch(request, handler)

        return watch

    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._requests += 1
        try:
            response = await self._answer(request, handler)
        finally:
            self._requests -= 1
        resource = request.match_info.route.resource
        self._answers[resource.canonical if resource else "unknown", response.status] += 1
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._token and not hmac.compare_digest(_shown_token(request).encode(), self._token.encode()):
            return _error(401, "give the token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer, Basic"})
        if not self._token and "Origin" in request.headers:
            return _error(403, "a web page may not call this service; start it with a token to allow that")
        if self._requests > self._max_requests:
            return _error(503, "too many requests at a time; try again", {"Retry-After": _RETRY_AFTER})
        try:
            return await handler(request)
        except BadBody as error:
            return web.json_response({"detail": error.detail}, status=422)
        except QueueFull as error:
            return _error(503, str(error), {"Retry-After": _RETRY_AFTER})
        except InfrastructureError as error:
            _log.error("%s %s: %s", request.method, request.path, error)
            return _error(503, str(error), {"Retry-After": _RETRY_AFTER})
        except web.HTTPException as error:
            if error.status == 400:
                return web.Response(text=error.text, status=400)
            kept = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return _error(error.status, error.text or error.reason, kept)


def _shown_token(request: web.Request) -> str:
    kind, _, shown = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "basic":  # what aiohttp and requests make of http://any:TOKEN@host
        try:
            return base64.b64decode(shown, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return shown.strip() if kind.lower() == "bearer" else ""


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"detail": message}, status=status, headers=headers)


class _Wire:
    """The routes of the wire over one service."""

    def __init__(self, service: Service, limits: BodyLimits, described: Sequence[Part]) -> None:
        self.service, self.limits, self.described = service, limits, described
        self.answers: Counter[tuple[str, int]] = Counter()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.root),
            web.post("/register", self.register),
            web.post("/register-env", self.register_env),
            web.post("/disconnect-env", self.disconnect_env),
            web.get("/wandb_info", self.wandb_info),
            web.get("/info", self.info),
            web.get("/batch", self.batch, allow_head=False),
            web.post("/scored_data", self.scored_data),
            web.post("/scored_data_list", self.scored_data_list),
            web.get("/status", self.status),
            web.get("/status-env", self.status_env),
            web.get("/latest_example", self.latest_example),
            web.get("/reset_data", self.reset_data, allow_head=False),
            web.get("/quarantine", self.quarantine),
            web.get("/metrics", self.metrics),
            web.get("/openapi.json", self.openapi),
        ]

    async def root(self, request: web.Request) -> web.Response:
        return _json({"message": "AtroposLib API"})

    async def register(self, request: web.Request) -> web.Response:
        (registration,) = REGISTRATION.decode(await read_body(request, self.limits))
        return _json({"uuid": await self.service.register(registration, _trainer(request))})

    async def register_env(self, request: web.Request) -> web.Response:
        (registration,) = ENVIRONMENT_REGISTRATION.decode(await read_body(request, self.limits))
        return _json(await self.service.register_environment(registration))

    async def disconnect_env(self, request: web.Request) -> web.Response:
        (wanted,) = ENVIRONMENT_IDENTIFIER.decode(await read_body(request, self.limits))
        if await self.service.disconnect(wanted.env_id):
            return _json({"status": "success"})
        return _json({"status": "failure", "error": f"there is no environment {wanted.env_id}"})

    async def wandb_info(self, request: web.Request) -> web.Response:
        known = self.service.registration
        return _json({"group": known and known.wandb_group, "project": known and known.wandb_project})

    async def info(self, request: web.Request) -> web.Response:
        known = self.service.registration
        if known is None:
            return _json({"batch_size": -1, "max_token_len": -1})
        return _json({"batch_size": known.batch_size, "max_token_len": known.max_token_len})

    async def batch(self, request: web.Request) -> web.StreamResponse:
        if self.service.registration is None:
            message = "Trainer not registered. Call /register first."
            return _json({"status": "error", "message": message, "batch": []})
        trainer = _trainer(request)
        groups = await self.service.batch(trainer)
        if groups is None:
            return _json({"batch": None})
        numbers = ",".join(str(group.number) for group in groups)
        body = b'{"batch":[' + b",".join(group.body for group in groups) + f'],"numbers":[{numbers}]}}'.encode()
        response = await packed(request, body, "application/json")
        whole = False
        try:
            await response.prepare(request)
            await response.write_eof()
            whole = request.transport is not None and not request.transport.is_closing()
        except OSError:
            pass  # the trainer went away
        finally:
            self.service.settle(trainer, groups, whole)
        return response

    async def scored_data(self, request: web.Request) -> web.Response:
        return _json(await self.service.submit(await read_body(request, self.limits), many=False))

    async def scored_data_list(self, request: web.Request) -> web.Response:
        return _json(await self.service.submit(await read_body(request, self.limits), many=True))

    async def status(self, request: web.Request) -> web.Response:
        return _json({"current_step": self.service.step, "queue_size": len(self.service.queue)})

    async def status_env(self, request: web.Request) -> web.Response:
        (wanted,) = ENVIRONMENT_IDENTIFIER.decode(await read_body(request, self.limits))
        found = self.service.environment_status(wanted.env_id)
        return _error(404, f"there is no environment {wanted.env_id}") if found is None else _json(found)

    async def latest_example(self, request: web.Request) -> web.Response:
        latest = self.service.latest
        if latest is None:
            return _json({name: [] for name in _NO_EXAMPLE})
        return await packed(request, latest, "application/json")

    async def reset_data(self, request: web.Request) -> web.Response:
        await self.service.reset()
        return web.Response(text="Reset successful")

    async def quarantine(self, request: web.Request) -> web.Response:
        rows = [
            {"at": one.at, "reason": one.reason, "body": one.start.decode(errors="replace"), "bytes": one.size}
            for one in await self.service.queue.quarantine.newest()
        ]
        return await packed(request, json.dumps({"refused": rows}).encode(), "application/json")

    async def metrics(self, request: web.Request) -> web.Response:
        text = exposition(self.service, self.answers)
        return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def openapi(self, request: web.Request) -> web.Response:
        return await packed(request, json.dumps(document(*self.described)).encode(), "application/json")


def _trainer(request: web.Request) -> str:
    """Who asks for batches: the number in ``?trainer=``, or else the address that the request comes from."""
    return request.query.get("trainer") or request.remote or ""


def _json(value: Any) -> web.Response:
    return web.json_response(value)
