"""An engine that answers from a script: the protocol of engines without a model, for tests."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from ...verifiers.errors import ConfigError, EngineError
from ...verifiers.plugins import Plugins
from .engine import Completion, Engine, EngineInfo, Ids, Logprobs, Request, Stop
from .registry import EngineSetup
from .request_checks import check_version
from .weight_transport.transport import Shipment

Answer = list[int] | tuple[list[int], list[float]]
"""Token ids, or token ids and their logprobs."""

Script = Callable[[Request], Answer]

SCRIPTS: Plugins[Script] = Plugins("script", __package__, {})


class ScriptedEngine:
    """An ``Engine`` that answers each request with what ``script`` returns for it.

    An answer is cut after its first stop id (stop ``stop``), at ``max_tokens`` and at the context; an answer without a
    stop id ends with ``length``.

    Args:
        script: called once for each request; its exceptions are raised by ``generate``.
        version: of the weights it pretends to hold; -1 refuses to generate before an ``update``.
        context: most tokens of prompt and completion together.
        vocabulary: number of token ids.
        logprob: of every token for which the answer gives none, also in ``compute_logprobs``.
    """

    def __init__(
        self,
        script: Script,
        *,
        version: int = 0,
        context: int = 1024,
        vocabulary: int = 512,
        logprob: float = -1.0,
    ) -> None:
        self.requests: list[Request] = []
        self._script, self._version, self._logprob = script, version, logprob
        self._context, self._vocabulary, self._generated = context, vocabulary, 0

    async def generate(self, request: Request) -> Completion:
        """The script's answer."""
        check_version(self._version, request.version)
        self.requests.append(request)
        await asyncio.sleep(0)
        return self._cut(request, self._script(request))

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> Logprobs:
        """The engine's one logprob for each token; the first is NaN."""
        logprobs = np.full(len(tokens), self._logprob, np.float32)
        logprobs[:1] = np.nan
        return logprobs

    async def update(self, shipment: Shipment) -> str:
        """Take the shipment's version; its tensors are received and forgotten."""
        receiver = shipment.open()
        for _ in receiver.receive(shipment):
            pass
        self._version = shipment.version
        return receiver.finish()

    async def sleep(self) -> None:
        """Nothing to give back."""

    async def info(self) -> EngineInfo:
        """The engine's kind and state."""
        return EngineInfo("scripted", self._version, self._context, self._vocabulary, self._generated)

    async def close(self) -> None:
        """Nothing to give back."""

    def _cut(self, request: Request, answer: Answer) -> Completion:
        tokens, logprobs = answer if isinstance(answer, tuple) else (answer, [self._logprob] * len(answer))
        if len(tokens) != len(logprobs):
            raise EngineError(f"the script gave {len(tokens)} tokens and {len(logprobs)} logprobs; give one for each")
        room = max(0, min(request.sampling.max_tokens, self._context - len(request.prompt)))
        for place, token in enumerate(tokens[:room]):
            if token in request.sampling.stop_ids:
                return self._completion(tokens[: place + 1], logprobs[: place + 1], "stop")
        return self._completion(tokens[:room], logprobs[:room], "length")

    def _completion(self, tokens: Sequence[int], logprobs: Sequence[float], stop: Stop) -> Completion:
        self._generated += len(tokens)
        versions = np.full(len(tokens), self._version, np.int32)
        return Completion(np.array(tokens, np.int32), np.array(logprobs, np.float32), versions, stop)


def open_engine(setup: EngineSetup) -> Engine:
    """The engine whose script ``rollout.engine_options`` names as ``script = "module:name"``.

    The other options are arguments of ``ScriptedEngine``.
    """
    options = dict(setup.options)
    if "script" not in options:
        raise ConfigError('the scripted engine needs rollout.engine_options.script = "module:name", a function')
    script = SCRIPTS.load(options.pop("script"))
    return ScriptedEngine(script, **{"version": setup.version, "context": setup.context, **options})
