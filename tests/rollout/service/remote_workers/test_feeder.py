import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.loading import EnvironmentSpec, describe
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.engine import Request
from lachesis.rollout.service.remote_workers import feeder as module
from lachesis.rollout.service.remote_workers.feeder import Feeder
from lachesis.rollout.service.remote_workers.packed_groups import unpack_group
from lachesis.verifiers.errors import InfrastructureError
from lachesis.verifiers.group import Group
from lachesis.verifiers.sandbox.settings import SandboxSettings

from .conftest import Host, until

Hosts = Callable[..., Host]
SUMS = describe("arithmetic", config={"digits": 1}, label="arithmetic")
ROLLOUT = RolloutConfig(threads=1, retries=0)


@pytest.fixture(autouse=True)
def asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL", 0.05)


def guess(request: Request) -> list[int]:
    """One of two answers, by the seed: one with a stop id, and one that is cut off."""
    return [48 + request.sampling.seed % 2, request.sampling.stop_ids[0]]


def feed(host: Host, spec: EnvironmentSpec = SUMS, then: Any = None, **options: Any) -> tuple[Feeder, list[Group]]:
    """A feeder that has ended, and the groups that it left."""

    async def run() -> tuple[Feeder, list[Group]]:
        async with asyncio.timeout(60), host.open(), host.client() as client:
            feeder = Feeder(client, spec, ROLLOUT, SandboxSettings(), **options)
            if then is None:
                await feeder.run()
            else:
                async with asyncio.TaskGroup() as both:
                    both.create_task(feeder.run())
                    both.create_task(then(host, feeder))
            found, number = [], 0
            while (queued := await host.queue.next(number, 0.0)) is not None:
                number = queued.number
                found.append(unpack_group(queued.body))
            return feeder, found

    return asyncio.run(run())


def test_groups_are_whole_scored_and_follow_from_the_seed(tmp_path: Path) -> None:
    runs = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / name).mkdir()
        feeder, found = feed(Host(tmp_path / name, script=guess), seed=seed, groups=4, concurrency=2)
        assert (feeder.tally.sent, feeder.tally.playing, feeder.tally.waiting) == (4, 0, 0)
        assert feeder.tally.success is not None
        runs.append([[one.to_json() | {"timings": {}} for one in group.trajectories] for group in found])
        for group in found:
            assert len(group.trajectories) == 2
            for attempt in group.trajectories:
                (segment,) = attempt.segments
                assert set(segment.versions[segment.sampled]) == {3}
                assert attempt.rewards["policy"].score("exact") in (0.0, 1.0)
                attempt.rewards["policy"].components[0].verdict.reason  # noqa: B018 - the whole reward has come
    tasks = [[group[0]["task"] for group in run] for run in runs]
    tokens = [[[one["segments"][0]["tokens"] for one in group] for group in run] for run in runs]
    assert tasks[0] == tasks[1] != tasks[2]
    assert tokens[0] == tokens[1]


def test_it_pauses_while_enough_groups_wait_and_goes_on_when_some_are_taken(tmp_path: Path) -> None:
    async def watch(host: Host, feeder: Feeder) -> None:
        await until(lambda: len(host.queue) >= 3)
        await asyncio.sleep(0.3)
        assert 3 <= len(host.queue) <= 5, "at most what was under way when the third came is more than enough"
        assert feeder.tally.figures.wanted == 0
        await host.queue.trained(100)

    feeder, _ = feed(Host(tmp_path, script=guess, enough=3), then=watch, groups=6)
    assert feeder.tally.sent == 6


def test_it_waits_until_the_warm_start_is_over(tmp_path: Path) -> None:
    async def watch(host: Host, feeder: Feeder) -> None:
        await until(lambda: feeder.tally.figures.steps)
        await asyncio.sleep(0.3)
        assert (feeder.tally.playing, len(host.queue)) == (0, 0)
        await host.service.start()

    feeder, _ = feed(Host(tmp_path, script=guess, started=False), then=watch, groups=1)
    assert feeder.tally.sent == 1


def test_a_group_that_became_too_old_is_dropped_and_the_next_ones_are_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The weights move on while the first groups are played."""
    host = Host(tmp_path, max_staleness=0, version=3)
    count = iter(range(1000))

    def script(request: Request) -> list[int]:
        if next(count) == 1:
            host.version = 4  # the engine is still at 3
        return guess(request)

    host.script = script

    async def watch(host: Host, feeder: Feeder) -> None:
        await until(lambda: feeder.tally.refused)
        host.engine._version = 4

    with caplog.at_level(logging.WARNING, "lachesis"):
        feeder, found = feed(host, then=watch, groups=2, concurrency=2)
    assert feeder.tally.refused >= 1
    assert feeder.tally.sent == len(found) == 2
    assert "1 versions old, and 0 are allowed" in caplog.text
    assert dict(host.service.refused) == {"stale": feeder.tally.refused}


BROKEN = """
from lachesis import Environment, Task

class Broken(Environment):
    def tasks(self, split, seed):
        yield Task("x")

    async def run(self, episode):
        raise OSError("no database")
"""


def test_what_fails_is_never_a_reward_and_ends_the_worker_if_nothing_else_comes(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    host = Host(tmp_path)
    with pytest.raises(
        InfrastructureError, match=r"(8|9|1[01]) groups in a row could not be made, the last: .*no database"
    ):
        feed(host, describe(str(tmp_path / "broken.py"), label="broken"), concurrency=4)
    assert host.queue.counters.accepted == 0


def test_it_begins_anew_with_another_run_at_the_same_address(tmp_path: Path) -> None:
    first, second = Host(tmp_path / "a", script=guess, run="first"), Host(tmp_path / "b", script=guess, run="second")

    async def run() -> Feeder:
        async with asyncio.timeout(60):
            async with first.open():
                client = first.client()
                await client.__aenter__()
                feeder = Feeder(client, SUMS, ROLLOUT, SandboxSettings(), groups=30, concurrency=2)
                feeding = asyncio.create_task(feeder.run())
                await until(lambda: feeder.tally.sent >= 2)
            second.port = first.port
            async with second.open():
                await feeding
                assert len(second.queue) >= 1
            await client.__aexit__(None, None, None)
            return feeder

    assert asyncio.run(run()).tally.sent == 30
