"""The HTTP service of a sequence classifier: vLLM's route ``/classify``, with concurrent requests in batches."""

import asyncio
import json
import math
from typing import Any

from aiohttp import web

from ...verifiers.errors import DataError
from ...verifiers.message import as_messages
from ..models.sequence_classifier import SequenceClassifier

MAX_BODY = 8 << 20
"""Longest request, in bytes."""
MAX_WAITING = 4096
"""Most requests that wait; further ones are told to come back."""


class ClassifyService:
    """Answers ``POST /classify`` with ``{"model", "messages"}`` as vLLM does.

    Args:
        classifier: the model.
        name: what it is called; requests may name any model, because there is one.
        batch: most conversations that are computed together.
    """

    def __init__(self, classifier: SequenceClassifier, name: str, batch: int) -> None:
        self._classifier, self._name, self._batch = classifier, name, batch
        self._waiting: asyncio.Queue[tuple[list[int], asyncio.Future[list[float]]]] = asyncio.Queue(MAX_WAITING)

    def runner(self) -> web.AppRunner:
        """The service, to be set up on a port."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/classify", self._classify)
        app.router.add_get("/health", self._health)
        app.cleanup_ctx.append(self._working)
        return web.AppRunner(app)

    async def _working(self, app: web.Application) -> Any:
        worker = asyncio.create_task(self._work())
        yield
        worker.cancel()

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"model": self._name, "waiting": self._waiting.qsize()})

    async def _classify(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
            if not isinstance(body, dict) or "messages" not in body:
                raise DataError("a request is an object with messages")
            messages = as_messages(body["messages"])
            tokens = await asyncio.to_thread(self._classifier.encode, messages)
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"a request has at most {MAX_BODY >> 20} MiB")
        except (ValueError, RecursionError) as error:
            return _error(400, f"the request is not JSON: {error}")
        except DataError as error:
            return _error(400, str(error))
        future: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        try:
            self._waiting.put_nowait((tokens, future))
        except asyncio.QueueFull:
            return _error(503, f"{MAX_WAITING} requests wait; come back later")
        try:
            outputs = await future
        except RuntimeError as error:  # torch's, such as a GPU without memory
            return _error(500, f"the model failed: {error!s:.200}")
        return web.json_response(self._answer(outputs, len(tokens), body.get("use_activation") is not False))

    async def _work(self) -> None:
        """Compute what waits, in batches, for ever."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            batch = [(tokens, future) for tokens, future in batch if not future.done()]  # whose callers are still there
            if not batch:
                continue
            try:
                found = await asyncio.to_thread(self._classifier.outputs, [tokens for tokens, _ in batch])
            except RuntimeError as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(RuntimeError(str(error)))
                continue
            for (_, future), outputs in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(outputs)

    def _answer(self, outputs: list[float], tokens: int, activated: bool) -> dict[str, Any]:
        best = max(range(len(outputs)), key=outputs.__getitem__)
        row = {
            "index": 0,
            "label": self._classifier.labels[best],
            "probs": _activated(outputs) if activated else outputs,
            "num_classes": len(outputs),
        }
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": self._name, "data": [row], "usage": usage}


def _activated(outputs: list[float]) -> list[float]:
    if len(outputs) == 1:
        return [1 / (1 + math.exp(min(700.0, max(-700.0, -outputs[0]))))]
    shares = [math.exp(output - max(outputs)) for output in outputs]
    return [share / sum(shares) for share in shares]


def _error(status: int, message: str) -> web.Response:
    headers = {"Retry-After": "1"} if status == 503 else {}
    return web.json_response({"error": {"message": message, "code": status}}, status=status, headers=headers)
