"""A user's own engine, checked against the protocol: what it raises or returns wrongly is an ``EngineError``."""

import inspect
import logging
from typing import Any, get_args

import numpy as np

from ...verifiers.errors import EngineError
from .engine import Completion, Engine, EngineInfo, Ids, Logprobs, Request, Stop
from .own_code import CURE, OwnCode
from .registry import ENGINES, EngineSetup
from .weight_transport.transport import Shipment

log = logging.getLogger("lachesis")

METHODS = ("generate", "compute_logprobs", "update", "info", "close")


class CheckedEngine:
    """An ``Engine`` around a user's own one.

    Args:
        name: ``module:name``, as in ``rollout.engine``.
        setup: what it is built from.

    Raises:
        EngineError: its constructor raised, or a method is missing.
    """

    def __init__(self, name: str, setup: EngineSetup) -> None:
        self._setting = f"rollout.engine = {name!r}"
        with OwnCode(f"{self._setting}: its constructor"):
            self._engine: Any = ENGINES.load(name)(setup)
        missing = [method for method in METHODS if not callable(getattr(self._engine, method, None))]
        if missing:
            raise EngineError(f"{self._setting} has no method {', '.join(missing)}; {CURE}")

    async def generate(self, request: Request) -> Completion:
        """As in ``Engine``."""
        completion = await self._call("generate", request)
        if flaw := flaw_of(completion, request):
            raise EngineError(f"{self._setting}: generate returned {flaw}; {CURE}")
        return completion  # type: ignore[no-any-return]

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> Logprobs:
        """As in ``Engine``."""
        found = await self._call("compute_logprobs", tokens, temperature)
        if not isinstance(found, np.ndarray) or found.shape != tokens.shape or found.dtype.kind != "f":
            raise EngineError(
                f"{self._setting}: compute_logprobs returns an array with a float for each of the {len(tokens)} "
                f"tokens, found {_shown(found)}; {CURE}"
            )
        return found

    async def update(self, shipment: Shipment) -> str:
        """As in ``Engine``."""
        digest = await self._call("update", shipment)
        if not isinstance(digest, str):
            raise EngineError(
                f"{self._setting}: update returns the digest that the receiver's finish() gave, found "
                f"{_shown(digest)}; {CURE}"
            )
        return digest

    async def sleep(self) -> None:
        """As in ``Engine``; an engine without this method stays awake."""
        if callable(getattr(self._engine, "sleep", None)):
            await self._call("sleep")

    async def info(self) -> EngineInfo:
        """As in ``Engine``."""
        info = await self._call("info")
        if not isinstance(info, EngineInfo):
            raise EngineError(f"{self._setting}: info returns an EngineInfo, found {_shown(info)}; {CURE}")
        return info

    async def close(self) -> None:
        """As in ``Engine``; an error is logged, because a run that has ended cannot fail any more."""
        try:
            await self._call("close")
        except EngineError as error:
            log.warning("%s", error)

    async def _call(self, method: str, *arguments: Any) -> Any:
        with OwnCode(f"{self._setting}: {method}"):
            answer = getattr(self._engine, method)(*arguments)
            if not inspect.isawaitable(answer):
                raise EngineError(f"{self._setting}: {method} is not async; write `async def {method}`")
            return await answer


def open_engine(name: str, setup: EngineSetup) -> Engine:
    """The engine that ``rollout.engine`` names; a user's own one is checked.

    Raises:
        ConfigError: it cannot be imported, or the model does not fit.
        EngineError: a user's own engine breaks the protocol.
    """
    return ENGINES.load(name)(setup) if name in ENGINES.names else CheckedEngine(name, setup)


def flaw_of(completion: Any, request: Request) -> str:
    """What of ``completion`` is against the protocol, with the value; empty if nothing is."""
    if not isinstance(completion, Completion):
        return f"no Completion but {_shown(completion)}"
    tokens, logprobs, versions = completion.tokens, completion.logprobs, completion.versions
    for name, array, kinds in (("tokens", tokens, "iu"), ("logprobs", logprobs, "f"), ("versions", versions, "iu")):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in kinds:
            return f"{name} that are no array of {'numbers' if kinds == 'f' else 'whole numbers'}: {_shown(array)}"
    if not len(tokens) == len(logprobs) == len(versions):
        return f"{len(tokens)} tokens, {len(logprobs)} logprobs and {len(versions)} versions, which must be as many"
    if len(tokens) > request.sampling.max_tokens:
        return f"{len(tokens)} tokens, more than the {request.sampling.max_tokens} that were asked for"
    if (tokens < 0).any():
        return f"the token id {tokens.min()}"
    possible = np.isfinite(logprobs) & (logprobs <= 1e-3)  # float32 rounding may give a certain token more than 0
    if not possible.all():
        return f"the logprob {logprobs[~possible][0]}, which is not finite or above 0"
    if (versions < request.version).any():
        return f"tokens of weights version {versions.min()}, where {request.version} is needed (raise EngineStale)"
    if completion.stop not in get_args(Stop):
        return f"the stop {completion.stop!r:.80}, which is none of {', '.join(get_args(Stop))}"
    return ""


def _shown(value: Any) -> str:
    """The type of ``value`` and the beginning of its text."""
    return f"{type(value).__name__} {' '.join(repr(value).split()):.80}"
