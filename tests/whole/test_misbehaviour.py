"""Environments that misbehave in every way we know, on real workers: each harms its own trajectories and no others."""

import asyncio
import os
import time
from pathlib import Path

import pytest
import torch

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.engines.weight_transport.transport import ship
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import Failure, Order, Outcome
from lachesis.rollout.workers.log_limit import MOST, LimitedStream
from lachesis.rollout.workers.pool import PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.rollout.workers.watchdog import HeldUp, Watchdog
from lachesis.verifiers.group import Group

WILD = f"""
import asyncio, logging, os, subprocess, sys, time
from lachesis import Case, Environment, Task, reward

LEAKED = "987654.{os.getpid()}"
KINDS = ["good", "raises", "interrupts", "cancels", "exits", "nonsense", "spins", "swallows", "floods", "leaks",
         "judges", "sleeps", "good"]


class Wild(Environment):
    def tasks(self, split, seed):
        yield from (Task(kind, answer=kind) for kind in KINDS)

    async def run(self, episode):
        chat, kind = episode.chat(), episode.task.prompt
        chat.add("user", kind)
        await chat.reply()
        if kind == "raises":
            raise ValueError("as it likes")
        if kind == "interrupts":
            raise KeyboardInterrupt
        if kind == "cancels":
            raise asyncio.CancelledError
        if kind == "exits":
            sys.exit(3)
        if kind == "nonsense":
            episode.metric("loss", "high")
        while kind == "spins":
            pass
        while kind == "swallows":
            try:
                time.sleep(0.1)
            except Exception:
                pass
        if kind == "floods":
            for _ in range(300):
                print("x" * 100_000)
                sys.stderr.write("y" * 100_000)
        if kind == "leaks":
            subprocess.Popen(["sleep", LEAKED])
        if kind == "sleeps":
            time.sleep(1_000)

    @reward()
    def said(self, case):
        if case.task.prompt == "judges":
            raise KeyboardInterrupt
        return float(len(case.completion) % 2)
"""


@pytest.mark.timeout(600)
def test_each_kind_of_misbehaviour_harms_itself_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wild.py").write_text(WILD)
    wild = describe(f"{tmp_path}/wild.py")
    path = build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64)
    weights = ship(ObjectStoreSender(), 0, load_model(str(path), torch.float32, "cpu").state_dict())
    config = RolloutConfig(engines=1, workers=2, slots=16, deadline=100, blocking=2.5, retries=0)
    sampling = Sampling(max_tokens=4)
    tasks = list(wild.build().tasks("train", 0))
    orders = [Order(index, 0, task, 2, (7, 0), sampling) for index, task in enumerate(tasks)]

    async def session() -> list[Outcome]:
        pool = RayPool(PoolSpec(ModelConfig(path=str(path), context=64), config, (wild,)))
        try:
            await pool.publish(weights)
            async with asyncio.timeout(500):
                alone = (pool.run([order]) for order in orders[:-2])
                together = pool.run(orders[-2:])  # the first of the two kills its workers and harms only itself
                return [outcome for part in await asyncio.gather(*alone, together) for outcome in part]
        finally:
            await pool.close()

    outcomes = asyncio.run(session())
    assert [outcome.index for outcome in outcomes] == list(range(len(orders)))
    by_kind = dict(zip([str(task.prompt) for task in tasks], outcomes, strict=True))
    whole = {kind for kind, outcome in by_kind.items() if isinstance(outcome, Group)}
    assert whole == {"good", "floods", "leaks"}
    assert isinstance(outcomes[0], Group)
    reasons = {kind: outcome.reason for kind, outcome in by_kind.items() if isinstance(outcome, Failure)}
    here = f"({tmp_path}/wild.py, line "
    lines = WILD.splitlines()
    for kind, error, line in (
        ("raises", "ValueError: as it likes", 'raise ValueError("as it likes")'),
        ("interrupts", "KeyboardInterrupt", "raise KeyboardInterrupt"),
        ("cancels", "CancelledError", "raise asyncio.CancelledError"),
        ("exits", "SystemExit: 3", "sys.exit(3)"),
        ("nonsense", "DataError: metric 'loss' must be a finite number", 'episode.metric("loss", "high")'),
        ("swallows", "HeldUp: the code blocked", "time.sleep(0.1)"),
    ):
        number = lines.index(next(text for text in lines if text.strip() == line)) + 1
        assert reasons[kind].startswith(error), reasons[kind]
        assert reasons[kind].endswith(f"{here}{number})") or kind == "swallows", reasons[kind]
    assert "rollout.blocking" in reasons["spins"]
    assert here in reasons["spins"]
    assert "KeyboardInterrupt" in reasons["judges"]
    assert "environment workers in a row were lost over it" in reasons["sleeps"]
    captured = capfd.readouterr()
    assert "xxxx" not in captured.out + captured.err
    deadline = time.monotonic() + 60
    while (left := sleepers()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


def sleepers() -> list[str]:
    """Processes that the leaking environment has left."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [entry.parent.name] * (f"987654.{os.getpid()}\0".encode() in entry.read_bytes())
        except OSError:  # it has just ended
            continue
    return found


def test_a_flood_is_cut_with_a_note_and_flows_again_in_the_next_window(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with os.fdopen(write, "w") as stream:
        bounded = LimitedStream(stream)
        assert bounded.write("first\n") == 6
        bounded.flush()
        assert os.read(read, 100) == b"first\n"
        monkeypatch.setattr("lachesis.rollout.workers.log_limit.MOST", 10)
        now[0] = 61.0
        for _ in range(5):
            assert bounded.write("12345678") == 8
        bounded.flush()
        said = os.read(read, 1000).decode()
        assert said.startswith("1234567812\n... more than 10 characters")
        assert said.count("dropped") == 1
        now[0] = 200.0
        bounded.write("again")
        bounded.flush()
        assert os.read(read, 100) == b"again"
    os.close(read)
    assert MOST > 1000


def test_code_that_takes_its_time_but_awaits_is_left_alone() -> None:
    async def patient() -> int:
        dog = Watchdog(2.0)
        dog.watch()
        turns = 0
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            time.sleep(0.05)  # noqa: ASYNC251 - it is the point
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(patient()) > 5
    assert not issubclass(HeldUp, Exception)
