"""The groups that are made and not handed out yet, and how long they wait for the next one in order."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class ReadyGroups:
    """The groups that are ready and not handed out, and how long they waited for the next in order.

    Attributes:
        stalled: seconds in which the next group in order was waited for while a later one was ready.
    """

    def __init__(self) -> None:
        self.stalled = 0.0
        self._made_at: dict[int, float] = {}
        self._head: int | None = None  # the group that is waited for
        self._since: float | None = None  # when a later one was ready, first

    def add(self, index: int) -> None:
        """Note that a group is ready."""
        self._made_at[index] = now = time.perf_counter()
        if self._head is not None and index != self._head and self._since is None:
            self._since = now

    def take(self, index: int) -> float:
        """Forget a group that is handed out; return when it was ready."""
        return self._made_at.pop(index, None) or time.perf_counter()

    @contextmanager
    def wait(self, index: int) -> Iterator[None]:
        """Count the body as the wait for the next group in order."""
        if index in self._made_at:
            yield
            return
        self._head, self._since = index, time.perf_counter() if self._made_at else None
        try:
            yield
        finally:
            if self._since is not None:
                self.stalled += max(0.0, self._made_at.get(index, time.perf_counter()) - self._since)
            self._head = self._since = None
