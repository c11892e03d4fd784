"""A pool of agents: parallel jobs, conversations, lost agents, and an end that leaves no process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from lachesis.verifiers.errors import ConfigError, SandboxLost
from lachesis.verifiers.sandbox import agent
from lachesis.verifiers.sandbox.backends import open_backend, open_sandbox
from lachesis.verifiers.sandbox.job import Execution, Job, Level, Limits
from lachesis.verifiers.sandbox.pool import AgentPool
from lachesis.verifiers.sandbox.process_backend import ProcessConnection, ProcessLauncher
from lachesis.verifiers.sandbox.protocol import Sandbox, Session
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.settings import validated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process sandbox needs Linux")

ECHO = """
import os
lines, out = os.fdopen(3), os.fdopen(4, "w")
for line in lines:
    out.write(line.strip()[::-1] + "\\n")
    out.flush()
print("closed")
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[Sandbox]:
    made = open_backend("process", SandboxSettings(size=2))
    yield made
    made.close()


def run(pool: Sandbox, code: str, **limits: float) -> Execution:
    return asyncio.run(pool.run(Job(code, limits=Limits(**{"wall": 5.0, "cpu": 5.0, **limits}))))  # type: ignore[arg-type]


def agents_of(parent: int) -> list[int]:
    """The processes that descend from ``parent``, at any depth."""
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            found.setdefault(int(fields[1]), []).append(int(path.parent.name))
    pending, result = [parent], []
    while pending:
        children = found.get(pending.pop(), [])
        result += children
        pending += children
    return result


def test_many_jobs_at_once_each_get_their_own_answer(pool: Sandbox) -> None:
    async def everything() -> list[Execution]:
        return list(await asyncio.gather(*(pool.run(Job(f"print({number})")) for number in range(40))))

    assert [end.stdout for end in asyncio.run(everything())] == [f"{number}\n" for number in range(40)]


def test_jobs_may_come_from_several_event_loops(pool: Sandbox) -> None:
    for number in range(3):
        assert run(pool, f"print({number})").stdout == f"{number}\n"


def test_a_conversation_goes_in_both_directions(pool: Sandbox) -> None:
    def drive(sessions: Sequence[Session]) -> list[bytes]:
        return [session.ask(word) for word in (b"abc", b"xyz") for session in sessions]

    answers, ends = asyncio.run(pool.converse([Job(ECHO), Job(ECHO)], drive))
    assert answers == [b"cba", b"cba", b"zyx", b"zyx"]
    assert [(end.status, end.stdout) for end in ends] == [("ok", "closed\n")] * 2


def test_a_session_that_ends_ends_the_conversation_only(pool: Sandbox) -> None:
    def drive(sessions: Sequence[Session]) -> bytes:
        return sessions[0].ask(b"anything")

    answer, (end,) = asyncio.run(pool.converse([Job("raise SystemExit(3)")], drive))
    assert answer is None
    assert (end.status, end.exit_code) == ("runtime_error", 3)


LAST_WORD = """
import os
os.read(3, 100)
os.write(4, b"x" * 50000 + b"\\n")
os._exit(0)
"""


def test_the_last_line_of_a_job_that_ends_at_once_is_not_lost(pool: Sandbox) -> None:
    def drive(sessions: Sequence[Session]) -> int:
        return len(sessions[0].ask(b"now"))

    for _ in range(20):
        assert asyncio.run(pool.converse([Job(LAST_WORD)], drive))[0] == 50000


def test_lines_to_a_job_that_has_ended_do_not_reach_the_next(pool: Sandbox) -> None:
    def drive(sessions: Sequence[Session]) -> None:
        time.sleep(0.05)  # the job has ended by now
        for _ in range(5):
            sessions[0].send(b"z" * 900_000)

    for _ in range(5):
        _, (end,) = asyncio.run(pool.converse([Job("print('x' * 900000)")], drive))
        assert (end.status, end.retries) == ("ok", 0), end
        again = run(pool, "print(1)")
        assert (again.stdout, again.retries) == ("1\n", 0)


