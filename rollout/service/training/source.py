"""A service as a source of groups: a trainer's orders are answered with queued groups, first in, first out."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ....verifiers.errors import DataError, InfrastructureError
from ....verifiers.group import Group
from ...orders import Failure, Order, Outcome, Passed
from ...workers.pool import GroupMaker
from ..remote_workers.packed_groups import MAGIC, unpack_group
from .scored_data import Arrival, Limits, group_of

log = logging.getLogger("lachesis")

STAMP = "lachesis"
"""Key in a queued group's ``generation_params``: what the service knew when the group arrived, see ``stamp``."""

GLANCE = 1.0
"""Seconds for which a silent service is waited for, if no environment of the run is played here."""


class Queued(Protocol):
    """A group in the queue: its number, and the JSON of its ScoredData or a packed group of a worker's."""

    @property
    def number(self) -> int:
        """From 1, in the order of arrival."""
        ...

    @property
    def body(self) -> bytes:
        """JSON, or what ``pack_group`` made."""
        ...


class Numbered(Protocol):
    """The queue, as far as a source needs it."""

    async def next(self, after: int, timeout: float | None) -> Queued | None:  # noqa: ASYNC109 - the queue's own
        """The first group whose number is above ``after``, or None after ``timeout`` seconds without one."""
        ...


class ServiceSource:
    """Answers the orders of one environment with the groups of a queue, in the order of both.

    A group that no record can hold, or that is too old, is passed over and counted, and never ends the run. If no group
    comes for ``patience`` seconds, the service is silent: its orders are ``Passed`` until the next group comes, so that
    the other environments have their turn. A service that is the run's only environment is waited for without end.

    Args:
        queue: where groups come from.
        label: of the environment in the run.
        limits: of the trained model.
        consumed: number of the last group that the trainer took, in an earlier sitting.
        patience: seconds.
        max_staleness: most versions between the sampling of a group and its training; None for any number.
        others: whether the run has other environments.
        played: whether any of those is played here, so that a silent service need not be waited for at all.

    Attributes:
        consumed: number of the last group that the trainer took.
    """

    def __init__(
        self,
        queue: Numbered,
        label: str,
        limits: Limits,
        *,
        consumed: int = 0,
        patience: float = 60.0,
        max_staleness: int | None = None,
        others: bool = False,
        played: bool = False,
    ) -> None:
        self._queue, self._label, self._limits = queue, label, limits
        self._patience, self._max_staleness = patience, max_staleness
        self._others, self._played = others, played
        self.consumed = self._taken = consumed
        self._turn = asyncio.Lock()  # fair: orders are served in the order in which they came
        self._numbers: dict[int, int] = {}
        self._silent = False
        self._refused = self._stale = 0

    async def next(self, order: Order) -> Group | Passed:
        """The next queued group as the group of ``order``; ``Passed`` while the service is silent."""
        async with self._turn:
            while True:
                queued = await self._queue.next(self._taken, self._timeout())
                if queued is None:
                    self._fall_silent()
                    if self._others:
                        return Passed(order.index)
                    continue
                if self._silent:
                    self._silent = False
                    log.info("%s: groups come again", self._label)
                self._taken = queued.number
                if group := self._usable(queued, order):
                    self._numbers[order.index] = queued.number
                    return group

    def learn(self, outcome: Outcome | Passed) -> None:
        """What became of an order, told in admission order: from here on a group counts as consumed."""
        self.consumed = self._numbers.pop(outcome.index, self.consumed)

    def metrics(self) -> dict[str, float]:
        """The last consumed group's number, counts of groups left out in this sitting, and whether it is silent."""
        counts = {"consumed": self.consumed, "refused": self._refused, "stale": self._stale, "silent": self._silent}
        return {f"service/{self._label}/{name}": float(count) for name, count in counts.items()}

    def _timeout(self) -> float:
        if not self._silent or not self._others:
            return self._patience
        return 0.0 if self._played else min(GLANCE, self._patience)

    def _fall_silent(self) -> None:
        if not self._silent:
            self._silent = True
            then = "the other environments have their turn" if self._others else "the run waits"
            log.warning("%s: no group came for %g s (patience); %s", self._label, self._patience, then)

    def _usable(self, queued: Queued, order: Order) -> Group | None:
        """The group, unless it is passed over."""
        try:
            group = converted(queued, order, self._label, self._limits)
        except DataError as error:
            self._refused += 1
            log.warning("%s: group %d is left out: %s", self._label, queued.number, error)
            return None
        if self._max_staleness is not None and order.version - oldest_version(group) > self._max_staleness:
            self._stale += 1
            return None
        return group


class SourcedPool:
    """A pool in which the orders of some environments are answered by services.

    Args:
        pool: plays the other environments.
        sources: by the environment's place in the run.
    """

    def __init__(self, pool: GroupMaker, sources: Mapping[int, ServiceSource]) -> None:
        self._pool, self._sources = pool, sources

    async def run(self, orders: Sequence[Order]) -> list[Outcome | Passed]:
        """As in ``GroupMaker``; a group that a service gave is not lost when the workers fail."""
        played = [order for order in orders if order.environment not in self._sources]
        others = [order for order in orders if order.environment in self._sources]
        answers = asyncio.gather(*(self._sources[order.environment].next(order) for order in others))
        try:
            made = await self._play(played)
            given = await answers
        finally:
            answers.cancel()
        by_index: dict[int, Outcome | Passed] = {outcome.index: outcome for outcome in (*made, *given)}
        return [by_index[order.index] for order in orders]

    async def _play(self, orders: Sequence[Order]) -> Sequence[Outcome | Passed]:
        if not orders:
            return []
        try:
            return await self._pool.run(orders)
        except InfrastructureError as error:
            return [Failure(order.index, str(error)) for order in orders]


def stamp(version: int, versions: Sequence[Sequence[int] | None] = ()) -> dict[str, Any]:
    """What is kept of a group's arrival: the weights' version then and, where known, the version of each token."""
    return {"version": version, "versions": list(versions)}


def converted(queued: Queued, order: Order, label: str, limits: Limits) -> Group:
    """The queued group as an answer to ``order``; without a stamp it counts as sampled with the order's version.

    Raises:
        DataError: no record can hold it.
    """
    if queued.body.startswith(MAGIC):
        return unpack_group(queued.body, index=order.index, environment=label, limits=limits)
    try:
        data = json.loads(queued.body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise DataError(f"a group is an object, found {data!r:.80}")
    parameters = dict(data.get("generation_params") or {})
    stamped = parameters.pop(STAMP, None) or stamp(order.version)
    data["generation_params"] = parameters
    arrival = Arrival(queued.number, stamped["version"], tuple(stamped["versions"]))
    return group_of(data, arrival, index=order.index, environment=label, limits=limits)


def oldest_version(group: Group) -> int:
    """The oldest version that sampled a token of the group; where no logprob is known, the version at its arrival."""
    versions = [
        int(segment.versions[segment.sampled].min())
        for attempt in group.trajectories
        for segment in attempt.segments
        if np.any(segment.sampled)
    ]
    return min(versions) if versions else int(group.task.info["version"])
