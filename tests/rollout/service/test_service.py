import asyncio
from pathlib import Path

from aiohttp import ClientSession, web

from lachesis.rollout.service.app import Service, Times, make_app, make_runner
from lachesis.rollout.service.storage.queue import GroupQueue

from .conftest import group


def test_a_post_that_waits_for_room_is_answered_when_the_server_ends(tmp_path: Path) -> None:
    async def work() -> int:
        runner = make_runner(make_app(Service(queue, times=Times(room=3600))))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = "http://{}:{}/scored_data".format(*runner.addresses[0])
        async with ClientSession() as session, session.post(address, json=group(1)) as taken:
            assert taken.status == 200
            waiting = asyncio.ensure_future(session.post(address, json=group(2)))
            await asyncio.sleep(0.2)
            await runner.cleanup()
            async with await waiting as answer:
                return answer.status

    queue = GroupQueue(tmp_path / "store.sqlite", max_groups=1, max_bytes=1 << 20)
    try:
        assert asyncio.run(asyncio.wait_for(work(), 60)) == 503
    finally:
        queue.close()