FLOODS = {
    "one endless line": "import os\nwhile True: os.write(4, b'x' * 65536)",
    "endless lines": "import os\nwhile True: os.write(4, b'x\\n' * 30000)",
    "no answer": "import time\ntime.sleep(60)",
    "closed": "import os, time\nos.close(4); os.close(3); time.sleep(60)",
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_job_that_answers_wrongly_is_ended(pool: Sandbox, kind: str) -> None:
    def drive(sessions: Sequence[Session]) -> int:
        for _ in range(200):
            sessions[0].ask(b"y" * 100_000)
        return 1

    job = Job(FLOODS[kind], limits=Limits(wall=2, cpu=2))
    start = time.monotonic()
    _, (end,) = asyncio.run(pool.converse([job], drive))
    assert end.status in ("timeout", "limit", "runtime_error"), end
    assert time.monotonic() - start < 40
    assert run(pool, "print(1)").stdout == "1\n"


def test_more_sessions_than_agents_are_refused(pool: Sandbox) -> None:
    with pytest.raises(ValueError, match="size"):
        asyncio.run(pool.converse([Job("")] * 3, lambda sessions: None))


def test_conversations_of_two_do_not_wait_for_each_other(pool: Sandbox) -> None:
    async def everything() -> None:
        both = [Job(ECHO), Job(ECHO)]
        await asyncio.gather(*(pool.converse(both, lambda s: [x.ask(b"a") for x in s]) for _ in range(6)))

    asyncio.run(asyncio.wait_for(everything(), 60))


def test_a_killed_agent_costs_one_retry() -> None:
    others = set(agents_of(os.getpid()))  # of other tests, and the process of which commands are forked
    pool = AgentPool(ProcessLauncher(), 2)
    assert run(pool, "print(1)").stdout == "1\n"
    for pid in set(agents_of(os.getpid())) - others:
        with suppress(ProcessLookupError):  # it has ended with its parent
            os.kill(pid, signal.SIGKILL)
    end = run(pool, "print(2)")
    assert (end.status, end.stdout, end.retries) == ("ok", "2\n", 1)
    pool.close()


class Breaking(ProcessConnection):
    """A connection whose agent ends with the first job that is sent to it, but for a control job where ``well``."""

    well = True

    def send(self, data: bytes) -> None:
        if data[:1] == b"J" and (b"print(6 * 7)" not in data or not self.well):
            children = agents_of(self._process.pid)  # which on a busy machine could answer before they have ended
            self._process.kill()
            self._process.wait()
            while any(map(_is_alive, children)):
                time.sleep(0.01)
        super().send(data)


class BreakingLauncher(ProcessLauncher):
    """Every agent of it breaks."""

    def start(self) -> Breaking:
        connection = Breaking(self.command)
        connection.send(agent.program() + agent.setup(container=False, network=False))
        return connection


def test_a_job_that_loses_its_agent_twice_while_a_control_job_succeeds_gets_a_limit() -> None:
    pool = AgentPool(BreakingLauncher(), 2)
    end = run(pool, "print(1)")
    assert end.status == "limit"
    assert "control job succeeded" in end.reason
    pool.close()


def test_if_the_control_job_fails_too_nothing_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaking, "well", False)
    pool = AgentPool(BreakingLauncher(), 2)
    assert run(pool, "print(1)").status == "infra_error"
    with pytest.raises(SandboxLost):
        asyncio.run(pool.converse([Job(ECHO)], lambda sessions: None))
    pool.close()


def test_a_level_that_is_not_reached_is_refused_with_its_cure() -> None:
    with pytest.raises(ConfigError, match="docker"):
        open_sandbox(SandboxSettings(backend="docker", image="no-such-image:none", require="strong"))


def test_a_backend_that_does_not_start_is_skipped_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: ProcessLauncher) -> ProcessConnection:
        raise SandboxLost("no agent can be started: it is full")

    monkeypatch.setattr(ProcessLauncher, "start", nothing)
    with pytest.raises(ConfigError, match=r"level 'contained'.*process: no agent can.*full\. docker: .*Cure: "):
        open_sandbox(SandboxSettings(backend="auto", image="no-such-image:none"))


