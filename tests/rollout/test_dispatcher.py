import asyncio
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from lachesis.rollout.dispatcher import Batch, Dispatcher
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.orders import Failure, Order, Outcome
from lachesis.rollout.tasks.mixture import Draw
from lachesis.verifiers.errors import InfrastructureError
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict


class SlowPool:
    """Makes groups after random delays, and fails those it is told to."""

    def __init__(self, failing: frozenset[int] = frozenset(), crash: Exception | None = None) -> None:
        self.failing, self.crash = failing, crash
        self.orders: list[Order] = []
        self._rng = random.Random(0)

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        self.orders += orders
        await asyncio.sleep(self._rng.random() / 100)
        if self.crash:
            raise self.crash
        return [
            Failure(order.index, "told to")
            if order.index in self.failing
            else Group(order.index, order.task, (Trajectory(order.task),))
            for order in orders
        ]


def draws() -> Iterator[Draw]:
    return (Draw(0, Task(f"question {n}"), 2) for n in itertools.count())


def dispatcher(pool: SlowPool, **options: object) -> Dispatcher:
    return Dispatcher(pool, draws(), seed=0, sampling=Sampling(), prompts=4, **options)  # type: ignore[arg-type]


async def consume(dispatch: Dispatcher, steps: int, groups: int = 4) -> list[Batch]:
    taken = []
    for version in range(1, steps + 1):
        taken.append(await asyncio.wait_for(dispatch.next_groups(groups), 10))
        dispatch.trained(version)
    await dispatch.close()
    return taken


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_groups_are_consumed_strictly_in_admission_order(staleness: int) -> None:
    steps = asyncio.run(consume(dispatcher(SlowPool(), staleness=staleness), 5))
    indices = [group.index for step in steps for group in step.groups]
    assert indices == list(range(20))


