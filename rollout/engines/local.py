"""An engine in this process: an ``EngineCore`` advanced on the running event loop, without threads."""

import asyncio
import contextlib
import itertools

from ...verifiers.errors import EngineError
from .engine import Completion, EngineCore, EngineInfo, Ids, Logprobs, Request
from .weight_transport.transport import Shipment


class LocalEngine:
    """An ``Engine`` over ``core``: one asyncio task steps it while requests wait, and lets others run between steps.

    It belongs to no event loop, so a later ``asyncio.run`` may go on using it. Requests that an earlier, closed loop
    left waiting are then ended.
    """

    def __init__(self, core: EngineCore) -> None:
        self._core = core
        self._keys = itertools.count()
        self._waiting: dict[int, asyncio.Future[Completion]] = {}
        self._pump: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def generate(self, request: Request) -> Completion:
        """Continue a prompt; cancelling the wait ends the request.

        Raises:
            EngineError: the core refused the request, or failed while it ran.
        """
        key, future = self._submit(request)
        try:
            return await future
        finally:
            if self._waiting.pop(key, None) is not None:  # cancelled
                self._drop(key)

    def _submit(self, request: Request) -> tuple[int, asyncio.Future[Completion]]:
        self._forget_closed_loops()
        key = next(self._keys)
        self._core.add(key, request)
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        self._wake()
        return key, future

    async def compute_logprobs(self, tokens: Ids, temperature: float = 1.0) -> Logprobs:
        """Logprob of each token given those before it; the first is NaN."""
        return self._core.compute_logprobs(tokens, temperature)

    async def update(self, shipment: Shipment) -> str:
        """Take new weights between two steps; return the digest of what arrived."""
        return self._core.update(shipment)

    async def sleep(self) -> None:
        """As in ``Engine``."""
        self._core.sleep()

    async def info(self) -> EngineInfo:
        """The core's kind and state."""
        return self._core.info()

    async def close(self) -> None:
        """Give back memory and processes."""
        self._core.close()

    def _wake(self) -> None:
        """Make sure that a task on this loop advances the core while requests wait."""
        idle = self._pump is None or self._pump.done() or self._pump.get_loop() is not asyncio.get_running_loop()
        if idle and self._waiting:
            self._pump = asyncio.get_running_loop().create_task(self._advance(), name="engine pump")

    async def _advance(self) -> None:
        while self._waiting:
            try:
                ended = self._core.step()
            except Exception as error:  # noqa: BLE001 - whatever it is, no request may wait for ever
                self._fail(error)
                return
            for key, completion in ended:
                future = self._waiting.pop(key, None)
                if future is not None and not future.done():
                    future.set_result(completion)
            await asyncio.sleep(0)

    def _fail(self, cause: Exception) -> None:
        waiting, self._waiting = self._waiting, {}
        for key, future in waiting.items():
            self._drop(key)
            if not future.done():
                error = EngineError(f"the {self._core.info().name} engine failed: {cause or type(cause).__name__}")
                error.__cause__ = cause
                future.set_exception(error)

    def _drop(self, key: int) -> None:
        with contextlib.suppress(EngineError):  # it may have ended meanwhile
            self._core.abort(key)

    def _forget_closed_loops(self) -> None:
        if self._loop is asyncio.get_running_loop():
            return
        self._loop = asyncio.get_running_loop()
        for key in [key for key, future in self._waiting.items() if future.get_loop().is_closed()]:
            del self._waiting[key]
            self._drop(key)
