"""Results that are worked out once for each key, also if several callers ask at the same time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from ...processes.deadline import pause_deadline

Result = TypeVar("Result")


class Once(Generic[Result]):
    """The results of the last ``most`` keys; callers may be on different event loops.

    Whoever asks first works a result out, and the others wait. If that fails or is cancelled, nothing is kept, and the
    next of them tries.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._results: dict[Hashable, Future[tuple[Result] | None]] = {}

    async def get(self, key: Hashable, work: Callable[[], Awaitable[Result]]) -> Result:
        """Return the result for ``key``, which ``work`` works out if there is none. Raises what ``work`` raises."""
        while True:
            with self._lock:
                found = self._results.get(key)
                if found is None:
                    mine = self._results[key] = Future()
                    for old in list(self._results)[: -self._most]:
                        del self._results[old]
            if found is None:
                return await self._work(key, mine, work)
            with pause_deadline():  # somebody else's work does not count against this caller's verifier
                result = await asyncio.shield(asyncio.wrap_future(found))
            if result is not None:
                return result[0]

    async def _work(
        self, key: Hashable, mine: "Future[tuple[Result] | None]", work: Callable[[], Awaitable[Result]]
    ) -> Result:
        try:
            result = await work()
        except BaseException:
            with self._lock:
                if self._results.get(key) is mine:
                    del self._results[key]
            mine.set_result(None)
            raise
        mine.set_result((result,))
        return result
