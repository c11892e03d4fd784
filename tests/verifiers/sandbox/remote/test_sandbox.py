"""The remote sandbox against a real server over TLS: what it passes on, and that no failure of it is a score."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, SandboxLost
from lachesis.verifiers.registry import make_verifier
from lachesis.verifiers.sandbox.backends import open_backend, open_sandbox
from lachesis.verifiers.sandbox.job import MIB, Execution, Job, Level, Limits
from lachesis.verifiers.sandbox.protocol import Sandbox, Session
from lachesis.verifiers.sandbox.remote.service import TOKEN
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.sandbox.shared import close_sandbox, configure_sandbox
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory

from .conftest import Server

Start = Callable[[], AbstractContextManager[Server]]


@pytest.fixture(scope="module")
def server(start_server: Start, token: str) -> Iterator[Server]:
    with start_server() as started:
        yield started


@pytest.fixture(scope="module")
def sandbox(server: Server) -> Iterator[Sandbox]:
    opened = open_sandbox(server.settings)
    yield opened
    opened.close()


def run(sandbox: Sandbox, code: str, **given: object) -> Execution:
    return asyncio.run(sandbox.run(Job(code, **given)))  # type: ignore[arg-type]


def test_the_level_and_layers_are_those_of_the_server(sandbox: Sandbox) -> None:
    assert (sandbox.name, sandbox.level) == ("remote", Level.STRONG)
    assert {layer.name for layer in sandbox.layers} >= {"files", "network", "memory"}
    assert all(layer.held for layer in sandbox.layers)


def test_everything_about_a_job_crosses_in_both_directions(sandbox: Sandbox) -> None:
    code = """
