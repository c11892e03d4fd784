"""The trajectory service beside run-api of atroposlib 0.4.0, and a trainer's binary door beside its JSON one.

Durability is on throughout.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from aiohttp import ClientSession

from lachesis.rollout.service.remote_workers.packed_groups import pack_group
from lachesis.rollout.service.storage.batching import Waiting, WaitingGroups
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

ATROPOS = Path(os.environ.get("LACHESIS_ATROPOS_PYTHON") or Path(__file__).parent.parent / ".venv-atropos/bin/python")
GROUPS, AT_ONCE, BATCH = 960, 16, 256
PARTS = 4  # the rate is that of the fastest part, the CPU time that of all
PORTS = {"ours": 18461, "run-api": 18462, "trainer": 18463}
TRAINER = Path(__file__).parent / "peers" / "trainer_service.py"
LENGTHS = (1_000, 10_000, 100_000)

FORM = """
import sys, time
from atroposlib.api.utils import grab_exact_from_heterogeneous_queue as form
for length in map(int, sys.argv[1:]):
    tokens = [[1]] * 8
    queue = [{"tokens": tokens} for _ in range(length)]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        batch, queue = form(queue, 256)
        times.append(time.perf_counter() - start)
    print(min(times) * 1e3)
"""


class Measured(NamedTuple):
    """What one server reached."""

    ingest: float
    """Groups a second."""
    cpu: float
    """Milliseconds of CPU a group."""
    memory: float
    """KB a group in the queue."""
    pulls: float
    """Batches a second."""


def rows() -> Iterator[tuple[str, float, str, float]]:
    """The figures; the limit of a trainer's binary door is its JSON one, that of all others is the reference."""
    json_door, binary_door = asyncio.run(measure_doors())
    yield "a trainer's binary ingest of 8 x 512 tokens", binary_door, "groups/s", json_door
    if not ATROPOS.exists():
        return
    yield "start, until the first answer", start("ours"), "s", start("run-api")
    ours, theirs = (asyncio.run(measure(name)) for name in ("ours", "run-api"))
    yield "ingest of 8 x 512 tokens", ours.ingest, "groups/s", theirs.ingest
    yield "CPU of that", ours.cpu, "ms/group", theirs.cpu
    yield "memory of a queued group", ours.memory, "kB", theirs.memory
    yield f"batches of {BATCH} sequences pulled", ours.pulls, "batches/s", theirs.pulls
    done = subprocess.run(
        [ATROPOS, "-c", FORM, *map(str, LENGTHS)], capture_output=True, text=True, timeout=300, check=True
    )
    for length, reference in zip(LENGTHS, done.stdout.split(), strict=True):
        yield f"form a batch of {length:,} groups", form(length), "ms", float(reference)


