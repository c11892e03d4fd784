"""How long a refusal waits before it is sent: ever longer, if the same program is refused again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

_REMEMBERED = 4096
_AWAY = 503
"""The status of an engine that is away, or of an episode that is paused: clients repeat such calls, and should."""


class Refusals:
    """Counts the refusals of each source, an episode or an address, since a call of it was last answered.

    Programs that are out of their budget, or whose episode is closed, often ask again in a loop. Each such call is
    little work, but without a pause between them they would hold up the calls of all other episodes.

    Args:
        free: so many refusals are sent at once.
        first: seconds that the next one waits; each one after it waits twice as long.
        most: seconds that a refusal waits at most.
    """

    def __init__(self, free: int = 64, first: float = 0.05, most: float = 5.0) -> None:
        self._free, self._first, self._most = free, first, most
        self._counts: OrderedDict[Hashable, int] = OrderedDict()

    def delay(self, source: Hashable, status: int) -> float:
        """Count a refusal with an HTTP status, and return the seconds that it waits."""
        if status == _AWAY:
            return 0.0
        count = self._counts[source] = self._counts.get(source, 0) + 1
        self._counts.move_to_end(source)
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        beyond = count - self._free - 1
        return min(self._most, self._first * 2.0 ** min(beyond, 64)) if beyond >= 0 else 0.0

    def forget(self, source: Hashable) -> None:
        """A call was answered."""
        self._counts.pop(source, None)
