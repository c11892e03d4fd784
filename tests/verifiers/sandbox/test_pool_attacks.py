"""Attacks on the accounting of a job: uncounted time, failures blamed on others, and leftovers for the next job."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.sandbox.backends import open_backend
from lachesis.verifiers.sandbox.inside import wire
from lachesis.verifiers.sandbox.job import MIB, Execution, Job, Limits
from lachesis.verifiers.sandbox.pool import AgentPool
from lachesis.verifiers.sandbox.process_backend import ProcessLauncher
from lachesis.verifiers.sandbox.protocol import Sandbox
from lachesis.verifiers.sandbox.settings import SandboxSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="attacks are run as root on Linux")


@pytest.fixture(scope="module", params=["process", "docker"])
def pool(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    image = request.getfixturevalue("docker_image") if request.param == "docker" else ""
    made = open_backend(request.param, SandboxSettings(size=2, **({"image": image} if image else {})))
    yield made
    made.close()


def run(pool: Sandbox, code: str, wall: float = 2.0, cpu: float = 2.0, **given: object) -> Execution:
    return asyncio.run(pool.run(Job(code, limits=Limits(wall=wall, cpu=cpu), **given)))  # type: ignore[arg-type]


# Bytes that a connection holds unread are memory of the kernel, which a cgroup may count for no job.
SOCKETS = """
import socket
server = socket.create_server(("127.0.0.1", 0), backlog=128)
held, kept = 0, []
for _ in range(60):
    client = socket.socket()
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        client.setsockopt(socket.SOL_SOCKET, option, 1 << 24)
    client.settimeout(0.2)
    try:
        client.connect(server.getsockname())
        other = server.accept()[0]
        other.settimeout(0.02)
        kept += [client, other]
        for end in (client, other):
            end.setblocking(False)
            while True:
                held += end.send(b"x" * 65536)
    except OSError:
        continue
print(held >> 20)
"""


def test_connections_hold_little_memory_of_the_kernel(pool: Sandbox) -> None:
    done = run(pool, SOCKETS, wall=10.0)
    assert done.status == "ok", done
    assert int(done.stdout) < 100


# Children that nobody waits for burn the CPU in short turns, the main thread is always ready and hardly ever runs:
# what would look like a machine under load, and so like nobody's fault.
UNCOUNTED = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(6):
    if not os.fork():
        while True:
            start = time.monotonic()
            if not os.fork():
                while time.monotonic() - start < 0.03:
                    pass
                os._exit(0)
            time.sleep(0.03)
os.nice(19)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
while True:
    pass
"""


def test_cpu_time_of_children_that_nobody_waits_for_counts(pool: Sandbox) -> None:
    end = run(pool, UNCOUNTED)
    assert end.status == "timeout", end
    assert end.usage.cpu > 1.5


def test_waiting_for_the_jobs_own_processes_counts(pool: Sandbox) -> None:
    busy = "import os\nfor _ in range(20):\n    if not os.fork(): break\nwhile True: pass"
    for _ in range(3):
        end = run(pool, busy, wall=1.0, cpu=1000.0)
        if not end.reason.startswith(wire.OVERLOADED):  # other programs of the machine had all CPUs
            break
    assert end.status == "timeout", end


ONE_AFTER_THE_OTHER = """
import os, time
for _ in range(8):
    if not os.fork():
        while time.process_time() < 0.1: pass
        os._exit(0)
    os.wait()
print("done")
"""


@pytest.mark.parametrize("pool", ["process"], indirect=True)
def test_time_that_ended_children_waited_for_a_busy_cpu_does_not_count(pool: Sandbox) -> None:
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command, start_new_session=True) for _ in range(6 * (os.cpu_count() or 1))]
    try:
        end = run(pool, ONE_AFTER_THE_OTHER, wall=2.0, cpu=2.0)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert (end.status, end.stdout) == ("ok", "done\n"), end
    assert end.usage.wall > 2.0


MEEK = """
import os
priority = os.getpriority(os.PRIO_PROCESS, 0)
assert priority < 19, "it can get no lower"
os.nice(19)
os.setpriority(os.PRIO_PROCESS, 0, 19)
before = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(before)})
print(os.getpriority(os.PRIO_PROCESS, 0) == priority, os.sched_getaffinity(0) == before)
"""


def test_a_job_cannot_make_itself_wait_for_others(pool: Sandbox) -> None:
    assert run(pool, MEEK).stdout == "True True\n"


@pytest.mark.parametrize("pool", ["process"], indirect=True)  # in a container's own cgroup autogroups do not count
def test_a_job_cannot_lower_the_priority_of_its_process_group(pool: Sandbox) -> None:
    end = run(pool, "open('/proc/self/autogroup', 'w').write('19')")
    assert "Read-only" in end.stderr


PORT = """
import socket
server = socket.socket()
server.bind(("127.0.0.1", 8123))
server.listen()
client = socket.create_connection(("127.0.0.1", 8123))
accepted, _ = server.accept()
accepted.close()
client.recv(1)
"""


@pytest.mark.parametrize("pool", ["process"], indirect=True)
def test_a_port_that_a_job_used_is_free_for_the_next(pool: Sandbox) -> None:
    for _ in range(4):
        assert run(pool, PORT).status == "ok"
    assert run(pool, "print(len(open('/proc/net/tcp').readlines()))").stdout == "1\n"


