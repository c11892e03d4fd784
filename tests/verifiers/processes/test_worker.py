"""Worker processes: their requests have deadlines, dead ones are replaced, and none outlives its parent."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lachesis.verifiers.processes.worker import Outcome, WorkerPool

PROGRAM = """
import json, os, signal, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    signal.setitimer(signal.ITIMER_PROF, request["cpu_seconds"])
    if request.get("die"):
        os.kill(os.getpid(), request["die"])
    if request.get("exit"):
        os._exit(3)
    while request.get("spin"):
        pass
    time.sleep(request.get("sleep", 0))
    print(json.dumps({"pid": os.getpid(), "retire": bool(request.get("retire"))}), flush=True)
"""


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WorkerPool]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    pool = WorkerPool(program, size=1)
    yield pool
    pool.close()


def ask(pool: WorkerPool, cpu_seconds: float = 0.1, **request: object) -> Outcome:
    return asyncio.run(pool.ask(request, cpu_seconds))


def gone(pid: int, within: float = 60.0) -> bool:
    """Whether the process ends; a zombie that waits for its parent counts as ended."""
    stat = Path(f"/proc/{pid}/stat")
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if sys.platform == "linux" and stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_a_worker_serves_many_requests(pool: WorkerPool) -> None:
    assert ask(pool).answer == ask(pool).answer == {"pid": pool.pids[0]}


def test_too_much_cpu_time_is_a_timeout_and_waiting_is_not(pool: WorkerPool) -> None:
    assert ask(pool, spin=True).status == "timeout"
    assert ask(pool, sleep=0.5).status == "ok"


def test_a_stuck_worker_is_killed_at_the_wall_clock_deadline(pool: WorkerPool) -> None:
    start = time.monotonic()
    outcome = ask(pool, cpu_seconds=0.02, sleep=3600)
    assert outcome.status == "timeout"
    assert "no answer within 1.2 s, twice" in outcome.reason
    assert time.monotonic() - start < 30
    assert ask(pool).status == "ok"


@pytest.mark.parametrize("request_", [{"die": signal.SIGSEGV}, {"die": signal.SIGKILL}, {"exit": True}])
def test_a_request_that_kills_two_workers_gets_a_limit(pool: WorkerPool, request_: dict[str, int]) -> None:
    outcome = ask(pool, **request_)
    assert outcome.status == "limit"
    assert "twice" in outcome.reason
    assert ask(pool).status == "ok"


def test_a_request_succeeds_if_its_worker_is_killed_from_outside_once(pool: WorkerPool) -> None:
    first = ask(pool).answer["pid"]

    async def kill_meanwhile() -> Outcome:
        asking = asyncio.ensure_future(pool.ask({"sleep": 0.5}, 0.1))
        await asyncio.sleep(0.1)
        os.kill(first, signal.SIGKILL)
        return await asking

    outcome = asyncio.run(kill_meanwhile())
    assert outcome.status == "ok"
    assert outcome.answer["pid"] != first


def test_a_worker_killed_between_two_requests_is_replaced(pool: WorkerPool) -> None:
    first = ask(pool).answer["pid"]
    os.kill(first, signal.SIGKILL)
    assert gone(first)
    assert ask(pool).answer["pid"] != first


def test_a_worker_may_ask_to_be_replaced(pool: WorkerPool) -> None:
    first = ask(pool, retire=True).answer["pid"]
    assert pool.pids == []
    assert ask(pool).answer["pid"] != first


@pytest.mark.parametrize("program", ["raise SystemExit(1)", 'print(\'{"failed": "no math-verify"}\', flush=True)'])
def test_a_worker_that_cannot_start_is_an_infrastructure_error(tmp_path: Path, program: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(program)
    pool = WorkerPool(path, size=1)
    outcome = ask(pool)
    assert outcome.status == "infra_error"
    assert outcome.reason
    assert pool.pids == []


def test_a_request_does_not_block_the_event_loop(pool: WorkerPool) -> None:
    async def ticks() -> int:
        asking = asyncio.ensure_future(pool.ask({"sleep": 0.5}, 0.1))
        count = 0
        while not asking.done():
            await asyncio.sleep(0.01)
            count += 1
        return count

    assert asyncio.run(ticks()) > 10


def test_closing_the_pool_ends_its_workers(pool: WorkerPool) -> None:
    pid = ask(pool).answer["pid"]
    pool.close()
    assert gone(pid)


HOLDER = """
import asyncio, sys, time
from lachesis.verifiers.math import answer as math_answer
pool = math_answer._workers()
asyncio.run(pool.ask({"gold": "x", "answer": "x"}, 5.0))
print(pool.pids[0], flush=True)
if sys.argv[1] == "busy":
    asyncio.run(pool.ask({"gold": "x", "answer": "9^{9^{9^9}}"}, 600.0))
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_worker_outlives_a_parent_that_was_killed(state: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", HOLDER, state, "600"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(worker)


def test_no_worker_outlives_a_parent_that_ends() -> None:
    done = subprocess.run([sys.executable, "-c", HOLDER, "idle", "0"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert gone(int(done.stdout))
