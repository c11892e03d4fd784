"""Work side by side: in order, within its bounds, and one slow item holds up no more than the window."""

import asyncio

import pytest

from lachesis.commands.in_order import in_order


class Work:
    """Items that wait as long as they say, and what was seen meanwhile."""

    def __init__(self, waits: list[float]) -> None:
        self.waits = waits
        self.begun: list[int] = []
        self.running = self.most = self.furthest = 0
        self.emitted: list[int] = []

    async def __call__(self, number: int) -> int:
        self.begun.append(number)
        self.running += 1
        self.most = max(self.most, self.running)
        self.furthest = max(self.furthest, number - len(self.emitted))
        if self.waits[number]:
            await asyncio.sleep(self.waits[number])
        self.running -= 1
        return number

    def run(self, jobs: int, window: int) -> "Work":
        asyncio.run(in_order(range(len(self.waits)), self, self.emitted.extend, jobs, window))
        return self


@pytest.mark.parametrize("jobs", [1, 4, 50])
def test_results_come_in_order_and_work_stays_within_its_bound(jobs: int) -> None:
    work = Work([0.01 * (5 - n % 5) for n in range(20)]).run(jobs, window=100)
    assert work.emitted == list(range(20))
    assert work.begun == list(range(20))
    assert work.most == min(jobs, 20)


def test_a_slow_item_holds_up_nothing_within_the_window_and_all_beyond_it() -> None:
    work = Work([0.3] + [0.0] * 99).run(jobs=2, window=30)
    assert work.emitted == list(range(100))
    assert work.furthest == 29


def test_work_that_never_waits_lets_others_have_their_turn() -> None:
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def spin(number: int) -> int:
        return sum(range(20_000)) + number

    async def main() -> None:
        watcher = asyncio.create_task(watch())
        await in_order(range(1000), spin, lambda _: None, jobs=2)
        watcher.cancel()

    asyncio.run(main())
    assert turns > 2


def test_the_first_error_ends_all_and_what_was_before_it_was_given() -> None:
    emitted: list[int] = []
    cancelled = 0

    async def work(number: int) -> int:
        nonlocal cancelled
        if number == 2:
            raise OSError("gone")
        try:
            await asyncio.sleep(60 if number == 3 else 0)
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return number

    with pytest.raises(OSError, match="gone"):
        asyncio.run(in_order(range(100), work, emitted.extend, jobs=2))
    assert emitted == [0, 1]
    assert cancelled <= 1


def test_nothing_to_do_is_done() -> None:
    assert Work([]).run(jobs=3, window=1).emitted == []