import os, sys
print(sys.stdin.buffer.read(), os.environ["COLOUR"], open("given", "rb").read(), "\\u00e9")
print("aside", file=sys.stderr)
open("left", "wb").write(b"\\xff\\x00")
sys.exit(3)
"""
    done = run(sandbox, code, stdin=b"\xff\n", files={"given": b"\x00\xfe"}, env={"COLOUR": "red"})
    assert (done.status, done.exit_code, done.level) == ("runtime_error", 3, Level.STRONG), done
    assert done.stdout == r"b'\xff\n' red b'\x00\xfe' é" + "\n"
    assert (done.stderr, done.files) == ("aside\n", {"left": b"\xff\x00"})
    assert done.usage.wall > 0


@pytest.mark.parametrize(
    ("code", "limits", "status"),
    [
        ("while True: pass", Limits(wall=0.5, cpu=0.5), "timeout"),
        ("b'x' * (1 << 30)", Limits(memory=64 * MIB), "oom"),
        ("raise ValueError", Limits(), "runtime_error"),
        ("print('\ud800')", Limits(), "ok"),
        ("\0", Limits(), "runtime_error"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Limits(), "runtime_error"),
        ("import os; os.kill(1, 9)", Limits(), "runtime_error"),
    ],
)
def test_a_program_causes_no_failure_of_the_server(sandbox: Sandbox, code: str, limits: Limits, status: str) -> None:
    assert run(sandbox, code, limits=limits).status == status


def test_many_jobs_wait_for_a_busy_server(sandbox: Sandbox) -> None:
    async def many() -> list[Execution]:
        return await asyncio.gather(*(sandbox.run(Job(f"print({number})")) for number in range(12)))

    assert [done.stdout for done in asyncio.run(many())] == [f"{number}\n" for number in range(12)]


ECHO = "import os\nwhile part := os.read(3, 100): os.write(4, part.upper())"


def test_jobs_talk_to_a_caller_on_another_machine(sandbox: Sandbox) -> None:
    def drive(sessions: Sequence[Session]) -> list[bytes]:
        one, other = sessions
        one.send(b"first")
        answers = [other.ask(b"second"), one.read()]
        with pytest.raises(ValueError, match="a line of at most"):
            one.send(b"a\nb")
        return answers

    answers, ends = asyncio.run(sandbox.converse([Job(ECHO), Job(ECHO)], drive))
    assert answers == [b"SECOND", b"FIRST"]
    assert [end.status for end in ends] == ["ok", "ok"]


def test_bytes_cross_that_are_no_lines(sandbox: Sandbox) -> None:
    def drive(sessions: Sequence[Session]) -> tuple[bytes, bytes]:
        (session,) = sessions
        nothing = session.receive(0.01)
        session.write(b"half a line\nand")
        answer = session.receive(30)
        session.close()
        return nothing, answer

    answers, (end,) = asyncio.run(sandbox.converse([Job(ECHO)], drive))
    assert answers == (b"", b"HALF A LINE\nAND")
    assert end.status == "ok"


def test_a_job_that_ends_ends_its_session(sandbox: Sandbox) -> None:
    answer, (end,) = asyncio.run(sandbox.converse([Job("raise SystemExit(4)")], lambda sessions: sessions[0].read()))
    assert (answer, end.status, end.exit_code) == (None, "runtime_error", 4)


def test_an_error_of_the_caller_ends_its_jobs_and_nothing_else(sandbox: Sandbox) -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(sandbox.converse([Job(ECHO)], lambda sessions: 1 // 0))
    assert run(sandbox, "print(1)").stdout == "1\n"


def test_the_code_verifier_works_with_asserts_and_calls(sandbox: Sandbox, server: Server) -> None:
    configure_sandbox(server.settings)
    try:
        for program, score in (("def f(x): return x + 1", 1.0), ("def f(x): return x", 0.0)):
            said = ({"role": "assistant", "content": f"```python\n{program}\n```"},)
            case = Case(Trajectory(Task("q", ["assert f(1) == 2", "assert f(2) == 3"]), messages={POLICY: said}))
            verdict = asyncio.run(make_verifier("code", {"format": "mbpp"}).verify(case))
            assert verdict.score == score, verdict
    finally:
        configure_sandbox(SandboxSettings())
        close_sandbox()


def test_a_cancelled_caller_frees_the_server(sandbox: Sandbox) -> None:
    async def cancel() -> Execution:
        asleep = Job("import time; time.sleep(300)", limits=Limits(wall=300))
        jobs = [asyncio.create_task(sandbox.run(asleep)) for _ in range(2)]
        await asyncio.sleep(0.5)
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
        return await sandbox.run(Job("print(1)"))

    assert asyncio.run(asyncio.wait_for(cancel(), 60)).stdout == "1\n"


def test_a_closed_sandbox_returns_infra_error_and_cancels_no_caller(server: Server) -> None:
    sandbox = open_sandbox(server.settings)

    async def close() -> list[Execution]:
        job = asyncio.create_task(sandbox.run(Job("import time; time.sleep(9)")))
        await asyncio.sleep(0.3)
        sandbox.close()
        return [await job, await sandbox.run(Job("print(1)"))]

    for done in asyncio.run(close()):
        assert (done.status, done.reason) == ("infra_error", "the sandbox was closed")
    sandbox.close()


def test_a_server_that_is_killed_in_the_middle_of_jobs_is_never_a_score(start_server: Start, token: str) -> None:
    with start_server() as server:
        sandbox = open_sandbox(server.settings)

        async def kill() -> tuple[Execution, object, Execution]:
            job = asyncio.create_task(sandbox.run(Job("import time; time.sleep(60)", limits=Limits(wall=60))))
            talk = asyncio.create_task(
                sandbox.converse([Job("import os; os.read(3, 1)")], lambda sessions: sessions[0].read())
            )
            await asyncio.sleep(0.5)
            server.process.kill()
            ended = await asyncio.gather(talk, return_exceptions=True)
            return await job, ended[0], await sandbox.run(Job("print(1)"))

        try:
            done, talked, later = asyncio.run(asyncio.wait_for(kill(), 60))
        finally:
            sandbox.close()
    assert isinstance(talked, SandboxLost), talked
    for execution in (done, later):
        assert execution.status == "infra_error"
        assert execution.reason.startswith(f"the sandbox at {server.settings.url}: cannot connect (Connection refused)")
        assert token not in execution.reason
    agents = [name for name in os.listdir("/sys/fs/cgroup/memory") if name.startswith(f"lachesis-{server.process.pid}")]
    assert agents == []


def test_a_wrong_token_and_a_wrong_certificate_are_refused_when_the_sandbox_opens(
    server: Server, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    with pytest.raises(ConfigError, match=r"certificate is not trusted .*; set sandbox\.ca_file") as refused:
        open_sandbox(server.settings.model_copy(update={"ca_file": None}))
    assert token not in str(refused.value)
    monkeypatch.setenv(TOKEN, "another-token")
    with pytest.raises(ConfigError, match=r"status 401: .*; set LACHESIS_SANDBOX_TOKEN") as refused:
        open_sandbox(server.settings)
    assert "another-token" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"url": ""}, "sandbox.url is empty"),
        ({"url": "sandboxes:8750"}, "write https://HOST:PORT"),
        (
            {"url": "https://me:secret-word@sandboxes"},
            "names a user or password; give the token in LACHESIS_SANDBOX_TOKEN",
        ),
        ({"url": "http://192.0.2.1:8750"}, "would carry the token of LACHESIS_SANDBOX_TOKEN openly; use https"),
        ({"url": "https://sandboxes", "ca_file": Path("nowhere")}, "'nowhere', which holds no certificates"),
        ({"packages": (Path("/usr"),)}, "sandbox.packages has no effect on backend 'remote'"),
        ({"url": "https://127.0.0.1:9"}, "the sandbox at https://127.0.0.1:9: cannot connect"),
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, object], says: str, token: str) -> None:
    with pytest.raises((ConfigError, SandboxLost), match=says) as refused:
        open_backend("remote", SandboxSettings(backend="remote").model_copy(update=change))
    assert "secret-word" not in str(refused.value)


def test_the_server_leaves_no_process_when_it_is_asked_to_end(start_server: Start, token: str) -> None:
    with start_server() as server:
        sandbox = open_sandbox(server.settings)
        try:
            assert run(sandbox, "print(1)").stdout == "1\n"
        finally:
            sandbox.close()
        server.process.terminate()
        server.process.wait(30)
        deadline = time.monotonic() + 30
        while _children_groups(server.process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _children_groups(server.process.pid) == []


def _children_groups(pid: int) -> list[str]:
    """The processes that were started by process ``pid``."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                if file.read().rpartition(")")[2].split()[1] == str(pid):
                    found.append(name)
        except OSError:
            continue
    return found
