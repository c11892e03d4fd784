"""A Ray that no longer answers ends the run with one line; a lost node is told with what was on it."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.event_log import EventLog
from lachesis.rollout.workers.fleet.ray_health import RayHealth
from lachesis.rollout.workers.fleet.state import Member
from lachesis.verifiers.errors import InfrastructureError


def node(name: str, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "NodeManagerAddress": f"10.0.0.{name}"}


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_look_that_blocks_ends_all_that_waits_and_all_that_comes_later() -> None:
    free, left = threading.Event(), []

    def look() -> Sequence[dict[str, Any]]:
        free.wait()
        return []

    async def session() -> None:
        health = RayHealth(list, look, lambda: left.append(1), deadline=0.2)
        assert await health.guard(asyncio.sleep(0, 3)) == 3
        with pytest.raises(InfrastructureError, match=r"Ray has not answered on this machine.*--resume"):
            await health.guard(forever())
        with pytest.raises(InfrastructureError, match="--resume"):
            await health.guard(forever())
        await health.close(lambda: left.append(2))

    asyncio.run(session())
    free.set()
    assert left == [1]  # Ray's own end, which would block, was not asked for


def test_what_ray_raises_ends_the_run_in_one_line() -> None:
    def look() -> Sequence[dict[str, Any]]:
        raise ConnectionError("the GCS is gone\nand 40 more lines")

    async def session() -> None:
        health = RayHealth(list, look, lambda: None)
        with pytest.raises(InfrastructureError, match=r"gone from this machine: the GCS is gone; continue") as told:
            await health.guard(forever())
        assert "\n" not in str(told.value)
        await health.close(lambda: None)

    asyncio.run(session())


def test_a_lost_node_is_told_once_with_its_address_and_what_was_on_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RayHealth, "EVERY", 0.01)
    members = [Member("engine", 1, EventLog()), Member("worker", 0, EventLog()), Member("worker", 1, EventLog())]
    for member, place in zip(members, "221", strict=True):
        member.node = place
    looks = [[node("1"), node("2"), node("3")], [node("1"), node("2", alive=False)], [node("1")], [node("1")]]

    async def session() -> None:
        health = RayHealth(lambda: members, lambda: looks.pop(0) if len(looks) > 1 else looks[0], lambda: None)
        while len(looks) > 1:  # noqa: ASYNC110 - it looks on its own
            await asyncio.sleep(0.01)
        await health.close(lambda: None)

    with caplog.at_level(logging.WARNING, "lachesis"):
        asyncio.run(session())
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "the node 10.0.0.2 is lost, and with it engine 1, worker 0",
        "the node 10.0.0.3 is lost",
    ]


STOPPED = """
import asyncio, os, signal
from pathlib import Path
from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.workers.pool import PoolSpec
from lachesis.rollout.workers.ray_pool import RayPool
from lachesis.verifiers.errors import InfrastructureError

async def main():
    config = RolloutConfig(engines=1, workers=1, deadline=600, engine="torch")
    pool = RayPool(PoolSpec(ModelConfig(path=os.environ["MODEL"], context=64), config, (describe("arithmetic"),), 0))
    try:
        print(len(await pool.infos()), flush=True)
        await pool.worker_pids()
        children = [pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]
        [raylet] = [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "raylet"]
        os.kill(raylet, signal.SIGSTOP)
        await pool._ray.guard(asyncio.Event().wait())
    finally:
        await pool.close()

try:
    asyncio.run(main())
except InfrastructureError as error:
    print(error, flush=True)
"""


@pytest.mark.slow
def test_a_stopped_raylet_ends_the_run_with_one_line_and_leaves_no_process(tmp_path: Path) -> None:
    from lachesis.rollout.models.tiny import build_tiny_model

    path = build_tiny_model(tmp_path / "tiny", hidden=32, layers=1, context=64)
    environment = {**os.environ, "MODEL": str(path), "LACHESIS_MARK": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", STOPPED], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    counted, *lines = ran.stdout.splitlines()
    assert counted == "1", ran.stderr
    assert len(lines) == 1
    assert "Ray has not answered on this machine for 45 s" in lines[0]
    end = time.monotonic() + 60
    while (left := marked(str(tmp_path))) and time.monotonic() < end:
        time.sleep(0.5)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def marked(text: str) -> list[int]:
    """The processes with this text in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"LACHESIS_MARK={text}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
