"""Worker threads: code that blocks delays its own thread, and neither the others nor the loop of the engine calls."""

import asyncio
import faulthandler
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from lachesis.environments.environment import Environment
from lachesis.environments.episode import Episode
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.engine import Generator, Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Failure, Order, Outcome
from lachesis.rollout.workers.threads import WorkerThreads
from lachesis.rollout.workers.watchdog import HeldUp, Watchdog, _raise_in
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.group import Group
from lachesis.verifiers.rubric import Rubric, use
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.task import Task

TOKENIZER = build_tiny_tokenizer()


class Slow(Environment):
    """Blocks as long as its task says, or until the gate is open; holds what only the thread that made it may use."""

    rubric = Rubric(use("exact"))
    closed: ClassVar[list[str]] = []
    gate = threading.Event()

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.database = sqlite3.connect(":memory:")

    async def run(self, episode: Episode) -> None:
        await super().run(episode)
        self.database.execute("select 1")
        time.sleep(episode.task.info["blocks"])  # noqa: ASYNC251 - it is the point
        if episode.task.info.get("gate"):
            assert Slow.gate.wait(60)
        await asyncio.sleep(episode.task.info.get("waits", 0))
        episode.artifacts["thread"] = threading.get_ident()

    async def close(self, episode: Episode) -> None:
        Slow.closed.append(episode.task.id)


def threads(number: int, blocking: float = 30.0) -> WorkerThreads:
    def build(engine: Generator) -> GroupWorker:
        worker = GroupWorker([], engine, Renderer(TOKENIZER), config, context=256, sandbox=SandboxSettings())
        worker.environments = [Slow()]
        return worker

    config = RolloutConfig(retries=0)
    OPENED.append(WorkerThreads(build, ScriptedEngine(says_four), number, Watchdog(blocking)))
    return OPENED[-1]


OPENED: list[WorkerThreads] = []


@pytest.fixture(autouse=True)
def _closed_afterwards() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
    assert not [thread.name for thread in threading.enumerate() if thread.name == "worker thread"]


def says_four(request: Request) -> list[int]:
    assert threading.current_thread() is threading.main_thread()  # the engine is asked where it lives
    return [*TOKENIZER.encode("4", add_special_tokens=False), TOKENIZER.eos_token_id]


def order(index: int, blocks: float = 0.0, size: int = 2, **info: float) -> Order:
    task = Task("q", "4", info={"blocks": blocks, **info}, id=f"task {index}")
    return Order(index, 0, task, size, (0, 0), Sampling(max_tokens=16))


def test_blocking_code_holds_up_neither_the_other_threads_nor_the_loop() -> None:
    async def session() -> tuple[set[int], list[Outcome]]:
        playing = threads(4)
        runs = [asyncio.create_task(playing.run([order(index, gate=index == 0)])) for index in range(40)]
        async with asyncio.timeout(50):
            while sum(run.done() for run in runs) < 30:  # noqa: ASYNC110 - the loop turns, which is to be shown
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        before = {index for index, run in enumerate(runs) if run.done()}
        Slow.gate.set()
        return before, [outcome for outcomes in await asyncio.gather(*runs) for outcome in outcomes]

    Slow.gate.clear()
    before, outcomes = asyncio.run(session())
    groups = [outcome for outcome in outcomes if isinstance(outcome, Group)]
    assert len(groups) == 40
    assert all(attempt.rewards["policy"].total == 1 for group in groups for attempt in group.trajectories)
    assert len({attempt.artifacts["thread"] for group in groups for attempt in group.trajectories}) == 4
    assert len(before) == 30  # of three threads, while the fourth is blocked
    assert 0 not in before


def test_what_blocks_too_long_is_interrupted_on_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: None)  # this process is the tests' own
    outcomes = asyncio.run(threads(2, blocking=0.5).run([order(0, blocks=0.8, size=3), order(1), order(2)]))
    assert isinstance(outcomes[0], Failure)
    assert "HeldUp" in outcomes[0].reason
    assert isinstance(outcomes[1], Group)
    assert isinstance(outcomes[2], Group)


def test_an_interruption_that_comes_too_late_ends_no_thread() -> None:
    async def session() -> list[Outcome]:
        playing = threads(1)
        [before] = await playing.run([order(0)])
        assert isinstance(before, Group)
        thread = before.trajectories[0].artifacts["thread"]
        for _ in range(5):
            _raise_in(thread, HeldUp)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(60):
            return await playing.run([order(1)])

    assert isinstance(asyncio.run(session())[0], Group)


def test_who_is_cancelled_cancels_the_episodes_which_are_closed() -> None:
    async def session() -> None:
        playing = threads(2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await playing.run([order(number, waits=60.0) for number in (7, 8, 9)])
        end = time.monotonic() + 60
        while len(Slow.closed) < 6 and time.monotonic() < end:  # noqa: ASYNC110 - other threads append
            await asyncio.sleep(0.01)

    Slow.closed.clear()
    asyncio.run(session())
    assert sorted(set(Slow.closed)) == ["task 7", "task 8", "task 9"]
    assert len(Slow.closed) == 6


def test_an_environment_that_cannot_be_made_says_so_to_who_asked() -> None:
    def build(engine: Generator) -> GroupWorker:
        raise ConfigError("no such folder")

    with pytest.raises(ConfigError, match="no such folder"):
        WorkerThreads(build, ScriptedEngine(says_four), 2, Watchdog(30))
