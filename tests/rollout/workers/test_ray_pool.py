"""Ray for real: actors, the same bits as in one process, and what happens when they are killed."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ray.exceptions import OwnerDiedError, RaySystemError

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.probe import Probe
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import Shipment, ship
from lachesis.rollout.event_log import EventLog
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import Order, Outcome
from lachesis.rollout.workers.answer_desk import Answer
from lachesis.rollout.workers.engine_fleet import EngineFleet, Seat
from lachesis.rollout.workers.pool import InlinePool, PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.rollout.workers.remote import RemoteEngine
from lachesis.verifiers.errors import EngineError, EngineLost
from lachesis.verifiers.group import Group

pytestmark = pytest.mark.timeout(600)

SAMPLING = Sampling(max_tokens=24)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> PoolSpec:
    path = build_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden=32, layers=1, context=64)
    config = RolloutConfig(engines=2, workers=2, slots=16, deadline=120)
    return PoolSpec(ModelConfig(path=str(path), context=64), config, (describe("arithmetic"),))


@pytest.fixture(scope="module")
def weights(spec: PoolSpec) -> Shipment:
    return ship(ObjectStoreSender(), 0, load_model(spec.model.path, torch.float32, "cpu").state_dict())


@pytest.fixture(scope="module")
def orders(spec: PoolSpec) -> list[Order]:
    tasks = spec.environments[0].build().tasks("train", 0)
    return [Order(index, 0, task, 4, (7, 0), SAMPLING) for index, task in zip(range(16), tasks, strict=False)]


@pytest.fixture(scope="module")
def expected(spec: PoolSpec, weights: Shipment, orders: list[Order]) -> list[tuple[int, list[bytes]]]:
    async def inline() -> list[Outcome]:
        pool = InlinePool(spec)
        await pool.publish(weights)
        return await pool.run(orders)

    return [bits(outcome) for outcome in asyncio.run(inline())]


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    yield
    end = time.monotonic() + 60  # Ray's own processes are ended, and may take a moment on a busy machine
    while left := [name for name in running() if "ray" in name or "gcs" in name]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


def bits(outcome: Outcome) -> tuple[int, list[bytes]]:
    """A group's tokens and logprobs, to the bit."""
    assert isinstance(outcome, Group), outcome
    segments = [segment for attempt in outcome.trajectories for segment in attempt.segments]
    return outcome.index, [segment.tokens.tobytes() + segment.logprobs.tobytes() for segment in segments]


class Broken:
    """An engine's handle whose calls end in ``error``."""

    def __init__(self, error: Exception) -> None:
        self.exchange, self.error = self, error

    async def remote(self, caller: str, batch: object) -> list[Answer]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"),
    [(RaySystemError("the object store is gone"), EngineLost), (OwnerDiedError("0" * 56, "", ""), EngineLost)],
)
def test_whatever_ray_says_of_a_call_each_of_its_requests_ends(error: Exception, kind: type[EngineError]) -> None:
    request = Request(np.array([1, 2], np.int32), SAMPLING)

    async def ask() -> None:
        async with asyncio.timeout(60):
            await RemoteEngine(Broken(error), deadline=60).generate(request)

    with pytest.raises(kind):
        asyncio.run(ask())


@pytest.mark.slow
def test_all_engines_killed_at_once_are_waited_for_and_the_watch_outlives_an_odd_error(
    spec: PoolSpec, weights: Shipment, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, odd = EngineFleet._fit, [RuntimeError("odd")]

    async def fit_at_last(fleet: EngineFleet, seat: Seat) -> None:
        if seat.member.restarts and odd:
            raise odd.pop()
        await fit(fleet, seat)

    monkeypatch.setattr(EngineFleet, "_fit", fit_at_last)

    async def kill_all_and_score(pool: RayPool) -> None:
        await pool.publish(weights)
        for pid in await pool.engine_pids():
            os.kill(pid, signal.SIGKILL)
        scores = await pool.compute_logprobs(np.array([1, 2, 3], np.int32))
        assert np.isfinite(scores[0][1:]).all()
        assert not odd

    with_pool(smaller(spec, engines=2), kill_all_and_score)


@pytest.mark.slow
def test_a_stopped_worker_holds_up_no_other_caller_of_the_engine(
    spec: PoolSpec, weights: Shipment, orders: list[Order]
) -> None:
    request = Request(np.array([1, 2, 3], np.int32), SAMPLING)

    async def stop_and_ask(pool: RayPool) -> None:
        await pool.publish(weights)
        [worker] = await pool.worker_pids()
        many = [replace(order, index=1000 + number, size=8) for number, order in enumerate(orders)]
        running = asyncio.create_task(pool.run(many))
        await asyncio.sleep(0.5)  # its requests are with the engine
        os.kill(worker, signal.SIGSTOP)
        try:
            async with asyncio.timeout(60):
                for _ in range(20):
                    assert (await pool.generator().generate(request)).tokens.size
        finally:
            os.kill(worker, signal.SIGCONT)
        assert [outcome for outcome in await running if not isinstance(outcome, Group)] == []

    with_pool(smaller(spec, deadline=600), stop_and_ask)


def has_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def children(pid: int | str = "self") -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def running() -> Iterator[str]:
    """The names of the children that run; a dead one that was not waited for does not."""
    for pid in children():
        with contextlib.suppress(OSError):
            name, _, state = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
            if state.split()[0] != "Z":
                yield name


def started() -> list[str]:
    """The command lines of Ray's processes that this one has started."""
    return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children()]


