"""The client of an Atropos trainer: it samples from the trainer's engine and posts groups as an environment does."""

import asyncio
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
from aiohttp import ClientError, ClientTimeout

from ....verifiers.errors import EngineError, InfrastructureError
from ....verifiers.group import Group
from ...chats.renderer import Renderer
from ...engines.engine import Completion, Request, Sampling, Stop
from ..training.scored_data import scored_data_of
from .client import GroupRefused, RunChanged
from .connection import LONG, AnswerLost, Connection, detail
from .welcome import Figures, Welcome

WAIT = 1.0
"""Seconds between two questions whether the trainer has started."""

_GOODBYE = ClientTimeout(total=5)


class AtroposClient:
    """Registers as an environment, and posts groups; a ``Generator`` over an engine with vLLM's ``/generate``.

    The engine holds whatever weights the trainer has given it, so a token's version is the trainer's step when its
    group was begun.

    Args:
        url: of ``lachesis serve``, or of ``run-api`` of Atropos.
        engine: URL of the trainer's engine.
        renderer: the tokenizer and chat template of the trained model.
        name: under which it registers.
        token: that the service wants; empty for none, or if it stands in the URL.
        patience: seconds without any answer after which ``ServiceLost`` is raised.
        group_size: attempts at each task.
        sampling: how replies are drawn.
        ahead: batches of groups that may wait.

    Attributes:
        changed: whether the service has forgotten this environment, since the last welcome.
        over: whether the trainer has made its last step.
    """

    def __init__(
        self,
        url: str,
        engine: str,
        renderer: Renderer,
        *,
        name: str,
        token: str = "",
        patience: float = 600.0,
        group_size: int = 8,
        sampling: Sampling | None = None,
        ahead: int = 1,
    ) -> None:
        kind = "application/json"  # run-api refuses bodies without it
        self._service = Connection(url, token=token, patience=patience, content_type=kind)
        self._engine = Connection(engine, patience=patience, content_type=kind)
        self._renderer, self._name = renderer, name
        self._group_size, self._sampling, self._ahead = group_size, sampling or Sampling(), ahead
        self._id: int | None = None
        self._context = self._batch_size = self._steps = 0
        self._figures = Figures(0, 0, 0, 0)
        self.changed = self.over = False

    async def __aenter__(self) -> Self:
        await self._service.__aenter__()
        await self._engine.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._id is not None and not self._service.lost:
            with suppress(ClientError, OSError, TimeoutError, InfrastructureError):
                await self._service.ask("POST", "/disconnect-env", _json({"env_id": self._id}), _GOODBYE, repeat=False)
        await self._service.__aexit__(kind, error, trace)
        await self._engine.__aexit__(kind, error, trace)

    @property
    def lost(self) -> str:
        """Why the service or the engine does not answer; empty while both do."""
        return self._service.lost or self._engine.lost

    @property
    def silent(self) -> float:
        """Seconds since the last answer of the one that does not answer."""
        return (self._service if self._service.lost else self._engine).silent

    async def welcome(self) -> Welcome:
        """What the trainer needs now; at first it registers, which waits until the trainer has started.

        Raises:
            ConfigError: the token is wrong.
            InfrastructureError: the service is no service of Atropos.
            RunChanged: the service has forgotten this environment.
            ServiceLost: it did not answer in time.
        """
        if self._id is None:
            await self._register()
        body = _json({"env_id": self._id})
        status, answer = await self._service.ask("GET", "/status-env", body)
        if status in (404, 500):  # run-api answers 500 for an environment that it does not know
            self._id, self.changed = None, True
            raise RunChanged("the service has forgotten this environment")
        found = msgspec.json.decode(self._service.checked(status, answer))
        step = found["current_step"]
        self.over = step >= self._steps > 0
        wanted = max(1, self._ahead * self._batch_size // self._group_size) - found["queue_size"]
        self._figures = Figures(step, step, self._steps, 0 if self.over else max(0, wanted))
        return Welcome(
            run=str(self._id),
            name=self._name,
            context=self._context,
            tokenizer="",
            stop_ids=list(self._renderer.stop_ids),
            group_size=self._group_size,
            sampling=self._sampling,
            figures=self._figures,
        )

    async def tokenizer(self, digest: str, folder: Path) -> None:
        """Write the files of the tokenizer into ``folder``."""
        self._renderer.save(folder)

    async def generate(self, request: Request) -> Completion:
        """Continue a prompt on the trainer's engine.

        Raises:
            EngineError: the engine refuses it, or gives no token ids and logprobs.
            ServiceLost: it did not answer in time.
        """
        sampling, room = request.sampling, self._context - request.prompt.size
        if room <= 0:
            return _completion([], [], request.version, "length")
        if sampling.schema:
            raise EngineError("a reply cannot be held to a schema over /generate")
        wanted: dict[str, Any] = {
            "prompt": {"prompt_token_ids": request.prompt.tolist()},
            "n": 1,
            "logprobs": 0,
            "max_tokens": min(sampling.max_tokens, room),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stop_token_ids": list(sampling.stop_ids),
            "seed": sampling.seed,
        }
        if sampling.top_k:
            wanted["top_k"] = sampling.top_k
        if sampling.min_p:
            wanted["min_p"] = sampling.min_p
        if sampling.stop:
            wanted["stop"] = list(sampling.stop)
        status, body = await self._engine.ask("POST", "/generate", _json(wanted), LONG)
        if status != 200:
            raise EngineError(f"{self._engine.url}/generate answers {status}: {detail(body)}")
        return _read_completion(body, request.version)

    async def send(self, sequence: int, group: Group) -> Figures:
        """Post a group, one ScoredData for each agent that learns; returns where the trainer was when last asked.

        A post whose answer was lost is not repeated, since the group may have been taken.

        Args:
            sequence: not used; the wire has no place for it.
            group: to post.

        Raises:
            GroupRefused: the service does not take it, or its answer was lost.
            ServiceLost: it did not answer in time.
        """
        posts = scored_data_of(group)
        if not posts:
            raise GroupRefused("no agent of it is trained")
        for data in posts:
            try:
                status, body = await self._service.ask(
                    "POST", "/scored_data", _json({**data, "env_id": self._id}), repeat=False
                )
            except AnswerLost as error:
                raise GroupRefused(f"{error}; it may have been taken, so it is not sent again") from None
            if status in (413, 422):
                raise GroupRefused(detail(body))
            self._service.checked(status, body)
        self._figures = msgspec.structs.replace(self._figures, wanted=max(0, self._figures.wanted - 1))
        return self._figures

    async def _register(self) -> None:
        while True:
            info = await self._answer("GET", "/info")
            if info["batch_size"] > 0:
                wanted = {"max_token_length": info["max_token_len"], "desired_name": self._name, "weight": 1.0}
                answer = await self._answer("POST", "/register-env", {**wanted, "group_size": self._group_size})
                if answer["status"] == "success":
                    self._context, self._batch_size = info["max_token_len"], info["batch_size"]
                    self._id, self._steps, self.changed = answer["env_id"], answer["num_steps"], False
                    return
            await asyncio.sleep(WAIT)

    async def _answer(self, method: str, path: str, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
        status, body = await self._service.ask(method, path, _json(wanted) if wanted else None)
        found: dict[str, Any] = msgspec.json.decode(self._service.checked(status, body))
        return found


class _Generated(msgspec.Struct):
    """What is read of an answer to ``/generate``: for each completion one object of id and logprob a token."""

    logprobs: list[list[list[dict[str, float]]]]
    finish_reasons: list[str | None]


_generated = msgspec.json.Decoder(_Generated)


def _read_completion(body: bytes, version: int) -> Completion:
    try:
        found = _generated.decode(body)
        sampled = [next(iter(entry[0].items())) for entry in found.logprobs[0]]
        finish = found.finish_reasons[0]
        stop: Stop = "stop" if finish == "stop" else "length" if finish == "length" else "abort"
        return _completion([int(token) for token, _ in sampled], [value for _, value in sampled], version, stop)
    except (msgspec.DecodeError, ValueError, LookupError, StopIteration) as error:
        raise EngineError(
            f"the engine's answer has no token ids and logprobs ({error}); it has to answer /generate as vLLM does"
        ) from None


def _completion(tokens: list[int], logprobs: list[float], version: int, stop: Stop) -> Completion:
    versions = np.full(len(tokens), version, np.int32)
    return Completion(np.array(tokens, np.int32), np.array(logprobs, np.float32), versions, stop)


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
