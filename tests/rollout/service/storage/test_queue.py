"""The queue on disk: nothing acknowledged is lost, nothing comes twice, and its bounds hold."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from lachesis.rollout.service.storage.queue import GroupQueue, QueuedGroup, QueueFull
from lachesis.verifiers.errors import ConfigError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., GroupQueue]]:
    queues: list[GroupQueue] = []

    def again(max_groups: int = 1000, max_bytes: int = 10**9) -> GroupQueue:
        if queues:
            queues.pop().close()
        queues.append(GroupQueue(tmp_path / "store.sqlite", max_groups=max_groups, max_bytes=max_bytes, clock=clock))
        return queues[0]

    yield again
    queues[0].close()


def group(sequences: int = 4, env_id: int | None = None, body: bytes = b"{}") -> QueuedGroup:
    return QueuedGroup(0, env_id, sequences, body)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), 30)

    asyncio.run(bounded())


def numbers(groups: list[QueuedGroup] | None) -> list[int] | None:
    return groups if groups is None else [group.number for group in groups]


def test_groups_come_in_the_order_of_their_numbers(opened: Callable[..., GroupQueue]) -> None:
    async def work() -> None:
        queue = opened()
        many = await asyncio.gather(*[queue.put([group(body=b"%d" % n)]) for n in range(50)])
        assert sorted(number for (number,) in many) == list(range(1, 51))
        taken, after = [], 0
        while (found := await queue.next(after, 0)) is not None:
            taken.append(found)
            after = found.number
        assert [found.number for found in taken] == list(range(1, 51))
        assert {int(found.body) for found in taken} == set(range(50))
        assert (len(queue), queue.bytes) == (0, 0)

    run(work)


def test_next_waits_for_a_group(opened: Callable[..., GroupQueue]) -> None:
    async def work() -> None:
        queue = opened()
        asking = asyncio.ensure_future(queue.next(0, None))
        await asyncio.sleep(0.05)
        assert not asking.done()
        await queue.put([group()])
        found = await asking
        assert found is not None
        assert found.number == 1
        assert await queue.next(1, 0.01) is None

    run(work)


def test_untrained_groups_survive_and_numbers_are_never_used_again(opened: Callable[..., GroupQueue]) -> None:
    async def work() -> None:
        queue = opened()
        await queue.put([group() for _ in range(5)])
        await queue.next(0, 0)
        await queue.trained(3)
        queue = opened()
        assert len(queue) == 2
        found = await queue.next(3, 0)
        assert found is not None
        assert found.number == 4
        await queue.trained(5)
        queue = opened()
        assert await queue.put([group()]) == [6]

    run(work)


def test_a_lease_that_is_not_acknowledged_comes_back_in_its_old_order(
    opened: Callable[..., GroupQueue], clock: Clock
) -> None:
    async def work() -> None:
        queue = opened()
        await queue.put([group() for _ in range(4)])
        assert numbers(await queue.lease("one", 8, {}, 60)) == [1, 2]
        clock.now = 59
        assert numbers(await queue.lease("two", 8, {}, 60)) == [3, 4]
        assert await queue.lease("three", 8, {}, 60) is None
        clock.now = 61
        assert numbers(await queue.lease("three", 8, {}, 60)) == [1, 2]
        assert await queue.acknowledge("three", {"step": 1})
        assert not await queue.acknowledge("three")
        queue = opened()  # what "two" had is on no lease after a restart
        assert queue.state() == {"step": 1}
        assert numbers(await queue.lease("four", 8, {}, 60)) == [3, 4]

    run(work)


def test_groups_that_never_fill_a_batch_go_out_after_the_patience(
    opened: Callable[..., GroupQueue], clock: Clock
) -> None:
    async def work() -> None:
        queue = opened()
        await queue.put([group(3) for _ in range(20)])
        assert await queue.lease("one", 8, {}, 60) is None
        clock.now = 31
        for first in range(1, 19, 2):
            assert numbers(await queue.lease("one", 8, {}, 1000)) == [first, first + 1]
            await queue.acknowledge("one")
        assert queue.counters.short_batches == 9

    run(work)


def test_odd_groups_wait_for_company_and_go_alone_after_the_patience(
    opened: Callable[..., GroupQueue], clock: Clock
) -> None:
    async def work() -> None:
        queue = opened()
        assert await queue.put([group(5, 0), group(6, 0)], [8, 8]) == [0, 0]
        assert queue.held.sequences(0) == 11
        queue = opened()
        await queue.put([group(3, 0)], [8])
        assert queue.held.sequences(0) == 6
        assert numbers(await queue.lease("one", 8, {}, 60)) == [1, 2]
        assert await queue.lease("two", 6, {}, 60) is None
        clock.now = 31
        assert numbers(await queue.lease("two", 6, {}, 60)) == [3]

    run(work)


@pytest.mark.parametrize("bounds", [{"max_groups": 3}, {"max_bytes": 30}])
def test_the_bound_holds_however_many_post_at_once(opened: Callable[..., GroupQueue], bounds: dict[str, int]) -> None:
    async def work() -> None:
        queue = opened(**bounds)
        posts = [queue.put([group(body=b"x" * 10)]) for _ in range(9)]
        ends = await asyncio.gather(*posts, return_exceptions=True)
        assert [isinstance(end, QueueFull) for end in ends].count(False) == 3
        assert len(queue) == 3
        await queue.lease("one", 4, {}, 60)
        await queue.put([group(body=b"x" * 10)])

    run(work)


def test_a_batch_that_is_being_acknowledged_cannot_come_back(opened: Callable[..., GroupQueue]) -> None:
    async def work() -> None:
        queue = opened()
        await queue.put([group()])
        assert await queue.lease("one", 4, {}, 60)
        acknowledging = asyncio.ensure_future(queue.acknowledge("one"))
        await asyncio.sleep(0)
        queue.give_back("one")  # its trainer was killed and registers again
        assert await acknowledging
        assert (len(queue), await queue.lease("one", 4, {}, 60)) == (0, None)

    run(work)


def test_a_second_service_cannot_open_the_file(opened: Callable[..., GroupQueue], tmp_path: Path) -> None:
    opened()
    with pytest.raises(ConfigError, match="another service"):
        GroupQueue(tmp_path / "store.sqlite", max_groups=1, max_bytes=1)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_text("not a database, but longer than one page header" * 100)
    with pytest.raises(ConfigError, match="cannot open the store"):
        GroupQueue(tmp_path / "store.sqlite", max_groups=1, max_bytes=1)
