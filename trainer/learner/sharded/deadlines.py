"""How long a call to all ranks may take: from what calls of the same method took in this run, with a floor."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ....verifiers.errors import DeadlineExceeded

Result = TypeVar("Result")

FLOOR = 60.0
"""Seconds that every call may take."""
FIRST = 1800.0
"""Seconds that the first call of a method may take: models are loaded and compiled in it."""
LONGEST = 10
"""A later call may take this many times the longest call of its method so far, or more if it has more to compute."""


class Deadlines:
    """Measures calls by method."""

    def __init__(self) -> None:
        self._longest: dict[str, tuple[float, float]] = {}  # its seconds and its work

    def of(self, method: str, work: float = 1.0) -> float:
        """Seconds that the next call of ``method`` may take.

        A call with more work than the longest so far gets more time in proportion, but not above ``FIRST`` for that.
        """
        if method not in self._longest:
            return FIRST
        longest, done = self._longest[method]
        return max(FLOOR, LONGEST * longest, min(FIRST, LONGEST * longest * work / done))

    def within(self, method: str, call: Callable[[], Result], work: float = 1.0) -> Result:
        """Return what ``call`` returns.

        Args:
            method: its name.
            call: makes the call.
            work: how much the call computes, in a unit of the method. A call without work says nothing about others.

        Raises:
            DeadlineExceeded: it did not return in time. It goes on in its thread, which does not keep the process.
        """
        begun, seconds = time.monotonic(), self.of(method, work)
        result = within(seconds, call)
        if result is None:
            known = self._longest.get(method)
            so_far = "" if known is None else f" (the longest took {known[0]:.1f} s so far)"
            raise DeadlineExceeded(f"{method} took more than {seconds:.3g} s{so_far}")
        took = time.monotonic() - begun
        if work and took >= self._longest.get(method, (0.0, 0.0))[0]:
            self._longest[method] = took, work
        return result[0]


def within(seconds: float, call: Callable[[], Result]) -> tuple[Result] | None:
    """Return the result of ``call``, made in a thread of its own, or None after ``seconds``.

    Calls into Ray have no deadline if its raylet is stopped, so they cannot be made in this thread.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised in the calling thread
            errors.append(error)

    thread = threading.Thread(target=run, name="call to the ranks", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return (results[0],) if results else None
