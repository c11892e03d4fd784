"""A limit that holds across event loops and threads."""

import asyncio
import threading

from lachesis.verifiers.judges.slots import Slots


def test_threads_with_loops_of_their_own_are_never_inside_together() -> None:
    slots, inside, most = Slots(2), [0], [0]
    lock = threading.Lock()

    async def enter() -> None:
        async with slots:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            await asyncio.sleep(0.001)
            with lock:
                inside[0] -= 1

    async def many() -> None:
        await asyncio.gather(*(enter() for _ in range(20)))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert most[0] <= 2
    assert inside[0] == 0


def test_a_task_that_is_cancelled_while_it_waits_leaves_its_place() -> None:
    async def main() -> None:
        slots = Slots(1)
        await slots.__aenter__()
        waiting = [asyncio.create_task(slots.__aenter__()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        await slots.__aexit__(None, None, None)
        await asyncio.wait_for(waiting[1], 60)
        await slots.__aexit__(None, None, None)
        await asyncio.wait_for(slots.__aenter__(), 60)

    asyncio.run(main())


def test_a_slot_that_was_given_to_a_cancelled_task_is_passed_on() -> None:
    async def main() -> None:
        slots = Slots(1)
        await slots.__aenter__()
        first, second = (asyncio.create_task(slots.__aenter__()) for _ in range(2))
        await asyncio.sleep(0)
        await slots.__aexit__(None, None, None)  # the slot is on its way to the first task
        first.cancel()
        await asyncio.wait_for(second, 60)

    asyncio.run(main())


def test_a_loop_that_was_closed_while_it_waited_does_not_keep_the_slot() -> None:
    slots = Slots(1)
    closed = asyncio.new_event_loop()
    closed.set_exception_handler(lambda *_: None)  # it complains about the task that nobody awaits
    asyncio.run(slots.__aenter__())
    waiting = closed.create_task(slots.__aenter__())
    closed.run_until_complete(asyncio.sleep(0))
    waiting.get_coro().close()  # type: ignore[union-attr]
    closed.close()

    async def leave_and_enter() -> None:
        await slots.__aexit__(None, None, None)
        await asyncio.wait_for(slots.__aenter__(), 60)

    asyncio.run(leave_and_enter())