def start(name: str) -> float:
    """Seconds from the command to its first answer, the best of three."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, server(name, Path(folder)):
            while not answers(PORTS[name]):
                time.sleep(0.005)
            times.append(time.perf_counter() - begun)
    return min(times)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
            return bool(response.read())
    except OSError:
        return False


def form(length: int) -> float:
    """Milliseconds to take one batch out of so many groups."""
    groups = WaitingGroups()
    for number in range(length):
        groups.add(Waiting(number, None, 8))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        groups.take(BATCH, {})
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def fields() -> dict[str, Any]:
    rng = random.Random(0)
    tokens = [[rng.randrange(150_000) for _ in range(512)] for _ in range(8)]
    return {
        "tokens": tokens,
        "masks": [[-100] * 128 + row[128:] for row in tokens],
        "scores": [rng.random() for _ in tokens],
        "inference_logprobs": [[1.0] * 128 + [-rng.expovariate(1) for _ in range(384)] for _ in tokens],
    }


def body() -> bytes:
    return json.dumps(fields()).encode()


def packed() -> bytes:
    """The same tokens, logprobs and scores as a whole group."""
    data, task, sampled = fields(), Task("?"), np.arange(512) >= 128
    attempts = [
        Trajectory(
            task,
            segments=(
                Segment(
                    np.array(tokens),
                    sampled,
                    sampled,
                    np.where(sampled, logprobs, np.nan).astype(np.float32),
                    np.where(sampled, 0, -1),
                ),
            ),
            rewards={"policy": Reward((Component("score", 1.0, Verdict(score)),))},
        )
        for tokens, logprobs, score in zip(data["tokens"], data["inference_logprobs"], data["scores"], strict=True)
    ]
    return pack_group(Group(0, task, tuple(attempts)))


async def measure_doors() -> tuple[float, float]:
    """Groups a second through the JSON door and through the binary door of one trainer's service, in turns."""
    bodies = {"json": body(), "binary": packed()}
    numbers = iter(range(1, 1 << 30))
    best = dict.fromkeys(bodies, 0.0)
    with tempfile.TemporaryDirectory() as folder, server("trainer", Path(folder)):
        async with ClientSession(f"http://127.0.0.1:{PORTS['trainer']}") as session:

            async def post(door: str, worker: int, times: int) -> None:
                for _ in range(times):
                    route = f"/workers/run/groups/w{worker}/{next(numbers)}"
                    json_door = door == "json"
                    call = (
                        session.post("/scored_data", data=bodies[door])
                        if json_door
                        else session.put(route, data=bodies[door])
                    )
                    async with call as answer:
                        assert answer.status == 200, await answer.text()

            await wait_for(session)
            for door in [*bodies] * 3:
                start = time.perf_counter()
                await asyncio.gather(*(post(door, worker, GROUPS // AT_ONCE // 4) for worker in range(AT_ONCE)))
                best[door] = max(best[door], GROUPS // 4 / (time.perf_counter() - start))
    return best["json"], best["binary"]


async def measure(name: str) -> Measured:
    posted = body()
    with tempfile.TemporaryDirectory() as folder, server(name, Path(folder)) as process:
        async with ClientSession(f"http://127.0.0.1:{PORTS[name]}") as session:
            await wait_for(session)

            async def post(times: int) -> None:
                for _ in range(times):
                    async with session.post(
                        "/scored_data", data=posted, headers={"Content-Type": "application/json"}
                    ) as answer:
                        assert answer.status == 200, await answer.text()

            await post(2 * BATCH // 8)  # to warm up; these make the first two batches
            cpu, memory = cpu_seconds(process.pid), resident(process.pid)
            walls = []
            for _ in range(PARTS):
                start = time.perf_counter()
                await asyncio.gather(*[post(GROUPS // AT_ONCE // PARTS) for _ in range(AT_ONCE)])
                walls.append(time.perf_counter() - start)
            cpu, memory = cpu_seconds(process.pid) - cpu, resident(process.pid) - memory
            batches, start = GROUPS * 8 // BATCH, time.perf_counter()
            for _ in range(batches):
                async with session.get("/batch") as answer:
                    assert len(await answer.read()) > len(posted)
            pulls = batches / (time.perf_counter() - start)
    return Measured(GROUPS / PARTS / min(walls), cpu / GROUPS * 1e3, memory / GROUPS / 1e3, pulls)


async def wait_for(session: ClientSession) -> None:
    registration: dict[str, Any] = {"wandb_group": "", "wandb_project": "", "batch_size": BATCH, "max_token_len": 2048}
    registration |= {"checkpoint_dir": "", "save_checkpoint_interval": 1, "starting_step": 0, "num_steps": 1}
    for _ in range(600):
        try:
            async with session.post("/register", json=registration) as answer:
                assert answer.status == 200
                return
        except OSError:
            await asyncio.sleep(0.1)
    raise TimeoutError("the server did not start")


@contextmanager
def server(name: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    port = str(PORTS[name])
    ours = [sys.executable, "-m", "lachesis.commands.cli", "serve", "--store", str(folder / "store.sqlite")]
    theirs = [str(ATROPOS), "-m", "atroposlib.cli.run_api"]
    trainer = [sys.executable, str(TRAINER), port, str(folder / "store.sqlite")]
    commands = {"ours": [*ours, "--port", port], "run-api": [*theirs, "--port", port], "trainer": trainer}
    with subprocess.Popen(commands[name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
