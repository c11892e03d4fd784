import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lachesis.rollout.service.remote_workers import routes
from lachesis.rollout.service.remote_workers.packed_groups import MAGIC, pack_group

from .conftest import Host, altered, group

Hosts = Callable[..., Host]


def run(host: Host, talk: Callable[[Host], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(60), host.open():
            return await talk(host)

    return asyncio.run(bounded())


def test_a_group_sent_again_is_stored_once_also_after_a_restart(host: Hosts) -> None:
    async def first(host: Host) -> list[Any]:
        body = pack_group(group(11, version=3))
        answers = await asyncio.gather(*(host.put(body, sequence=1) for _ in range(4)))
        assert sorted(answer["again"] for _, answer in answers) == [False, True, True, True]
        await host.put(pack_group(group(12)), sequence=2)
        await host.put(pack_group(group(13)), name="another", sequence=1)
        return await host.firsts()

    async def second(host: Host) -> list[Any]:
        _, old = await host.put(pack_group(group(11)), sequence=1)
        _, last = await host.put(pack_group(group(12)), sequence=2)
        _, new = await host.put(pack_group(group(14)), sequence=3)
        assert [old["again"], last["again"], new["again"]] == [True, True, False]
        return await host.firsts()

    one = host()
    assert run(one, first) == [11, 12, 13]
    assert run(one, second) == [11, 12, 13, 14]


def test_groups_of_workers_and_of_environments_wait_in_the_order_of_their_arrival(host: Hosts) -> None:
    async def talk(host: Host) -> list[int]:
        await host.put(pack_group(group(11)), sequence=1)
        posted = {"tokens": [[12, 2]] * 2, "masks": [[-100, 2]] * 2, "scores": [0, 1]}
        async with ClientSession() as session, session.post(host.url + "/scored_data", json=posted) as response:
            assert response.status == 200
        await host.put(pack_group(group(13)), sequence=2)
        return await host.firsts()

    assert run(host(), talk) == [11, 12, 13]


def test_too_old_and_future_versions_are_refused_counted_and_kept_to_look_at(host: Hosts) -> None:
    async def talk(host: Host) -> None:
        answers = [
            await host.put(pack_group(group(version=version)), sequence=sequence)
            for sequence, version in enumerate((2, 4, 1, 5), 1)
        ]
        assert [status for status, _ in answers] == [200, 200, 422, 422]
        stale, future = (answer["detail"][0] for _, answer in answers[2:])
        assert stale["type"] == "stale"
        assert "2 versions old, and 1 are allowed; sample again with newer weights" in stale["msg"]
        assert "5 is no version of the weights; they are at 3" in future["msg"]
        assert dict(host.service.refused) == {"stale": 1, "version": 1}
        assert "no version" in host.service.last_refusal
        kept = await host.queue.quarantine.newest()
        assert [one.start.startswith(MAGIC) for one in kept] == [True, True]
        assert len(host.queue) == 2

    run(host(version=3, max_staleness=1), talk)


def test_no_body_is_answered_with_500_and_the_next_good_group_is_stored(host: Hosts) -> None:
    paths = st.sampled_from(["/workers/run/groups/w/{}", "/workers/run/generate", "/workers/other/groups/w/{}"])
    values = st.none() | st.integers() | st.floats() | st.binary(max_size=9) | st.text(max_size=3) | st.just({})
    places = st.sampled_from([("attempts", 0, "number"), ("attempts", 0, "record"), ("task",), ("attempts",)])
    fields = st.sampled_from(["tokens", "sampled", "mask", "logprobs", "versions", "extra", "advantages", "agent"])
    segment = fields.map(lambda name: ("attempts", 0, "segments", 0, name))

    def replaced(where: tuple[Any, ...], value: Any) -> bytes:
        def change(parts: Any) -> None:
            for key in where[:-1]:
                parts = parts[key]
            parts[where[-1]] = value

        return altered(pack_group(group()), change)

    numbers = values.filter(lambda value: not isinstance(value, int) or -(2**63) <= value < 2**64)
    bodies = (
        st.binary(max_size=60) | st.builds(replaced, places | segment, numbers) | numbers.map(msgspec.msgpack.encode)
    )

    async def talk(host: Host) -> None:
        loop, sequence = asyncio.get_running_loop(), iter(range(1, 10**6))
        async with ClientSession() as session:

            async def send(path: str, body: bytes, cut: int) -> None:
                url = host.url + path.format(next(sequence))
                method = "POST" if path.endswith("generate") else "PUT"
                for part in (body, body[:cut]):
                    async with session.request(method, url, data=part) as response:
                        assert response.status in {200, 409, 422}, (path, part, await response.text())

            @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(paths, bodies, st.integers(0, 60))
            def fuzz(path: str, body: bytes, cut: int) -> None:
                asyncio.run_coroutine_threadsafe(send(path, body, cut), loop).result(30)

            await asyncio.to_thread(fuzz)
        before = len(host.queue)
        assert (await host.put(pack_group(group()), sequence=next(sequence)))[0] == 200
        assert len(host.queue) == before + 1

    run(host(), talk)


def test_odd_names_and_numbers_of_workers_are_refused(host: Hosts) -> None:
    async def talk(host: Host) -> list[int]:
        body = pack_group(group())
        odd = [("w", 0), ("w", -1), ("w", "x"), ("w", 10**20), ("w" * 65, 1), ("%C3%A9", 1)]
        return [(await host.put(body, name=name, sequence=sequence))[0] for name, sequence in odd]

    assert run(host(), talk) == [422] * 6


def test_no_more_workers_are_remembered_than_there_are_places(host: Hosts, monkeypatch: Any) -> None:
    monkeypatch.setattr(routes, "MOST_WORKERS", 3)

    async def talk(host: Host) -> None:
        for number in range(7):
            await host.put(pack_group(group(number)), name=f"w{number}", sequence=5)
        assert list(host.routes.workers) == ["w4", "w5", "w6"]
        assert host.routes.connected == 3
        assert sum(name.startswith("worker-") for name in host.queue.state()) == 3

    async def again(host: Host) -> None:
        assert sorted(host.routes.workers) == ["w4", "w5", "w6"]
        assert host.routes.connected == 0
        assert (await host.put(pack_group(group()), name="w5", sequence=5))[1]["again"]

    one = host()
    run(one, talk)
    run(one, again)


def test_a_full_queue_is_answered_with_503_and_the_group_can_be_sent_again(host: Hosts) -> None:
    async def talk(host: Host) -> None:
        body = pack_group(group())
        statuses = [(await host.put(body, sequence=sequence))[0] for sequence in (1, 2, 3, 3)]
        assert statuses == [200, 200, 503, 503]
        await host.queue.trained(1)
        assert (await host.put(body, sequence=3)) == (
            200,
            {"status": "stored", "again": False, "figures": {"version": 3, "step": 7, "steps": 20, "wanted": 98}},
        )

    run(host(max_groups=2), talk)
