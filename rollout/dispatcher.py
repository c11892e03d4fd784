"""Admits groups in order, at most as many as the staleness bound allows, and hands them out in the same order."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate

from ..verifiers.errors import InfrastructureError
from ..verifiers.group import Group
from .engines.activity import Span
from .engines.engine import Sampling
from .event_log import EventLog
from .orders import TRAINING, Failure, Order, Outcome, Passed, facts_of
from .ready_groups import ReadyGroups
from .tasks.mixture import Draw
from .workers.pool import GroupMaker

log = logging.getLogger("lachesis")


@dataclass(frozen=True)
class Batch:
    """The groups of one optimizer step, or of a part of it.

    Attributes:
        groups: in admission order.
        failures: groups that could not be made; others were admitted in their place.
        passed_over: groups without variance; others were admitted in their place, too.
        ages: seconds from the admission of each group until it was handed out.
        durations: seconds from the admission of each group until it was made.
        stalled: seconds of the wait in which later groups were ready, but the next in order was not.
        waits: when the trainer waited, in seconds since 1970.
    """

    groups: tuple[Group, ...]
    failures: tuple[Failure, ...]
    passed_over: tuple[Group, ...] = ()
    ages: tuple[float, ...] = ()
    durations: tuple[float, ...] = ()
    stalled: float = 0.0
    waits: tuple[Span, ...] = ()

    @property
    def seconds(self) -> float:
        """The time for which the trainer waited."""
        return sum(end - begin for begin, end in self.waits)

    def __add__(self, later: "Batch") -> "Batch":
        """Return this part of a step and a later one as one."""
        return Batch(*(getattr(self, one.name) + getattr(later, one.name) for one in fields(self)))


class Dispatcher:
    """Keeps at most (S+1)·P groups admitted and untrained, and hands them out strictly in admission order.

    So no token is more than S versions old when it is trained on, and nothing is discarded for its age.

    Args:
        pool: makes the groups.
        draws: the tasks, from admission index ``start`` on.
        seed: of the run.
        sampling: how replies are drawn.
        prompts: P, groups a step.
        staleness: S.
        start: the first admission index.
        chunks: into how many calls a step's orders are split, or more so that none spans two parts.
        parts: how many groups of a step are taken at a time (``next_groups``), in order; by default all of them.
        on_failure: with ``fail``, the first failure ends the run.
        learn: is called with the outcome of each order, in admission order.
        max_resampled: most groups without variance in whose place a step admits others (dynamic sampling: DAPO,
            arXiv:2503.14476); after that many they are taken as they come.
        events: is told of each admission, of how each group ended, and when it was handed out.
    """

    def __init__(
        self,
        pool: GroupMaker,
        draws: Iterable[Draw],
        *,
        seed: int,
        sampling: Sampling,
        prompts: int,
        staleness: int = 0,
        start: int = 0,
        chunks: int = 8,
        parts: Sequence[int] = (),
        on_failure: str = "retry",
        learn: Callable[[Outcome | Passed], None] = lambda outcome: None,
        max_resampled: int = 0,
        events: EventLog | None = None,
    ) -> None:
        self._pool = pool
        self._draws = iter(draws)
        self._seed = (seed, TRAINING)
        self._sampling = sampling
        self._prompts = prompts
        self._staleness = staleness
        self._window = (staleness + 1) * prompts
        self._begun = False
        self._chunk = math.ceil(prompts / chunks)
        self._part_ends = tuple(accumulate(parts)) or (prompts,)
        self._on_failure = on_failure
        self._learn = learn
        self._max_resampled = max_resampled
        self._events = events or EventLog()
        self._admitted_at: dict[int, float] = {}
        self._ready = ReadyGroups()
        self._outcomes: dict[int, asyncio.Future[Outcome | Passed]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._admitted = self._consumed = start
        self._untrained = 0
        self._resampled = 0  # since the last step
        self._failed_in_a_row = 0
        self.version = 0

    @property
    def staleness(self) -> int:
        """S."""
        return self._staleness

    @property
    def position(self) -> int:
        """The admission index of the next group to be consumed."""
        return self._consumed

    @property
    def queue(self) -> tuple[int, int]:
        """How many admitted groups are being made, and how many are made and wait to be consumed."""
        made = sum(outcome.done() for outcome in self._outcomes.values())
        return len(self._outcomes) - made, made

    def trained(self, version: int, steps_left: int | None = None) -> None:
        """Note that the last step's groups are trained on, and that the engines hold the weights ``version``.

        Groups of the next steps are admitted at once, from the first step on.

        Args:
            version: of the engines' weights.
            steps_left: steps that follow, so that no groups are made for later ones; None if that is unknown.
        """
        self._untrained = self._resampled = 0
        self.version = version
        if steps_left is not None:
            self._window = min(self._staleness + 1, steps_left) * self._prompts
        if self._begun:
            self._admit()

    def change(self, *, staleness: int, max_tokens: int, steps_left: int) -> None:
        """Take other limits for the groups that are admitted from now on; those under way keep theirs.

        Args:
            staleness: S.
            max_tokens: the most tokens of a reply.
            steps_left: steps that follow.
        """
        self._sampling = replace(self._sampling, max_tokens=max_tokens)
        self._staleness = staleness
        self._window = min(staleness + 1, steps_left) * self._prompts
        if self._begun:
            self._admit()

    async def next_groups(self, count: int) -> Batch:
        """Wait for the next ``count`` groups of a step, which has P of them.

        Raises:
            InfrastructureError: a whole step's worth of groups failed in a row, or one did and the policy is ``fail``.
        """
        start, since = time.perf_counter(), time.time()
        groups: list[Group] = []
        failures: list[Failure] = []
        passed_over: list[Group] = []
        ages: list[float] = []
        durations: list[float] = []
        stalled_before = self._ready.stalled
        self._begun = True
        while len(groups) < count:
            self._admit()
            with self._ready.wait(self._consumed):
                outcome = await self._outcomes[self._consumed]
            del self._outcomes[self._consumed]
            admitted_at, made_at = self._admitted_at.pop(self._consumed), self._ready.take(self._consumed)
            age = time.perf_counter() - admitted_at
            self._events.note("consumed", group=self._consumed, age=round(age, 3))
            self._consumed += 1
            self._learn(outcome)
            if isinstance(outcome, Passed):
                continue
            if isinstance(outcome, Group):
                self._failed_in_a_row = 0
                if outcome.zero_variance and self._resampled < self._max_resampled:
                    self._resampled += 1
                    passed_over.append(outcome)
                    continue
                groups.append(outcome)
                ages.append(age)
                durations.append(made_at - admitted_at)
                self._untrained += 1
                continue
            failures.append(outcome)
            self._failed(outcome)
        return Batch(
            tuple(groups),
            tuple(failures),
            tuple(passed_over),
            tuple(ages),
            tuple(durations),
            self._ready.stalled - stalled_before,
            ((since, since + time.perf_counter() - start),),
        )

    def _failed(self, failure: Failure) -> None:
        """Count a group that could not be made; raise if there were too many."""
        self._failed_in_a_row += 1
        if self._failed_in_a_row == 1:  # the others probably have the same reason
            log.warning("group %d was not made: %s", failure.index, failure.reason)
        if self._on_failure == "fail" or self._failed_in_a_row >= self._prompts:
            raise InfrastructureError(
                f"{self._failed_in_a_row} group(s) in a row could not be made, the last: {failure.reason}"
            )

    async def close(self) -> None:
        """Cancel all groups that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _admit(self) -> None:
        """Admit groups until the bound is reached, in chunks of which each goes to one worker.

        No chunk spans two parts or two steps, since all of its groups come back together.
        """
        room = self._window - self._untrained - (self._admitted - self._consumed)
        end = self._admitted + room
        while self._admitted < end:
            ahead = self._untrained + self._admitted - self._consumed  # in this step and later ones
            place = ahead % self._prompts
            left = next(part_end - place for part_end in self._part_ends if part_end > place)
            chunk = range(self._admitted, min(self._admitted + min(self._chunk, left), end))
            self._admitted = chunk.stop
            orders = [self._order(index, next(self._draws)) for index in chunk]
            for order in orders:
                self._outcomes[order.index] = asyncio.get_running_loop().create_future()
                self._admitted_at[order.index] = time.perf_counter()
            self._events.note("admitted", version=self.version, **facts_of(orders))
            task = asyncio.create_task(self._run(orders))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _order(self, index: int, draw: Draw) -> Order:
        return Order(index, draw.environment, draw.task, draw.size, self._seed, self._sampling, self.version)

    async def _run(self, orders: list[Order]) -> None:
        """Run the orders, and resolve the future of each exactly once, whatever happens to the pool."""
        try:
            outcomes: Sequence[Outcome | Passed] = await self._pool.run(orders)
        except InfrastructureError as error:
            outcomes = [Failure(order.index, str(error)) for order in orders]
        except asyncio.CancelledError:
            for order in orders:
                self._outcomes[order.index].cancel()
            raise
        except BaseException as error:
            for order in orders:
                if not self._outcomes[order.index].done():
                    self._outcomes[order.index].set_exception(error)
            raise
        for outcome in outcomes:
            self._note_end(outcome)
            if not self._outcomes[outcome.index].done():  # else a stop has cancelled the wait for it
                self._outcomes[outcome.index].set_result(outcome)
                self._ready.add(outcome.index)

    def _note_end(self, outcome: Outcome | Passed) -> None:
        if isinstance(outcome, Failure):
            self._events.note("failed", group=outcome.index, reason=outcome.reason[:300])
        elif isinstance(outcome, Group):
            versions = version_range(outcome)
            self._events.note("made", group=outcome.index, attempts=len(outcome.trajectories), versions=versions)


def version_range(group: Group) -> list[int]:
    """The lowest and the highest weights version that sampled a token of ``group``; empty if none was sampled."""
    found = [
        int(version)
        for trajectory in group.trajectories
        for segment in trajectory.segments
        if segment.sampled.any()
        for version in (segment.versions[segment.sampled].min(), segment.versions[segment.sampled].max())
    ]
    return [min(found), max(found)] if found else []
