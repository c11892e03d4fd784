"""The protocol of engines, which generate tokens, and the records that cross it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ...verifiers.errors import DataError
from .weight_transport.transport import Shipment

Ids = npt.NDArray[np.int32]
Logprobs = npt.NDArray[np.float32]
Stop = Literal["stop", "length", "abort"]

MOST_STOPS, LONGEST_STOP = 64, 1000
"""Most stop strings of one request, and most characters of one."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn.

    Attributes:
        temperature: 0 is greedy, with logprobs then taken at temperature 1.
        top_p: smallest set of tokens with this much probability; 1 keeps all.
        top_k: so many of the most probable tokens; 0 keeps all.
        max_tokens: most tokens to sample.
        stop_ids: token ids that end the reply; the sampled one is returned as its last token.
        seed: equal requests with equal seeds under equal weights give equal bits, whatever else is running.
        schema: a JSON schema, as text, that constrains the reply token by token; empty for none.
        min_p: keeps tokens with at least this share of the most probable token's probability; 0 keeps all.
        stop: texts that end the reply; the token that completes one is returned as its last token.
        include_stop: whether the reply's text contains the stop string; its tokens do in any case.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 256
    stop_ids: tuple[int, ...] = ()
    seed: int = 0
    schema: str = ""
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    include_stop: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < 100:
            raise DataError(f"temperature is between 0 and 100, found {self.temperature!r}")
        if not 0 < self.top_p <= 1:
            raise DataError(f"top_p is above 0 and at most 1, found {self.top_p!r}")
        if self.top_k < 0 or self.max_tokens < 1:
            raise DataError(
                f"top_k is 0 or more and max_tokens 1 or more, found {self.top_k!r} and {self.max_tokens!r}"
            )
        if not 0 <= self.min_p <= 1:
            raise DataError(f"min_p is between 0 and 1, found {self.min_p!r}")
        if self.stop != () and self.stop != read_stops(self.stop):
            raise DataError(f"stop is a tuple of texts, found {self.stop!r:.80}")


def read_stops(value: Any) -> tuple[str, ...]:
    """Stop strings that are given as one text or as a list of them.

    Raises:
        DataError: they are neither, or empty, or too many or too long.
    """
    stops = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else (value,)
    if len(stops) > MOST_STOPS or not all(map(_is_stop, stops)):
        raise DataError(
            f"stop is a text or a list of at most {MOST_STOPS} texts of 1 to {LONGEST_STOP} characters, "
            f"found {value!r:.80}"
        )
    return stops


def _is_stop(value: Any) -> bool:
    """Whether ``value`` is a text that a reply may contain: lone surrogates have no bytes."""
    return (
        isinstance(value, str) and 0 < len(value) <= LONGEST_STOP and value.encode("utf-8", "replace").decode() == value
    )


@dataclass(frozen=True, eq=False)
class Request:
    """One prompt to continue.

    Attributes:
        prompt: int32, the exact ids.
        sampling: how to continue it.
        version: the lowest weights version that may serve it.
        route: requests of one route go to one engine while it lives, so that shared prompts are computed once.
    """

    prompt: Ids
    sampling: Sampling
    version: int = 0
    route: int = 0


@dataclass(frozen=True, eq=False)
class Completion:
    """The sampled continuation of a prompt.

    Attributes:
        tokens: int32; the last is a stop id if one ended the reply.
        logprobs: float32, under the distribution that was drawn from, after temperature and filters. If a schema
            constrained the reply: under the policy's own distribution after temperature, as a trainer computes them,
            because the schema is no part of the policy.
        versions: int32, the weights version that sampled each token.
        stop: ``stop`` (a stop id or a stop string), ``length`` (max_tokens or the context), ``abort``.
    """

    tokens: Ids
    logprobs: Logprobs
    versions: Ids
    stop: Stop

    def cut(self, count: int) -> Completion:
        """The first ``count`` tokens, as a completion that a stop string ended."""
        return Completion(
            self.tokens[:count].copy(), self.logprobs[:count].copy(), self.versions[:count].copy(), "stop"
        )


@dataclass(frozen=True)
class EngineInfo:
    """An engine's kind and state.

    Attributes:
        name: ``torch``, ``vllm``, ``scripted``, …
        version: the weights version it holds; -1 before the first ``update``, when it refuses to generate.
        context: most tokens of prompt and completion together.
        vocabulary: rows of the output layer.
        tokens_generated: since it started.
        details: further facts for logs, by name.
        adapters: whether ``update`` takes adapters alone, and adds them to the weights in the model's folder.
        slots: most requests that are advanced together; 0 if there is no such limit.
        cache_tokens: most tokens of all requests together that the cache holds; 0 if there is no such limit.
    """

    name: str
    version: int = -1
    context: int = 0
    vocabulary: int = 0
    tokens_generated: int = 0
    details: dict[str, str] = field(default_factory=dict)
    adapters: bool = False
    slots: int = 0
    cache_tokens: int = 0

    def room(self, request_tokens: float) -> int:
        """How many requests the engine can hold at the same time; 0 if that is unknown.

        Args:
            request_tokens: mean tokens of a request, prompt and completion; 0 if that is unknown.
        """
        if not self.slots:
            return 0
        fitting = self.cache_tokens / request_tokens if self.cache_tokens and request_tokens else self.slots
        return max(1, min(self.slots, int(fitting)))


class Generator(Protocol):
    """The part of an engine that chats use. May raise ``EngineError``."""

    async def generate(self, request: Request) -> Completion:
        """Continue a prompt. A prompt that leaves no room gives an empty completion with stop ``length``."""
        ...


class Engine(Generator, Protocol):
    """Generates tokens and computes logprobs under weights of a known version.

    Every call waits without blocking the event loop, so the engine may be in this process or behind a server. Any call
    may raise ``EngineError``; ``EngineLost`` says that this engine is gone and another may be asked.
    """

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> Logprobs:
        """Logprob of each token given those before it; the first is NaN. Same length as ``tokens``."""
        ...

    async def update(self, shipment: Shipment) -> str:
        """Take new weights, drop caches of older ones, and return the digest of what arrived."""
        ...

    async def sleep(self) -> None:
        """Give back the GPU's memory, if ``rollout.sleep`` says so, until the next ``update``."""
        ...

    async def info(self) -> EngineInfo:
        """The engine's kind and state."""
        ...

    async def close(self) -> None:
        """Give back memory, connections and processes."""
        ...


class EngineCore(Protocol):
    """The inside of an engine in this process: a queue of requests, advanced step by step; see ``LocalEngine``."""

    def add(self, key: int, request: Request) -> None:
        """Queue a request under the caller's ``key``."""
        ...

    def step(self) -> list[tuple[int, Completion]]:
        """Advance every running request by a token or a prefill; return those that ended."""
        ...

    def abort(self, key: int) -> Completion:
        """End one request and return the tokens that it has so far."""
        ...

    def compute_logprobs(self, tokens: Ids, temperature: float) -> Logprobs:
        """As in ``Engine``."""
        ...

    def update(self, shipment: Shipment) -> str:
        """As in ``Engine``."""
        ...

    def sleep(self) -> None:
        """As in ``Engine``."""
        ...

    def info(self) -> EngineInfo:
        """As in ``Engine``."""
        ...

    def close(self) -> None:
        """Give back memory and processes."""
        ...