def test_closing_ends_running_jobs_and_leaves_no_process() -> None:
    pool = AgentPool(ProcessLauncher(), 2)

    async def close_soon() -> Execution:
        job = asyncio.create_task(pool.run(Job("import time; time.sleep(60)", limits=Limits(wall=50))))
        await asyncio.sleep(1)
        pool.close()
        return await job

    before = set(agents_of(os.getpid()))
    start = time.monotonic()
    assert asyncio.run(close_soon()).status == "infra_error"
    assert time.monotonic() - start < 20
    assert set(agents_of(os.getpid())) <= before


SIGKILLED = """
import asyncio, time
from lachesis.verifiers.sandbox.backends import open_backend
from lachesis.verifiers.sandbox.job import Job, Limits
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.settings import validated

pool = open_backend("process", SandboxSettings(size=2))
code = "import os, time\\nif not os.fork():\\n    os.setsid()\\n    os.write(4, b'forked\\\\n')\\ntime.sleep(600)"
forever = Job(code, limits=Limits(wall=500))

def drive(sessions):
    for session in sessions:
        session.read()
    print("running", flush=True)
    time.sleep(600)

asyncio.run(pool.converse([forever, forever], drive))
"""


def test_a_parent_that_is_killed_leaves_no_process_and_no_cgroup() -> None:
    parent = subprocess.Popen([sys.executable, "-c", SIGKILLED], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "running\n"
    below = agents_of(parent.pid)
    assert len(below) >= 4
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    while (left := [pid for pid in below if _is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    cgroups = [path for pid in below for path in Path("/sys/fs/cgroup").glob(f"*/lachesis-{pid}")]
    assert cgroups == []


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_load_of_the_machine_does_not_count_against_a_job(pool: Sandbox) -> None:
    """A job of half a second of work, at a limit of one, beside so many busy processes that it takes several."""
    work = "import time\nwhile time.process_time() < 0.5: pass\nprint('done')"
    command = [sys.executable, "-c", "while True: pass"]  # each in a session, which is what the scheduler is fair to
    busy = [subprocess.Popen(command, start_new_session=True) for _ in range(4 * (os.cpu_count() or 1))]
    try:
        end = run(pool, work, wall=1.0, cpu=1.0)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert (end.status, end.stdout) == ("ok", "done\n"), end
    assert end.usage.wall > 1.0


def test_the_execution_is_one_json_object(pool: Sandbox) -> None:
    end = run(pool, "open('left.txt', 'w').write('text')")
    row = json.loads(json.dumps(end.to_json()))
    assert row["files"] == {"left.txt": "text"}
    assert row["status"] == "ok"
    assert row["level"] in {level.name.lower() for level in Level}


class CountingLauncher(ProcessLauncher):
    """Counts how many agents start at once."""

    def start(self) -> ProcessConnection:
        with COUNTS:
            STARTING.append(STARTING[-1] + 1)
        try:
            time.sleep(0.1)
            return super().start()
        finally:
            with COUNTS:
                STARTING.append(STARTING[-1] - 1)


COUNTS, STARTING = threading.Lock(), [0]


def test_no_more_agents_start_at_once_than_the_settings_say() -> None:
    pool = AgentPool(CountingLauncher(), 8, starts=3)

    async def jobs() -> list[Execution]:
        return await asyncio.gather(*(pool.run(Job("print(1)")) for _ in range(8)))

    try:
        assert [done.stdout for done in asyncio.run(jobs())] == ["1\n"] * 8
    finally:
        pool.close()
    assert 1 <= max(STARTING) <= 3


def test_by_default_as_many_agents_start_at_once_as_there_are_cpus() -> None:
    assert SandboxSettings().most_starts == max(2, os.cpu_count() or 0)
    assert SandboxSettings(starts=1).most_starts == 1
    with pytest.raises(ConfigError, match="'starts': Input should be greater than or equal to 0, found -1"):
        validated(SandboxSettings, {"starts": -1}, "[sandbox]")