def smaller(spec: PoolSpec, engines: int = 1, **settings: float) -> PoolSpec:
    """The same with one worker: each engine imports torch, which takes seconds."""
    update = {"engines": engines, "workers": 1, **settings}
    return replace(spec, rollout=spec.rollout.model_copy(update=update))


def with_pool(spec: PoolSpec, use: Callable[[RayPool], Awaitable[None]], events: EventLog | None = None) -> None:
    async def session() -> None:
        pool = RayPool(spec, events)
        try:
            async with asyncio.timeout(500):
                await use(pool)
        finally:
            await pool.close()

    asyncio.run(session())


async def run_in_chunks(pool: RayPool, orders: list[Order]) -> list[tuple[int, list[bytes]]]:
    chunks = [orders[start : start + 4] for start in range(0, len(orders), 4)]
    outcomes = await asyncio.gather(*(pool.run(chunk) for chunk in chunks))
    return [bits(outcome) for chunk in outcomes for outcome in chunk]


def test_ray_gives_the_bits_of_one_process_also_while_engines_and_workers_are_killed(
    spec: PoolSpec,
    weights: Shipment,
    orders: list[Order],
    expected: list[tuple[int, list[bytes]]],
    tmp_path: Path,
) -> None:
    tokens = np.arange(3, 19, dtype=np.int32)

    async def use(pool: RayPool) -> None:
        await pool.publish(weights)
        [logprobs, _] = await pool.compute_logprobs(tokens)
        probe = Probe(tokens, logprobs, 1e-3)
        assert await run_in_chunks(pool, orders) == expected
        assert {has_torch(pid) for pid in await pool.worker_pids()} == {False}
        assert {has_torch(pid) for pid in await pool.engine_pids()} == {True}
        assert not [name for name in started() if "dashboard.py" in name or "monitor.py" in name]

        engine, worker = (await pool.engine_pids())[0], (await pool.worker_pids())[0]
        running = asyncio.create_task(run_in_chunks(pool, orders * 20))
        await asyncio.sleep(0.3)
        os.kill(engine, signal.SIGKILL)
        await asyncio.sleep(0.3)
        assert not running.done(), "the kill came too late to prove anything"
        os.kill(worker, signal.SIGKILL)
        assert await running == expected * 20

        same = ship(ObjectStoreSender(), 1, dict(tensors_of(weights)))
        assert await pool.publish(same, probe) == 0.0
        scaled = ship(ObjectStoreSender(), 2, {name: t * 1.01 for name, t in tensors_of(weights)})
        await pool.publish(scaled)
        while [info.version for info in await pool.infos()] != [2, 2]:  # noqa: ASYNC110 - the restarted one catches up
            await asyncio.sleep(0.2)
        assert engine not in await pool.engine_pids()
        first, second = await pool.compute_logprobs(tokens)
        assert np.array_equal(first, second, equal_nan=True)
        while pool.metrics()["rate/engines_healthy"] < 1:  # noqa: ASYNC110 - its state follows
            await asyncio.sleep(0.05)
        with pytest.raises(EngineError, match="arrived whole but have no effect"):
            await pool.publish(ship(ObjectStoreSender(), 3, {name: t * 2 for name, t in tensors_of(scaled)}), probe)

    events = EventLog(tmp_path / "events.jsonl")
    with_pool(spec, use, events)
    events.close()
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    states = [row["state"] for row in rows if row["event"] == "engine_state" and row["engine"] == 0]
    assert [state for state in states if state != "suspect"][:6] == [
        "stale",
        "healthy",
        "dead",
        "restarting",
        "stale",
        "healthy",
    ]


def tensors_of(shipment: Shipment) -> list[tuple[str, torch.Tensor]]:
    return list(shipment.receiver().receive(shipment))


LETHAL = """
import os
from lachesis import Environment, Rubric, Task, use

class Lethal(Environment):
    rubric = Rubric(use("exact"))

    def tasks(self, split, seed):
        return [Task(str(n), answer="1") for n in range(8)]

    async def run(self, episode):
        if episode.task.prompt == "3":
            os.kill(os.getpid(), 9)
        await episode.chat().reply() if episode.chat().messages else episode.chat().add("user", "x")
"""


@pytest.mark.slow
def test_a_task_that_kills_its_worker_every_time_fails_alone(spec: PoolSpec, weights: Shipment, tmp_path: Path) -> None:
    (tmp_path / "lethal.py").write_text(LETHAL)
    lethal = describe(f"{tmp_path}/lethal.py")
    tasks = list(lethal.build().tasks("train", 0))
    orders = [Order(index, 0, task, 2, (7, 0), SAMPLING) for index, task in enumerate(tasks)]

    async def use(pool: RayPool) -> None:
        await pool.publish(weights)
        outcomes = await pool.run(orders)
        assert [outcome.index for outcome in outcomes if not isinstance(outcome, Group)] == [3]
        assert [outcome.index for outcome in outcomes] == list(range(8))

    with_pool(PoolSpec(spec.model, spec.rollout, (lethal,)), use)


@pytest.mark.slow
def test_an_engine_without_weights_refuses_and_the_group_fails_at_its_deadline_instead_of_scoring_zero(
    spec: PoolSpec, orders: list[Order]
) -> None:
    async def use(pool: RayPool) -> None:
        await pool.worker_pids()
        outcomes = await pool.run(orders[:1])
        assert not isinstance(outcomes[0], Group)

    with_pool(smaller(spec, deadline=5.0, retries=0), use)