def test_no_chunk_spans_two_steps_because_its_groups_come_back_together() -> None:
    class Chunks(SlowPool):
        async def run(self, orders: Sequence[Order]) -> list[Outcome]:
            chunks.append([order.index // 5 for order in orders])
            return await super().run(orders)

    chunks: list[list[int]] = []
    for parts in (1, 2, 3):
        dispatch = Dispatcher(Chunks(), draws(), seed=0, sampling=Sampling(), prompts=5, staleness=2, chunks=parts)
        asyncio.run(consume(dispatch, 3, groups=5))
    assert chunks
    assert all(len(set(steps)) == 1 for steps in chunks)


@pytest.mark.parametrize("start", [0, 5])  # a resumed run begins anywhere: groups failed, or its steps were smaller
def test_no_chunk_spans_two_parts_of_a_step_else_the_first_would_wait_for_the_second(start: int) -> None:
    class Chunks(SlowPool):
        async def run(self, orders: Sequence[Order]) -> list[Outcome]:
            chunks.append([order.index - start for order in orders])
            return await super().run(orders)

    chunks: list[list[int]] = []
    options: dict[str, Any] = {"sampling": Sampling(), "prompts": 7, "chunks": 2, "parts": [3, 2, 2], "start": start}
    dispatch = Dispatcher(Chunks(), draws(), seed=0, **options)
    asyncio.run(consume(dispatch, 2, groups=7))
    assert chunks == [[0, 1, 2], [3, 4], [5, 6], [7, 8, 9], [10, 11], [12, 13]]


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_no_more_than_the_window_is_admitted_and_untrained(staleness: int) -> None:
    async def admitted_before_training() -> int:
        pool = SlowPool()
        dispatch = dispatcher(pool, staleness=staleness)
        await dispatch.next_groups(4)
        await asyncio.sleep(0.05)
        await dispatch.close()
        return len(pool.orders)

    assert asyncio.run(admitted_before_training()) == (staleness + 1) * 4


@pytest.mark.parametrize("staleness", [0, 2])
def test_orders_are_never_older_than_the_staleness_when_trained(staleness: int) -> None:
    pool = SlowPool()
    asyncio.run(consume(dispatcher(pool, staleness=staleness), 6))
    version_of = {order.index: order.version for order in pool.orders}
    trained_at = {index: index // 4 for index in range(24)}
    assert max(trained_at[index] - version_of[index] for index in range(24)) == staleness


def test_other_limits_hold_for_the_groups_that_are_admitted_afterwards() -> None:
    pool = SlowPool()

    async def ahead() -> list[int]:
        dispatch, seen = dispatcher(pool, staleness=1), []
        for version, staleness in enumerate((3, 0, 0, 0, 0, 0), start=1):
            await dispatch.next_groups(4)
            dispatch.trained(version)
            dispatch.change(staleness=staleness, max_tokens=10 + version, steps_left=9)
            await asyncio.sleep(0)
            seen.append(len(pool.orders) - 4 * version)
        await dispatch.close()
        return seen

    assert asyncio.run(ahead()) == [16, 16, 12, 8, 4, 4]
    limits = [order.sampling.max_tokens for order in pool.orders]
    assert limits == [Sampling().max_tokens] * 12 + [11] * 12 + [15] * 4


def test_a_failed_group_is_replaced_and_reported() -> None:
    steps = asyncio.run(consume(dispatcher(SlowPool(failing=frozenset({1, 2}))), 2))
    assert [group.index for group in steps[0].groups] == [0, 3, 4, 5]
    assert [failure.index for failure in steps[0].failures] == [1, 2]
    assert [group.index for group in steps[1].groups] == [6, 7, 8, 9]


def test_a_step_without_a_single_group_ends_the_run_with_the_reason() -> None:
    with pytest.raises(InfrastructureError, match="told to"):
        asyncio.run(consume(dispatcher(SlowPool(failing=frozenset(range(100)))), 1))


def test_with_the_policy_fail_the_first_failure_ends_the_run() -> None:
    with pytest.raises(InfrastructureError, match="told to"):
        asyncio.run(consume(dispatcher(SlowPool(failing=frozenset({2})), on_failure="fail"), 1))


def test_an_unexpected_error_in_the_pool_surfaces_instead_of_hanging() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(consume(dispatcher(SlowPool(crash=ZeroDivisionError("bug"))), 1))


def test_a_resumed_dispatcher_admits_what_the_first_would_have() -> None:
    whole, second = SlowPool(), SlowPool()
    asyncio.run(consume(dispatcher(whole), 4))
    rest = itertools.islice(draws(), 8, None)
    resumed = Dispatcher(second, rest, seed=0, sampling=Sampling(), prompts=4, start=8)  # type: ignore[arg-type]
    asyncio.run(consume(resumed, 2))
    identity = [(order.index, order.task.hash, order.seed) for order in whole.orders]
    assert sorted(identity)[8:] == sorted((order.index, order.task.hash, order.seed) for order in second.orders)


class EvenPool(SlowPool):
    """Every group has two attempts; those of the given indices earn the same."""

    def __init__(self, even: Callable[[int], bool]) -> None:
        super().__init__()
        self.even = even

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        return [
            Group(
                outcome.index,
                outcome.task,
                (attempt(outcome, 1.0), attempt(outcome, float(self.even(outcome.index)))),
            )
            for outcome in await super().run(orders)
            if isinstance(outcome, Group)
        ]


def attempt(group: Group, score: float) -> Trajectory:
    return Trajectory(group.task, rewards={"policy": Reward((Component("exact", 1.0, Verdict(score)),))})


@pytest.mark.parametrize("staleness", [0, 2])
def test_others_are_admitted_in_place_of_groups_without_variance(staleness: int) -> None:
    told: list[Outcome] = []
    pool = EvenPool(lambda index: index % 2 == 0)
    steps = asyncio.run(consume(dispatcher(pool, max_resampled=8, learn=told.append, staleness=staleness), 2))
    assert [[group.index for group in step.groups] for step in steps] == [[1, 3, 5, 7], [9, 11, 13, 15]]
    assert [[group.index for group in step.passed_over] for step in steps] == [[0, 2, 4, 6], [8, 10, 12, 14]]
    assert [outcome.index for outcome in told] == list(range(16))


def test_so_many_are_passed_over_and_no_more() -> None:
    (step,) = asyncio.run(consume(dispatcher(EvenPool(lambda index: True), max_resampled=3), 1))
    assert [group.index for group in step.passed_over] == [0, 1, 2]
    assert [group.index for group in step.groups] == [3, 4, 5, 6]


def test_the_parts_of_a_step_are_that_step_and_share_what_may_be_passed_over() -> None:
    async def in_parts() -> Batch:
        dispatch = dispatcher(EvenPool(lambda index: True), max_resampled=3)
        batch = Batch((), ())
        for size in (2, 1, 1):
            batch += await dispatch.next_groups(size)
        await dispatch.close()
        return batch

    batch = asyncio.run(in_parts())
    assert [group.index for group in batch.passed_over] == [0, 1, 2]
    assert [group.index for group in batch.groups] == [3, 4, 5, 6]
    assert (len(batch.ages), len(batch.durations), len(batch.waits)) == (4, 4, 3)
    assert all(begin <= end <= later for (begin, end), (later, _) in itertools.pairwise(batch.waits))


class TimedPool:
    """Makes each group after the seconds that the test says, by admission index."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self.seconds = seconds

    async def run(self, orders: Sequence[Order]) -> list[Outcome]:
        [order] = orders
        await asyncio.sleep(self.seconds[order.index])
        return [Group(order.index, order.task, (Trajectory(order.task),))]


@pytest.mark.parametrize(
    ("seconds", "least", "most"), [((0.3, 0.05, 0.1, 0.1), 0.2, None), ((0.02, 0.1, 0.2, 0.3), 0.0, 0.02)]
)
def test_a_wait_for_the_next_in_order_while_later_ones_are_ready_is_a_stall(
    seconds: Sequence[float], least: float, most: float | None
) -> None:
    async def step() -> Batch:
        draws = (Draw(0, Task(str(number)), 1) for number in itertools.count())
        return await Dispatcher(
            TimedPool(seconds), draws, seed=0, sampling=Sampling(), prompts=4, chunks=4
        ).next_groups(4)

    found = asyncio.run(step())
    assert least <= found.stalled <= (found.seconds if most is None else most)
    assert all(made >= asked for made, asked in zip(found.durations, seconds, strict=True))