def test_large_stdin_after_small_stdin_is_accepted(pool: Sandbox) -> None:
    length = "import sys\nn = 0\nwhile part := sys.stdin.buffer.read(1 << 20): n += len(part)\nprint(n)"
    for size in (1, 400 * MIB, 1):
        end = run(pool, length, wall=10, cpu=10, stdin=b"1" * size)
        assert (end.status, end.stdout, end.retries) == ("ok", f"{size}\n", 0), end


def test_inputs_too_large_for_a_sandbox_are_an_infra_error(pool: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST", 16 * MIB)
    end = run(pool, "", stdin=b"1" * (17 * MIB))
    assert end.status == "infra_error"
    assert "MiB" in end.reason


@pytest.mark.parametrize("name", ["memory", "disk", "file_size", "processes", "output"])
def test_a_limit_that_no_kernel_accepts_is_refused_early(name: str) -> None:
    with pytest.raises(DataError, match="whole number"):
        Limits(**{name: 1.5e6})  # type: ignore[arg-type]


@pytest.mark.parametrize("env", [{"A": "\ud800"}, {"\udc80": "a"}])
def test_an_environment_variable_that_is_not_text_is_refused_early(env: dict[str, str]) -> None:
    with pytest.raises(DataError, match="environment"):
        Job("", env=env)


def test_a_driver_that_fails_leaves_nothing_to_the_next_job(pool: Sandbox) -> None:
    first = Job("import os\nprint('first')\nos.read(3, 10)")
    with pytest.raises(ZeroDivisionError):
        asyncio.run(pool.converse([first], lambda sessions: 1 / 0))
    for _ in range(3):
        end = run(pool, "print('next')")
        assert (end.stdout, end.retries) == ("next\n", 0)


# Where a job is the user that its supervisor is, it can open its own output for reading, and take a byte that the
# supervisor has been told of: it must neither wait for that byte nor fail.
THIEF = """
import os, threading, time
end = time.monotonic() + 0.7
def steal():
    fd = os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK)
    while time.monotonic() < end:
        try:
            os.read(fd, 100)
        except BlockingIOError:
            pass
threading.Thread(target=steal).start()
while time.monotonic() < end:
    os.write(1, b"x")
time.sleep(60)
"""


def test_a_job_that_reads_its_own_output_still_runs_out_of_time(nobody_launcher: ProcessLauncher) -> None:
    pool = AgentPool(nobody_launcher, 2)
    try:
        end = run(pool, THIEF, wall=1.0)
        assert (end.status, end.retries) == ("timeout", 0), end
    finally:
        pool.close()


def test_packages_are_found_by_their_own_name_and_through_a_link() -> None:
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        Path(folder, "real").mkdir()
        Path(folder, "real", "from_outside.py").write_text("x = 5")
        Path(folder, "linked").symlink_to("real")
        pool = open_backend("process", SandboxSettings(size=2, packages=(Path(folder, "linked"),)))
        try:
            assert run(pool, "import from_outside; print(from_outside.x)").stdout == "5\n"
        finally:
            pool.close()


@pytest.mark.parametrize("folder", ["/dev/shm", "/proc", "/", "/no/such"])
def test_package_folders_that_no_job_could_use_are_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match="packages"):
        open_backend("process", SandboxSettings(packages=(Path(folder),)))


def test_a_job_whose_caller_is_cancelled_ends() -> None:
    pool = AgentPool(ProcessLauncher(), 2)

    async def cancel() -> None:
        asleep = Job("import time; time.sleep(500)", limits=Limits(wall=500))
        jobs = [asyncio.create_task(pool.run(asleep)) for _ in range(2)]
        await asyncio.sleep(0.5)
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
        assert (await pool.run(Job("print(1)"))).stdout == "1\n"

    asyncio.run(asyncio.wait_for(cancel(), 30))
    pool.close()


def test_a_closed_sandbox_returns_infra_error_and_cancels_no_caller() -> None:
    pool = AgentPool(ProcessLauncher(), 2)

    async def close() -> list[Execution]:
        jobs = [asyncio.create_task(pool.run(Job("import time; time.sleep(9)"))) for _ in range(8)]
        await asyncio.sleep(0.5)
        pool.close()
        return [*await asyncio.gather(*jobs), await pool.run(Job("print(1)"))]

    assert {end.status for end in asyncio.run(close())} == {"infra_error"}


FORKED = """
import asyncio, os, signal, time
from lachesis.verifiers.sandbox.job import Job
from lachesis.verifiers.sandbox.pool import AgentPool
from lachesis.verifiers.sandbox.process_backend import ProcessLauncher

pool = AgentPool(ProcessLauncher(), 2)
asyncio.run(pool.run(Job("print(1)")))
agents = [agent._connection.pid for agent in pool._idle]
if not os.fork():
    time.sleep(60)
    os._exit(0)
print(*agents, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_forked_child_keeps_no_agent_of_a_dead_parent() -> None:
    command = [sys.executable, "-c", FORKED]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert parent.stdout is not None
    try:
        agents = parent.stdout.readline().split()
        parent.wait()
        assert agents
        deadline = time.monotonic() + 30
        while any(_runs(pid) for pid in agents) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [pid for pid in agents if _runs(pid)] == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)  # the child, which lives for longer


def _runs(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
